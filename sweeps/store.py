"""What exists of a plan: decided from the result tree alone, so running again is resuming."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cpt.records import ResultTree, Status, StatusWord
from sweeps.plan import Plan
from sweeps.runs import State
from sweeps.spec import SweepSpec


def tree_of(spec: SweepSpec) -> ResultTree:
    """The result tree that a sweep writes to."""
    return ResultTree(Path(spec.storage).expanduser().resolve())


def statuses(plan: Plan, tree: ResultTree) -> dict[str, Status | None]:
    """The recorded status of every state; None where it was never started."""
    return {name: tree.state(name).read_status() for name in plan.states}


@dataclass(frozen=True)
class Agenda:
    """What a run has to do.

    Attributes:
        todo: States to train, parents before children, longest remaining path first.
        blocked: States that cannot be trained since an ancestor failed.
        failed: States that failed before and are left alone.
    """

    todo: tuple[State, ...]
    blocked: tuple[State, ...]
    failed: tuple[State, ...]


def agenda(plan: Plan, found: Mapping[str, Status | None], *, retry_failed: bool = False) -> Agenda:
    """Decides what is missing.

    Args:
        plan: The wanted states.
        found: Their recorded statuses.
        retry_failed: Train failed states again instead of leaving them alone.
    """
    complete = {name for name, status in found.items() if _is(status, StatusWord.COMPLETE)}
    failed = {name for name, status in found.items() if _is(status, StatusWord.FAILED)}
    if retry_failed:
        failed = set()
    blocked = {
        name
        for name in plan.states
        if name not in complete and failed.intersection(_ancestors(plan, name))
    }
    remaining = remaining_tokens(plan, complete)
    todo = [state for name, state in plan.states.items() if name not in complete | failed | blocked]
    return Agenda(
        todo=tuple(sorted(todo, key=lambda state: -remaining[state.id])),
        blocked=tuple(plan.states[name] for name in plan.states if name in blocked),
        failed=tuple(plan.states[name] for name in plan.states if name in failed),
    )


def remaining_tokens(plan: Plan, complete: Iterable[str]) -> dict[str, int]:
    """Tokens on the longest path from the start of each state to a leaf, finished ones as 0."""
    done = set(complete)
    children: dict[str, list[str]] = {name: [] for name in plan.states}
    for name, state in plan.states.items():
        if state.config.parent is not None:
            children[state.config.parent].append(name)
    length: dict[str, int] = {}
    # A child is planned after its parent, so backwards every child comes first.
    for name in reversed(plan.states):
        own = 0 if name in done else plan.states[name].config.token_budget
        length[name] = own + max((length[child] for child in children[name]), default=0)
    return length


def _ancestors(plan: Plan, name: str) -> list[str]:
    """The states before this one on its path."""
    result = []
    parent = plan.states[name].config.parent
    while parent is not None:
        result.append(parent)
        parent = plan.states[parent].config.parent
    return result


def _is(status: Status | None, word: StatusWord) -> bool:
    return status is not None and status.status is word
