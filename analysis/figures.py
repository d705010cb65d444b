"""A sweep's figures for notebooks and papers: the report's own, by name.

    sweep = analysis.load(folder)
    figures.names(sweep)                          # ['plane', 'compute-mean-final-loss-...', ...]
    figures.draw(sweep, "plane", theme="dark")    # a plotly figure
    figures.write_figures(sweep, Path("paper"), formats=("svg", "png"))

A name is its section (a key of `drawing.gallery.SECTIONS`), the chart and the panel, as far as they
have titles. What each section shows, and the function whose docstring has the columns and units of
the table it is drawn from:

    plane        forgetting (x) against adaptation (y)              drawing.plane.plane_points
    compute      FLOPs (x) against final losses                     drawing.compute.compute_points
    path         losses and rates from pre-training on              drawing.curves.loss_curves
    scatters     each measure against each factor                   settings.settings_table
    axes         losses along each axis, and where they end         drawing.curves.loss_curves,
                                                                    drawing.endpoints.end_points
    two_way      measures over two factors, a heat map              drawing.two_way.cells
    parallel     a line through all factors for each setting        drawing.parallel.parallel_lines
    domains      forgetting and adaptation by domain                domains.domain_changes
    dips         the first share of a stage                         drawing.curves.loss_curves
    rates        learning rates                                     drawing.curves.lr_curves
    prediction   predicted against measured losses, and beyond      predicting.tables
    pretraining  losses of pre-training         drawing.pretraining.pretraining_curves
    throughput   tokens a second, and time                          drawing.throughput.speeds, hours

Losses, forgetting and adaptation are nats per token; curves count training tokens, replay included.
"""

import importlib.util
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import plotly.graph_objects as go
import plotly.io

from analysis.drawing import theme as style
from analysis.drawing.chart import Chart, Key
from analysis.drawing.gallery import SECTIONS, measured, section
from analysis.load import Sweep

FORMATS = ("svg", "png")
WIDTH = 720
"""Of a figure in a file, in pixels; its height is the page's."""
SHARPNESS = 2
"""Pixels of a PNG for one of the figure's."""

ABOVE = {"orientation": "h", "xanchor": "left", "x": 0, "yanchor": "bottom", "y": 1.08}
"""Where the legend stands: at the right are names of curves, just above those of stages."""


class NoBrowserError(RuntimeError):
    """Figures cannot be written as files here: a program that draws them is missing."""


def names(sweep: Sweep) -> list[str]:
    """The names of all figures that this sweep has, in the order of the report."""
    tables = measured(sweep)
    return [name for part in SECTIONS for name, *_ in _named(part, section(part, tables))]


def draw(sweep: Sweep, name: str, theme: str = "light") -> go.Figure:
    """One figure, with colours, a legend and a background of its own.

    Args:
        sweep: As `analysis.load` returns it.
        name: One of `names(sweep)`.
        theme: light | dark.

    Raises:
        ValueError: There is no such figure in this sweep, or no such theme.
    """
    if theme not in style.PALETTE:
        raise ValueError(f"theme is {theme!r}; it must be one of {', '.join(style.PALETTE)}")
    part = name.partition("-")[0]
    if part in SECTIONS:
        for found, chart, figure in _named(part, section(part, measured(sweep))):
            if found == name:
                return _alone(figure, chart.keys, theme)
    raise ValueError(f"no figure is called {name!r}; this sweep has {', '.join(names(sweep))}")


def write_figures(
    sweep: Sweep, folder: Path, formats: Sequence[str] = ("svg",), theme: str = "light"
) -> list[Path]:
    """Writes every figure as `<folder>/<name>.<format>`, for a paper.

    Args:
        sweep: As `analysis.load` returns it.
        folder: Made where it is missing.
        formats: svg | png, any of them.
        theme: light | dark.

    Returns:
        The files written, in the order of the report.

    Raises:
        ValueError: A format or theme is not one of these.
        NoBrowserError: The package kaleido, or a browser for it, is missing.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise ValueError(f"formats are {list(formats)}; each must be one of {', '.join(FORMATS)}")
    if theme not in style.PALETTE:
        raise ValueError(f"theme is {theme!r}; it must be one of {', '.join(style.PALETTE)}")
    if importlib.util.find_spec("kaleido") is None:
        raise NoBrowserError(
            "figures as files are drawn by kaleido, which is not installed: "
            "pip install 'rewarm[figures]'"
        )
    tables = measured(sweep)
    drawn = [
        (folder / f"{name}.{kind}", _alone(figure, chart.keys, theme))
        for part in SECTIONS
        for name, chart, figure in _named(part, section(part, tables))
        for kind in formats
    ]
    folder.mkdir(parents=True, exist_ok=True)
    _write([path for path, _ in drawn], [figure for _, figure in drawn])
    return [path for path, _ in drawn]


def _write(paths: list[Path], figures: list[go.Figure]) -> None:
    """Writes the figures; plotly reports a missing browser in a page of advice."""
    try:
        plotly.io.write_images(
            fig=figures,
            file=paths,
            width=WIDTH,
            height=[figure.layout.height for figure in figures],
            scale=[SHARPNESS if path.suffix == ".png" else 1 for path in paths],
        )
    except RuntimeError as error:
        if "plotly_get_chrome" not in str(error):
            raise
        raise NoBrowserError(
            "figures as files are drawn in a Chromium or Chrome, and none was found: install one, "
            "name it in BROWSER_PATH, or let `plotly_get_chrome` download it"
        ) from error


def _named(part: str, charts: list[Chart]) -> Iterator[tuple[str, Chart, go.Figure]]:
    """The figures of a section with their names; equal names are numbered from the second on."""
    seen: dict[str, int] = {}
    for chart in charts:
        for panel in chart.panels:
            name = "-".join(filter(None, [part, _slug(chart.title), _slug(panel.title)]))
            if part == "plane":
                name = part
            seen[name] = seen.get(name, 0) + 1
            yield name if seen[name] == 1 else f"{name}-{seen[name]}", chart, panel.figure


def _slug(title: str) -> str:
    """A title as part of a file's name: small letters and digits between hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60].strip("-")


def _alone(figure: go.Figure, keys: Sequence[Key], theme: str) -> go.Figure:
    """A figure outside the page: colours resolved, plotly's legend for the page's."""
    drawn = style.resolved(figure, theme)
    told: set[str] = set()
    for trace in drawn.data:
        group = trace.legendgroup
        if group is None or group in told or group not in {key.name for key in keys}:
            trace.showlegend = False
            continue
        told.add(group)
        trace.name, trace.showlegend = style.literal(group), True
    paper = style.PALETTE[theme]["paper"]
    drawn.update_layout(
        showlegend=bool(told),
        legend=ABOVE,
        paper_bgcolor=paper,
        plot_bgcolor=paper,
    )
    return drawn
