"""Settings that two sweeps share, and by how much they differ there.

Two settings match where their baseline and every factor agree; a factor that a sweep has no axis
for is its centre's. The difference is the second sweep's measure minus the first's:

    paired     seeds that both completed (two at least): mean over seeds of the difference,
               -/+ t_{n-1} times its standard error
    unpaired   else, where both have two complete seeds: difference of the means, -/+ t times the
               root of the sum of the squared errors, Satterthwaite's degrees of freedom (Welch)
    one seed   else: a difference without an interval

The error of a mean over seeds is that of `deciding.noise`, which counts what final windows add.
`half_widths` gives the interval at the level that a number of comparisons asks for.

A state that stands in both sweeps is one run. Its id follows from all that determines a run, so the
two settings are then one and the same: `same run`, and no difference is taken.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import labels
from analysis.comparing.entries import Entry
from analysis.deciding.noise import quantile

PAIRED, UNPAIRED, ONE_SEED, SAME_RUN = "paired", "unpaired", "one seed", "same run"
UNKNOWN = "not recorded"
"""What a sweep that neither swept a factor nor names it in its centre has for it."""
ANY = "any"
"""What a baseline has for a factor that its sweep did not sweep."""

Factor: TypeAlias = float | str | None
Key: TypeAlias = tuple[str, tuple[Factor, ...]]


@dataclass(frozen=True)
class Sample:
    """A measure of one setting, seed by seed.

    Attributes:
        values: [seeds].
        windows: What the final window of each adds to the variance of its value.
    """

    values: NDArray[np.float64]
    windows: NDArray[np.float64]

    @property
    def freedom(self) -> float:
        """Degrees of freedom of its mean."""
        return len(self.values) - 1.0

    @property
    def error(self) -> float:
        """Standard error of its mean, see `deciding.noise`."""
        return math.sqrt((self.values.var() + self.windows.mean()) / self.freedom)


Noise: TypeAlias = Callable[[Sample, Sample], tuple[float, float]]


def matched_settings(one: Entry, other: Entry, measures: Sequence[str]) -> pd.DataFrame:
    """The settings with complete trials in both sweeps, in the order of the first.

    Args:
        one: The sweep that the other is held against.
        other: Of the same unit.
        measures: Those that can be compared, see `held_out.comparable_measures`.

    Returns:
        `setting` and `setting_other`: as in `trials["setting"]` of the two; `name`: of the
        setting, in the first sweep's words; `baseline`; `how` (see above); `seeds`:
        pairs, or complete seeds of both as `3 and 2`; for each measure, in the unit of the sweeps,
        `<name>_one` and `<name>_other` (means over the seeds that count), `<name>_change` (second
        minus first), `<name>_change_low`, `<name>_change_high` (95%, each by itself), and what that
        interval was made from: `<name>_change_se`, its standard error, and `<name>_change_freedom`,
        degrees of freedom. NaN where there is none.
    """
    rows = []
    for here, there in _pairs(one, other):
        first = here.iloc[0]
        row = {
            "setting": first["setting"],
            "setting_other": there["setting"].iloc[0],
            "name": labels.setting_label(one.sweep, first.to_dict(), one.center),
            "baseline": first["baseline"],
        }
        rows.append(row | _differences(here, there, measures))
    parts = ("one", "other", "change", "change_se", "change_freedom")
    columns = [f"{measure}_{part}" for measure in measures for part in parts]
    table = pd.DataFrame(
        rows, columns=["setting", "setting_other", "name", "baseline", "how", "seeds", *columns]
    )
    for measure in measures:
        half = half_widths(table, measure)
        table[f"{measure}_change_low"] = table[f"{measure}_change"] - half
        table[f"{measure}_change_high"] = table[f"{measure}_change"] + half
    return table


def half_widths(matched: pd.DataFrame, measure: str, comparisons: int = 1) -> pd.Series:
    """Half the width of the 95% interval of each difference.

    Args:
        matched: As `matched_settings` returns them.
        measure: One of those compared.
        comparisons: The level is that at which so many intervals hold at once (Bonferroni).
    """
    freedom = matched[f"{measure}_change_freedom"]
    errors = matched[f"{measure}_change_se"]
    return freedom.map(lambda own: quantile(own, comparisons)) * errors


def clear(matched: pd.DataFrame, measure: str) -> pd.Series:
    """Where a difference exceeds the noise at 95%, all tested differences of the measure at once.

    Args:
        matched: As `matched_settings` returns them.
        measure: One of those compared.
    """
    tested = int(matched[f"{measure}_change_se"].notna().sum())
    half = half_widths(matched, measure, max(tested, 1))
    return matched[f"{measure}_change"].abs() > half


def unmatched(one: Entry, other: Entry) -> tuple[int, int]:
    """How many settings with complete trials of each sweep have no match in the other."""
    matched = len(_pairs(one, other))
    ours, theirs = (
        int(entry.trials.loc[entry.trials["mean_loss"].notna(), "setting"].nunique())
        for entry in (one, other)
    )
    return ours - matched, theirs - matched


def shared_states(one: Entry, other: Entry) -> list[str]:
    """The states that stand in the plans of both sweeps: each was trained once."""
    theirs = set(other.sweep.states.index)
    return [str(state) for state in one.sweep.states.index if state in theirs]


def _pairs(one: Entry, other: Entry) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """The complete trials of each setting that has exactly one counterpart."""
    axes = list(dict.fromkeys([*one.center, *other.center]))
    ours, theirs = (_by_setting(entry, axes) for entry in (one, other))
    pairs = []
    for key, here in ours:
        found = [there for candidate, there in theirs if _agree(key, candidate)]
        if len(found) == 1:
            pairs.append((here, found[0]))
    return pairs


def _by_setting(entry: Entry, axes: Sequence[str]) -> list[tuple[Key, pd.DataFrame]]:
    """Each setting's baseline and factors, and its complete trials."""
    complete = entry.trials[entry.trials["mean_loss"].notna()]
    held = entry.sweep.plan["center"] or {}
    made = []
    for _, trials in complete.groupby("setting", sort=False):
        first = trials.iloc[0]
        factors = []
        for axis in axes:
            if axis in entry.center:
                factors.append(_factor(first[axis]))
            else:
                factors.append(ANY if first["baseline"] else _factor(held.get(axis, UNKNOWN)))
        made.append(((str(first["baseline"]), tuple(factors)), trials))
    return made


