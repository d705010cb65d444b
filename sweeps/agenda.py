"""What a run has to do: which states to train, from where, in which order. Pure.

A beginning that is there only to be shared is passed over where fewer than two states are left that
would go on from it: the plan's cuts serve what is still to be trained, not what is done.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cpt.config import RunConfig
from cpt.records import Status, StatusWord
from sweeps.cohorts import stoppable
from sweeps.plan import Plan
from sweeps.store import Found
from sweeps.tree import State


@dataclass(frozen=True, kw_only=True)
class Task:
    """One state to train.

    Attributes:
        state: Which.
        run: How: its `base` is the nearest beginning that exists, or will.
        after: The state that must be complete before; None: ready now.
        tokens: Training tokens from its base to its step.
        remaining: Tokens from its base along the longest path to a leaf.
    """

    state: State
    run: RunConfig
    after: str | None
    tokens: int
    remaining: int


@dataclass(frozen=True, kw_only=True)
class Agenda:
    """What a run has to do.

    Attributes:
        todo: Longest remaining path first, and what comes before a state before it.
        blocked: States that cannot be trained since one before them failed.
        failed: States that failed in an earlier run and are left alone.
        complete: Number of states that are there already.
        stopped: Number of states that the sweep's rule ended early.
        passed_over: Number of beginnings that nothing is left to share.
    """

    todo: tuple[Task, ...]
    blocked: tuple[State, ...]
    failed: tuple[State, ...]
    complete: int
    stopped: int
    passed_over: int


def agenda(plan: Plan, found: Mapping[str, Found], *, retry_failed: bool = False) -> Agenda:
    """Decides what is missing.

    Args:
        plan: The wanted states.
        found: What exists of each; a damaged one counts as missing.
        retry_failed: Train failed states again instead of leaving them alone.
    """
    settled = settled_states(plan, {name: one.status for name, one in found.items()})
    complete = {name for name in settled if found[name].is_(StatusWord.COMPLETE)}
    failed = {name for name, one in found.items() if one.is_(StatusWord.FAILED)}
    if retry_failed:
        failed = set()
    missing = [name for name in plan.states if name not in settled]
    before, passed_over = _starts(plan, found, missing, settled)
    blocked: set[str] = set()
    for name in before:  # what comes before a state stands before it
        if before[name] in failed | blocked and name not in failed:
            blocked.add(name)
    trained = [name for name in before if name not in failed | blocked]
    tokens = {name: _tokens(plan, name, before[name]) for name in trained}
    remaining = _remaining(trained, before, tokens)
    tasks = [
        Task(
            state=plan.states[name],
            run=_run(plan, name, before[name]),
            after=before[name] if before[name] in tokens else None,
            tokens=tokens[name],
            remaining=remaining[name],
        )
        for name in trained
    ]
    return Agenda(
        todo=tuple(sorted(tasks, key=lambda task: -task.remaining)),
        blocked=tuple(plan.states[name] for name in before if name in blocked),
        failed=tuple(plan.states[name] for name in before if name in failed),
        complete=len(complete),
        stopped=len(settled - complete),
        passed_over=len(passed_over),
    )


def settled_states(plan: Plan, statuses: Mapping[str, Status | None]) -> set[str]:
    """Those of a plan's states that are settled, by their statuses."""
    may_stop, rule = stoppable(plan), plan.spec.stopping.model_dump(mode="json")
    return {
        name
        for name, status in statuses.items()
        if is_settled(status, rule if name in may_stop else None)
    }


def is_settled(status: Status | None, rule: Mapping[str, Any] | None) -> bool:
    """Whether a run leaves a state as it is: complete, or ended early by this sweep's own rule.

    What another rule ended is trained on: it is judged anew, or wanted whole, as the centre is and
    what others go on from.

    Args:
        status: The state's; None where it was never started.
        rule: The sweep's stopping rule, as JSON; None where it may not end this state.
    """
    if status is None:
        return False
    is_complete = status.status is StatusWord.COMPLETE
    return is_complete or (rule is not None and status.is_ended_by(rule))


def _starts(
    plan: Plan, found: Mapping[str, Found], missing: list[str], settled: set[str]
) -> tuple[dict[str, str | None], set[str]]:
    """For each state to train, in the plan's order, the state it starts from; and the passed over.

    That is its nearest base which exists or will, else the end of the stage before. A state with a
    checkpoint of its own needs no base any more.
    """
    going_on: dict[str, int] = {}
    passed_over: set[str] = set()
    trained_from = {found[name].base for name in settled}
    for name in reversed(missing):  # those that go on from a state come after it
        state, one = plan.states[name], found[name]
        users, base = going_on.get(name, 0), state.config.base
        # Finished states whose rows begin where this one's ended are read together with it.
        is_needed = state.is_wanted or name in trained_from or users > 1
        if not is_needed and not (users == 1 and one.has_checkpoint):
            passed_over.add(name)
        else:
            users = 0 if one.has_checkpoint else 1
        if base is not None:
            going_on[base] = going_on.get(base, 0) + users
    before: dict[str, str | None] = {}
    for name in missing:
        if name not in passed_over:
            base = None if found[name].has_checkpoint else plan.states[name].config.base
            while base in passed_over:
                base = plan.states[base].config.base
            before[name] = base or plan.states[name].config.parent
    return before, passed_over


def _tokens(plan: Plan, name: str, before: str | None) -> int:
    config = plan.states[name].config
    return config.token_budget - (0 if before in (None, config.parent) else _budget(plan, before))


def _budget(plan: Plan, name: str | None) -> int:
    return 0 if name is None else plan.states[name].config.token_budget


def _run(plan: Plan, name: str, before: str | None) -> RunConfig:
    config = plan.states[name].config
    return config.model_copy(update={"base": None if before == config.parent else before})


def _remaining(
    trained: list[str], before: Mapping[str, str | None], tokens: Mapping[str, int]
) -> dict[str, int]:
    """Tokens along the longest path from the start of each state to a leaf."""
    longest_after: dict[str, int] = {}
    remaining: dict[str, int] = {}
    for name in reversed(trained):
        remaining[name] = tokens[name] + longest_after.get(name, 0)
        start = before[name]
        if start is not None:
            longest_after[start] = max(longest_after.get(start, 0), remaining[name])
    return remaining
