"""MLflow: a run for each state, found again by its tags."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Read when it asks: a server that is gone would be waited for through minutes of retries. It is
# asked again by `sweeps.tracking.following`.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

from mlflow.entities import Metric, Run, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.experiment import Trial

from sweeps.tracking.tracker import Tracker
from sweeps.tracking.trial import TrackedTrial
from sweeps.tracking.unsent import Step

# It would print two lines for every state that ends.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# Of a database it tells every table that it makes.
logging.getLogger("mlflow").setLevel(logging.WARNING)

STATE_TAG, SWEEP_TAG = "rewarm.state", "rewarm.sweep"


class _Callback(MLflowLoggerCallback):
    """Goes on with a state's run where there is one, and sends many steps in one request.

    Ray's would ask twice for each number.
    """

    def log_trial_start(self, trial: Trial) -> None:
        """Finds the run of this state, or begins it with its parameters."""
        own = {STATE_TAG: trial.trial_id, SWEEP_TAG: trial.experiment_dir_name}
        run = self._find(own)
        if run is None:
            self.tags = own
            super().log_trial_start(trial)
            run = self._client.get_run(self._trial_runs[trial])
        elif run.info.status != RunStatus.to_string(RunStatus.RUNNING):
            self._client.update_run(run.info.run_id, status="RUNNING")
        self._trial_runs[trial] = run.info.run_id
        self._began[trial] = run.info.start_time

    def setup(self, *arguments: Any, **info: Any) -> None:
        """Finds the experiment, or makes it."""
        super().setup(*arguments, **info)
        self._client = MlflowClient(tracking_uri=self.tracking_uri)
        self._began: dict[Trial, int] = {}

    def _find(self, tags: dict[str, str]) -> Run | None:
        wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        found = self._client.search_runs([self.mlflow_util.experiment_id], wanted, max_results=1)
        return found[0] if found else None

    def log_steps(self, trial: Trial, steps: Sequence[Step]) -> None:
        """Sends steps at once.

        A step's time is that spent in training: MLflow's databases ignore a number that they have
        with the same time, so what is sent again after a failure stands there once.
        """
        began = self._began[trial]
        metrics = [
            Metric(name, value, began + round(step.elapsed_seconds * 1000), step.step)
            for step in steps
            for name, value in step.metrics.items()
        ]
        self._client.log_batch(self._trial_runs[trial], metrics)


class MlflowTracker(Tracker):
    """A run for each state in one experiment."""

    name = "mlflow"
    failures = (MlflowException, OSError)

    def __init__(self, tracking_uri: str, experiment: str, folder: Path) -> None:
        self._runs = _Callback(tracking_uri=tracking_uri, experiment_name=experiment)
        super().__init__(self._runs)
        self._folder = folder
        self.destination = f"{tracking_uri} {experiment}"

    def folder(self, state: str, label: str) -> Path:
        """Nothing is written there."""
        return self._folder

    def send(self, trial: TrackedTrial, steps: Sequence[Step]) -> None:
        """In as few requests as they fit in."""
        self._runs.log_steps(trial.as_tune, steps)

    def leave(self, trial: TrackedTrial) -> None:
        """Its run goes on too: nothing is told."""
