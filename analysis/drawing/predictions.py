"""Predictions as pictures: against what was measured, along each dial, and with more tokens."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis import labels
from analysis.drawing import theme
from analysis.drawing.chart import Chart, Key, panel
from analysis.drawing.lines import X_STAGE, Y_LOSS, log_ticks
from analysis.load import Sweep
from analysis.predicting.held_out import BOUND, LAW, SURFACE

COLORS = {LAW: "var(--cat-0)", SURFACE: "var(--cat-1)"}
BAND = f"within {BOUND:.0%} of the loss"
MEASURED = "measured, mean over seeds"
TITLES = {"forgetting": "forgetting", "adaptation": "adaptation"}


def parity_chart(sweep: Sweep, table: pd.DataFrame, names: Mapping[str, str]) -> Chart | None:
    """Predicted against measured final losses; None where no fit holds.

    Args:
        sweep: For names.
        table: As `predicting.tables.parity` returns it.
        names: Setting to its name in words.
    """
    if table.empty:
        return None
    models = [model for model in COLORS if (table["model"] == model).any()]
    keys = [Key(f"{model}, held out", COLORS[model], "circle") for model in models]
    keys += [Key(f"{model}, fitted", COLORS[model], "circle-open") for model in models]
    keys.append(Key(BAND, theme.MUTED, "dash"))
    panels = [
        panel(
            f"{role.upper()} loss, {sweep.dataset(role)}",
            parity_figure(table[table["role"] == role], names),
        )
        for role in sorted(table["role"].unique())
    ]
    caption = (
        "One full point for each setting, predicted by a fit that had seen none of its seeds; the "
        f"ring is what the fit to all settings gives. The nearer to the line the better; {BAND} "
        "between the dashed ones. A fit that does not hold is not drawn."
    )
    return Chart("Predicted against measured final losses", caption, keys, panels)


def parity_figure(table: pd.DataFrame, names: Mapping[str, str]) -> go.Figure:
    """One held-out set's final losses: measured to the right, predicted upwards."""
    drawn = theme.figure(
        x_title="measured final loss, nats per token",
        y_title="predicted, nats per token",
        height=360,
    )
    losses = table[["observed", "fitted", "held_out"]]
    low, high = float(losses.min().min()), float(losses.max().max())
    air = 0.06 * (high - low) or 0.01
    ends = np.array([low - air, high + air])
    for share, dash in ((0.0, "solid"), (BOUND, "dash"), (-BOUND, "dash")):
        drawn.add_trace(
            go.Scatter(
                x=ends,
                y=ends * (1 + share),
                name=BAND if share else "",
                legendgroup=BAND if share else "",
                mode="lines",
                line={"color": theme.MUTED, "width": 1.2, "dash": dash},
                hoverinfo="skip",
            )
        )
    for model, rows in table.groupby("model", sort=False):
        for column, words in (("fitted", "fitted"), ("held_out", "held out")):
            name = f"{model}, {words}"
            symbol = "circle" if column == "held_out" else "circle-open"
            drawn.add_trace(
                go.Scatter(
                    x=rows["observed"],
                    y=rows[column],
                    name=name,
                    legendgroup=name,
                    mode="markers",
                    marker={
                        "symbol": symbol,
                        "size": 8 if column == "held_out" else 11,
                        "color": COLORS[str(model)],
                        "opacity": 1,
                        "line": {"width": 1.4, "color": COLORS[str(model)]},
                    },
                    customdata=[theme.literal(names.get(one, one)) for one in rows["setting"]],
                    hovertemplate=f"<b>%{{customdata}}</b><br>{name}: %{{y:.4f}}"
                    "<br>measured: %{x:.4f}<extra></extra>",
                )
            )
    drawn.update_xaxes(range=tuple(ends))
    drawn.update_yaxes(range=tuple(ends))
    return drawn


