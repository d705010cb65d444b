"""What exists of a sweep: what `rewarm status` prints, and what `plan` adds; from files alone."""

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cpt.files import read_json
from cpt.records import ResultTree, Status, StatusWord, SweepDir
from sweeps.agenda import Agenda, agenda, is_settled
from sweeps.nearby import near_misses
from sweeps.ownership import living_owners
from sweeps.plan import Plan
from sweeps.store import Found, find, look
from sweeps.words import counted, listed, quantity

MOST_STATES = 40
"""Beyond it those that are complete or pending are counted, not listed."""
INTERRUPTED, DAMAGED = "interrupted", "damaged"
PENDING, UNNEEDED = "pending", "not needed"
ORDER = (
    str(StatusWord.RUNNING),
    INTERRUPTED,
    *(str(word) for word in StatusWord if word is not StatusWord.RUNNING),
    *(DAMAGED, PENDING, UNNEEDED),
)


@dataclass(frozen=True, kw_only=True)
class _Standing:
    """One state of the plan and what its folder says.

    Attributes:
        planned: Its entry in `plan.json`.
        word: One of `ORDER`.
        step: Where it stands.
        reason: Why it failed, was stopped, or cannot be trusted.
        is_settled: Whether a run would leave it alone.
    """

    planned: Mapping[str, Any]
    word: str
    step: int
    reason: str
    is_settled: bool

    @property
    def tokens_left(self) -> int:
        """Training tokens up to its end; 0 once it is settled."""
        if self.is_settled:
            return 0
        first, last = self.planned["first_step"], self.planned["steps"]
        left: int = self.planned["tokens"] * (last - max(self.step, first)) // (last - first)
        return left


def status(tree: ResultTree, sweep: SweepDir, *, whole: bool = False) -> RenderableType:
    """What is complete, running, interrupted, stopped, failed or damaged, and what is left.

    Args:
        tree: That of the sweep.
        sweep: One that was started.
        whole: Whether to list every state, however many.

    Raises:
        ConfigError: An `owner.json` of the tree is damaged.
    """
    plan_json = read_json(sweep.plan)
    owners = living_owners(tree)
    states = {planned["state"] for planned in plan_json["states"]}
    # Owners of sweeps on object storage cannot be seen from here.
    driven = _driven(owners, tree) if tree.remote is None else states
    standings = _standings(plan_json, tree, driven)
    few = whole or len(standings) <= MOST_STATES
    quiet = () if few else (StatusWord.COMPLETE, PENDING, UNNEEDED)
    table = Table(box=None, pad_edge=False)
    for heading in ("state", "status", "step", "reason"):
        table.add_column(heading, justify="right" if heading == "step" else "left", overflow="fold")
    for standing in standings:
        if standing.word not in quiet:
            table.add_row(*_cells(standing))
    words = Counter(standing.word for standing in standings)
    counts = ", ".join(f"{words[word]:,} {word}" for word in ORDER if words[word])
    left = sum(standing.tokens_left for standing in standings)
    summary = f"{plan_json['name']}: {counts}; {quantity(left)} tokens left to train"
    if words[INTERRUPTED]:
        summary += "; nobody runs it, and rewarm run goes on where it stopped"
    lines = [Text(summary if few else f"{summary}; --all lists every state")]
    owner = owners.get(sweep.path.name)
    if owner is not None:
        lines.insert(0, Text(f"owned by {owner.named}, running for {owner.age}"))
    return Group(*([table] if table.row_count else []), *lines)


def _driven(owners: Iterable[str], tree: ResultTree) -> set[str]:
    """The states of sweeps that someone runs; sweeps share states."""
    plans = (tree.sweep(name).plan for name in owners)
    return {
        planned["state"]
        for plan in plans
        if plan.exists()  # not before its data are packed
        for planned in read_json(plan)["states"]
    }


def _cells(standing: _Standing) -> list[str]:
    planned = standing.planned
    trunk = "" if planned["ends_stage"] else " (trunk)"
    return [
        planned["label"] + trunk,
        standing.word,
        f"{standing.step:,}/{planned['steps']:,}",
        standing.reason,
    ]


