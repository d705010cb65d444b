"""Where token stores are kept: in a directory, read in place, or on object storage, staged here.

    <library>/<corpus_id>/          a complete store (`cpt.token_store`)
    <library>/<corpus_id>.damaged-1 one that was found damaged (directories only)

`cpt.builder` makes a store in a folder aside, in the library's workplace, and publishes it.
"""

import abc
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from cpt.files import folder_name
from cpt.records import ResultTree
from cpt.storage import is_remote
from cpt.token_store import META, CorpusMeta, StoreError, TokenStore, read_meta


class TokenLibrary(abc.ABC):
    """Token stores by the id of their corpus."""

    @staticmethod
    def at(where: str | Path) -> "TokenLibrary":
        """The library in a directory or at a URI; nothing is opened yet.

        Raises:
            StoreError: The URI holds a password.
        """
        if isinstance(where, str) and is_remote(where):
            # Imported here: pyarrow is not needed to read stores in place.
            from cpt.staged_library import StagedLibrary

            return StagedLibrary(where)
        return _Directory(Path(where))

    @property
    @abc.abstractmethod
    def workplace(self) -> Path:
        """The local directory in which folders are made that `publish` takes."""

    @abc.abstractmethod
    def check(self) -> None:
        """Looks whether the library can be reached, before work is put into what it shall keep.

        Raises:
            StoreError: It cannot.
        """

    @abc.abstractmethod
    def open(self, corpus_id: str) -> TokenStore:
        """A store, staged where it is kept elsewhere and not here yet.

        Raises:
            StoreError: There is none, it is damaged, cannot be reached or finds no room here.
        """

    @abc.abstractmethod
    def find(self, corpus_id: str) -> TokenStore | None:
        """A store as `open` gives it; None: it is not in the library.

        Raises:
            StoreError: It is damaged, cannot be reached or finds no room here.
        """

    @abc.abstractmethod
    def publish(self, aside: Path, corpus_id: str) -> TokenStore:
        """Makes a complete folder of the workplace the store of that id; the first one wins.

        The folder is gone afterwards: moved, or deleted where another was first.

        Raises:
            StoreError: The library cannot be reached, or the folder is damaged.
        """

    @abc.abstractmethod
    def corpora(self) -> Iterator[CorpusMeta]:
        """What each store says of itself, by id; stores whose meta.json is damaged are left out.

        Raises:
            StoreError: The library cannot be reached.
        """

    @abc.abstractmethod
    def set_aside(self, corpus_id: str) -> Path:
        """Moves a damaged store out of the way, so that it can be built anew; nothing is deleted.

        Returns:
            Where it is now.

        Raises:
            StoreError: It is damaged where others read it, which only a person may change.
        """


def library(tree: ResultTree) -> TokenLibrary:
    """The library of a result tree."""
    return TokenLibrary.at(tree.token_storage or tree.storage / "tokens")


class _Directory(TokenLibrary):
    """Read in place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def workplace(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def check(self) -> None:
        """A directory is made when it is needed."""

    def open(self, corpus_id: str) -> TokenStore:
        return TokenStore(self._folder / folder_name(corpus_id))

    def find(self, corpus_id: str) -> TokenStore | None:
        path = self._folder / folder_name(corpus_id)
        return TokenStore(path) if path.exists() else None

    def publish(self, aside: Path, corpus_id: str) -> TokenStore:
        path = self._folder / corpus_id
        try:
            aside.rename(path)
        except OSError:
            if not path.exists():
                raise
            shutil.rmtree(aside)
        return TokenStore(path)

    def corpora(self) -> Iterator[CorpusMeta]:
        for file in sorted(self._folder.glob(f"*/{META}")):
            if "." in file.parent.name:  # being made, or set aside
                continue
            with contextlib.suppress(StoreError):
                yield read_meta(file.parent)

    def set_aside(self, corpus_id: str) -> Path:
        path, number = self._folder / corpus_id, 1
        while (aside := path.with_name(f"{corpus_id}.damaged-{number}")).exists():
            number += 1
        return path.rename(aside)
