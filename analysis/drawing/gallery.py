"""Every chart of a sweep, section by section: what the page shows and `analysis.figures` offers."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from analysis.drawing import charts, scatter, slices
from analysis.drawing.chart import Chart
from analysis.drawing.compute import compute_chart
from analysis.drawing.domain_dots import domain_chart
from analysis.drawing.every_trial import every_trial_losses, every_trial_rates
from analysis.drawing.parallel import parallel_chart
from analysis.drawing.predictions import prediction_charts
from analysis.drawing.throughput import throughput_chart
from analysis.drawing.two_way import two_way_charts
from analysis.drawing.whole_path import path_chart
from analysis.load import Sweep
from analysis.measures import trial_table
from analysis.settings import anchor, settings_table


class Measured(NamedTuple):
    """A sweep with the tables that charts are drawn from.

    Attributes:
        sweep: As `load.load_sweep` returns it.
        trials: As `measures.trial_table` returns them.
        settings: As `settings.settings_table` returns them.
        center: As `settings.anchor` returns it.
    """

    sweep: Sweep
    trials: pd.DataFrame
    settings: pd.DataFrame
    center: Mapping[str, Any]


def measured(sweep: Sweep) -> Measured:
    """A sweep with its tables."""
    trials, center = trial_table(sweep), anchor(sweep)
    return Measured(sweep, trials, settings_table(sweep, trials, center), center)


def section(name: str, tables: Measured) -> list[Chart]:
    """The charts of a section, a key of `SECTIONS`; none where there is nothing to draw."""
    return SECTIONS[name](*tables)


def _one(chart: Chart | None) -> list[Chart]:
    return [] if chart is None else [chart]


def _no_slices(sweep: Sweep, trials: pd.DataFrame, center: Mapping[str, Any]) -> bool:
    """Whether axes are swept, and none can be followed on its own."""
    return bool(slices.swept(sweep)) and not slices.slices(sweep, trials, center)


def _axes(
    sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame, center: Mapping[str, Any]
) -> list[Chart]:
    every: list[Chart] = []
    if _no_slices(sweep, trials, center):
        every = every_trial_losses(sweep, trials, settings)
    return every + slices.axis_charts(sweep, trials, center)


def _rates(
    sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame, center: Mapping[str, Any]
) -> list[Chart]:
    if _no_slices(sweep, trials, center):
        return every_trial_rates(sweep, trials, settings)
    return slices.rate_charts(sweep, trials, center)


Section = Callable[[Sweep, pd.DataFrame, pd.DataFrame, Mapping[str, Any]], list[Chart]]

SECTIONS: dict[str, Section] = {
    "plane": lambda sweep, _, settings, center: _one(charts.plane_chart(sweep, settings, center)),
    "compute": lambda *tables: _one(compute_chart(*tables)),
    "path": lambda sweep, trials, _, center: _one(path_chart(sweep, trials, center)),
    "scatters": scatter.scatter_charts,
    "axes": _axes,
    "two_way": two_way_charts,
    "parallel": lambda sweep, _, settings, center: _one(parallel_chart(sweep, settings, center)),
    "domains": lambda *tables: _one(domain_chart(*tables)),
    "dips": lambda sweep, trials, _, center: slices.dip_charts(sweep, trials, center),
    "rates": _rates,
    "prediction": prediction_charts,
    "pretraining": lambda sweep, *_: _one(charts.pretraining_chart(sweep)),
    "throughput": lambda *tables: _one(throughput_chart(*tables)),
}
"""Sections in the order of the page."""
