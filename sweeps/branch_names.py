"""What a branch of the tree is called: by the factors that are settled there and not before."""

from collections.abc import Sequence
from typing import Any

from sweeps.design import center
from sweeps.factors import FACTORS, plain
from sweeps.forest import Branch, Node, common, without_seed
from sweeps.plan import Plan, Trial
from sweeps.words import listed, quantity, rate

MOST_OF_VALUES = 26
"""Characters of a list of numbers before its ends stand for it."""


def told_of(
    plan: Plan, branch: Branch, around: Sequence[Trial], told: frozenset[str]
) -> tuple[str, frozenset[str]]:
    """What a branch is called, and the factors that need not be told below it again.

    Args:
        plan: All trials.
        branch: What to name.
        around: The trials of the branch that it grows from.
        told: Factors named above it.
    """
    state = branch.nodes[0].state
    if state.stage == "upstream" and state.ends_stage:
        return without_seed(state.config.label, state.config.seed), told
    kind = _kind(plan, branch)
    one_setting = len(branch.nodes) == len(branch.seeds)
    trials = [trial for trial in trials_of(branch.nodes) if trial.baseline is None]
    baselines = list(dict.fromkeys(t.baseline for t in trials_of(branch.nodes) if t.baseline))
    if not trials:
        return f"{kind}{listed(baselines)}", told
    if plan.spec.design != "grid" and not branch.branches and one_setting:
        return f"{kind}{without_seed(trials[0].label, trials[0].factors['seed'])}", told
    middle = {name: plain(value) for name, value in center(plan.spec).items()}
    fixed = [name for name in _decided(branch.nodes) if name not in told]
    if plan.spec.design == "one_at_a_time":  # what is said is what differs from the centre
        fixed = [name for name in fixed if _values(trials, name) != [middle.get(name)]]
    vary = {name for name in fixed if len(_values(around, name)) > 1}
    text = _settings(branch, [name for name in fixed if name in vary], kind)
    if baselines and not branch.branches:
        text += f", and {listed(baselines)}"
    return text, told | vary


def _kind(plan: Plan, branch: Branch) -> str:
    """The words before the factors."""
    state = branch.nodes[0].state
    many = len(branch.nodes) > len(branch.seeds)
    if not state.ends_stage:
        if state.stage == "upstream":
            return "shared beginning of pre-training: "
        one = "trunk" if state.is_wanted else "shared beginning"  # a trunk waits for longer budgets
        return f"{one}s: " if many else f"{one}: "
    if state.stage == "downstream" and state.role is not None and len(plan.spec.stages) > 1:
        return f"{plan.spec.stage_datasets[int(state.role[1:])]}: "
    return ""


def _settings(branch: Branch, names: Sequence[str], kind: str) -> str:
    """Factors and their values; where there are many of either, how many."""
    trials = [trial for trial in trials_of(branch.nodes) if trial.baseline is None]
    values = {name: _values(trials, name) for name in names}
    scope = kind.removesuffix(": ")
    single = [f"{_short(name, scope)} {_value(found[0])}" for name, found in values.items()
              if len(found) == 1]  # fmt: skip
    several = {name: found for name, found in values.items() if len(found) > 1}
    if not several:
        return kind + ", ".join(single) if single else kind.removesuffix(": ") or "center"
    settings = len({tuple(trial.factors[name] for name in several) for trial in trials})
    product = 1
    for found in several.values():
        product *= len(found)
    parts = [f"{_short(name, scope)} {_choice(found)}" for name, found in several.items()]
    if settings == product:
        return kind + ", ".join([*single, " x ".join(parts)])
    return kind + ", ".join([*single, f"{settings} settings of {', '.join(parts)}"])


def _choice(values: Sequence[Any]) -> str:
    shown = [_value(value) for value in values]
    if len(", ".join(shown)) <= MOST_OF_VALUES or any(isinstance(value, str) for value in values):
        return ", ".join(shown)
    return f"{shown[0]}..{shown[-1]} ({len(shown)} values)"


def _value(value: Any) -> str:
    if isinstance(value, int):
        return quantity(value)
    return rate(value) if isinstance(value, float) else str(value)


def _short(name: str, scope: str) -> str:
    """A factor's name without what every reader of the table knows, the stage of the line too."""
    name = name.removeprefix(f"{scope}.")
    return name.removesuffix("_fraction") if name.rpartition(".")[2] in FACTORS else name


def _values(trials: Sequence[Trial], name: str) -> list[Any]:
    """What trials that are no baselines have there, in order."""
    found = dict.fromkeys(trial.factors[name] for trial in trials if trial.baseline is None)
    values = [value for value in found if value is not None]
    return values if any(isinstance(value, str) for value in values) else sorted(values)


def _decided(nodes: Sequence[Node]) -> list[str]:
    """Factors that are settled for all trials that pass through a node, for every node."""
    names: dict[str, None] | None = None
    for node in nodes:
        trials = [trial for trial in node.trials if trial.baseline is None]
        if trials:
            here = common(trials)
            names = dict.fromkeys(here if names is None else (n for n in names if n in here))
    return list(names or ())


def trials_of(nodes: Sequence[Node]) -> list[Trial]:
    """The trials that pass through some nodes, each once."""
    found = {trial.label: trial for node in nodes for trial in node.trials}
    return list(found.values())
