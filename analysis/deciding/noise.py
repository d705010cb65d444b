"""How far a measured difference may lie from that of endless seeds: paired, and counted.

Trials of one seed share their initial weights and their data order, so what their losses have in
common says nothing about their settings. Every comparison is therefore made seed by seed: a
contrast is a weighted sum of settings within each seed, and its noise is what is left between the
seeds. With n seeds that have all its settings complete, c_i the contrast in seed i and v_i what
its windows add,

    interval   mean(c) -/+ t_{n-1} sqrt((sum (c_i - mean c)^2 / n + mean(v)) / (n - 1))
    v_i        sum over settings of weight^2 x variance over the final window / its evaluations

The root is the standard error of a hierarchical bootstrap in closed form, so that nothing is drawn
and the numbers are the same each time: n seeds are drawn with replacement and, in each trial of a
drawn seed, as many evaluations of its final window as it has; the variance of the mean over
endless draws is (sum / n + mean v) / n, and n / (n - 1) undoes its bias for few seeds. What windows
add is already part of the spread between seeds, so the interval errs to the wide side; where two
seeds agree by luck it is what keeps the interval from being nothing. With m comparisons made at
once Student's quantile is that of 1 - 0.05 / (2 m) (Bonferroni). Below two seeds there is no
interval.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from analysis.deciding.pooling import Pool, pool
from analysis.load import Sweep
from analysis.measures import CONFIDENCE, measure_names


@dataclass(frozen=True)
class Estimate:
    """A value in nats per token and how sure it is.

    Attributes:
        value: The mean over seeds; NaN without any.
        low: Lower end of the interval; NaN below two seeds.
        high: Upper end.
        seeds: How many seeds have all the trials it needs complete.
    """

    value: float
    low: float
    high: float
    seeds: int


class Noise:
    """The complete trials of a sweep as a grid of settings and seeds, with their windows.

    Attributes:
        settings: The values of `trials["setting"]`, in the order of the trials.
        seeds: The values of `trials["seed"]`, likewise.
    """

    def __init__(self, sweep: Sweep, trials: pd.DataFrame) -> None:
        """Places trials on the grid.

        Args:
            sweep: Says which data sets there are.
            trials: As `measures.trial_table` returns them.
        """
        names = measure_names(sweep.roles)
        self.settings: list[str] = list(trials["setting"].unique())
        self.seeds: list[object] = list(trials["seed"].unique())
        self._row = {setting: row for row, setting in enumerate(self.settings)}
        once = trials.drop_duplicates(["setting", "seed"])
        rows = once["setting"].map(self._row).to_numpy(int)
        columns = once["seed"].map({seed: at for at, seed in enumerate(self.seeds)}).to_numpy(int)
        self._values = {name: np.full(self._shape, np.nan) for name in names}
        # Where no evaluation has every data set, windows add nothing that is known.
        self._windows = {name: np.zeros(self._shape) for name in names}
        for name in names:
            self._values[name][rows, columns] = once[name].to_numpy(float)
            self._windows[name][rows, columns] = once[f"{name}_window"].fillna(0).to_numpy(float)

    @property
    def _shape(self) -> tuple[int, int]:
        return len(self.settings), len(self.seeds)

    def pool(self, settings: Sequence[str], measure: str) -> Pool:
        """The noise of these settings, estimated from all of them together."""
        rows = [self._row[setting] for setting in settings]
        return pool(self._values[measure][rows], self._windows[measure][rows].mean(axis=1))

    def of(self, setting: str, measure: str, comparisons: int = 1) -> Estimate:
        """The mean of a measure over a setting's complete seeds; see `contrast`."""
        return self.contrast({setting: 1.0}, measure, comparisons)

    def difference(self, one: str, other: str, measure: str, comparisons: int = 1) -> Estimate:
        """`one` less `other`, over the seeds that both have complete; see `contrast`."""
        weights = {one: 1.0, other: -1.0} if one != other else {one: 0.0}
        return self.contrast(weights, measure, comparisons)

    def contrast(
        self, weights: Mapping[str, float], measure: str, comparisons: int = 1
    ) -> Estimate:
        """A weighted sum over settings, paired by seed.

        Args:
            weights: Setting to its weight.
            measure: One of `measures.measure_names`.
            comparisons: How many such intervals shall hold at once.

        Raises:
            KeyError: The sweep has no such setting or measure.
        """
        factors = np.array(list(weights.values()))
        rows = [self._row[setting] for setting in weights]
        each = factors @ self._values[measure][rows]
        shares = self._windows[measure][rows]
        paired = ~np.isnan(each)
        return estimate(each[paired], (factors**2 @ shares)[paired], comparisons)


def estimate(each: np.ndarray, window: np.ndarray, comparisons: int = 1) -> Estimate:
    """The interval of the module's formula.

    Args:
        each: The contrast in each seed.
        window: What the windows of its trials add to its variance in each seed.
        comparisons: How many intervals shall hold at once.
    """
    seeds = len(each)
    if not seeds:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    value = float(each.mean())
    half = float("nan")
    if seeds > 1:
        error = np.sqrt((each.var() + window.mean()) / (seeds - 1))
        half = float(quantile(seeds - 1, comparisons) * error)
    return Estimate(value, value - half, value + half, seeds)


def quantile(freedom: float, comparisons: int) -> float:
    """Student's, two-sided at 95% for so many comparisons at once (Bonferroni).

    Raises:
        ValueError: There is no comparison.
    """
    if comparisons < 1:
        raise ValueError(f"comparisons is {comparisons}; an interval is at least one")
    return float(stdtrit(freedom, 1 - (1 - CONFIDENCE) / (2 * comparisons)))
