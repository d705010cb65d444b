"""Saving: the checkpoints of one state, written while it goes on training.

    save(progress)   the training's thread: copies the tensors, takes the digests of the rows
    _write           a thread of its own: files, their digests, the marker, then what is too old;
                     where the tree lies elsewhere each is sent as soon as it is there

Weights and optimizer state are saved by parameter name, so another number of workers can load them.
A folder without a marker is the remains of a kill and is written over.
"""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

from cpt.checkpoint import Progress, tensors_of
from cpt.checkpoint_marker import ROW_FILES, Marker
from cpt.checkpoint_reading import quietly_alone
from cpt.learner import Learner
from cpt.mirror import Mirror
from cpt.parallel import Workers
from cpt.records import StateDir
from cpt.room import NoRoomError, room_for
from cpt.seals import Digest, GrowingDigest, digest_file
from cpt.token_store import StoreError

STAGERS_LAST = torch.__version__ >= "2.13"
"""Whether a stager keeps its buffers for the next copy; torch 2.11's serves one copy alone."""


class Saver:
    """Writes the checkpoints of one state while it goes on training.

    `save` copies the tensors and returns; a thread writes them, marks the checkpoint once every
    rank has written its part, and removes all but the newest `kept`. As a context manager it waits
    for what is being written, whatever happened.
    """

    def __init__(
        self, state: StateDir, learner: Learner, team: Workers, kept: int, mirror: Mirror
    ) -> None:
        self._state, self._learner, self._team, self._kept = state, learner, team, kept
        self._mirror = mirror
        # Its collectives must not meet those of training, which another thread issues.
        self._group = dist.new_group(backend="gloo") if team.world_size > 1 else None
        self._rows = {name: GrowingDigest(state.path / name) for name in ROW_FILES}
        self._stager = self._new_stager()
        self._thread = ThreadPoolExecutor(1)
        self._written: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._thread.shutdown()
        self._stager.close()

    def _new_stager(self) -> DefaultStager:
        cuda = self._team.device.type == "cuda"
        return DefaultStager(
            StagingOptions(
                use_pinned_memory=cuda,
                use_shared_memory=False,
                use_async_staging=False,
                use_non_blocking_copy=cuda,
            )
        )

    def save(self, progress: Progress) -> None:
        """Begins a checkpoint; all ranks must call it.

        Raises:
            OSError: The one before could not be written.
            StoreError: It could not be sent.
        """
        self.wait()
        rows: dict[str, Digest] = {}
        if self._team.is_first:
            folder = self._state.checkpoint(progress.step)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            # The thread would find rows of later steps too.
            rows = {name: written.now() for name, written in self._rows.items()}
        self._team.barrier()
        if not STAGERS_LAST:
            self._stager = self._new_stager()
        staged = self._stager.stage(tensors_of(self._learner))
        assert isinstance(staged, dict)  # a Future only where staging is asynchronous
        self._written = self._thread.submit(self._write, staged, progress, rows)

    def wait(self) -> None:
        """Returns once the last checkpoint is marked.

        Raises:
            OSError: It could not be written.
            StoreError: It could not be sent.
        """
        if self._written is not None:
            self._written.result()
            self._written = None
            self._team.barrier()

    def _write(
        self, staged: dict[str, Any], progress: Progress, rows: Mapping[str, Digest]
    ) -> None:
        state, team = self._state, self._team
        folder = state.checkpoint(progress.step)
        if team.is_first:
            # No file of it is written before the first rank has laid out the whole.
            self._mirror.remove_checkpoint(state, progress.step)
        else:
            self._mirror.tidy(state, progress.step)
        try:
            with room_for(folder, _size(staged)), quietly_alone(), _told_plainly():
                dcp.save(
                    staged,
                    checkpoint_id=folder,
                    process_group=self._group,
                    no_dist=team.world_size == 1,
                )
        except NoRoomError:
            # What is there of it would keep the room from the rows and the next try.
            shutil.rmtree(folder, ignore_errors=True)
            raise
        # No rank returns before rank 0 has written the metadata.
        files = self._digests(progress.step)
        if team.is_first:
            state.mark_checkpoint(
                Marker(
                    state=state.path.name,
                    step=progress.step,
                    elapsed_seconds=progress.elapsed_seconds,
                    torch=torch.__version__,
                    world_size=team.world_size,
                    files=files,
                    rows=rows,
                )
            )
            self._mirror.mark_checkpoint(state, progress.step, self._kept)
            self._remove_old(progress.step)

    def _digests(self, step: int) -> dict[str, Digest]:
        """Of every file of a checkpoint; each rank reads, and sends, those that it wrote.

        Raises:
            OSError: A rank could not read one.
            StoreError: A rank could not send one.
        """
        folder, team = self._state.checkpoint(step), self._team
        own = [*folder.glob(f"__{team.rank}_*.distcp")]
        if team.is_first:
            own.append(folder / ".metadata")
        mine: dict[str, Digest] | OSError | StoreError
        try:
            mine = {path.name: digest_file(path) for path in sorted(own)}
            self._mirror.send_checkpoint(self._state, step, mine)
        except (OSError, StoreError) as error:
            mine = error
        gathered: list[Any] = [mine]
        if self._group is not None:
            gathered = [None] * team.world_size
            dist.all_gather_object(gathered, mine, group=self._group)
        for part in gathered:
            if isinstance(part, OSError | StoreError):
                raise part
        return {name: digest for part in gathered for name, digest in part.items()}

    def _remove_old(self, step: int) -> None:
        """All but the newest whole ones up to this step, and what kills left behind."""
        whole = self._state.whole_steps()
        marked = set(self._state.marked_steps())
        remains = [old for old in self._state.checkpoint_steps() if old < step]
        for old in remains:
            if old not in marked or old in whole[: -self._kept]:
                # The marker first: what a kill leaves of the rest is no checkpoint.
                self._state.checkpoint_marker(old).unlink(missing_ok=True)
                shutil.rmtree(self._state.checkpoint(old))


def _size(staged: Any) -> int:
    """Bytes of the tensors of a checkpoint."""
    if isinstance(staged, dict):
        return sum(map(_size, staged.values()))
    if isinstance(staged, torch.Tensor):
        return staged.nbytes
    return 0


@contextlib.contextmanager
def _told_plainly() -> Iterator[None]:
    """Torch raises a BaseException of its own that holds what each rank raised."""
    try:
        yield
    except CheckpointException as error:
        raised = [cause for cause, _ in error.failures.values()]
        # The one that says most of the machine.
        raise min(raised, key=lambda cause: not isinstance(cause, OSError)) from error
