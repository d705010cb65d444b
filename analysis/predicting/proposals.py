"""Which trials to run next: those that may adapt more than the best known under the forgetting cap.

Each point of a grid over log peak and log replay, within bounds, is worth

    E[max(adaptation - best, 0)] x P(forgetting <= cap)

the expected improvement under a constraint (Schonlau, Welch and Jones, 1998), with adaptation and
forgetting normal around what the better fit that holds predicts. Their variance is that of the fit
itself plus that of settings around it, which shrinks near settings that were run as it does for a
Gaussian process of correlation exp(-d^2 / 2 l^2). The best point is taken, believed to turn out as
predicted (which shrinks the variance around it and may raise `best`), and the next one sought.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import norm

from analysis.predicting.areas import Array
from analysis.predicting.courses import Course
from analysis.predicting.held_out import SURFACE
from analysis.predicting.outlook import Outlook
from analysis.predicting.surface import OFFSET

COUNT = 3
NUM_PEAKS, NUM_SHARES = 25, 17
BEYOND = 2.0
"""The law speaks of peaks from the smallest tried, divided by this, to the largest, times this."""
MOST_REPLAY = 0.5
LENGTH = 0.15
"""l above, in ranges of the axes."""
NOISE = 0.1
"""Share of a setting's variance that is its own noise, and tells nothing of its neighbours."""
APART = 0.15
"""The least distance between a proposal and what was planned or proposed, in ranges of the axes."""


@dataclass(frozen=True)
class Bounds:
    """Where trials are proposed: least and largest peak, least and largest share of replay."""

    peaks: tuple[float, float]
    shares: tuple[float, float]

    def place(self, points: pd.DataFrame) -> Array:
        """Points with `peak` and `replay` in ranges of the axes, shape (points, 2)."""
        logs = (
            np.log(points["peak"].to_numpy(float)),
            np.log(points["replay"].to_numpy(float) + OFFSET),
        )
        ranges = np.log(self.peaks), np.log(np.add(self.shares, OFFSET))
        return np.column_stack(
            [
                (log - low) / ((high - low) or 1.0)
                for log, (low, high) in zip(logs, ranges, strict=True)
            ]
        )

    def grid(self) -> pd.DataFrame:
        """All points to choose from: `peak` with three digits, `replay` with three decimals."""
        peaks = {float(f"{peak:.3g}") for peak in np.geomspace(*self.peaks, NUM_PEAKS)}
        low, high = np.add(self.shares, OFFSET)
        shares = {round(share, 3) for share in np.geomspace(low, high, NUM_SHARES) - OFFSET}
        pairs = [(peak, share) for peak in sorted(peaks) for share in sorted(shares)]
        return pd.DataFrame(pairs, columns=["peak", "replay"])


def bounds(courses: Sequence[Course], model: str) -> Bounds | None:
    """Where a model may speak; an axis that was not varied stays where it is.

    The law: from half the smallest peak tried to twice the largest, and from no replay to half. The
    surface: between the settings tried, since a quadratic bends away outside of them, where its
    intervals do not follow. None where neither was varied among the usual settings.
    """
    usual = [one for one in courses if one.usual and np.isfinite([one.peak, one.replay]).all()]
    peaks = sorted({one.peak for one in usual})
    shares = sorted({one.replay for one in usual})
    if len(peaks) < 2 and len(shares) < 2:
        return None
    tried = Bounds((peaks[0], peaks[-1]), (shares[0], shares[-1]))
    if model == SURFACE:
        return tried
    far = BEYOND if len(peaks) > 1 else 1.0
    wide = (0.0, max(MOST_REPLAY, shares[-1])) if len(shares) > 1 else tried.shares
    return Bounds((peaks[0] / far, peaks[-1] * far), wide)


def propose(
    outlook: Outlook,
    model: str,
    within: Bounds,
    planned: pd.DataFrame,
    cap: float,
    count: int = COUNT,
) -> pd.DataFrame:
    """The trials that are worth most, in the order in which they were chosen.

    Args:
        outlook: Its `unrun` must not be None.
        model: One that holds.
        within: Where to look.
        planned: `peak` and `replay` of the settings that the sweep has, run or not, all else being
            as in its reference; none of them is proposed.
        cap: The largest forgetting that is accepted, nats per token.
        count: How many.

    Returns:
        `peak`, `replay`, the columns of `Outlook.predict`, `chance` that forgetting stays under the
        cap, `gain` (expected improvement of adaptation over the best known under the cap, nats per
        token, weighed by that chance). Fewer rows where no point is left that is worth anything.
    """
    assert outlook.unrun is not None
    points = within.grid()
    settings = [outlook.unrun.course(peak, share) for peak, share in points.itertuples(index=False)]
    predicted = outlook.predict(model, settings)
    old, new = (outlook.judged[model, role] for role in ("d0", "d1"))
    spread_old, spread_new = old.spread(settings), new.spread(settings)
    places, taken = within.place(points), within.place(planned)
    measured = outlook.measured()
    under = measured.loc[measured["forgetting"] <= cap, "adaptation"]
    best = float(under.max()) if len(under) else -np.inf
    chosen: list[dict[str, float]] = []
    while len(chosen) < count:
        novelty = _novelty(places, taken)
        chance = norm.cdf(
            (cap - predicted["forgetting"]) / _deviation(spread_old, old.error, novelty)
        )
        deviation = _deviation(spread_new, new.error, novelty)
        gain = chance * _improvement(predicted["adaptation"].to_numpy(), deviation, best)
        far = np.linalg.norm(places[:, None] - taken[None], axis=2).min(axis=1) >= APART
        worth = np.where(far, gain, 0.0)
        if not worth.max() > 0:
            break
        at = int(worth.argmax())
        row = {**points.loc[at], **predicted.loc[at], "chance": chance[at], "gain": gain[at]}
        chosen.append({str(name): float(value) for name, value in row.items()})
        taken = np.vstack([taken, places[at]])
        if row["forgetting"] <= cap:
            best = max(best, row["adaptation"])
    return pd.DataFrame(chosen, columns=[*points, *predicted, "chance", "gain"])


def _deviation(spread: Array, error: float, novelty: Array) -> Array:
    return np.asarray(np.sqrt(spread**2 + error**2 * novelty))


def _improvement(mean: Array, deviation: Array, best: float) -> Array:
    """E[max(x - best, 0)] of a normal x; 1 everywhere where nothing is known to be improved on."""
    if not np.isfinite(best):
        return np.ones(len(mean))
    over = (mean - best) / deviation
    return np.asarray(deviation * (over * norm.cdf(over) + norm.pdf(over)))


def _novelty(places: Array, taken: Array) -> Array:
    """The variance that a Gaussian process has left at each place, as a share, in (0, 1]."""

    def alike(one: Array, other: Array) -> Array:
        squares = ((one[:, None] - other[None]) ** 2).sum(axis=2)
        return np.asarray(np.exp(-squares / (2 * LENGTH**2)))

    among = cho_factor((1 - NOISE) * alike(taken, taken) + NOISE * np.eye(len(taken)))
    near = (1 - NOISE) * alike(places, taken)
    known = (near * cho_solve(among, near.T).T).sum(axis=1)
    return np.asarray(np.maximum(1 - known, NOISE))
