"""Which settings a sweep compares: the design's points and the baselines, each at every budget.

A setting has a value for every name of `names`: the factors of all stages (`max_lr`), those that a
stage has for itself (`german.max_lr`), and the token budget where several are asked for.
"""

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from sweeps.factors import FACTORS, Range, scoped, short
from sweeps.spec import Baseline, SweepSpec

TOKEN_BUDGET = "token_budget"
SCALES: dict[str, Literal["log", "linear"]] = {"max_lr": "log"}
"""How a random design draws where a range does not say; shares are drawn uniformly."""
Factors = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A trial but for its seed.

    Attributes:
        label: Readable, unique in the sweep.
        factors: A value for each of `names`.
        baseline: Which one, or None.
    """

    label: str
    factors: Factors
    baseline: Baseline | None = None


def axes(spec: SweepSpec) -> dict[str, tuple[Any, ...] | Range]:
    """Every axis of settings by its name, budgets left out, in the order of labels."""
    given = spec.axes.given()
    named = {name: given[name] for name in FACTORS if name in given}
    for stage in spec.stages:
        own = stage.axes.given()
        named |= {scoped(stage.dataset, name): own[name] for name in FACTORS if name in own}
    return named


def center(spec: SweepSpec) -> dict[str, Any]:
    """The setting that trials are varied around: what the file gives, stage by stage.

    A stage's own axis without a centre of its own has the sweep's.
    """
    middle = spec.center.given()
    for stage in spec.stages:
        own = stage.center.given()
        for name in FACTORS:
            if name in own:
                middle[scoped(stage.dataset, name)] = own[name]
            elif name in stage.axes.given() and name in middle:
                middle[scoped(stage.dataset, name)] = middle[name]
    if len(budgets(spec)) > 1:
        wanted, reference = budgets(spec), spec.stages[-1].token_budget
        middle[TOKEN_BUDGET] = reference if reference in wanted else max(wanted)
    return middle


def names(spec: SweepSpec) -> list[str]:
    """Every factor that a setting has a value for, in the order of labels."""
    own = [scoped(stage.dataset, name) for stage in spec.stages for name in FACTORS]
    used = {*axes(spec), *center(spec)}
    several = [TOKEN_BUDGET] if len(budgets(spec)) > 1 else []
    return [*FACTORS, *(name for name in own if name in used), *several]


def budgets(spec: SweepSpec) -> tuple[int, ...]:
    """The budgets of the last stage at which a converged model is wanted, in tokens."""
    last = spec.stages[-1]
    return last.budgets or (last.token_budget,)


def settings(spec: SweepSpec) -> Iterator[Setting]:
    """Every setting, then the baselines, whose factors are those of the centre."""
    several = len(budgets(spec)) > 1
    for label, factors in _points(spec):
        for budget in budgets(spec):
            if several:
                told = f"{TOKEN_BUDGET}={budget}"
                name = told if label == "center" else f"{label},{told}"
                if label == "center" and budget == center(spec)[TOKEN_BUDGET]:
                    name = label
                yield Setting(label=name, factors={**factors, TOKEN_BUDGET: budget})
            else:
                yield Setting(label=label, factors=factors)
    middle = reference(spec)
    for baseline in spec.baselines:
        yield Setting(label=baseline, factors=middle, baseline=baseline)


def reference(spec: SweepSpec) -> dict[str, Any]:
    """The centre, or the first value of an axis without one."""
    middle = center(spec)
    for name, values in axes(spec).items():
        if name not in middle and isinstance(values, tuple):
            middle[name] = values[0]
        elif name not in middle and isinstance(values, Range):
            middle[name] = values.low
    return {name: middle[name] for name in names(spec) if name in middle}


def with_seed(spec: SweepSpec, label: str, seed: int) -> str:
    """The label of a replicate, where there are several."""
    return f"{label},seed={seed}" if len(spec.seeds) > 1 else label


def told_as(chosen: Factors) -> str:
    """Factors and values as a label: `max_lr=0.003,schedule=wsd`."""
    return ",".join(f"{name}={short(value)}" for name, value in chosen.items())


def _points(spec: SweepSpec) -> Iterator[tuple[str, dict[str, Any]]]:
    """Label and factors of every point of the design, budgets left out."""
    middle, varied = center(spec), axes(spec)
    match spec.design:
        case "grid":
            lists = [values for values in varied.values() if isinstance(values, tuple)]
            for values in itertools.product(*lists):
                chosen = dict(zip(varied, values, strict=True))
                yield told_as(chosen) or "center", middle | chosen
        case "one_at_a_time":
            yield "center", middle
            for name, listed in varied.items():
                for value in listed if isinstance(listed, tuple) else ():
                    if value != middle[name]:
                        yield told_as({name: value}), middle | {name: value}
        case "random":
            for number in range(spec.points or 0):
                drawn = {name: _drawn(spec, name, number) for name in varied}
                yield f"point={number},{told_as(drawn)}", middle | drawn
        case "list":
            for number, trial in enumerate(spec.trials or ()):
                chosen = trial.given()
                yield trial.name or told_as(chosen) or f"trial={number}", middle | chosen


def _drawn(spec: SweepSpec, name: str, number: int) -> Any:
    """The value of one axis at one point: the same whatever else is drawn, and how much."""
    text = f"{spec.design_seed}:{number}:{name}"
    x = int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48
    values, factor = axes(spec)[name], name.rpartition(".")[2]
    if isinstance(values, Range):
        value = values.at(x, SCALES.get(factor, "linear"))
        return Fraction(str(value)) if factor == "replay_fraction" else value
    return values[int(x * len(values))]
