"""Runs what is missing of a plan: Ray Tune fans the states out, the result tree decides.

Tune's searcher hands out states as soon as their predecessor exists, longest remaining path first,
as many as fit in the cluster at that moment. Tune's own snapshots are not used: after any
interruption the agenda is made anew from the tree.
"""

import contextlib
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Read when ray.train is imported: the default poll of two seconds is longer than short states.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")
# Progress is ours, drawn from the rows.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# Tune would wait ten seconds for trials that do not listen; the result tree needs no goodbye.
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
# As many trials may wait for their process as the searcher hands out; the default is one.
os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", "10000")
# Rows are ours, and so is resuming: no log files for each trial, no snapshots of the experiment.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "86400")

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.progress_reporter import TrialProgressCallback

from cpt.records import ResultTree, StatusWord
from sweeps.agenda import Agenda, settled_states
from sweeps.answers import Answers
from sweeps.capacity import slots, worker_resources
from sweeps.cohorts import Compared, cohorts
from sweeps.failures import FailureRecorder
from sweeps.plan import Plan
from sweeps.rungs import passed, recorded_config
from sweeps.scheduler import CohortScheduler, NoPreference
from sweeps.searcher import StateSearcher
from sweeps.spec import Resources
from sweeps.stopping import AshaStopping, NoStopping
from sweeps.worker import train_state, trial_resources


class ClusterError(RuntimeError):
    """The cluster cannot run this sweep; the message says what is missing."""


@dataclass
class Outcome:
    """What became of the states of one run; those in neither list are complete or stopped.

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
        at_once = slots(resources)
        if at_once < 1:
            available = ray.cluster_resources()
            needed = {
                name: amount * resources.workers
                for name, amount in worker_resources(resources).items()
            }
            raise ClusterError(
                f"one state needs {needed} (resources.workers x per worker), but the cluster has "
                f"{ {name: available.get(name, 0) for name in needed} }; lower resources."
            )
        yield at_once
    finally:
        ray.shutdown()


def run(
    plan: Plan,
    todo: Agenda,
    tree: ResultTree,
    trainable: Callable[[dict[str, Any]], None] = train_state,
) -> Outcome:
    """Trains the states of an agenda inside a running cluster; returns when nothing more can be.

    Args:
        plan: All states.
        todo: Those to train.
        tree: Where they are recorded.
        trainable: Trains one state, called by Tune with what `worker.train_state` describes.

    Raises:
        KeyboardInterrupt: It was ended early; running states are left for the next run to resume.
    """
    resources = plan.spec.resources
    ray_storage = tree.sweep(plan.spec.name).ray
    # A sweep has one driver: what stands there is what a killed one left.
    shutil.rmtree(ray_storage, ignore_errors=True)
    ray_storage.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=ray_storage))
    stopping = plan.spec.stopping
    compared: dict[str, Compared] = {}
    scheduler = NoPreference()
    if isinstance(stopping, AshaStopping):
        compared = cohorts(plan, stopping)
        answers = Answers(scratch.name) if resources.workers > 1 else None
        scheduler = _primed(plan, stopping, compared, tree, answers)
    tuner = tune.Tuner(
        tune.with_resources(trainable, trial_resources(resources)),
        tune_config=tune.TuneConfig(
            search_alg=StateSearcher(todo.todo, tree, resources, str(scratch), compared),
            scheduler=scheduler,
            num_samples=-1,
            # An ended group leaves its driver waiting for it: that process cannot be reused.
            reuse_actors=isinstance(stopping, NoStopping) or resources.workers == 1,
            trial_dirname_creator=_folder,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(scratch),
            callbacks=[_Silence(), FailureRecorder(tree)],
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    finally:
        # Ours alone, should another run have taken the sweep meanwhile.
        shutil.rmtree(scratch, ignore_errors=True)
        with contextlib.suppress(OSError):
            ray_storage.rmdir()
    return _outcome(plan, todo, tree)


def _outcome(plan: Plan, todo: Agenda, tree: ResultTree) -> Outcome:
    names = [task.state.id for task in todo.todo]
    statuses = {name: tree.state(name).read_status() for name in names}
    settled = settled_states(plan, statuses)
    outcome = Outcome()
    for name, status in statuses.items():
        if status is not None and status.status is StatusWord.FAILED:
            outcome.failed[name] = status.reason
        elif name not in settled:
            outcome.unfinished.append(name)
    return outcome


def _primed(
    plan: Plan,
    stopping: AshaStopping,
    compared: dict[str, Compared],
    tree: ResultTree,
    answers: Answers | None,
) -> CohortScheduler:
    """The scheduler as it would stand had no earlier run been interrupted."""
    places = {name: one.place for name, one in compared.items()}
    scheduler = CohortScheduler(stopping, places, plan.spec.tokens_per_step, tree, answers)
    # The others tell their rungs themselves, those behind them too.
    statuses = {name: tree.state(name).read_status() for name in compared}
    for name in sorted(settled_states(plan, statuses)):
        recorded = recorded_config(plan.states[name].config, tree)
        for rung, value in passed(recorded, tree, compared[name].comparison).items():
            scheduler.compare(name, rung, value)
    return scheduler


class _Silence(TrialProgressCallback):
    """In the place of the one that Tune adds, which prints a line for each trial that reported."""

    def _print(self, msg: str) -> None:
        """Nothing."""


def _folder(trial: TuneTrial) -> str:
    return str(trial.trial_id)
