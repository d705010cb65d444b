"""Pre-training: the runs that every continuation starts from."""

import pandas as pd
import plotly.graph_objects as go

from analysis import labels
from analysis.drawing import theme
from analysis.drawing.curves import thinned
from analysis.drawing.lines import Y_LOSS
from analysis.load import Sweep
from analysis.measures import whole_sets

TRAINING = "training loss"


def pretraining_curves(sweep: Sweep) -> pd.DataFrame:
    """Losses of the states that trials start from, and of shared beginnings not yet continued.

    Where each seed has one pre-training, a curve is a kind of loss. Where it has several (its
    schedule follows the trial's), a curve is a run, and `panel` parts the kinds of loss.

    Returns:
        `state`, `panel` and `curve` (kind of loss: of training, or a held-out set; run), `color`,
        `tokens`, `loss`; training loss thinned to at most `curves.MAX_POINTS` rows a state.
    """
    upstream = sweep.states[
        (sweep.states["stage"] == "upstream") & sweep.states.index.isin(sweep.begun)
    ]
    upstream = upstream[~upstream.index.isin(upstream["base"])]
    runs = _runs(sweep, list(upstream.index))
    several = len(set(runs.values())) > 1
    run_colors = dict(
        zip(dict.fromkeys(runs.values()), theme.categorical(len(set(runs.values()))), strict=True)
    )
    train = sweep.train[sweep.train["state"].isin(upstream.index)]
    parts = [thinned(train, ["state"]).assign(panel=TRAINING, color=theme.PALE)]
    evals = whole_sets(sweep)
    for role, color in zip(sweep.roles, theme.categorical(len(sweep.roles)), strict=True):
        rows = evals[evals["state"].isin(upstream.index) & (evals["role"] == role)]
        # A set of a later stage is evaluated at step 0 alone, which is no curve.
        if (rows["step"] > 0).any():
            name = f"held-out {role.upper()}, {sweep.dataset(role)}"
            parts.append(rows.assign(panel=name, color=color))
    columns = ["state", "panel", "curve", "color", "tokens", "loss"]
    table = pd.concat(parts, ignore_index=True)
    table["curve"] = table["state"].map(runs) if several else table["panel"]
    if several:
        table["color"] = table["curve"].map(run_colors)
    return table[columns]


def _runs(sweep: Sweep, upstream: list[str]) -> dict[str, str]:
    """The name of each pre-training: the schedule of the trials that start from it.

    Where one schedule starts from several (of one seed), they are told apart by their labels.
    """
    plain = sweep.trials[sweep.trials["baseline"] == ""]
    names, seeds = {}, {}
    for state in upstream:
        users = plain[[state in path for path in plain["path"]]]
        schedules = users["schedule"].dropna() if "schedule" in users else pd.Series(dtype=object)
        told = [labels.value_label("schedule", schedule) for schedule in schedules.unique()]
        names[state] = labels.listing(told)
        seeds[state] = tuple(sorted(users["seed"].unique()))
    identities = [(names[state], seeds[state]) for state in upstream]
    runs_of_a_seed = len({seeds[state] for state in upstream}) < len(upstream)
    if not runs_of_a_seed:
        return dict.fromkeys(upstream, "")
    if all(names.values()) and len(set(identities)) == len(identities):
        return names
    return {state: str(sweep.states.at[state, "label"]) for state in upstream}


def pretraining_figure(curves: pd.DataFrame) -> go.Figure:
    """Loss against tokens, one line for each state and kind of loss."""
    drawn = theme.figure(x_title="tokens of pre-training", y_title=Y_LOSS)
    for (state, _, name), rows in curves.groupby(["state", "panel", "curve"], sort=False):
        drawn.add_trace(
            go.Scatter(
                x=rows["tokens"],
                y=rows["loss"],
                name=theme.literal(str(name)),
                legendgroup=name,
                mode="lines",
                line={"color": rows["color"].iloc[0], "width": theme.WIDTH},
                hovertemplate=f"<b>{theme.literal(str(name))}</b><br>%{{x}} tokens: %{{y:.4f}}"
                f"<br>{theme.literal(str(state))}<extra></extra>",
            )
        )
    return drawn
