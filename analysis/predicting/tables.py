"""What a sweep's fits predict, as tables for figures and for the page."""

import numpy as np
import pandas as pd

from analysis.load import Sweep
from analysis.predicting.held_out import LAW, SURFACE
from analysis.predicting.outlook import Outlook
from analysis.predicting.proposals import bounds

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


def by_trial(outlook: Outlook, trials: pd.DataFrame) -> pd.DataFrame:
    """Held-out predictions of single trials, all seeds of their setting left out together.

    What a seed does to the loss is taken from the other settings: the mean there of how far its
    trials lie from the mean of their setting. It is 0 where no other setting has two seeds.

    Args:
        outlook: Whether its fits hold or not.
        trials: As `measures.trial_table` returns them.

    Returns:
        `model`, `role`, `trial`, `observed` and `predicted` (final losses, nats per token), `share`
        (|predicted - observed| / observed).
    """
    found = []
    for (model, role), judged in outlook.judged.items():
        if judged.table.empty:
            continue
        held_out = judged.table.set_index("setting")["held_out"]
        own = trials[trials["setting"].isin(held_out.index) & trials["mean_loss"].notna()]
        losses = own[f"{role}_loss"]
        off = losses - losses.groupby(own["setting"]).transform("mean")
        off = off.where(own.groupby("setting")["seed"].transform("count") > 1)
        others = off.groupby(own["seed"]).transform("sum") - off.fillna(0)
        count = off.groupby(own["seed"]).transform("count") - off.notna()
        effect = (others / count.where(count > 0)).fillna(0.0)
        table = pd.DataFrame(
            {
                "model": model,
                "role": role,
                "trial": own["trial"],
                "observed": losses,
                "predicted": own["setting"].map(held_out) + effect,
            }
        )
        found.append(table)
    columns = ["model", "role", "trial", "observed", "predicted"]
    table = pd.concat(found) if found else pd.DataFrame(columns=columns, dtype=float)
    return table.assign(share=(table["predicted"] - table["observed"]).abs() / table["observed"])


def usual_measured(outlook: Outlook) -> pd.DataFrame:
    """The settings that differ from the reference in peak and replay at most, as measured.

    Returns:
        `setting`, `max_lr`, `replay_fraction`, `forgetting`, `adaptation` (nats per token).
    """
    rows = pd.DataFrame(
        {
            "setting": [one.setting for one in outlook.courses],
            "max_lr": [one.peak for one in outlook.courses],
            "replay_fraction": [one.replay for one in outlook.courses],
        }
    )
    usual = [one.usual for one in outlook.courses]
    return rows.join(outlook.measured())[usual].reset_index(drop=True)


def reference_curve(sweep: Sweep, trials: pd.DataFrame, outlook: Outlook) -> pd.DataFrame:
    """What was measured at the reference, the mean over seeds: `role`, `tokens`, `loss`."""
    assert outlook.unrun is not None
    setting = outlook.unrun.setting
    complete = trials[(trials["setting"] == setting) & trials["mean_loss"].notna()]
    rows = sweep.whole_sets
    rows = rows[rows["state"].isin(complete["state"])]
    return rows.groupby(["role", "tokens"])["loss"].mean().reset_index()


def along_dials(outlook: Outlook) -> pd.DataFrame:
    """Forgetting and adaptation along each dial, the other at the reference, within bounds.

    Args:
        outlook: Its `unrun` must not be None, and peak or replay were varied.

    Returns:
        One row a point, for each model that holds: `dial` (max_lr or replay_fraction), `model`,
        `value`, and the columns of `Outlook.predict`.
    """
    unrun = outlook.unrun
    assert unrun is not None
    tables = []
    for model in outlook.holding():
        within = bounds(outlook.courses, model)
        assert within is not None
        peaks = np.geomspace(*within.peaks, DIAL_POINTS)
        shares = np.linspace(*within.shares, DIAL_POINTS)
        dials = {
            "max_lr": (peaks, [unrun.course(float(peak), unrun.replay) for peak in peaks]),
            "replay_fraction": (shares, [unrun.course(unrun.peak, float(one)) for one in shares]),
        }
        tables += [
            outlook.predict(model, settings).assign(dial=dial, model=model, value=values)
            for dial, (values, settings) in dials.items()
            if np.ptp(values) > 0
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


def elsewhere(outlook: Outlook) -> pd.DataFrame:
    """Predictions for a few settings that were not run: between, outside, and with more tokens.

    Args:
        outlook: Its `unrun` must not be None, and peak or replay were varied.

    Returns:
        `peak`, `replay`, `times`, `outside` (of the range tried), `model`, and the columns of
        `Outlook.predict`. Outside and with more tokens the law alone speaks.
    """
    unrun, courses = outlook.unrun, outlook.courses
    tried, within = bounds(courses, SURFACE), bounds(courses, LAW)
    assert unrun is not None
    assert tried is not None
    assert within is not None
    peaks = sorted({one.peak for one in courses if one.usual})
    shares = sorted({one.replay for one in courses if one.usual})
    points: list[tuple[float, float, int]] = []
    if len(peaks) > 1:
        between = _between(peaks, unrun.peak)
        points += [(peak, unrun.replay, 1) for peak in (within.peaks[0], between, within.peaks[1])]
    if len(shares) > 1:
        points.append((unrun.peak, _between(shares, unrun.replay), 1))
    if within.shares[1] > tried.shares[1]:
        points.append((unrun.peak, within.shares[1], 1))
    points += [(unrun.peak, unrun.replay, times) for times in BUDGETS[1:]]
    table = pd.DataFrame(points, columns=["peak", "replay", "times"])
    inside = table["peak"].between(*tried.peaks) & table["replay"].between(*tried.shares)
    table["outside"] = ~inside
    tables = []
    for model in outlook.holding():
        own = table if model == LAW else table[inside & (table["times"] == 1)]
        if len(own):
            columns = own[["peak", "replay", "times"]]
            settings = [unrun.course(*point) for point in columns.itertuples(index=False)]
            predicted = outlook.predict(model, settings)
            tables.append(own.reset_index(drop=True).assign(model=model).join(predicted))
    return pd.concat(tables, ignore_index=True) if tables else table.iloc[:0]


def _between(values: list[float], reference: float) -> float:
    """The middle of the reference and the value above it, or below it where there is none."""
    above = [value for value in values if value > reference]
    other = above[0] if above else max(value for value in values if value < reference)
    if min(reference, other) > 0:
        return float(f"{np.sqrt(reference * other):.3g}")
    return float(f"{(reference + other) / 2:.3g}")
