"""Weights & Biases: a run for each state, in a process of its own beside the driver, by Ray."""

import os
from pathlib import Path

import ray
from ray.air.integrations.wandb import WandbLoggerCallback
from ray.exceptions import RayError

from sweeps.tracking.tracker import Tracker

LATE = "not all was sent in the time that a run waits for trackers"


class _Callback(WandbLoggerCallback):
    def lost(self) -> dict[str, str]:
        """States whose process failed, and why; processes that ended are forgotten."""
        lost: dict[str, str] = {}
        if not self._trial_logging_futures:
            return lost
        for future, trial in self._logging_future_to_trial.items():
            if ray.wait([future], timeout=0)[0]:
                try:
                    ray.get(future)
                except RayError as error:
                    lost[trial.trial_id] = str(error).strip().splitlines()[-1]
        self._cleanup_logging_actors()
        return lost

    def close(self, seconds: float) -> dict[str, str]:
        """States whose process has not ended well after so long, and why."""
        futures = list(self._logging_future_to_trial)
        if futures:
            ray.wait(futures, num_returns=len(futures), timeout=max(seconds, 0.0))
        lost = self.lost()
        late = [trial.trial_id for trial in self._logging_future_to_trial.values()]
        # They end with Ray. Ray's callback would kill them, and Ray tell of that.
        for kept in (
            self._trial_queues,
            self._trial_logging_actors,
            self._trial_logging_futures,
            self._logging_future_to_trial,
        ):
            kept.clear()
        return lost | dict.fromkeys(late, LATE)


class WandbTracker(Tracker):
    """A run for each state in one project, grouped by sweep."""

    name = "wandb"
    failures = (RayError, ValueError, OSError)

    def __init__(self, project: str, mode: str, folder: Path) -> None:
        if mode == "offline":
            # Ray's callback would want a key otherwise.
            os.environ["WANDB_MODE"] = mode
        self._runs = _Callback(project=project, mode=mode, resume="allow", dir=str(folder))
        super().__init__(self._runs)
        self._folder = folder
        self.destination = f"{project} {mode} {folder}" if mode == "offline" else project

    def folder(self, state: str, label: str) -> Path:
        """All states write into one, by W&B's own names."""
        return self._folder

    def lost(self) -> dict[str, str]:
        """Of processes that failed."""
        return self._runs.lost()

    def close(self, seconds: float) -> dict[str, str]:
        """Uploads go on meanwhile; W&B itself waits for 90 s for a server that is not there."""
        return self._runs.close(seconds)
