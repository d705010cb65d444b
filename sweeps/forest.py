"""The tree of states, folded until a person can read it; no text yet.

Subtrees that are equal but for the seed are always one branch. Where the tree is still long,
siblings whose subtrees have the same shape (kinds of stages and steps) become one branch too: the
largest families first. Every state belongs to exactly one branch.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sweeps.plan import Plan, Trial
from sweeps.tree import State

SMALLEST_FAMILIES = (20, 10, 5, 3, 2)
"""Settings that make a family, tried in this order until the tree is short enough."""


@dataclass(frozen=True, eq=False)
class Node:
    """A state, those that are trained from it, and the trials that pass through it."""

    state: State
    children: tuple["Node", ...]
    trials: tuple[Trial, ...]
    shape: int


@dataclass(frozen=True, eq=False)
class Branch:
    """States that are drawn as one line, all of one shape, and the branches that grow from them."""

    nodes: tuple[Node, ...]
    branches: tuple["Branch", ...]

    @property
    def seeds(self) -> list[int]:
        """Of the states, each once."""
        return list(dict.fromkeys(node.state.config.seed for node in self.nodes))

    @property
    def height(self) -> int:
        """Lines it takes."""
        return 1 + sum(branch.height for branch in self.branches)


def folded(plan: Plan, most: int | None) -> tuple[Branch, ...]:
    """The tree as branches.

    Args:
        plan: All states.
        most: Lines it should have at the most; None: as many as it takes.
    """
    roots = _nodes(plan)
    branches = _branches(roots, None)
    for smallest in SMALLEST_FAMILIES:
        if most is None or sum(branch.height for branch in branches) <= most:
            break
        branches = _branches(roots, smallest)
    return branches


def _nodes(plan: Plan) -> list[Node]:
    """The roots."""
    following: dict[str | None, list[State]] = {}
    for state in plan.states.values():
        following.setdefault(state.before, []).append(state)
    passing: dict[str, list[Trial]] = {}
    for trial in plan.trials:
        for name in trial.states:
            passing.setdefault(name, []).append(trial)
    nodes: dict[str, Node] = {}
    shapes: dict[Any, int] = {}
    for name, state in reversed(plan.states.items()):  # what a state starts from stands before it
        children = tuple(nodes[child.id] for child in following.get(name, ()))
        shape = (
            state.stage,
            state.role,
            state.first_step,
            state.config.end_step,
            state.ends_stage,
            tuple(sorted(child.shape for child in children)),
        )
        number = shapes.setdefault(shape, len(shapes))
        nodes[name] = Node(state, children, tuple(passing.get(name, ())), number)
    return [nodes[state.id] for state in following.get(None, ())]


def _branches(siblings: Iterable[Node], smallest: int | None) -> tuple[Branch, ...]:
    """Children of one branch, drawn as few branches.

    Args:
        siblings: All children of the nodes of one branch.
        smallest: How many settings of one shape are folded; None: never.
    """
    replicates: dict[Any, list[Node]] = {}
    for node in siblings:
        replicates.setdefault((node.shape, _but_for_seed(node.state)), []).append(node)
    families: dict[Any, list[list[Node]]] = {}
    for (shape, _), group in replicates.items():
        is_baseline = all(trial.baseline for node in group for trial in node.trials)
        families.setdefault((shape, is_baseline), []).append(group)
    return tuple(
        Branch(
            tuple(group),
            _branches(itertools.chain.from_iterable(node.children for node in group), smallest),
        )
        for group in _joined(families.values(), smallest)
    )


def _joined(families: Iterable[list[list[Node]]], smallest: int | None) -> Iterator[list[Node]]:
    for family in families:
        if smallest is not None and len(family) >= smallest:
            yield [node for group in family for node in group]
        else:
            yield from family


def _but_for_seed(state: State) -> str:
    """The label without the replicate: the same for states that differ in nothing else."""
    return without_seed(state.config.label, state.config.seed)


def without_seed(label: str, seed: int) -> str:
    """`max_lr=0.003` from `max_lr=0.003,seed=1`."""
    return label.replace(f",seed={seed}", "")


def common(trials: Sequence[Trial]) -> dict[str, Any]:
    """The factors that all of these trials have in common, the seed left out."""
    first, *others = trials
    return {
        name: value
        for name, value in first.factors.items()
        if name != "seed" and all(trial.factors[name] == value for trial in others)
    }
