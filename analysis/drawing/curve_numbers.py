"""Curves in words and numbers: where each began, how high it climbed, where it ended."""

from collections.abc import Sequence

import pandas as pd

from analysis import labels
from analysis.drawing.alternative import Alternative, Writer, alternative


def curve_numbers(curves: pd.DataFrame, roles: Sequence[str]) -> pd.DataFrame:
    """One row a curve of the legend; means over its trials.

    Args:
        curves: As `curves.loss_curves` returns them.
        roles: The data sets to tell of.

    Returns:
        `curve`, `setting` (of its first trial), and for each role `<role>_start`, `<role>_top`
        (largest after the first) and `<role>_last`, nats per token; NaN where there is none.
    """
    firsts = curves.groupby("curve", sort=False)["setting"].first()
    columns = {"setting": firsts}
    for role in roles:
        rows = curves[curves["role"] == role]
        trials = rows.groupby(["curve", "trial"], sort=False)["loss"]
        later = rows[trials.cumcount() > 0].groupby(["curve", "trial"], sort=False)["loss"]
        for name, losses in (("start", trials.first()), ("top", later.max())):
            columns[f"{role}_{name}"] = losses.groupby("curve").mean()
        columns[f"{role}_last"] = trials.last().groupby("curve").mean()
    table = pd.DataFrame(columns).reindex(firsts.index)
    return table.rename_axis("curve").reset_index()


def losses_told(curves: pd.DataFrame, roles: Sequence[str]) -> Alternative:
    """Loss curves in words and numbers."""
    headings: dict[str, tuple[str, Writer]] = {}
    for role in roles:
        for name, words in (("start", "first"), ("top", "highest"), ("last", "last")):
            headings[f"{role}_{name}"] = (f"{words} {role.upper()} loss", labels.loss)
    return alternative(curve_numbers(curves, roles), "curves", "curve", headings)


def rates_told(curves: pd.DataFrame) -> Alternative:
    """Curves of learning rates, as `curves.lr_curves` returns them, in words and numbers."""
    groups = curves.groupby("curve", sort=False)
    table = groups["setting"].first().to_frame()
    table["most"] = groups["lr"].max()
    table["last"] = groups["lr"].last()
    headings: dict[str, tuple[str, Writer]] = {
        "most": ("highest learning rate", _rate),
        "last": ("last learning rate", _rate),
    }
    return alternative(table.reset_index(), "curves", "curve", headings)


def _rate(value: float) -> str:
    return f"{value:.3g}"
