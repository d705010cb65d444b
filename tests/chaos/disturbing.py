"""Does the disturbances to a running sweep, each with what stood just before it."""

import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.chaos.driver import DONE, INTERRUPTED, Driver
from tests.chaos.figures import Disturbance
from tests.chaos.local_cluster import LocalCluster
from tests.chaos.observation import rows_written, unfinished
from tests.chaos.processes import command, is_alive
from tests.chaos.schedule import OF_THE_DRIVER, Kind, Planned
from tests.chaos.storage import Storage

LOOK_SECONDS = 0.1
LEAVING_SECONDS = 120.0
"""For a driver to end after SIGTERM."""
STUCK_SECONDS = 300.0
"""Without one row written, the sweep does not go on any more."""

Choice = TypeVar("Choice")


class StuckError(RuntimeError):
    """The sweep does not go on, or ended as it must not; the message says how."""


@dataclass
class Disturbing:
    """One sweep while it is run and disturbed.

    Args:
        driver: Runs it; started here, and again whenever it ended before its end.
        cluster: What it runs on.
        storage: Where it writes.
        drain_seconds: From the notice to the end of a node.
        say: Told of each disturbance.

    Attributes:
        done: What was done so far.
    """

    driver: Driver
    cluster: LocalCluster
    storage: Storage
    drain_seconds: float
    say: Callable[[str], None]
    done: list[Disturbance] = field(default_factory=list)
    _rows: int = -1
    _since: float = 0.0
    _began: float = 0.0

    def run(self, plan: Iterable[Planned]) -> None:
        """To the sweep's end.

        Raises:
            StuckError: The sweep wrote nothing for long, or failed.
        """
        self._began = self._since = time.monotonic()
        self.driver.type_command()
        for planned in plan:
            if not self._wait_until_due(planned):
                return
            self._disturb(planned)
        while self._goes_on():
            time.sleep(LOOK_SECONDS)

    def _wait_until_due(self, planned: Planned) -> bool:
        """Whether the disturbance is due; False: the sweep has ended."""
        last = self.done[-1] if self.done else None
        due = time.monotonic() if last is None else self._began + last.at + planned.pause
        rows = self._count_rows()
        while self._goes_on():
            trains = bool(self.cluster.nodes_that_train())
            has_got_on = self._count_rows() > rows
            if time.monotonic() >= due and trains and (has_got_on or planned.may_be_early):
                return True
            time.sleep(LOOK_SECONDS)
        return False

    def _goes_on(self) -> bool:
        """Types the command again where it has ended; False: the sweep is done."""
        self._check_progress()
        if self.driver.is_running:
            return True
        ending = self.driver.endings[-1]
        if ending == DONE:
            return False
        was_killed = ending == -signal.SIGKILL
        if ending != INTERRUPTED and not was_killed:
            raise StuckError(f"the command ended with status {ending}; see its log")
        self.driver.type_command()
        return True

    def _check_progress(self) -> None:
        rows, now = self._count_rows(), time.monotonic()
        if rows != self._rows:
            self._rows, self._since = rows, now
        if now - self._since > STUCK_SECONDS:
            raise StuckError(f"no row was written for {STUCK_SECONDS:.0f} s")

    def _count_rows(self) -> int:
        self.storage.look()
        return rows_written(self.storage.tree)

    def _disturb(self, planned: Planned) -> None:
        node = _chosen(self.cluster.nodes_that_train(), planned.choice)
        process = _chosen(
            [one for node in self.cluster.nodes for one in self.cluster.training_on(node)],
            planned.choice,
        )
        if node is None or process is None or not self.driver.is_running:
            return  # it has ended by itself since we looked
        doing = Disturbance(
            number=len(self.done) + 1,
            kind=planned.kind,
            at=round(time.monotonic() - self._began, 2),
            victim=_victim(planned.kind, node, process, self.driver),
            running=unfinished(self.storage.tree),
        )
        self.done.append(doing)
        began = time.monotonic()
        self._do(doing, node, process)
        doing.seconds = round(time.monotonic() - began, 2)
        where = ", ".join(f"{one.state} {one.step}/{one.checkpoint}" for one in doing.running)
        self.say(f"{doing.at:7.1f} s  {doing.number:3d} {doing.kind}: {doing.victim}; {where}")

    def _take_what_was_still_written(self, doing: Disturbance, trainings: Iterable[Any]) -> None:
        """They end a moment later; what they write until then they lose by this too."""
        until = time.monotonic() + LEAVING_SECONDS
        while any(map(is_alive, trainings)) and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)
        doing.running = unfinished(self.storage.tree)

    def _do(self, doing: Disturbance, node: Any, process: Any) -> None:
        match doing.kind:
            case Kind.KILL_TRAINING:
                process.send_signal(signal.SIGKILL)
                self._take_what_was_still_written(doing, [process])
            case Kind.TERMINATE_TRAINING:
                process.send_signal(signal.SIGTERM)
            case Kind.KILL_NODE:
                trainings = self.cluster.training_on(node)
                self.cluster.kill(node)
                self._take_what_was_still_written(doing, trainings)
                self.cluster.add_node()
            case Kind.DRAIN_NODE:
                self.cluster.drain(node, self.drain_seconds)
                time.sleep(self.drain_seconds)
                self.cluster.kill(node)
                self.cluster.add_node()
            case Kind.KILL_DRIVER:
                trainings = [
                    one for node in self.cluster.nodes for one in self.cluster.training_on(node)
                ]
                self.driver.send(signal.SIGKILL)
                doing.exit_status = self.driver.wait(LEAVING_SECONDS)
                self._take_what_was_still_written(doing, trainings)
            case Kind.TERMINATE_DRIVER:
                self.driver.send(signal.SIGTERM)
                doing.exit_status = self.driver.wait(LEAVING_SECONDS)
                if doing.exit_status not in (INTERRUPTED, DONE):
                    raise StuckError(
                        f"disturbance {doing.number}, {doing.kind}: the command ended with "
                        f"{doing.exit_status}, not {INTERRUPTED}, within {LEAVING_SECONDS:.0f} s"
                    )


def _chosen(among: list[Choice], choice: float) -> Choice | None:
    return among[int(choice * len(among))] if among else None


def _victim(kind: Kind, node: Any, process: Any, driver: Driver) -> str:
    if kind in OF_THE_DRIVER:
        return f"process {driver.pid}"
    if kind in (Kind.KILL_NODE, Kind.DRAIN_NODE):
        return f"node {node.node_id[:8]}"
    return f"process {process.pid} ({command(process)})" if is_alive(process) else "gone"
