"""The centres of several sweeps, their curves drawn over each other."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.comparing.entries import Entry
from analysis.comparing.highlights import Keys
from analysis.drawing import lines
from analysis.drawing.curves import loss_curves, lr_curves, only_center


def center_losses(entries: Sequence[Entry], keys: Keys) -> pd.DataFrame:
    """Held-out losses of the centres, all their seeds.

    Args:
        entries: The sweeps.
        keys: As `highlights.keys_of` returns them.

    Returns:
        As `drawing.curves.loss_curves`, in the unit of the entries; `curve`, `color` and `dash`
        are the sweep's, `trial` bears its name, `setting` is the key, `start` is left out.
    """
    return pd.concat(
        [_of(entry, loss_curves(entry.sweep, _centers(entry)), keys) for entry in entries],
        ignore_index=True,
    )


def center_rates(entries: Sequence[Entry], keys: Keys) -> pd.DataFrame:
    """Learning rates of the centres, as `drawing.curves.lr_curves` returns them."""
    return pd.concat(
        [_of(entry, lr_curves(entry.sweep, _centers(entry)), keys) for entry in entries],
        ignore_index=True,
    )


def loss_figure(curves: pd.DataFrame, role: str, unit: str) -> go.Figure:
    """Loss on one set against tokens since pre-training.

    Args:
        curves: As `center_losses` returns them, of sweeps that measure the role on one text.
        role: d0, d1, ...
        unit: In words.
    """
    drawn = lines.loss_figure(curves, role, x_title=lines.X_PATH)
    drawn.update_yaxes(title_text=f"loss, {unit}")
    return drawn


def rate_figure(curves: pd.DataFrame) -> go.Figure:
    """Learning rate against tokens since pre-training."""
    return lines.lr_figure(curves, x_title=lines.X_PATH, height=330)


def _centers(entry: Entry) -> pd.DataFrame:
    return only_center(entry.sweep, entry.trials, entry.center)


def _of(entry: Entry, curves: pd.DataFrame, keys: Keys) -> pd.DataFrame:
    # Trials of two sweeps may bear one name. Their mean start would be no sweep's own.
    return curves.assign(
        trial=[f"{entry.name}: {trial}" for trial in curves["trial"]],
        setting=[keys[entry.name, str(setting)] for setting in curves["setting"]],
        curve=entry.name,
        color=entry.color,
        dash=entry.dash,
        central=False,
        start=np.nan,
    )
