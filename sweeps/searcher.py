"""What Ray Tune is to run next: the state with the longest path behind it, once it can start."""

import time
from collections.abc import Mapping
from typing import Any

from ray.tune.search import Searcher

from cpt.records import ResultTree, StatusWord
from sweeps.agenda import Task
from sweeps.capacity import slots
from sweeps.cohorts import Compared
from sweeps.spec import Resources

LOOK_AGAIN_SECONDS = 1.0
"""How long the size of the cluster is taken for what it was."""


class StateSearcher(Searcher):
    """Hands out tasks whose predecessor is complete, as many as fit in the cluster now.

    None is handed out before it can run, or a longer path that becomes ready in the meantime
    would queue behind it.
    """

    def __init__(
        self,
        todo: tuple[Task, ...],
        tree: ResultTree,
        resources: Resources,
        ray_storage: str,
        compared: Mapping[str, Compared],
    ) -> None:
        super().__init__()
        self._waiting = list(todo)
        self._missing = {task.state.id for task in todo}
        self._running: dict[str, str] = {}
        self._tree = tree
        self._resources = resources
        self._ray_storage = ray_storage
        self._compared = compared
        self._slots, self._looked = 0, float("-inf")

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override] # FINISHED is text
        """The configuration of a trial, None to be asked again, or FINISHED."""
        if not self._waiting:
            return str(Searcher.FINISHED)
        if len(self._running) >= self._slots_now():
            return None
        for position, task in enumerate(self._waiting):
            if task.after not in self._missing:
                del self._waiting[position]
                self._running[trial_id] = task.state.id
                return self._configuration(task)
        return None

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,  # noqa: FBT001, FBT002 - Tune's signature
    ) -> None:
        """Frees what comes after a finished state; gives up what comes after any other."""
        name = self._running.pop(trial_id)
        status = self._tree.state(name).read_status()
        if status is not None and status.status is StatusWord.COMPLETE:
            self._missing.discard(name)
            return
        lost = {name}
        for task in self._waiting:  # predecessors stand before what comes after them
            if task.after in lost:
                lost.add(task.state.id)
        self._waiting = [task for task in self._waiting if task.state.id not in lost]

    def _configuration(self, task: Task) -> dict[str, Any]:
        """As text, for Tune walks through a trial's configuration again and again."""
        compared = self._compared.get(task.state.id)
        return {
            "state": task.state.id,
            "run": task.run.model_dump_json(),
            "comparison": compared and compared.comparison.to_json(),
            "storage": str(self._tree.storage),
            "token_storage": self._tree.token_storage,
            "ray_storage": self._ray_storage,
            "resources": self._resources.model_dump_json(),
        }

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the result tree is the only memory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the result tree is the only memory."""

    def _slots_now(self) -> int:
        if time.monotonic() - self._looked >= LOOK_AGAIN_SECONDS:
            self._slots, self._looked = slots(self._resources), time.monotonic()
        return self._slots
