"""What a sweep's fits predict, as tables for figures and for the page."""

import numpy as np
import pandas as pd

from analysis.predicting.courses import Course
from analysis.predicting.held_out import LAW
from analysis.predicting.outlook import Outlook
from analysis.predicting.proposals import Bounds

DIAL_POINTS = 41
BUDGETS = (1, 2, 4)
CURVE_POINTS = 60


def parity(outlook: Outlook) -> pd.DataFrame:
    """Predicted against measured final losses, for fits that hold.

    Returns:
        `model`, `role`, `setting`, `observed`, `fitted`, `held_out`, nats per token; `share`, the
        held-out error as a share of the loss.
    """
    columns = ["setting", "observed", "fitted", "held_out", "share"]
    tables = [
        one.table[columns].assign(model=model, role=role)
        for (model, role), one in outlook.judged.items()
        if one.holds
    ]
    return pd.concat(tables) if tables else pd.DataFrame(columns=["model", "role", *columns])


def along_dials(outlook: Outlook, within: Bounds) -> pd.DataFrame:
    """Forgetting and adaptation along each dial, the other at the reference, within bounds.

    Args:
        outlook: Its `unrun` must not be None.
        within: As `proposals.bounds` returns them.

    Returns:
        One row a point, for each model that holds: `dial` (max_lr or replay_fraction), `model`,
        `value`, and the columns of `Outlook.predict`.
    """
    unrun = outlook.unrun
    assert unrun is not None
    peaks = np.geomspace(*within.peaks, DIAL_POINTS)
    shares = np.linspace(*within.shares, DIAL_POINTS)
    dials = {
        "max_lr": (peaks, [unrun.course(float(peak), unrun.replay) for peak in peaks]),
        "replay_fraction": (shares, [unrun.course(unrun.peak, float(share)) for share in shares]),
    }
    tables = [
        outlook.predict(model, settings).assign(dial=dial, model=model, value=values)
        for dial, (values, settings) in dials.items()
        if np.ptp(values) > 0
        for model in outlook.holding()
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["dial"])


def longer(outlook: Outlook, tokens_per_step: int) -> pd.DataFrame:
    """Loss curves of the reference with more tokens, its schedule in the same shape, by the law.

    Args:
        outlook: Its `unrun` must not be None.
        tokens_per_step: Training tokens of one update.

    Returns:
        `times` (the budget in budgets of the reference), `role`, `tokens`, `loss` (nats per token);
        for the data sets whose law holds.
    """
    unrun = outlook.unrun
    assert unrun is not None
    rows = []
    for role in outlook.starts:
        judged = outlook.judged[LAW, role]
        for times in BUDGETS if judged.holds else ():
            course = unrun.course(unrun.peak, unrun.replay, times)
            updates = len(course.rates.values)
            steps = np.unique(np.linspace(0, updates, CURVE_POINTS).round().astype(np.int64))
            losses = judged.losses(course, steps)
            rows.append(
                pd.DataFrame(
                    {
                        "times": times,
                        "role": role,
                        "tokens": steps * tokens_per_step,
                        "loss": losses,
                    }
                )
            )
    return pd.concat(rows) if rows else pd.DataFrame(columns=["times", "role", "tokens", "loss"])


def elsewhere(outlook: Outlook, within: Bounds) -> pd.DataFrame:
    """Predictions for a few settings that were not run: between, outside, and with more tokens.

    Args:
        outlook: Its `unrun` must not be None.
        within: As `proposals.bounds` returns them.

    Returns:
        `peak`, `replay`, `times`, `outside` (of the range tried), `model`, and the columns of
        `Outlook.predict`. Longer budgets by the law alone: the surface knows nothing of them.
    """
    unrun = outlook.unrun
    assert unrun is not None
    usual = [
        one for one in outlook.courses if one.usual and np.isfinite([one.peak, one.replay]).all()
    ]
    peaks, shares = sorted({one.peak for one in usual}), sorted({one.replay for one in usual})
    points: list[tuple[float, float, int]] = []
    if len(peaks) > 1:
        points += [(within.peaks[0], unrun.replay, 1)]
        points += [(_between(peaks, unrun.peak), unrun.replay, 1)]
        points += [(within.peaks[1], unrun.replay, 1)]
    if len(shares) > 1:
        points += [(unrun.peak, _between(shares, unrun.replay), 1)]
        points += [(unrun.peak, within.shares[1], 1)] if within.shares[1] > shares[-1] else []
    points += [(unrun.peak, unrun.replay, times) for times in BUDGETS[1:]]
    table = pd.DataFrame(points, columns=["peak", "replay", "times"])
    table["outside"] = ~(
        table["peak"].between(peaks[0], peaks[-1]) & table["replay"].between(shares[0], shares[-1])
    )
    tables = []
    for model in outlook.holding():
        own = table if model == LAW else table[table["times"] == 1]
        settings: list[Course] = [
            unrun.course(*point)
            for point in own[["peak", "replay", "times"]].itertuples(index=False)
        ]
        predicted = outlook.predict(model, settings) if settings else pd.DataFrame()
        tables.append(own.reset_index(drop=True).assign(model=model).join(predicted))
    return pd.concat(tables, ignore_index=True)


def _between(values: list[float], reference: float) -> float:
    """The middle of the reference and the value above it, or below it where there is none."""
    above = [value for value in values if value > reference]
    other = above[0] if above else max(value for value in values if value < reference)
    if min(reference, other) > 0:
        return float(f"{np.sqrt(reference * other):.3g}")
    return float(f"{(reference + other) / 2:.3g}")