def dial_chart(
    sweep: Sweep, table: pd.DataFrame, measured: pd.DataFrame, reference: Mapping[str, float]
) -> Chart | None:
    """Predicted forgetting and adaptation along peak and replay; None where nothing holds.

    Args:
        sweep: For names.
        table: As `predicting.tables.along_dials` returns it.
        measured: One row a setting of the sweep that is as the reference but for the two dials:
            `max_lr`, `replay_fraction`, `forgetting`, `adaptation`, `name`.
        reference: Dial to its value in the reference.
    """
    if table.empty:
        return None
    models = [model for model in COLORS if (table["model"] == model).any()]
    keys = [Key(model, COLORS[model], "line") for model in models]
    keys.append(Key(MEASURED, theme.INK, "circle-open"))
    panels = []
    for dial, rows in table.groupby("dial", sort=False):
        other = next(name for name in reference if name != dial)
        points = measured[np.isclose(measured[other], reference[other])]
        for measure, words in TITLES.items():
            title = f"{labels.title(words)} against {labels.axis_label(str(dial))}"
            panels.append(panel(title, dial_figure(rows, points, str(dial), measure)))
    told = " and ".join(
        f"{labels.axis_label(dial)} {labels.value_label(dial, value)}"
        for dial, value in reference.items()
    )
    caption = (
        f"Predictions around {told}, one of the two varied at a time; the law also outside of what "
        "was tried. Dotted: the 95% prediction interval of the mean over seeds. Rings: settings "
        "that were run."
    )
    return Chart("Predicted between and beyond the settings tried", caption, keys, panels)


def dial_figure(table: pd.DataFrame, points: pd.DataFrame, dial: str, measure: str) -> go.Figure:
    """One measure along one dial."""
    drawn = theme.figure(x_title=labels.axis_label(dial), y_title="nats per token", height=270)
    for model, rows in table.groupby("model", sort=False):
        for column, width, dash in (
            (measure, theme.WIDTH, "solid"),
            (f"{measure}_low", 1, "dot"),
            (f"{measure}_high", 1, "dot"),
        ):
            drawn.add_trace(
                go.Scatter(
                    x=rows["value"],
                    y=rows[column],
                    name=str(model),
                    legendgroup=str(model),
                    mode="lines",
                    line={"color": COLORS[str(model)], "width": width, "dash": dash},
                    hovertemplate=f"{model}: %{{y:.3f}}<extra></extra>"
                    if column == measure
                    else None,
                    hoverinfo=None if column == measure else "skip",
                )
            )
    drawn.add_trace(
        go.Scatter(
            x=points[dial],
            y=points[measure],
            name=MEASURED,
            legendgroup=MEASURED,
            mode="markers",
            marker={"symbol": "circle-open", "size": 9, "color": theme.INK, "opacity": 1},
            customdata=[theme.literal(name) for name in points["name"]],
            hovertemplate="<b>%{customdata}</b><br>%{y:.3f}<extra></extra>",
        )
    )
    if dial == "max_lr":
        drawn.update_xaxes(**log_ticks(table["value"]))
    else:
        drawn.update_xaxes(tickformat=".3~%")
    return drawn


def longer_chart(sweep: Sweep, table: pd.DataFrame, reference: pd.DataFrame) -> Chart | None:
    """Loss curves with more tokens by the law; None where it does not hold.

    Args:
        sweep: For names.
        table: As `predicting.tables.longer` returns it.
        reference: What was measured at the reference: `role`, `tokens`, `loss`.
    """
    if table.empty:
        return None
    budgets = sorted(table["times"].unique())
    colors = dict(zip(budgets, theme.sequential(len(budgets)), strict=True))
    keys = [Key(_budget(times), colors[times], "line") for times in budgets]
    keys.append(Key(MEASURED, theme.INK, "circle-open"))
    panels = []
    for role, rows in table.groupby("role", sort=True):
        drawn = theme.figure(x_title=X_STAGE, y_title=Y_LOSS, height=300)
        for times, curve in rows.groupby("times", sort=True):
            name = _budget(int(str(times)))
            drawn.add_trace(
                go.Scatter(
                    x=curve["tokens"],
                    y=curve["loss"],
                    name=name,
                    legendgroup=name,
                    mode="lines",
                    line={"color": colors[times], "width": theme.WIDTH},
                    hovertemplate=f"{name}<br>%{{x}} tokens: %{{y:.4f}}<extra></extra>",
                )
            )
        known = reference[reference["role"] == role]
        drawn.add_trace(
            go.Scatter(
                x=known["tokens"],
                y=known["loss"],
                name=MEASURED,
                legendgroup=MEASURED,
                mode="markers",
                marker={"symbol": "circle-open", "size": 6, "color": theme.INK, "opacity": 1},
                hovertemplate="%{x} tokens: %{y:.4f}<extra></extra>",
            )
        )
        panels.append(panel(f"{str(role).upper()} loss, {sweep.dataset(str(role))}", drawn))
    caption = (
        "The reference setting with the same schedule stretched over more tokens, by the loss law. "
        "It knows nothing of the first steps of a re-warming; read the ends of the curves. Beyond "
        "the budgets of this sweep nothing was run to check them by."
    )
    return Chart("With a longer budget", caption, keys, panels)


def _budget(times: int) -> str:
    return "the budget of this sweep" if times == 1 else f"{times} times the budget"
