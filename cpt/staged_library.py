"""A token library on object storage: written once, and staged once to each machine's disk.

    $REWARM_CACHE/tokens/<hash of the URI>/
      <corpus_id>/          the staged copy, complete and verified
      <corpus_id>.partial/  one that is being fetched: files, and NAME.part, fetched so far
      .locks/               held by the one process of this machine that fetches

`REWARM_CACHE` is `~/.cache/rewarm` where it is not set. A fetch that was killed goes on where its
partial file ends. Over there meta.json is written last: a store without one does not exist.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from cpt.cache_room import room_in_cache
from cpt.files import write_json, write_text
from cpt.object_store import ObjectStore
from cpt.parsing import parse
from cpt.storage import cache_of
from cpt.token_library import TokenLibrary
from cpt.token_store import (
    META,
    VERIFIED,
    CorpusMeta,
    StoreError,
    TokenStore,
    read_meta,
    stamp_of,
)


class StagedLibrary(TokenLibrary):
    """Copies on this machine of what is kept elsewhere."""

    def __init__(self, uri: str) -> None:
        self._remote = ObjectStore(uri)
        self._cache = cache_of(uri)

    @property
    def workplace(self) -> Path:
        """Holds the staged copies too, so that one that was built here need not be fetched."""
        self._cache.mkdir(parents=True, exist_ok=True)
        return self._cache

    def check(self) -> None:
        """Lists what is there."""
        self._remote.folders()

    def open(self, corpus_id: str) -> TokenStore:
        """The copy that is here; nothing is asked over there where it is whole."""
        store = self._staged(corpus_id)
        if store is not None:
            return store
        with self._locked(corpus_id):
            # Another process may have fetched it meanwhile.
            return self._staged(corpus_id) or self._stage(corpus_id)

    def find(self, corpus_id: str) -> TokenStore | None:
        """Asks over there even where a copy is here: what was deleted there is to be built anew."""
        if self._meta(corpus_id) is not None:
            return self.open(corpus_id)
        self.check()  # in a bucket that does not exist nothing does
        return None

    def publish(self, aside: Path, corpus_id: str) -> TokenStore:
        """Uploads a store that is not there yet; the folder becomes the staged copy."""
        meta = read_meta(aside)
        with self._locked(corpus_id):
            there = self._meta(corpus_id)
            if there is None:
                self._send(aside, meta, corpus_id)
                _note_verified(aside, meta)
            elif there.files == meta.files:
                write_json(aside / META, there.model_dump(mode="json"))
            else:
                shutil.rmtree(aside)
                return self._staged(corpus_id) or self._stage(corpus_id)
            return self._keep(aside, corpus_id)

    def corpora(self) -> Iterator[CorpusMeta]:
        """A small request for each store."""
        for corpus_id in self._remote.folders():
            try:
                meta = self._meta(corpus_id)
            except StoreError:
                continue
            if meta is not None:
                yield meta

    def set_aside(self, corpus_id: str) -> Path:
        """Stages a store again; one that is damaged over there is left to a person."""
        with self._locked(corpus_id):
            shutil.rmtree(self._cache / corpus_id, ignore_errors=True)
            return self._stage(corpus_id).path

    def _locked(self, corpus_id: str) -> FileLock:
        """The right to change this machine's copy; a kill frees it."""
        folder = self.workplace / ".locks"
        folder.mkdir(exist_ok=True)
        return FileLock(folder / f"{corpus_id}.staging")

    def _staged(self, corpus_id: str) -> TokenStore | None:
        """The copy that is here; None: none, or a damaged one."""
        path = self._cache / corpus_id
        if not path.exists():
            return None
        try:
            return TokenStore(path)
        except StoreError:
            return None

    def _meta(self, corpus_id: str) -> CorpusMeta | None:
        """What the store over there says of itself; None where there is no store."""
        name = f"{corpus_id}/{META}"
        text = self._remote.read(name)
        if text is None:
            return None
        try:
            return parse(CorpusMeta, json.loads(text))
        except ValueError as error:
            raise StoreError(
                f"{self._remote.shown(name)} is damaged ({error}); {self._remote.remedy(name)}"
            ) from error

    def _stage(self, corpus_id: str) -> TokenStore:
        meta = self._meta(corpus_id)
        if meta is None:
            raise StoreError(f"{self._remote.shown(corpus_id)} does not exist")
        partial = self._cache / f"{corpus_id}.partial"
        with room_in_cache(partial / META, 0):
            partial.mkdir(exist_ok=True)
            write_text(partial / META, meta.model_dump_json(indent=1) + "\n")
        for name, written in meta.files.items():
            self._remote.stage(f"{corpus_id}/{name}", partial / name, written.bytes, written.sha256)
        _note_verified(partial, meta)
        return self._keep(partial, corpus_id)

    def _send(self, aside: Path, meta: CorpusMeta, corpus_id: str) -> None:
        for name, written in meta.files.items():
            if self._remote.send(aside / name, f"{corpus_id}/{name}") != written.sha256:
                raise StoreError(f"{aside / name} does not hold what was written")
        self._remote.send(aside / META, f"{corpus_id}/{META}")

    def _keep(self, folder: Path, corpus_id: str) -> TokenStore:
        """Makes a complete folder the copy of this machine."""
        path = self._cache / corpus_id
        if path.exists():  # damaged, or older than what lies over there
            shutil.rmtree(path)
        folder.rename(path)
        return TokenStore(path)


def _note_verified(folder: Path, meta: CorpusMeta) -> None:
    """For files whose checksums were just found right: opening the store need not read them."""
    write_json(folder / VERIFIED, {name: stamp_of(folder / name) for name in meta.files})
