"""Packs what is missing of a data set; each store is made aside and published when complete.

So a store that exists is whole, and two sweeps may want the same one at once.
"""

import contextlib
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from cpt.corpus import Corpus, corpora
from cpt.cutting import held_out_below
from cpt.dataset_config import AnyDatasetConfig, SourceConfig, source_field
from cpt.digests import Digests
from cpt.packing import Packed, packed
from cpt.parsing import ConfigError, shown
from cpt.sources import Split, documents, fingerprint
from cpt.store_writer import StoreWriter
from cpt.token_library import TokenLibrary
from cpt.token_store import DamagedError, TokenStore
from cpt.tokenizer import Tokenizer

ABANDONED_SECONDS = 24 * 3600
"""A half-built store of another machine untouched for so long belongs to a builder that died."""

PROGRESS_SECONDS = 30
"""Between two words on a packing that takes long."""


@dataclass(frozen=True, kw_only=True)
class Stores:
    """The packed data set.

    Attributes:
        train: A store for each source, by its name.
        validation: What is held out of all of them.
    """

    train: Mapping[str, TokenStore]
    validation: TokenStore


def build(
    dataset: AnyDatasetConfig,
    tokenizer: Tokenizer,
    library: TokenLibrary,
    field: str,
    digests: Digests,
    say: Callable[[str], None],
) -> Stores:
    """The stores of a data set: those that exist, and new ones in the place of others.

    Of two builders of one store on a machine the second waits, and finds it; on two machines the
    first to finish wins.

    Args:
        dataset: The data set.
        tokenizer: What packs it.
        library: Where stores are kept.
        field: Dotted name of the data set, e.g. `datasets.german`, for refusals.
        digests: Checksums of files that were read before.
        say: Told of work that takes a while, and why.

    Raises:
        ConfigError: The data set is missing, cannot be read, lacks a column or holds no text.
        StoreError: The disk is full, or cannot be written.
    """
    wanted = corpora(dataset, tokenizer, field, digests)
    # Two sources of the same text have one store.
    distinct = {corpus.id: corpus for corpus in wanted}.values()
    missing = [corpus for corpus in distinct if _found(corpus, library, say) is None]
    if missing:
        with _locked(missing, library):
            missing = [corpus for corpus in missing if _found(corpus, library, say) is None]
            _say_why(missing, library, say)
            _pack(missing, tokenizer, library, field, digests, say)
    *train, validation = (library.open(corpus.id) for corpus in wanted)
    return Stores(train=dict(zip(dataset.sources, train, strict=True)), validation=validation)


def _found(corpus: Corpus, library: TokenLibrary, say: Callable[[str], None]) -> TokenStore | None:
    try:
        return library.find(corpus.id)
    except DamagedError as error:
        aside = library.set_aside(corpus.id)
        say(f"{corpus.label}: {error}; moved to {aside.name} and packed anew")
        return None


@contextlib.contextmanager
def _locked(wanted: Sequence[Corpus], library: TokenLibrary) -> Iterator[None]:
    """Holds the right to build some stores on this machine; a kill frees it."""
    folder = library.workplace / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        for name in sorted({corpus.id for corpus in wanted}):
            held.enter_context(FileLock(folder / name))
            _remove_abandoned(library.workplace, name)
        yield


def _remove_abandoned(folder: Path, name: str) -> None:
    """Deletes what killed builders left; those of this machine are dead, since we hold the lock."""
    for leftover in folder.glob(f".{name}.*"):
        try:
            touched = max(file.stat().st_mtime for file in (leftover, *leftover.iterdir()))
        except FileNotFoundError:  # its builder has just published it
            continue
        ours = leftover.name.startswith(_aside_prefix(name))
        if ours or time.time() - touched > ABANDONED_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)


def _aside_prefix(name: str) -> str:
    return f".{name}.{socket.gethostname()}."


def _say_why(missing: Sequence[Corpus], library: TokenLibrary, say: Callable[[str], None]) -> None:
    """What was packed from the same place before, and is no longer what lies there."""
    earlier = {meta.origin for meta in library.corpora()} if missing else set()
    for corpus in missing:
        if corpus.origin in earlier:
            say(f"{corpus.label}: what lies there has changed since it was packed; packed anew")


