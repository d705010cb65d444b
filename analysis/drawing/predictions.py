"""The charts of the section on prediction, and the first of them: predicted against measured."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis import labels
from analysis.drawing import theme
from analysis.drawing.alternative import alternative
from analysis.drawing.chart import Chart, Key, panel
from analysis.drawing.forecasts import COLORS, dial_chart, longer_chart
from analysis.load import Sweep
from analysis.predicting import tables
from analysis.predicting.courses import DIALS
from analysis.predicting.held_out import BOUND, LAW, SURFACE
from analysis.predicting.outlook import Outlook, outlook
from analysis.predicting.proposals import bounds

SYMBOLS = {LAW: "circle", SURFACE: "diamond"}
BAND = f"within {BOUND:.0%} of the loss"


def prediction_charts(
    sweep: Sweep,
    trials: pd.DataFrame,
    settings: pd.DataFrame,
    center: Mapping[str, object],
    found: Outlook | None = None,
) -> list[Chart]:
    """Predicted against measured, along each dial, and with more tokens; where a fit holds.

    Args:
        sweep: Any.
        trials: As `measures.trial_table` returns them.
        settings: As `settings.settings_table` returns them.
        center: As `settings.anchor` returns it.
        found: As `predicting.outlook.outlook` returns it; None: it is made here.
    """
    found = outlook(sweep, trials) if found is None else found
    if found.why:
        return []
    names = {
        str(setting): labels.setting_label(sweep, row.to_dict(), center)
        for setting, row in settings.iterrows()
    }
    charts = [parity_chart(sweep, tables.parity(found), names)]
    unrun = found.unrun
    if unrun is not None and found.holding() and bounds(found.courses, LAW) is not None:
        reference = dict(zip(DIALS, (unrun.peak, unrun.replay), strict=True))
        measured = tables.usual_measured(found)
        measured["name"] = measured["setting"].map(names)
        charts += [
            dial_chart(tables.along_dials(found), measured, reference),
            longer_chart(
                sweep,
                tables.longer(found, sweep.tokens_per_step),
                tables.reference_curve(sweep, trials, found),
            ),
        ]
    return [chart for chart in charts if chart is not None]


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
    keys = [Key(f"{model}, held out", COLORS[model], SYMBOLS[model]) for model in models]
    keys += [Key(f"{model}, fitted", COLORS[model], f"{SYMBOLS[model]}-open") for model in models]
    keys.append(Key(BAND, theme.MUTED, "dash"))
    table = table.assign(name=table["setting"].map(names))
    panels = [
        panel(
            f"{role.upper()} loss, {sweep.dataset(role)}",
            parity_figure(table[table["role"] == role]),
        )
        for role in sorted(table["role"].unique())
    ]
    caption = (
        "One full mark for each setting, predicted by a fit that had seen none of its seeds; the "
        "open one is what the fit to all settings gives. The nearer to the line the better; "
        f"{BAND} between the dashed ones. A fit that does not hold is not drawn."
    )
    told = table.assign(name=[_told(row) for row in table.to_dict("records")])
    numbers = {
        "observed": ("measured", labels.loss),
        "held_out": ("predicted, held out", labels.loss),
        "share": ("error, share of the loss", lambda value: f"{value:.2%}"),
    }
    words = alternative(told, "predictions", "name", numbers)
    return Chart("Predicted against measured final losses", caption, keys, panels, words)


def parity_figure(table: pd.DataFrame) -> go.Figure:
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
    for model in table["model"].unique():
        rows = table[table["model"] == model]
        for column, words in (("fitted", "fitted"), ("held_out", "held out")):
            name = f"{model}, {words}"
            drawn.add_trace(
                go.Scatter(
                    x=rows["observed"],
                    y=rows[column],
                    name=name,
                    legendgroup=name,
                    meta=theme.owned(list(rows["setting"])),
                    mode="markers",
                    marker={
                        "symbol": SYMBOLS[model] + ("" if column == "held_out" else "-open"),
                        "size": 8 if column == "held_out" else 11,
                        "color": COLORS[model],
                        "opacity": 1,
                        "line": {"width": 1.4, "color": COLORS[model]},
                    },
                    customdata=[theme.literal(str(one)) for one in rows["name"]],
                    hovertemplate=f"<b>%{{customdata}}</b><br>{name}: %{{y:.4f}}"
                    "<br>measured: %{x:.4f}<extra></extra>",
                )
            )
    drawn.update_xaxes(range=tuple(ends))
    drawn.update_yaxes(range=tuple(ends))
    return drawn


def _told(row: Mapping[object, object]) -> str:
    return f"{row['name']}, {str(row['role']).upper()}, {row['model']}"
