"""Many settings, few seeds: the noise of all of them tells how sure the difference of two is.

Two or three seeds say little about the noise of one setting, and Student's quantile for so few,
widened for many comparisons, would exclude nothing. The noise is therefore estimated from all
settings together, in the model of randomised blocks

    value of setting s in seed i = mean_s + block_i + noise_si

and shrunk between each setting's own variance and the common one, as far as the variances differ
by more than chance (the moderated t of Smyth 2004, doi:10.2202/1544-6115.1027): with f degrees of
freedom of its own and f0 of the common variance v0

    v_s = (f0 v0 + f s_s^2) / (f0 + f)      degrees of freedom  f0 + f, at most all that there are

f0 is infinite where the variances differ no more than chance makes them. No variance is less than
what the setting's final windows alone show. Two settings are compared in the seeds that both have.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, polygamma, stdtrit

from analysis.measures import CONFIDENCE


@dataclass(frozen=True)
class Pool:
    """Values and the noise in them.

    Attributes:
        values: Settings x seeds, nats per token; NaN where no trial is complete.
        variances: Of one trial's value about its setting and seed, by setting; NaN where nothing
            tells.
        freedom: Degrees of freedom of each variance.
        block: Variance of what the trials of a seed share.
    """

    values: np.ndarray
    variances: np.ndarray
    freedom: np.ndarray
    block: float

    def differences(
        self, comparisons: float, factor: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every setting (row) against every other (column): value of row - factor x column.

        Args:
            comparisons: How many of them shall hold at once (two-sided Bonferroni).
            factor: What the column's value is multiplied by.

        Returns:
            The means over common seeds and both ends of their intervals, settings x settings; NaN
            where no seed has both, or nothing tells the noise.
        """
        known = ~np.isnan(self.values)
        filled, there = np.where(known, self.values, 0.0), known.astype(float)
        shared = there @ there.T
        with np.errstate(invalid="ignore", divide="ignore"):
            means = (filled @ there.T - factor * (there @ filled.T)) / shared
            own = self.variances[:, None] + factor**2 * self.variances[None, :]
            error = np.sqrt((own + (1 - factor) ** 2 * self.block) / shared)
        # That of the fewer degrees of freedom, which is the larger quantile.
        quantiles = student(self.freedom, comparisons)
        half = np.maximum(quantiles[:, None], quantiles[None, :]) * error
        if factor == 1:
            np.fill_diagonal(half, 0.0)
        return means, means - half, means + half

    def means(self, comparisons: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The mean of each setting and both ends of its interval, to hold against a number.

        Half of the error that is allowed goes to the settings, half to what seeds share: the two
        half widths are added as squares.
        """
        known = ~np.isnan(self.values)
        count = np.where(known.any(axis=1), known.sum(axis=1), np.nan)
        means = np.where(known, self.values, 0.0).sum(axis=1) / count
        seeds = known.any(axis=0).sum()
        own = student(self.freedom, 2 * comparisons) ** 2 * self.variances / count
        common = student(np.array(float(seeds - 1)), 2) ** 2 * self.block / count
        half = np.sqrt(own + common)
        return means, means - half, means + half


def student(freedom: np.ndarray, comparisons: float) -> np.ndarray:
    """Two-sided 95% quantiles for so many comparisons at once; NaN without a degree of freedom."""
    at_least = np.where(freedom >= 1, freedom, np.nan)
    quantiles: np.ndarray = stdtrit(at_least, 1 - (1 - CONFIDENCE) / (2 * comparisons))
    return quantiles


def pool(values: np.ndarray, floors: np.ndarray) -> Pool:
    """Estimates the noise.

    Args:
        values: Settings x seeds; NaN where no trial is complete.
        floors: By setting, the variance that its final windows alone show in a trial's value.
    """
    known = ~np.isnan(values)
    seeds = int(known.any(axis=0).sum())
    settings = int(known.any(axis=1).sum())
    total = int(known.sum()) - settings - seeds + 1
    nothing = np.full(len(values), np.nan)
    if not settings or total < 1:
        return Pool(values, nothing, nothing, float("nan"))
    residuals, block = _residuals(values)
    squares = np.where(known, residuals, 0.0) ** 2
    common = float(squares.sum() / total)
    own = known.sum(axis=1) - 1
    several = own > 0
    # Fitting the seeds takes its share of each setting's freedom.
    left = np.where(several, own * total / own[several].sum(), 0.0)
    alone = np.divide(squares.sum(axis=1), left, out=np.zeros(len(values)), where=several)
    prior = _prior_freedom(alone[several], left[several], common)
    weight = 1.0 if np.isinf(prior) else prior / (prior + left)
    variances = weight * common + (1 - weight) * alone
    return Pool(
        values,
        np.maximum(variances, floors),
        np.minimum(prior + left, total),
        max(block - common / settings, 0.0),
    )


def _residuals(values: np.ndarray) -> tuple[np.ndarray, float]:
    """What is left of values without their settings' and seeds' means, and the seeds' variance.

    Least squares of the two-way additive model by sweeping rows and columns in turn, which is
    exact after one turn where nothing is missing.
    """
    left = values - np.nanmean(values, axis=None)
    block = np.zeros(values.shape[1])
    for _ in range(50):
        left = left - _mean(left, axis=1)
        shift = _mean(left, axis=0)
        left, block = left - shift, block + shift[0]
        if np.nanmax(np.abs(shift)) < 1e-12:
            break
    there = ~np.isnan(values).all(axis=0)
    return left, float(block[there].var(ddof=1)) if there.sum() > 1 else 0.0


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Means without the missing, 0 where all are; keeps the axis."""
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=axis, keepdims=True), 1)
    means: np.ndarray = np.where(known, values, 0.0).sum(axis=axis, keepdims=True) / count
    return means


def _prior_freedom(variances: np.ndarray, freedom: np.ndarray, common: float) -> float:
    """Smyth's f0: how alike the settings' variances are, from the spread of their logarithms."""
    if len(variances) < 3 or common == 0:
        return float("inf")
    logs = np.log(np.maximum(variances, 1e-5 * common))
    centred = logs - digamma(freedom / 2) + np.log(freedom / 2)
    excess = centred.var(ddof=1) - polygamma(1, freedom / 2).mean()
    if excess <= polygamma(1, 1e6):
        return float("inf")
    return float(2 * brentq(lambda half: polygamma(1, half) - excess, 1e-8, 1e6))