def _standings(plan_json: Mapping[str, Any], tree: ResultTree, driven: Set[str]) -> list[_Standing]:
    found = {
        planned["state"]: look(tree.state(planned["state"])) for planned in plan_json["states"]
    }
    settled = {
        planned["state"]
        for planned in plan_json["states"]
        if _is_left_alone(planned, found[planned["state"]].status, plan_json["stopping"])
    }
    unneeded = _unneeded(plan_json, found, settled)
    return [
        _standing(planned, found[planned["state"]], settled, unneeded, driven)
        for planned in plan_json["states"]
    ]


def _is_left_alone(
    planned: Mapping[str, Any], status: Status | None, rule: Mapping[str, Any]
) -> bool:
    """Whether a run would not train it: settled, or failed."""
    failed = status is not None and status.status is StatusWord.FAILED
    return failed or is_settled(status, rule if planned["may_stop"] else None)


def _standing(
    planned: Mapping[str, Any],
    found: Found,
    settled: Set[str],
    unneeded: Set[str],
    driven: Set[str],
) -> _Standing:
    status = found.status
    if status is not None:
        is_abandoned = status.status is StatusWord.RUNNING and planned["state"] not in driven
        word = INTERRUPTED if is_abandoned else str(status.status)
        return _Standing(
            planned=planned,
            word=DAMAGED if found.faults else word,
            step=status.step,
            reason="; ".join(found.faults) or status.reason,
            is_settled=planned["state"] in settled,
        )
    is_unneeded = planned["state"] in unneeded
    is_damaged = found.damage is not None or found.faults
    word = DAMAGED if is_damaged else UNNEEDED if is_unneeded else PENDING
    return _Standing(
        planned=planned,
        word=word,
        step=0,
        reason=found.damage or "; ".join(found.faults),
        is_settled=is_unneeded,
    )


def _unneeded(
    plan_json: Mapping[str, Any], found: Mapping[str, Found], settled: Set[str]
) -> set[str]:
    """Beginnings that were never started, and that fewer than two unfinished states go on from.

    Unless finished states were trained from them, whose first rows they hold.
    """
    going_on: Counter[str] = Counter()
    trained_from = {found[name].base for name in settled}
    unneeded: set[str] = set()
    for planned in reversed(plan_json["states"]):  # bases stand before what goes on from them
        name, status = planned["state"], found[planned["state"]].status
        if name in settled:
            continue
        users = 1
        is_needed = planned["wanted"] or name in trained_from or going_on[name] > 1
        if status is None and not is_needed:
            unneeded.add(name)
            users = going_on[name]
        if planned["base"] is not None:
            going_on[planned["base"]] += users
    return unneeded


def what_is_settled(todo: Agenda) -> str:
    """`4 complete`, `3 complete and 2 stopped early`."""
    stopped = [f"{todo.stopped:,} stopped early"] if todo.stopped else []
    return listed([f"{todo.complete:,} complete", *stopped])


def existing(plan: Plan, tree: ResultTree) -> list[str]:
    """What is left to train where something is finished already, and what nearly serves.

    Args:
        plan: What is wanted.
        tree: Where finished states lie.
    """
    found = find(plan, tree)
    todo = agenda(plan, found)
    lines = []
    if todo.failed:
        states = counted(len(todo.failed), "state")
        lines.append(f"{states} failed before; rewarm run --retry-failed tries again")
    elif not todo.todo:
        lines.append("nothing is left to train")
    if todo.todo and (todo.complete or todo.stopped):
        tokens = quantity(sum(task.tokens for task in todo.todo))
        states = counted(len(todo.todo), "state")
        lines.append(f"{what_is_settled(todo)} already; left to train: {states}, {tokens} tokens")
    missing = [task.state.id for task in todo.todo if found[task.state.id].status is None]
    for miss in near_misses(plan, missing, tree):
        states = counted(miss.states, "state")
        lines.append(
            f"{states} would be finished already but for {miss.field}: wanted "
            f"{miss.wanted or 'its default'}, finished with {miss.finished or 'its default'}"
        )
    return lines