def _pack(
    missing: Sequence[Corpus],
    tokenizer: Tokenizer,
    library: TokenLibrary,
    field: str,
    digests: Digests,
    say: Callable[[str], None],
) -> None:
    """Reads each source once and fills the stores that it belongs to."""
    with contextlib.ExitStack() as closing:
        writers: dict[str, StoreWriter] = {}
        for corpus in missing:
            aside = Path(tempfile.mkdtemp(prefix=_aside_prefix(corpus.id), dir=library.workplace))
            closing.callback(shutil.rmtree, aside, ignore_errors=True)
            writers[corpus.id] = StoreWriter(aside, tokenizer)
            closing.callback(writers[corpus.id].close)
        for name, source, readers in _readings(missing):
            place = source_field(field, name)
            progress = _Progress(readers[0].label, say)
            for batch in packed(documents(source, readers[0].split, place), tokenizer):
                for corpus in readers:
                    part = _cut(batch, source, corpus.split)
                    label = name if corpus.split == "validation" else ""
                    writers[corpus.id].append(part, label, f"{place}.domain")
                progress.add(batch)
            for corpus in readers:
                _check_unchanged(corpus, name, place, digests)
        for corpus in missing:
            writer = writers[corpus.id]
            if writer.is_empty:
                raise ConfigError([_empty(corpus, field)])
            path = ", ".join(dict.fromkeys(source.path for source in corpus.sources.values()))
            writer.finish(corpus_id=corpus.id, origin=corpus.origin, path=path, split=corpus.split)
            writer.folder.chmod(0o755)  # mkdtemp lets only its owner in; sweeps are shared
            library.publish(writer.folder, corpus.id)


def _readings(missing: Sequence[Corpus]) -> Iterator[tuple[str, SourceConfig, list[Corpus]]]:
    """(name, source, the stores it fills) for each reading; one that is cut fills two at once."""
    sources = {name: source for corpus in missing for name, source in corpus.sources.items()}
    for name, source in sources.items():
        readers = [corpus for corpus in missing if name in corpus.sources]
        if source.validation_share is not None:
            yield name, source, readers
        else:
            for corpus in readers:
                yield name, source, [corpus]


def _check_unchanged(corpus: Corpus, name: str, field: str, digests: Digests) -> None:
    """Refuses text that is not what the store is named by."""
    source = corpus.sources[name]
    if fingerprint(source, corpus.split, field, digests) != corpus.fingerprints[name]:
        raise ConfigError(
            [
                f"{field}: got {shown(source.path)}, whose content changed while it was packed; "
                "must stay as it is until then; run it again once nothing writes there."
            ]
        )


def _cut(batch: Packed, source: SourceConfig, split: Split) -> Packed:
    """The documents of a split, by their hashes where a share is held out."""
    if source.validation_share is None:
        return batch
    held_out = batch.hashes < np.uint64(held_out_below(source.validation_share))
    if split == "validation":
        return batch.those(held_out)
    return batch.those(~held_out)._replace(empty=batch.empty)


class _Progress:
    """Says now and then how far a long packing has come."""

    def __init__(self, label: str, say: Callable[[str], None]) -> None:
        self._label, self._say, self._said = label, say, time.monotonic()
        self._documents = self._tokens = 0

    def add(self, batch: Packed) -> None:
        self._documents += len(batch.lengths)
        self._tokens += len(batch.tokens)
        if time.monotonic() - self._said >= PROGRESS_SECONDS:
            self._say(f"{self._label}: {self._documents:,} documents, {self._tokens:,} tokens ...")
            self._said = time.monotonic()


def _empty(corpus: Corpus, field: str) -> str:
    (name, source), *others = corpus.sources.items()
    place = source_field(field, "" if others else name)
    names = source.train if corpus.split == "train" else source.validation
    given = list(names) or (
        source.path if source.validation_share is None else str(source.validation_share)
    )
    what = "validation_share" if source.validation_share is not None else corpus.split
    if corpus.split == "train":
        what = "train"
    return (
        f"{place}.{what}: got {shown(given)}; the {corpus.split} set is empty, must hold at least "
        f"one document with text in {shown(source.text)}."
    )
