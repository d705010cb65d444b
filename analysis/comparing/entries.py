"""Sweeps that stand on one page: each with its own measures, name, colour and mark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.drawing import theme
from analysis.load import Sweep
from analysis.measures import trial_table
from analysis.settings import anchor, settings_table
from analysis.units import Unit


@dataclass(frozen=True)
class Entry:
    """One of the sweeps that are compared.

    Attributes:
        name: Of the sweep; with a number where several are called the same.
        sweep: In the unit of the comparison.
        trials: As `measures.trial_table` returns them.
        center: As `settings.anchor` returns it.
        settings: As `settings.settings_table` returns them.
        color: A role of colours.
        symbol: A mark.
        dash: A pattern of lines.
    """

    name: str
    sweep: Sweep
    trials: pd.DataFrame
    center: Mapping[str, Any]
    settings: pd.DataFrame
    color: str
    symbol: str
    dash: str


def entries(sweeps: Sequence[Sweep], unit: Unit) -> list[Entry]:
    """What the comparison is made from.

    Args:
        sweeps: As they were loaded, in the order in which they were named.
        unit: What losses are counted in.
    """
    names = unique_names([str(sweep.plan["name"]) for sweep in sweeps])
    colors = theme.categorical(len(sweeps))
    made = []
    for index, (name, color) in enumerate(zip(names, colors, strict=True)):
        sweep = sweeps[index].in_unit(unit)
        trials = trial_table(sweep)
        center = anchor(sweep)
        settings = settings_table(sweep, trials, center)
        symbol, dash = (marks[index % len(marks)] for marks in (theme.SYMBOLS, theme.DASHES))
        made.append(Entry(name, sweep, trials, center, settings, color, symbol, dash))
    return made


def unique_names(names: Sequence[str]) -> list[str]:
    """The names, of which those that came before get a number: `a`, `a (2)`."""
    told: list[str] = []
    for name in names:
        number, one = 1, name
        while one in told:
            number += 1
            one = f"{name} ({number})"
        told.append(one)
    return told
