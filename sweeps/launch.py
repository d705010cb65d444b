"""Runs what is missing of a plan: Ray Tune fans the states out, the result tree decides.

Tune's searcher hands out states as soon as their predecessor exists, longest remaining path first,
as many as fit in the cluster at that moment, and again where an attempt died. Tune's own snapshots
are not used: after any interruption the agenda is made anew from the tree.

SIGTERM and Ctrl-C let all running states save before the run leaves; a second one leaves at once.
"""

import contextlib
import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

# Read when ray.train is imported: the default poll of two seconds is longer than short states.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")
# A group waits for machines that a cloud has yet to start; Ray would ask again each minute.
os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "3600")
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
from ray import cloudpickle, tune
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.progress_reporter import TrialProgressCallback

from cpt.leaving import Leave
from cpt.mirror import Mirror
from cpt.records import ResultTree, StatusWord
from sweeps.agenda import Agenda, settled_states
from sweeps.answers import Answers
from sweeps.attempts import Attempts
from sweeps.capacity import growth, has_drivers, living, room
from sweeps.cluster.entering import REFUSALS, not_entered
from sweeps.cluster.machine import OWN_STORE_BYTES
from sweeps.cohorts import Compared, cohorts
from sweeps.failures import failure
from sweeps.following import followed, patiently
from sweeps.leaving import tell_to_leave
from sweeps.manners import apart, deaths_of_all_kinds, quiet_about_deaths
from sweeps.plan import Plan
from sweeps.rungs import passed, recorded_config
from sweeps.scaling import Room, too_small
from sweeps.scheduler import CohortScheduler, NoPreference
from sweeps.searcher import StateSearcher
from sweeps.spec import Resources
from sweeps.stopping import AshaStopping, NoStopping
from sweeps.worker import train_state, trainable

# Tune would send the driver's cloud keys to every process it starts, and Ray writes down in its log
# what it is sent. A node has keys of its own, and this machine's processes its environment.
class_cache.ENV_VARS_TO_PROPAGATE.difference_update(
    {name for name in class_cache.ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")}
)


JOINING_SECONDS = 600.0
"""How long a run waits for the first machine of a cluster that does not say what they have."""


class ClusterError(RuntimeError):
    """The cluster cannot run this sweep; the message says what is missing."""


@dataclass
class Outcome:
    """What became of the states of one run; those in neither list are complete or stopped.

    Attributes:
        failed: Id and reason of each state that failed by itself, or was given up.
        unfinished: States that can go on, and those that wait for others.
        hindered: Id and reason of unfinished states that the disk or the store did not let go on.
        damaged: Id and reason of unfinished states whose beginning has to be made anew: plan again.
        left: Whether the run was asked to leave.
    """

    failed: dict[str, str] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)
    hindered: Mapping[str, str] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)
    left: bool = False


