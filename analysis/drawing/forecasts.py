"""What fits say of settings that were not run: along each dial, and with more tokens."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis import labels
from analysis.drawing import theme
from analysis.drawing.alternative import alternative
from analysis.drawing.chart import Chart, Key, panel
from analysis.drawing.lines import X_STAGE, Y_LOSS, log_ticks
from analysis.load import Sweep
from analysis.predicting.held_out import LAW, SURFACE

COLORS = {LAW: "var(--cat-0)", SURFACE: "var(--cat-1)"}
DASHES = {LAW: theme.DASHES[0], SURFACE: theme.DASHES[1]}
MEASURED = "measured, mean over seeds"
MEASURES = ("forgetting", "adaptation")


def dial_chart(
    table: pd.DataFrame, measured: pd.DataFrame, reference: Mapping[str, float]
) -> Chart | None:
    """Predicted forgetting and adaptation along peak and replay; None where nothing holds.

    Args:
        table: As `predicting.tables.along_dials` returns it.
        measured: As `predicting.tables.usual_measured` returns it, with `name`.
        reference: Dial to its value in the reference.
    """
    if table.empty:
        return None
    models = [model for model in COLORS if (table["model"] == model).any()]
    keys = [Key(model, COLORS[model], "line", DASHES[model]) for model in models]
    keys.append(Key(MEASURED, theme.INK, "circle-open"))
    panels = []
    for dial, rows in table.groupby("dial", sort=False):
        other = next(name for name in reference if name != dial)
        points = measured[np.isclose(measured[other], reference[other])]
        for measure in MEASURES:
            title = f"{labels.title(measure)} against {labels.axis_label(str(dial))}"
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
    curves = table.groupby(["dial", "model"], sort=False)
    ends = pd.concat([curves.head(1), curves.tail(1)]).sort_index()
    named = ends.assign(name=[_told(row) for row in ends.to_dict("records")])
    words = alternative(
        named,
        "ends of curves",
        "name",
        {"forgetting": ("forgetting", labels.change), "adaptation": ("adaptation", labels.loss)},
    )
    return Chart("Predicted between and beyond the settings tried", caption, keys, panels, words)


def dial_figure(table: pd.DataFrame, points: pd.DataFrame, dial: str, measure: str) -> go.Figure:
    """One measure along one dial."""
    drawn = theme.figure(x_title=labels.axis_label(dial), y_title="nats per token", height=270)
    for model, rows in table.groupby("model", sort=False):
        for column, width, dash in (
            (measure, theme.WIDTH, DASHES[str(model)]),
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
            meta=theme.owned(list(points["setting"])),
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
    ends = table.groupby(["times", "role"], sort=False).tail(1)
    named = ends.assign(
        name=[f"{_budget(row['times'])}, {row['role'].upper()}" for row in ends.to_dict("records")]
    )
    words = alternative(
        named,
        "ends of curves",
        "name",
        {"tokens": ("tokens", labels.amount), "loss": ("loss", labels.loss)},
    )
    return Chart("With a longer budget", caption, keys, panels, words)


def _budget(times: int) -> str:
    return "the budget of this sweep" if times == 1 else f"{times} times the budget"


def _told(row: Mapping[object, object]) -> str:
    dial = str(row["dial"])
    return f"{row['model']}, {labels.axis_label(dial)} {labels.value_label(dial, row['value'])}"