def _agree(one: Key, other: Key) -> bool:
    factors = zip(one[1], other[1], strict=True)
    return one[0] == other[0] and all(
        ours == theirs or ANY in (ours, theirs) for ours, theirs in factors
    )


def _factor(value: Any) -> Factor:
    """A factor as it is compared: 0 and 0.0 are one, what has no meaning for a trial is None."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return float(value) if isinstance(value, int | float) else str(value)


def _differences(
    here: pd.DataFrame, there: pd.DataFrame, measures: Sequence[str]
) -> dict[str, Any]:
    """One row of the table: how the two were held against each other, and what came of it."""
    counts = f"{here['seed'].nunique()} and {there['seed'].nunique()}"
    if set(here["state"]) & set(there["state"]):
        return {"how": SAME_RUN, "seeds": counts, **_means(here, there, measures)}
    ours, theirs = (rows.drop_duplicates("seed").set_index("seed") for rows in (here, there))
    both = [seed for seed in ours.index if seed in theirs.index]
    noise: Noise | None = None
    if len(both) > 1:
        how, counts, noise = PAIRED, f"{len(both)} pairs", _paired
        ours, theirs = ours.loc[both], theirs.loc[both]
    elif min(len(ours), len(theirs)) > 1:
        how, noise = UNPAIRED, _welch
    else:
        how = ONE_SEED
    row: dict[str, Any] = {"how": how, "seeds": counts, **_means(ours, theirs, measures)}
    for measure in measures:
        row[f"{measure}_change"] = row[f"{measure}_other"] - row[f"{measure}_one"]
        if noise is not None:
            error, freedom = noise(_sample(ours, measure), _sample(theirs, measure))
            row |= {f"{measure}_change_se": error, f"{measure}_change_freedom": freedom}
    return row


def _means(ours: pd.DataFrame, theirs: pd.DataFrame, measures: Sequence[str]) -> dict[str, float]:
    return {
        f"{measure}_{side}": float(rows[measure].mean())
        for side, rows in (("one", ours), ("other", theirs))
        for measure in measures
    }


def _sample(trials: pd.DataFrame, measure: str) -> Sample:
    # Where no evaluation has every data set, windows add nothing that is known.
    windows = trials[f"{measure}_window"].fillna(0)
    return Sample(trials[measure].to_numpy(float), windows.to_numpy(float))


def _paired(ours: Sample, theirs: Sample) -> tuple[float, float]:
    """Standard error of the mean difference of pairs, and its degrees of freedom."""
    paired = Sample(theirs.values - ours.values, theirs.windows + ours.windows)
    return paired.error, paired.freedom


def _welch(ours: Sample, theirs: Sample) -> tuple[float, float]:
    """The same of the difference of two means: by Welch, and by Satterthwaite."""
    variance = ours.error**2 + theirs.error**2
    if not variance:
        return 0.0, min(ours.freedom, theirs.freedom)
    parts = sum(sample.error**4 / sample.freedom for sample in (ours, theirs))
    return math.sqrt(variance), variance**2 / parts
