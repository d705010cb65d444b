"""The report's words: how an axis, a value, a setting and a number are written for a reader."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.load import Sweep
from cpt.records import StatusWord

AXES = {
    "max_lr": "peak LR",
    "warmup_fraction": "warm-up",
    "replay_fraction": "replay",
    "schedule": "schedule",
    "seed": "seed",
    "token_budget": "budget",
}
"""Short names of the axes; any other axis is written as the sweep file spells it."""

BASELINES = {
    "no_rewarm": "no re-warming",
    "no_redecay": "no re-decay",
    "downstream_only": "D1 only, from scratch",
    "union": "D0 and D1, from scratch",
}

MEANING_OF_BASELINES = {
    "no_rewarm": "continues at the floor of pre-training's learning rate",
    "no_redecay": "re-warms to the peak and stays there",
    "downstream_only": "trains on D1 from random weights, with D1's budget",
    "union": "trains on D0 and D1 together from random weights, with both budgets",
}

BASELINES_OF_SEVERAL_STAGES = {
    "downstream_only": "all new data, from scratch",
    "union": "all data, from scratch",
}

MEANING_OF_SEVERAL_STAGES = {
    "downstream_only": "trains on all data sets but D0 from random weights, with their budgets",
    "union": "trains on all data sets together from random weights, with all budgets",
}

SCHEDULES = {"wsd": "WSD"}

MINUS = "\N{MINUS SIGN}"
MISSING = "\N{EN DASH}"


def factor(axis: str) -> str:
    """What an axis varies: `code.max_lr` varies `max_lr`, in the stage on `code` alone."""
    return axis.rpartition(".")[2]


def stage_of(axis: str) -> str:
    """The data set whose stage alone an axis varies; empty for an axis of the whole path."""
    return axis.rpartition(".")[0]


def axis_label(axis: str) -> str:
    """The name of an axis: `peak LR`, or `peak LR on code` where it varies one stage."""
    name = AXES.get(factor(axis), factor(axis).replace("_", " "))
    return f"{name} on {stage_of(axis)}" if stage_of(axis) else name


def title(name: str) -> str:
    """A name at the head of something: `peak LR` becomes `Peak LR`."""
    return name[:1].upper() + name[1:]


def value_label(axis: str, value: Any) -> str:
    """A value on an axis: shares as percent, budgets as amounts, words without underscores.

    A schedule's fields, as in `wsd(decay_fraction=0.1)`, stay as the sweep file spells them.
    """
    if pd.isna(value):
        return MISSING
    if isinstance(value, str):
        kind, bracket, fields = value.partition("(")
        return SCHEDULES.get(kind, kind.replace("_", " ")) + bracket + fields
    if axis.endswith("_fraction"):
        return f"{100 * value:.3g}%"
    if factor(axis) == "token_budget":
        return amount(value)
    return f"{value:g}" if isinstance(value, int) else f"{value:.3g}"


def baseline_names(sweep: Sweep) -> dict[str, str]:
    """The names of baselines."""
    return BASELINES | (BASELINES_OF_SEVERAL_STAGES if sweep.several_stages else {})


def baseline_meanings(sweep: Sweep) -> dict[str, str]:
    """What baselines do, in words."""
    return MEANING_OF_BASELINES | (MEANING_OF_SEVERAL_STAGES if sweep.several_stages else {})


def baseline_label(sweep: Sweep, baseline: str) -> str:
    """The name of a baseline."""
    return baseline_names(sweep).get(baseline, baseline.replace("_", " "))


def has_center(sweep: Sweep) -> bool:
    """Whether one setting is the sweep's centre; a grid need not have one."""
    return bool(sweep.trials["center"].any())


def center_name(sweep: Sweep) -> str:
    """What the setting is called that others are compared with."""
    return "centre" if has_center(sweep) else "reference"


def setting_label(sweep: Sweep, trial: Mapping[Any, Any], center: Mapping[str, Any]) -> str:
    """A setting in words: where it differs from the centre, or all of it where there is none.

    Args:
        sweep: Says whether a centre was named.
        trial: A row with the axes and `baseline`.
        center: As `measures.anchor` returns it.
    """
    if trial["baseline"]:
        return baseline_label(sweep, trial["baseline"])
    if has_center(sweep):
        told = [axis for axis in center if trial[axis] != center[axis]]
    else:
        told = [axis for axis in center if len(sweep.plan["axes"][axis]) > 1]
    # A factor without meaning for this trial tells nothing about it.
    parts = [
        f"{axis_label(axis)} {value_label(axis, trial[axis])}"
        for axis in told
        if pd.notna(trial[axis])
    ]
    return ", ".join(parts) or "centre"


def factors(sweep: Sweep, trial: Mapping[Any, Any]) -> str:
    """All factors of a trial but the seed, in one line."""
    return " · ".join(
        f"{axis_label(axis)} {value_label(axis, trial[axis])}" for axis in sweep.setting_axes
    )


def curve_name(name: str, status: str) -> str:
    """The name of a trial's curve: one that was stopped early says so."""
    return f"{name} (stopped)" if status == StatusWord.STOPPED else name


def loss(value: float) -> str:
    """Nats per token with three decimals; a dash where there is none."""
    return MISSING if pd.isna(value) else f"{value:.3f}".replace("-", MINUS)


def change(value: float) -> str:
    """A difference in nats per token, always with its sign."""
    if pd.isna(value):
        return MISSING
    return "0.000" if abs(value) < 0.0005 else f"{value:+.3f}".replace("-", MINUS)


def amount(value: float) -> str:
    """A count of tokens, bytes or parameters with three digits and a unit: 1.23M."""
    if pd.isna(value):
        return MISSING
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """A stretch of time in its largest two units: 2 h 5 min."""
    if pd.isna(seconds):
        return MISSING
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def listing(names: list[str]) -> str:
    """Names as a sentence lists them: `a, b and c`; with semicolons where a name has a comma."""
    if len(names) < 2:
        return "".join(names)
    if any(", " in name for name in names):
        return f"{'; '.join(names[:-1])}; and {names[-1]}"
    return f"{', '.join(names[:-1])} and {names[-1]}"
