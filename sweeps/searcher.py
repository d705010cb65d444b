"""What Ray Tune is to run next: the state with the longest path behind it, once it can start."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.search import Searcher

from cpt.leaving import Leave
from cpt.mirror import Mirror
from cpt.records import ResultTree, StatusWord
from sweeps.agenda import Task
from sweeps.attempts import Attempts
from sweeps.capacity import room
from sweeps.cohorts import Compared
from sweeps.following import patiently
from sweeps.scaling import Room, share
from sweeps.spec import Resources

LOOK_AGAIN_SECONDS = 1.0
"""How long the size of the cluster is taken for what it was."""


@dataclass(frozen=True)
class _Running:
    """A task that was handed out.

    Attributes:
        task: Which.
        workers: How many train it.
    """

    task: Task
    workers: int


class StateSearcher(Searcher):
    """Hands out tasks whose predecessor is complete, as many as fit in the cluster.

    Where the cluster does not grow none is handed out before it can run, or a longer path that
    becomes ready in the meantime would queue behind it. One that grows does so for what waits. A
    task whose attempt died comes back, if `attempts` says so.

    Args:
        todo: Longest remaining path first, and what comes before a state before it.
        tree: Where states are recorded.
        resources: Of one state.
        ray_storage: A folder for Ray's own files of this run; its name is the run's.
        compared: What is compared, by state.
        attempts: Decides what is tried again.
        leave: Once it is asked, nothing more is handed out.
    """

    def __init__(
        self,
        todo: tuple[Task, ...],
        tree: ResultTree,
        resources: Resources,
        ray_storage: str,
        compared: Mapping[str, Compared],
        attempts: Attempts,
        leave: Leave,
    ) -> None:
        super().__init__()
        self._order = {task.state.id: place for place, task in enumerate(todo)}
        self._waiting = list(todo)
        self._missing = {task.state.id for task in todo}
        self._running: dict[str, _Running] = {}
        self._undecided: dict[str, Task] = {}
        self._not_before: dict[str, float] = {}
        self._tree = tree
        self._resources = resources
        self._ray_storage = ray_storage
        self._compared = compared
        self._attempts, self._leave = attempts, leave
        self._room, self._looked = Room(0, 0), float("-inf")

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override] # FINISHED is text
        """The configuration of a trial, None to be asked again, or FINISHED."""
        self._take_decisions()
        if self._leave.is_asked:
            return str(Searcher.FINISHED)
        if not self._waiting:
            # Those that run may come back.
            return None if self._running or self._undecided else str(Searcher.FINISHED)
        ready = [task for task in self._waiting if self._is_ready(task)]
        used = sum(one.workers for one in self._running.values())
        running = len(self._running)
        workers = share(self._room_now(), used, running, len(ready), self._resources)
        if not workers:
            return None
        self._waiting.remove(ready[0])
        self._running[trial_id] = _Running(ready[0], workers)
        return self._configuration(ready[0], workers)

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,  # noqa: FBT001, FBT002 - Tune's signature
    ) -> None:
        """Frees what comes after a finished state; gives up what comes after any other."""
        task = self._running.pop(trial_id).task
        state = self._tree.state(task.state.id)
        # Nothing starts meanwhile: of all that is stored of a state this is one file.
        patiently(Mirror.of(self._tree).fetch, state.status)
        status = state.read_status()
        if status is not None and status.status is StatusWord.COMPLETE:
            self._missing.discard(task.state.id)
        elif error:
            self._undecided[task.state.id] = task
        else:
            self._give_up(task.state.id)

    @property
    def running(self) -> list[str]:
        """The states that were handed out and have not ended."""
        return [one.task.state.id for one in list(self._running.values())]

    def _take_decisions(self) -> None:
        """Puts tasks back in their places, or gives them up."""
        for name in [name for name in self._undecided if name in self._attempts.decisions]:
            task, when = self._undecided.pop(name), self._attempts.decisions.pop(name)
            if when is None:
                self._give_up(name)
            else:
                self._not_before[name] = when
                self._waiting.append(task)
                self._waiting.sort(key=lambda task: self._order[task.state.id])

    def _give_up(self, name: str) -> None:
        lost = {name}
        for task in self._waiting:  # predecessors stand before what comes after them
            if task.after in lost:
                lost.add(task.state.id)
        self._waiting = [task for task in self._waiting if task.state.id not in lost]

    def _is_ready(self, task: Task) -> bool:
        is_due = self._not_before.get(task.state.id, 0.0) <= time.monotonic()
        return is_due and task.after not in self._missing

    def _configuration(self, task: Task, workers: int) -> dict[str, Any]:
        """As text, for Tune walks through a trial's configuration again and again."""
        compared = self._compared.get(task.state.id)
        return {
            "state": task.state.id,
            "run": task.run.model_dump_json(),
            "comparison": compared and compared.comparison.to_json(),
            "storage": str(self._tree.storage),
            "token_storage": self._tree.token_storage,
            "remote": self._tree.remote,
            "ray_storage": self._ray_storage,
            "resources": self._resources.model_dump_json(),
            "workers": workers,
        }

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for Tune's snapshot of the experiment."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the result tree is the only memory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the result tree is the only memory."""

    def _room_now(self) -> Room:
        if time.monotonic() - self._looked >= LOOK_AGAIN_SECONDS:
            self._room, self._looked = room(self._resources), time.monotonic()
        return self._room
