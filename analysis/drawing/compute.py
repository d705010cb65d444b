"""Compute against loss, the paper's Figure 1: what each setting spent, and what it reached.

A continuation is shown at two prices: with the pre-training that it goes on from, as a lab pays
that starts with nothing, and without, as one pays that has the pre-trained model. Training from
random weights costs the same either way.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis import labels
from analysis.drawing import theme
from analysis.drawing.alternative import alternative
from analysis.drawing.chart import Chart, Key, panel
from analysis.drawing.plane import SYMBOLS, hover
from analysis.load import Sweep

CONTINUED = "continued"
REPLAYED = "continued with replay"
NO_REPLAY = "continued without replay"
PRICES = {"flops": "all training, pre-training included", "own_flops": "after pre-training"}
WIDE = 20.0
"""From this ratio of the dearest to the cheapest on, compute is on a logarithmic scale."""


def compute_points(
    sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame, center: Mapping[str, Any]
) -> pd.DataFrame:
    """What each setting with a complete trial spent and reached.

    Args:
        sweep: Its plan says what a state costs.
        trials: As `measures.trial_table` returns them.
        settings: As `settings.settings_table` returns them.
        center: As `settings.anchor` returns it.

    Returns:
        One row a setting: `setting`, `name`, `kind` (continued with or without replay, or which
        baseline), `color`, `symbol`; `flops` and `tokens` of training on the whole path, shared
        beginnings counted in full; `own_flops` and `own_tokens` of the stages after pre-training;
        `mean_loss` and `<role>_loss` (nats per token, means over seeds), `hover`.
    """
    spent = {state["state"]: state for state in sweep.plan["states"]}
    upstream = set(sweep.states.index[sweep.states["stage"] == "upstream"])
    paths = trials.drop_duplicates("setting").set_index("setting")["path"]
    replays = [axis for axis in center if labels.factor(axis) == "replay_fraction"]
    rows = []
    for key, setting in settings.iterrows():
        path = paths[str(key)]
        own = [state for state in path if state not in upstream]
        name = labels.setting_label(sweep, setting.to_dict(), center)
        rows.append(
            {
                "setting": key,
                "name": name,
                "kind": _kind(sweep, setting, replays),
                **{unit: sum(spent[state][unit] for state in path) for unit in ("flops", "tokens")},
                **{
                    f"own_{unit}": sum(spent[state][unit] for state in own)
                    for unit in ("flops", "tokens")
                },
                "mean_loss": setting["mean_loss"],
                **{f"{role}_loss": setting[f"{role}_loss"] for role in sweep.roles},
                "symbol": SYMBOLS.get(setting["baseline"], ""),
                "hover": hover(name, setting, center, sweep.roles),
            }
        )
    points = pd.DataFrame(rows)
    kinds = list(points["kind"].unique())
    colors = dict(zip(kinds, theme.categorical(len(kinds)), strict=True))
    plain = [kind for kind in kinds if kind in (CONTINUED, REPLAYED, NO_REPLAY)]
    filled = dict(zip(plain, theme.SYMBOLS, strict=False))
    points["color"] = points["kind"].map(colors)
    points["symbol"] = points["symbol"].mask(
        points["symbol"] == "", points["kind"].map(filled).astype(object).fillna("hexagon-open")
    )
    return points


def compute_chart(
    sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame, center: Mapping[str, Any]
) -> Chart | None:
    """The mean final loss at both prices, then each set's loss; None before a trial is complete."""
    if settings["mean_loss"].dropna().empty:
        return None
    points = compute_points(sweep, trials, settings, center)
    measures = {"mean_loss": "Mean final loss"}
    measures |= {f"{role}_loss": f"Final {role.upper()} loss" for role in sweep.roles}
    prices = [price for price in PRICES if price == "flops" or not _same(points)]
    panels = [
        panel(f"Mean final loss, {PRICES[price]}", compute_figure(points, price, "mean_loss"))
        for price in prices
    ]
    panels += [
        panel(f"{name}, {PRICES[prices[-1]]}", compute_figure(points, prices[-1], measure))
        for measure, name in measures.items()
        if measure != "mean_loss"
    ]
    keys = [
        Key(str(kind), rows["color"].iloc[0], rows["symbol"].iloc[0])
        for kind, rows in points.groupby("kind", sort=False)
    ]
    caption = (
        "One mark for each setting: lower is better, further left is cheaper. The mean loss "
        "rewards settings that hardly adapt, so the losses it is the mean of stand beside it. "
        "FLOPs are those of the plan; evaluations are not counted."
    )
    words = {
        "flops": ("FLOPs in all", _flops),
        "own_flops": ("FLOPs after pre-training", _flops),
        **{measure: (name.lower(), labels.loss) for measure, name in measures.items()},
    }
    told = alternative(points, "settings", "name", words)
    return Chart("", caption, keys, panels, told)


def compute_figure(points: pd.DataFrame, price: str, measure: str) -> go.Figure:
    """One measure against one price.

    Args:
        points: As `compute_points` returns them.
        price: flops | own_flops.
        measure: mean_loss or <role>_loss.
    """
    drawn = theme.figure(
        x_title=f"FLOPs, {PRICES[price]}", y_title="final loss, nats per token", height=300
    )
    for kind, rows in points.groupby("kind", sort=False):
        drawn.add_trace(
            go.Scatter(
                x=rows[price],
                y=rows[measure],
                name=theme.literal(str(kind)),
                legendgroup=kind,
                meta=theme.owned(list(rows["setting"])),
                mode="markers",
                marker={
                    "symbol": list(rows["symbol"]),
                    "size": 10,
                    "color": rows["color"].iloc[0],
                    "opacity": 0.9,
                    "line": {"width": 1.6, "color": rows["color"].iloc[0]},
                },
                customdata=[
                    f"{told}<br>{_flops(row['flops'])} FLOPs ({labels.amount(row['tokens'])} "
                    f"tokens), {_flops(row['own_flops'])} of them after pre-training"
                    for told, row in zip(rows["hover"], rows.to_dict("records"), strict=True)
                ],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
    spent = points.loc[points[price] > 0, price]
    if len(spent) and spent.max() / spent.min() > WIDE:
        drawn.update_xaxes(type="log")
    else:
        drawn.update_xaxes(rangemode="tozero")
    drawn.update_xaxes(exponentformat="power")
    return drawn


def _kind(sweep: Sweep, setting: pd.Series, replays: list[str]) -> str:
    if setting["baseline"]:
        return labels.baseline_label(sweep, setting["baseline"])
    if not replays:
        return CONTINUED
    return REPLAYED if any(setting[axis] for axis in replays) else NO_REPLAY


def _same(points: pd.DataFrame) -> bool:
    """Whether nothing was spent before any setting's own stages."""
    return bool((points["flops"] == points["own_flops"]).all())


def _flops(value: float) -> str:
    return f"{value:.3g}"
