"""`rewarm run`: plan, train what is missing, plan again where damage was found, report."""

import os
import signal
import time
from collections.abc import Container
from contextlib import nullcontext
from types import FrameType

from cpt.mirror import Mirror
from cpt.parsing import ConfigError
from cpt.records import ResultTree
from sweeps import show
from sweeps.agenda import Agenda, agenda
from sweeps.console import Exit, err, extra, out, say
from sweeps.ownership import owned
from sweeps.places import place_of
from sweeps.plan import Plan
from sweeps.reporting import report
from sweeps.scaling import Room
from sweeps.spec import Resources, SweepSpec
from sweeps.store import Found, find, mend, tree_of
from sweeps.targets import SweepTarget
from sweeps.tracking.possible import tracker_faults
from sweeps.words import counted

MOST_ROUNDS = 10
"""How often a run goes back to make anew what was found damaged; a disk may be beyond hope."""


def run_sweep(spec: SweepSpec, submitted: str, address: str | None, *, retry_failed: bool) -> Exit:
    """Trains what is missing of a sweep and writes its report.

    Args:
        spec: The sweep.
        submitted: Its file, with overrides applied.
        address: Of a Ray cluster; None: one is started on this machine.
        retry_failed: Train failed states again.

    Raises:
        ConfigError: The sweep cannot be planned, has another driver, or does not fit the cluster.
        StoreError: Its storage cannot be reached, or is damaged.
    """
    if faults := list(tracker_faults(spec.trackers)):
        raise ConfigError(faults)
    # What a scheduler sends before it takes the machine away.
    signal.signal(signal.SIGTERM, _interrupt)
    with extra("train"):
        from sweeps.prepare import check, prepare, write_plan
    check(spec)
    status = None
    tree = tree_of(spec)
    sweep = tree.sweep(spec.name)
    try:
        with owned(sweep, stop, say, place=place_of(tree, sweep)):
            for attempt in range(MOST_ROUNDS):
                planned = prepare(spec, tree, say)
                write_plan(planned, submitted, tree)
                # What failed in one round is left alone in the next.
                status = _train(planned, tree, address, retry_failed=retry_failed and attempt == 0)
                if status is not None:
                    break
            report([SweepTarget(tree, sweep)])
    except KeyboardInterrupt:
        status = Exit.INTERRUPTED
    if status is None or status is Exit.INTERRUPTED:
        err.print("interrupted; the same command goes on where it stopped")
        return Exit.INTERRUPTED
    return status


def stop(reason: str) -> None:
    """Ends this command as a scheduler would, which the main thread listens to."""
    err.print(reason, markup=False, soft_wrap=True)
    os.kill(os.getpid(), signal.SIGTERM)


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _train(
    planned: Plan, tree: ResultTree, address: str | None, *, retry_failed: bool
) -> Exit | None:
    """Trains the agenda and says what came of it; None: something has to be made anew first."""
    found = find(planned, tree)
    for name, one in found.items():
        _mend(planned.states[name].config.label, one, tree, name)
    todo = agenda(planned, found, retry_failed=retry_failed)
    for state in todo.failed:
        failed = found[state.id].status
        assert failed is not None
        err.print(
            f"failed before: {state.config.label}: {failed.reason}; --retry-failed tries again",
            markup=False,
        )
    settled = show.what_is_settled(todo)
    if not todo.todo:
        out.print(f"nothing to train: {settled} of {counted(len(planned.states), 'state')}")
        if planned.spec.trackers.wanted:
            _tell_trackers(planned, tree, address)
        return Exit.FAILED if todo.failed else Exit.DONE
    out.print(f"{counted(len(todo.todo), 'state')} to train, {settled} already")
    status = _launch(planned, tree, todo, address)
    return Exit.FAILED if status is Exit.DONE and todo.failed else status


