"""Whole paths side by side: losses and learning rates from pre-training to the last stage."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis import labels
from analysis.drawing import lines
from analysis.drawing.chart import Chart, keys_of, panel, stopped_note
from analysis.drawing.curve_numbers import losses_told
from analysis.drawing.curves import along_axis, loss_curves, lr_curves, only_center
from analysis.load import Sweep
from analysis.stages import beginnings


def path_choice(sweep: Sweep, trials: pd.DataFrame, center: Mapping[str, Any]) -> pd.DataFrame:
    """The curves to compare over whole paths: one a schedule, or the centre where none varies."""
    if "schedule" in center:
        chosen = along_axis(sweep, trials, "schedule", center)
        if chosen["schedule"].nunique() > 1:
            return chosen
    return only_center(sweep, trials, center)


def path_chart(sweep: Sweep, trials: pd.DataFrame, center: Mapping[str, Any]) -> Chart | None:
    """Learning rate and losses of whole paths; None where nothing comes before the only stage."""
    chosen = path_choice(sweep, trials, center)
    rates = lr_curves(sweep, chosen, upstream=True)
    losses = loss_curves(sweep, chosen, upstream=True)
    if losses.empty or not (sweep.several_stages or (losses["stage"] == 0).any()):
        return None
    marks = beginnings(sweep, chosen, upstream=True)
    x_title = "tokens of all stages"
    panels = [
        panel(
            "Learning rate",
            lines.lr_figure(rates, x_title=x_title, marks=marks, height=330),
        ),
        *(
            panel(
                f"{role.upper()} loss, {sweep.dataset(role)}",
                lines.loss_figure(losses, role, x_title=x_title, marks=marks),
            )
            for role in sweep.roles
            if (losses.loc[losses["role"] == role, "step"] > 0).any()
        ),
    ]
    middle = labels.center_name(sweep)
    what = "each schedule" if "schedule" in chosen and len(chosen) > 1 else f"the {middle}"
    caption = (
        f"Pre-training and {'every' if sweep.several_stages else 'the'} stage after it, for "
        f"{what}; the thick curve is the {middle}'s. "
        "At each vertical line the next data set begins. The dashed line is the pre-trained "
        "model's loss, a mean where there are several; losses of early pre-training lie above "
        "the scale."
        f"{stopped_note(chosen)}"
    )
    roles = [role for role in sweep.roles if role in set(losses["role"])]
    return Chart("", caption, keys_of(chosen), panels, losses_told(losses, roles))
