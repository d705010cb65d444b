"""TensorBoard: event files, a folder for each state."""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.logger import TBXLoggerCallback
from tensorboardX import SummaryWriter

from sweeps.tracking.rows import part
from sweeps.tracking.tracker import Tracker

PREFIX = "ray/tune/"
"""What Ray's callback puts before every name."""


class _Writer(SummaryWriter):
    """Writes names as the rows have them, into a file of its own.

    Its name holds the second it was begun in; another of the same second would be written over.
    """

    def __init__(self, folder: str, **options: Any) -> None:
        super().__init__(folder, filename_suffix=f".{uuid.uuid4().hex}", **options)

    def add_scalar(self, tag: str, *arguments: Any, **options: Any) -> None:
        super().add_scalar(tag.removeprefix(PREFIX), *arguments, **options)


class _Callback(TBXLoggerCallback):
    def __init__(self) -> None:
        super().__init__()
        self._summary_writer_cls = _Writer

    def _try_log_hparams(self, trial: Trial, result: Mapping[str, Any]) -> None:
        named = {name.removeprefix(PREFIX): value for name, value in result.items()}
        super()._try_log_hparams(trial, named)


class TensorBoardTracker(Tracker):
    """Event files below a folder, one folder a state, in which every run of the sweep goes on."""

    name = "tensorboard"

    def __init__(self, directory: Path) -> None:
        super().__init__(_Callback())
        self._directory = directory
        self.destination = str(directory)

    def folder(self, state: str, label: str) -> Path:
        """Called by its label, for TensorBoard shows that; found again by its id."""
        there = sorted(self._directory.glob(f"*.{state}"))
        return there[0] if there else self._directory / f"{part(label)}.{state}"
