"""Why a state did not come to its end: by itself, or because its machine was lost."""

from pathlib import Path
from typing import Any

from ray import cloudpickle, tune
from ray.exceptions import RayActorError, RayTaskError
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.tune.experiment import Trial as TuneTrial

from cpt.records import ResultTree, Status, StatusWord


class FailureRecorder(tune.Callback):
    """Writes down why a state failed, unless its machine was lost: that one can go on."""

    def __init__(self, tree: ResultTree) -> None:
        self._tree = tree

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """Called by Tune in the driver."""
        # Tune's own getters read the copy in storage, which is not there yet.
        error = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
        if lost_its_machine(error):
            return
        state = self._tree.state(trial.config["state"])
        before = state.read_status()
        state.write_status(
            Status(
                status=StatusWord.FAILED,
                step=before.step if before else 0,
                reason=_reason(error),
            )
        )


def lost_its_machine(error: BaseException) -> bool:
    """Whether a process died, rather than the training raised: such a state can go on.

    In a worker group one dead worker is enough, whatever the others raised when it left them.
    """
    if isinstance(error, RayTaskError):
        return isinstance(error.cause, BaseException) and lost_its_machine(error.cause)
    if isinstance(error, WorkerGroupError):
        return any(lost_its_machine(failure) for failure in error.worker_failures.values())
    if isinstance(error, WorkerHealthCheckFailedError):
        return lost_its_machine(error.health_check_failure)
    return isinstance(error, RayActorError)


def _reason(error: BaseException) -> str:
    """The last line of the original exception, out of what Ray wrapped it in."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, WorkerGroupError):
        cause = next(iter(cause.worker_failures.values()))
    lines = str(cause).strip().splitlines() or [""]
    return f"{type(cause).__name__}: {lines[-1]}"
