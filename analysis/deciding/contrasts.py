"""Weighted sums of settings, and ratios of two, with the noise of all settings together.

A contrast is taken within each seed and averaged over the seeds that have all its settings
complete. Its variance is that of the model of `pooling`: with weights w_s over n seeds

    variance   (sum w_s^2 v_s + (sum w_s)^2 block) / n

Where the weights add up to nothing, as in a difference or a slope, what the trials of a seed share
cancels, and the freedom is the least of the settings'. Where they do not, the block's variance
comes in with the freedom of the seeds, and Satterthwaite's rule combines the two. Settings that
start from random weights share less and are no part of the pool: what holds them against others is
the plain paired interval of `noise`.

The interval of a ratio is Fieller's (1954): all r for which the contrast numerator - r denominator
is not told apart from 0, with the freedom that it has at the ratio itself. Where the denominator is
not told apart from 0 the data bound the ratio on no side, and the interval is the whole line.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from analysis.deciding.noise import Estimate, Noise, quantile
from analysis.deciding.pooling import Pool

Weights = Mapping[str, float]


class Contrasts:
    """Contrasts of a sweep's settings."""

    def __init__(self, noise: Noise, pooled: Sequence[str]) -> None:
        """Keeps what is pooled.

        Args:
            noise: Of the sweep's complete trials.
            pooled: Settings that start from the pre-trained model and have complete trials.
        """
        self._noise = noise
        self._pooled = {setting: row for row, setting in enumerate(pooled)}
        self._pools: dict[str, Pool] = {}

    def contrast(self, weights: Weights, measure: str, comparisons: int = 1) -> Estimate:
        """A weighted sum over settings; settings of weight 0 take part in the pairing.

        Args:
            weights: Setting to its weight.
            measure: One of `measures.measure_names`.
            comparisons: How many such intervals shall hold at once.

        Raises:
            KeyError: The sweep has no such setting or measure.
        """
        if not weights.keys() <= self._pooled.keys():
            return self._noise.contrast(weights, measure, comparisons)
        value, variance, freedom, seeds = self._parts(weights, measure)
        half = math.nan
        if seeds > 1 and freedom >= 1:
            half = quantile(freedom, comparisons) * math.sqrt(variance)
        return Estimate(value, value - half, value + half, seeds)

    def ratio(self, part: Weights, whole: Weights, measure: str, comparisons: int = 1) -> Estimate:
        """`part` over `whole`, two contrasts of one measure, with Fieller's interval.

        Returns:
            A share. Both ends infinite where `whole` is not told apart from 0; NaN below two seeds.

        Raises:
            KeyError: A setting is not one that is pooled.
        """
        both = combined((1, part), (1, whole))
        pieces = [
            self._parts({**dict.fromkeys(both, 0.0), **weights}, measure)
            for weights in (part, whole, both)
        ]
        (top, top_variance, *_), (bottom, variance, _, seeds), (_, summed, *_) = pieces
        value = top / bottom if bottom else math.nan
        _, _, freedom, _ = self._parts(combined((1, part), (-value, whole)), measure)
        if seeds < 2 or not freedom >= 1:
            return Estimate(value, math.nan, math.nan, seeds)
        square = quantile(freedom, comparisons) ** 2
        leading = bottom**2 - square * variance
        if leading <= 0:
            return Estimate(value, -math.inf, math.inf, seeds)
        middle = top * bottom - square * (summed - top_variance - variance) / 2
        root = math.sqrt(max(middle**2 - leading * (top**2 - square * top_variance), 0.0))
        return Estimate(value, (middle - root) / leading, (middle + root) / leading, seeds)

    def _parts(self, weights: Weights, measure: str) -> tuple[float, float, float, int]:
        """A contrast's value, its variance, the freedom of that, and how many seeds it has."""
        if measure not in self._pools:
            self._pools[measure] = self._noise.pool(list(self._pooled), measure)
        pool = self._pools[measure]
        rows = [self._pooled[setting] for setting in weights]
        factors = np.array(list(weights.values()))
        each = factors @ pool.values[rows]
        each = each[~np.isnan(each)]
        if not len(each):
            return math.nan, math.nan, math.nan, 0
        used = factors != 0
        own = float(factors**2 @ pool.variances[rows])
        freedom = float(pool.freedom[rows][used].min()) if used.any() else math.nan
        shared = float(factors.sum()) ** 2 * pool.block
        if abs(factors.sum()) > 1e-9 * np.abs(factors).sum() and shared > 0:
            seeds = (~np.isnan(pool.values)).any(axis=0).sum()
            freedom = (own + shared) ** 2 / (own**2 / freedom + shared**2 / (seeds - 1))
        return float(each.mean()), (own + shared) / len(each), freedom, len(each)


def combined(*terms: tuple[float, Weights]) -> dict[str, float]:
    """A weighted sum of contrasts. Settings that cancel stay, so that seeds are paired on all."""
    total: dict[str, float] = {}
    for factor, weights in terms:
        for setting, weight in weights.items():
            total[setting] = total.get(setting, 0.0) + factor * weight
    return total