@contextlib.contextmanager
def cluster(
    address: str | None, resources: Resources, say: Callable[[str], None]
) -> Iterator[Room]:
    """Connects to a cluster, or starts Ray on this machine; yields what there is room for.

    Args:
        address: Of the cluster; None: Ray is started here.
        resources: Of one state.
        say: Told that machines are waited for.

    Raises:
        ClusterError: It cannot be entered, or not even one state will ever fit.
    """
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        with apart():
            ray.init(
                address=address or "local",
                # Ray Train's placement-group cleaner asks the State API; the dashboard serves it.
                include_dashboard=None if address else resources.most_workers > 1,
                # It starts any program that is asked of it.
                dashboard_host="127.0.0.1",
                object_store_memory=None if address else OWN_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except REFUSALS as error:
        if address is None:
            raise
        raise ClusterError(not_entered(address, error)) from error
    # Attempts that end with an error are ours to tell, in a sentence and not a stack.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    # Ray takes it for itself and would print a stack.
    signal.signal(signal.SIGTERM, on_sigterm)
    try:
        yield _joined(resources, say)
    finally:
        ray.shutdown()


def _joined(resources: Resources, say: Callable[[str], None]) -> Room:
    """The room of a cluster on which a state fits; machines one owns join when they like."""
    until = time.monotonic() + JOINING_SECONDS
    found, limits = room(resources), growth()
    if found.at_most(resources) < 1 and limits is not None and not limits.are_told:
        say("waiting for machines to join the cluster")
        while found.at_most(resources) < 1 and time.monotonic() < until:
            time.sleep(1)
            found = room(resources)
    if found.at_most(resources) < 1:
        raise ClusterError(too_small(living(), limits, resources))
    return found


def run(
    plan: Plan,
    todo: Agenda,
    tree: ResultTree,
    say: Callable[[str], None],
    function: Callable[[dict[str, Any]], None] = train_state,
) -> Outcome:
    """Trains the states of an agenda inside a running cluster; returns when nothing more can be.

    Args:
        plan: All states.
        todo: Those to train.
        tree: Where they are recorded.
        say: Told that the run was asked to leave.
        function: Trains one state, called by Tune with what `worker.train_state` describes.

    Raises:
        KeyboardInterrupt: It was asked twice; running states are left at their last checkpoint.
    """
    resources = plan.spec.resources
    attempts, leave = Attempts(resources.max_failures, tree, plan, say), Leave()
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
        answers = Answers(scratch.name) if resources.most_workers > 1 else None
        scheduler = _primed(plan, stopping, compared, tree, answers)
    endings = _Endings(attempts, leave)
    searcher = StateSearcher(todo.todo, tree, resources, str(scratch), compared, attempts, leave)
    tuner = tune.Tuner(
        trainable(function, resources, has_drivers=has_drivers()),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=-1,
            # An ended group leaves its driver waiting for it: that process cannot be reused.
            reuse_actors=isinstance(stopping, NoStopping) or resources.most_workers == 1,
            trial_dirname_creator=_folder,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(scratch),
            callbacks=[_Silence(), endings],
            stop=endings,
            verbose=0,
        ),
    )
    try:
        with (
            _leaving(leave, scratch.name, say),
            deaths_of_all_kinds(),
            quiet_about_deaths(),
            followed(tree, lambda: searcher.running),
        ):
            tuner.fit()
            left = leave.is_asked
    finally:
        # Ours alone, should another run have taken the sweep meanwhile.
        shutil.rmtree(scratch, ignore_errors=True)
        with contextlib.suppress(OSError):
            ray_storage.rmdir()
    return _outcome(plan, todo, tree, attempts, left=left)


@contextlib.contextmanager
def _leaving(leave: Leave, run: str, say: Callable[[str], None]) -> Iterator[None]:
    """Takes SIGTERM and Ctrl-C for requests, which a thread passes on to the trainings."""

    def asked(number: int, frame: FrameType | None) -> None:
        if leave.is_asked:
            raise KeyboardInterrupt
        leave.ask(f"the run was asked to leave by {signal.Signals(number).name}")

    def pass_on() -> None:
        reason = leave.wait()
        if not is_over.is_set():
            say("leaving as soon as what is being trained is saved; once more leaves at once")
            tell_to_leave(run, reason)

    is_over = threading.Event()
    thread = threading.Thread(target=pass_on, daemon=True)
    thread.start()
    before = {number: signal.signal(number, asked) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if not leave.is_asked:
            is_over.set()
            leave.ask("it is over")
        thread.join()


class _Endings(tune.Callback, tune.Stopper):
    """What Tune is told of attempts that end with an error, and of a run that leaves."""

    def __init__(self, attempts: Attempts, leave: Leave) -> None:
        self._attempts, self._leave = attempts, leave
        self._is_training = True

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for Tune's snapshot of the experiment, which is never read."""
        return {}

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """Called by Tune in the driver."""
        # Tune's own getters read the copy in storage, which is not there yet.
        error = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
        self._attempts.ended(trial.config["state"], failure(error))

    def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        """Called by Tune after each turn of its loop."""
        if self._leave.is_asked:
            self._is_training = any(trial.status == TuneTrial.RUNNING for trial in trials)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial is ended by what it reports."""
        return False

    def stop_all(self) -> bool:
        """Trials that wait for their process would be waited for, once the others have saved."""
        return self._leave.is_asked and not self._is_training


def _outcome(
    plan: Plan, todo: Agenda, tree: ResultTree, attempts: Attempts, *, left: bool
) -> Outcome:
    names = [task.state.id for task in todo.todo]
    patiently(Mirror.of(tree).fetch_states, names)
    statuses = {name: tree.state(name).read_status() for name in names}
    settled = settled_states(plan, statuses)
    outcome = Outcome(hindered=attempts.surroundings, damaged=attempts.damaged, left=left)
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
