"""Checkpoints read without trust: nothing in a result tree is executed.

Torch's distributed format is pickles: `.metadata`, a file of its own that says where every tensor
lies, and inside the shards what is no tensor, such as an optimizer's settings. Torch reads both
with an unpickler that calls whatever they name. Here `.metadata` may name the few classes that such
a file is made of, and the rest is read with `weights_only`.
"""

import contextlib
import io
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import FileSystemReader
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import ReadItem

_CLASSES = {
    ("pathlib", "PosixPath"),
    ("torch", "Size"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch.distributed.checkpoint.metadata", "BytesStorageMetadata"),
    ("torch.distributed.checkpoint.metadata", "ChunkStorageMetadata"),
    ("torch.distributed.checkpoint.metadata", "Metadata"),
    ("torch.distributed.checkpoint.metadata", "MetadataIndex"),
    ("torch.distributed.checkpoint.metadata", "StorageMeta"),
    ("torch.distributed.checkpoint.metadata", "TensorProperties"),
    ("torch.distributed.checkpoint.metadata", "TensorStorageMetadata"),
    ("torch.distributed.checkpoint.metadata", "_MEM_FORMAT_ENCODING"),
    ("torch.serialization", "_get_layout"),
}
"""What the `.metadata` of torch 2.13 is made of, beside dtypes."""


class UnsafeCheckpointError(ValueError):
    """A checkpoint that names what no checkpoint is made of; it was not written by a training."""


class _MetadataUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BufferedReader, path: Path) -> None:
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _CLASSES:
            return super().find_class(module, name)
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        raise UnsafeCheckpointError(
            f"{self._path} names {module}.{name}, which is no part of a checkpoint; it was not "
            "read on. Remove the checkpoint, or take it from where it was written"
        )


class _Reader(FileSystemReader):
    """Reads the files of one checkpoint, and none beside them."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        metadata = read_metadata(Path(self.path))
        # Torch's own leaves this mark too.
        metadata.storage_meta = metadata.storage_meta or StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata


class _Planner(DefaultLoadPlanner):
    """Reads what is no tensor with an unpickler that builds plain values and tensors alone."""

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        try:
            content = torch.load(value, weights_only=True)
        except pickle.UnpicklingError as error:
            raise UnsafeCheckpointError(
                f"{read_item.dest_index.fqn} of the checkpoint is more than numbers and words; it "
                "was not read. Remove the checkpoint, or take it from where it was written"
            ) from error
        # Torch's own would read the first text again, and trust it.
        plain = io.BytesIO()
        torch.save(content, plain)
        plain.seek(0)
        super().load_bytes(read_item, plain)


def read_metadata(folder: Path) -> Metadata:
    """Where every tensor of a checkpoint lies.

    Raises:
        UnsafeCheckpointError: It names what no checkpoint is made of, or files beside its own.
    """
    path = folder / ".metadata"
    with path.open("rb") as file:
        metadata = _MetadataUnpickler(file, path).load()
    if not isinstance(metadata, Metadata):
        raise UnsafeCheckpointError(f"{path} holds no metadata but a {type(metadata).__name__}")
    for info in (metadata.storage_data or {}).values():
        if Path(info.relative_path).name != info.relative_path:
            raise UnsafeCheckpointError(f"{path} points to {info.relative_path}, outside {folder}")
    return metadata


def read_tensors(folder: Path, tensors: dict[str, Any], *, alone: bool) -> None:
    """Fills a state dict from a checkpoint, whatever number of workers wrote it.

    Args:
        folder: Of the checkpoint; its files were compared with its marker before.
        tensors: Its tensors are written in place, its other values replaced.
        alone: Whether this process is no part of a group; else all ranks call it.

    Raises:
        UnsafeCheckpointError: It holds what no checkpoint is made of.
    """
    try:
        with quietly_alone():
            dcp.load(tensors, storage_reader=_Reader(folder), planner=_Planner(), no_dist=alone)
    except CheckpointException as error:
        for failure in error.failures.values():
            if isinstance(failure[0], UnsafeCheckpointError):
                raise failure[0] from error
        raise


@contextlib.contextmanager
def quietly_alone() -> Iterator[None]:
    """Torch warns of a single process even where it was asked for with `no_dist`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
