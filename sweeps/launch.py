"""Runs what is missing of a plan: Ray Tune fans the states out, the result tree decides.

Tune's searcher hands out states as soon as their parent exists, longest remaining path first.
Tune's own snapshots are not used: after any interruption the agenda is made anew from the tree.
"""

import contextlib
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Read when ray.train is imported: the default poll of two seconds is longer than short states.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")
# Progress is ours, drawn from the rows.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# Tune would wait ten seconds for trials that do not listen; the result tree needs no goodbye.
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")

import ray
from ray import cloudpickle, tune
from ray.exceptions import RayActorError, RayTaskError
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.search import Searcher

from cpt.config import RunConfig
from cpt.parsing import parse
from cpt.records import ResultTree, Status, StatusWord
from sweeps.agenda import Agenda, Task
from sweeps.plan import Plan
from sweeps.spec import Resources
from sweeps.worker import train_state, trial_resources, worker_resources


class ClusterError(RuntimeError):
    """The cluster cannot run this sweep; the message says what is missing."""


@dataclass
class Outcome:
    """What became of the states of one run; those of the agenda in neither list are complete.

    Attributes:
        failed: Id and reason of each state that failed by itself.
        unfinished: States that were interrupted or lost their machine: run again to go on.
    """

    failed: dict[str, str] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)


@contextlib.contextmanager
def cluster(address: str | None, resources: Resources) -> Iterator[int]:
    """Connects to a cluster, or starts Ray on this machine; yields how many states fit at once.

    Raises:
        ClusterError: Not even one state fits.
    """
    on_sigterm = signal.getsignal(signal.SIGTERM)
    ray.init(
        address=address or "local",
        # Ray Train's placement-group cleaner asks the State API, which the dashboard serves.
        include_dashboard=None if address else resources.workers > 1,
        object_store_memory=None if address else 100 * 1024 * 1024,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    # Ray takes it for itself and would print a stack.
    signal.signal(signal.SIGTERM, on_sigterm)
    try:
        available = ray.cluster_resources()
        needed = {
            name: amount * resources.workers for name, amount in worker_resources(resources).items()
        }
        slots = min(int(available.get(name, 0) // amount) for name, amount in needed.items())
        if slots < 1:
            raise ClusterError(
                f"one state needs {needed} (resources.workers x per worker), but the cluster has "
                f"{ {name: available.get(name, 0) for name in needed} }; lower resources."
            )
        yield slots
    finally:
        ray.shutdown()


def run(plan: Plan, todo: Agenda, tree: ResultTree, slots: int) -> Outcome:
    """Trains the states of an agenda inside a running cluster; returns when nothing more can be.

    Raises:
        KeyboardInterrupt: It was ended early; running states are left for the next run to resume.
    """
    resources = plan.spec.resources
    ray_storage = tree.sweep(plan.spec.name).path / "ray"
    ray_storage.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=ray_storage))
    tuner = tune.Tuner(
        tune.with_resources(train_state, trial_resources(resources)),
        tune_config=tune.TuneConfig(
            search_alg=_StateSearcher(plan, todo, tree, str(scratch)),
            num_samples=-1,
            max_concurrent_trials=slots,
            reuse_actors=True,
            trial_dirname_creator=_folder,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(scratch),
            callbacks=[_FailureRecorder(tree)],
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(ray_storage, ignore_errors=True)
    outcome = Outcome()
    for task in todo.todo:
        name = task.state.id
        status = tree.state(name).read_status()
        if status is not None and status.status is StatusWord.FAILED:
            outcome.failed[name] = status.reason
        elif status is None or status.status is not StatusWord.COMPLETE:
            outcome.unfinished.append(name)
    return outcome


def _folder(trial: TuneTrial) -> str:
    return str(trial.trial_id)


class _StateSearcher(Searcher):
    """Hands out the next state of which what comes before is complete."""

    def __init__(self, plan: Plan, agenda: Agenda, tree: ResultTree, ray_storage: str) -> None:
        super().__init__(metric="state", mode="min")
        self._waiting: list[Task] = list(agenda.todo)
        self._missing = {task.state.id for task in agenda.todo}
        self._running: dict[str, str] = {}
        self._tree = tree
        self._common = {
            "storage": str(tree.storage),
            "ray_storage": ray_storage,
            "resources": plan.spec.resources.model_dump(mode="json"),
        }

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override] # FINISHED is text
        """The configuration of a trial, None to be asked again, or FINISHED."""
        if not self._waiting:
            return str(Searcher.FINISHED)
        for position, task in enumerate(self._waiting):
            if task.after not in self._missing:
                del self._waiting[position]
                self._running[trial_id] = task.state.id
                return {"run": task.run.model_dump(mode="json"), **self._common}
        return None

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,  # noqa: FBT001, FBT002 - Tune's signature
    ) -> None:
        """Frees the children of a finished state; gives up those of one that is not complete."""
        name = self._running.pop(trial_id)
        status = self._tree.state(name).read_status()
        if status is not None and status.status is StatusWord.COMPLETE:
            self._missing.discard(name)
            return
        lost = {name}
        for task in self._waiting:  # what comes before a state stands before it
            if task.after in lost:
                lost.add(task.state.id)
        self._waiting = [task for task in self._waiting if task.state.id not in lost]

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the result tree is the only memory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the result tree is the only memory."""


class _FailureRecorder(tune.Callback):
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
        state = self._tree.state(parse(RunConfig, trial.config["run"]).state_id)
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
