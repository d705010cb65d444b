"""What follows rows and tells a tracker of them: one of Ray's callbacks, called as Tune would.

A state's report to Tune are its rungs, if it has any. So what Tune would tell a callback is told by
`sweeps.tracking.following`, from the rows: that a trial started, a result for each step, its end.
"""

from collections.abc import Sequence
from pathlib import Path

from ray.air.constants import TRAINING_ITERATION
from ray.tune.logger import LoggerCallback

from sweeps.tracking.trial import TrackedTrial
from sweeps.tracking.unsent import Step

Failures = tuple[type[Exception], ...]


class Tracker:
    """One tracker, through Ray's callback for it; all methods may raise what `failures` names.

    Attributes:
        name: As the sweep file calls it.
        destination: Where rows go, in words that hold no secret.
        failures: What its library and network raise when they fail.
    """

    name: str
    destination: str
    failures: Failures = (OSError,)

    def __init__(self, callback: LoggerCallback) -> None:
        self._callback = callback
        self._is_set_up = False

    def folder(self, state: str, label: str) -> Path:
        """Where files of a state go; not made yet."""
        raise NotImplementedError

    def begin(self, trial: TrackedTrial) -> None:
        """Goes on with the tracker's run of a state, or begins it."""
        if not self._is_set_up:
            self._callback.setup()
            self._is_set_up = True
        trial.init_local_path()
        self._callback.log_trial_start(trial.as_tune)

    def send(self, trial: TrackedTrial, steps: Sequence[Step]) -> None:
        """Tells it steps, ascending."""
        for step in steps:
            # What Ray calls the step; all three callbacks pass it on as that of the tracker.
            result = {**step.metrics, TRAINING_ITERATION: step.step}
            self._callback.log_trial_result(step.step, trial.as_tune, result)

    def end(self, trial: TrackedTrial, *, failed: bool) -> None:
        """The state is complete, or was stopped, or failed."""
        self._callback.log_trial_end(trial.as_tune, failed=failed)

    def leave(self, trial: TrackedTrial) -> None:
        """The state goes on in another run of the sweep."""
        self._callback.log_trial_end(trial.as_tune)

    def lost(self) -> dict[str, str]:
        """States whose steps did not arrive although they were sent, and why."""
        return {}

    def close(self, seconds: float) -> dict[str, str]:
        """Nothing more will be told; waits at most so long for what is on its way.

        Returns:
            States whose steps have not all arrived by then, and why.
        """
        return {}