def _mend(label: str, found: Found, tree: ResultTree, name: str) -> None:
    """Says what is damaged of a state, and sets it aside."""
    told = [f"{fault}; trained on from what is whole" for fault in found.faults]
    if found.damage is not None:
        aside = Mirror.of(tree).set_aside(tree.state(name).path)
        told.append(f"{found.damage}; moved to {aside} and trained again")
    elif found.faults:
        mend(tree.state(name), found, Mirror.of(tree))
    for sentence in told:
        err.print(f"damaged: {label}: {sentence}", markup=False, soft_wrap=True)


def _keep_to_itself(address: str | None) -> None:
    if address is None:
        # Read when Ray is imported: what runs on this machine alone listens on its loopback alone,
        # where Ray would listen on all of its addresses.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def _tell_trackers(planned: Plan, tree: ResultTree, address: str | None) -> None:
    """Tells trackers what they were not told when it was trained."""
    _keep_to_itself(address)
    with extra("sweep"):
        from sweeps import launch
        from sweeps.tracking.following import UNHURRIED_SECONDS, is_behind, tracked

    if not is_behind(planned, tree, say):
        return
    say("telling trackers what they were not told")
    # Ray's callback for W&B has processes of Ray's; the others need none.
    needs_ray = planned.spec.trackers.wandb is not None
    try:
        with (
            launch.cluster(address, planned.spec.resources, say) if needs_ray else nullcontext(),
            tracked(planned, tree, say, farewell_seconds=UNHURRIED_SECONDS),
        ):
            pass
    except launch.ClusterError as error:
        raise ConfigError([str(error)]) from error


def _launch(planned: Plan, tree: ResultTree, todo: Agenda, address: str | None) -> Exit | None:
    _keep_to_itself(address)
    # Imported here: Ray and torch take seconds, and no other command needs them.
    with extra("sweep"):
        from sweeps import launch, progress
        from sweeps.tracking.following import tracked

    began = time.monotonic()
    try:
        with launch.cluster(address, planned.spec.resources, say) as room:
            out.print(_told(room, planned.spec.resources))
            if address is not None:
                _check_reach(tree, planned.spec.resources, room)
            with progress.shown(todo, tree, out), tracked(planned, tree, say):
                outcome = launch.run(planned, todo, tree, say)
    except launch.ClusterError as error:
        raise ConfigError([str(error)]) from error
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    for name, reason in {**outcome.failed, **outcome.hindered}.items():
        word = "failed" if name in outcome.failed else "interrupted"
        label = planned.states[name].config.label
        err.print(f"{word}: {label}: {reason}", markup=False, soft_wrap=True)
    if outcome.damaged and not outcome.left:
        for name, reason in outcome.damaged.items():
            label = planned.states[name].config.label
            err.print(f"damaged: {label} starts from: {reason}; made anew", soft_wrap=True)
        return None
    interrupted = [name for name in outcome.unfinished if not _waits(todo, name, outcome.failed)]
    if interrupted:
        return Exit.INTERRUPTED
    out.print(f"trained in {progress.duration(time.monotonic() - began)}")
    return Exit.FAILED if outcome.failed else Exit.DONE


def _check_reach(tree: ResultTree, resources: Resources, room: Room) -> None:
    """Refuses storage that a machine of the cluster cannot use, before anything is trained."""
    from sweeps.cluster.reach import unreachable

    if room.now(resources) < 1:
        say("waiting for the first machine, which is asked whether it reaches the storage")
    if faults := unreachable(tree, resources):
        raise ConfigError(faults)


def _told(room: Room, resources: Resources) -> str:
    now, at_most = room.now(resources), room.at_most(resources)
    grown = f", {at_most} once the cluster has grown" if at_most > now else ""
    return f"Ray is up: {counted(now, 'state')} at a time{grown}"


def _waits(todo: Agenda, name: str, failed: Container[str]) -> bool:
    """Whether a state that comes before this one failed."""
    after = {task.state.id: task.after for task in todo.todo}
    before = after[name]
    while before is not None and before not in failed:
        before = after.get(before)
    return before is not None
