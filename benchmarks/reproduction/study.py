"""One of the studies as it was run, and the contrasts that findings are told by."""

from pathlib import Path
from typing import Any

import pandas as pd

from analysis.deciding.contrasts import Contrasts, Weights, combined
from analysis.deciding.decision import margin
from analysis.deciding.evidence import Evidence
from analysis.deciding.noise import Estimate, Noise
from analysis.dips import dip_table
from analysis.load import load_sweep
from analysis.measures import trial_table, whole_sets
from analysis.settings import anchor, settings_table

EARLY = (4, 32)
"""Steps of a stage; the longest warm-up compared is over after 20."""


class Study:
    """A finished sweep around a centre.

    Attributes:
        name: Of the sweep, without `paper-mini-`.
        sweep: As `load_sweep` reads it.
        trials: As `measures.trial_table` returns them.
        evidence: What the report tests claims on.
    """

    def __init__(self, folder: Path) -> None:
        """Reads a sweep's folder.

        Raises:
            ValueError: A trial of it is not complete.
        """
        self.sweep = load_sweep(folder)
        self.name = folder.name.removeprefix("paper-mini-")
        self.trials = trial_table(self.sweep)
        if missing := list(self.trials.loc[self.trials["mean_loss"].isna(), "trial"]):
            raise ValueError(f"{folder}: {len(missing)} trials are not complete, e.g. {missing[0]}")
        center = anchor(self.sweep)
        settings = settings_table(self.sweep, self.trials, center)
        continued = list(settings.index[~settings["from_scratch"]])
        contrasts = Contrasts(Noise(self.sweep, self.trials), continued)
        self.evidence = Evidence(self.sweep, self.trials, center, contrasts, margin(settings))

    def at(self, axis: str, value: Any) -> Weights:
        """The centre but for one factor."""
        return self.evidence.levels(axis, [value])[value]

    def setting(self, **values: Any) -> Weights:
        """The one setting of a grid that has these values.

        Raises:
            ValueError: There is none, or more than one.
        """
        chosen = self.trials[self.trials["baseline"] == ""]
        for axis, value in values.items():
            chosen = chosen[chosen[axis] == value]
        (name,) = chosen["setting"].unique()
        return {str(name): 1.0}

    @property
    def center(self) -> Weights:
        """The centre itself."""
        return {str(self.evidence.middle()): 1.0}

    def baseline(self, name: str) -> Weights:
        """A baseline by its name."""
        return {str(self.evidence.baseline(name)): 1.0}

    def difference(
        self, one: Weights, other: Weights, measure: str, comparisons: int = 1
    ) -> Estimate:
        """One less the other, paired by seed, with the report's own noise."""
        weights = combined((1, one), (-1, other))
        return self.evidence.contrasts.contrast(weights, measure, comparisons)

    def by_seed(self, one: Weights, measure: str) -> pd.Series:
        """A measure of one setting in each seed."""
        return self._rows(one).set_index("seed")[measure]

    def rises(self, one: Weights) -> pd.Series:
        """How high D0 loss climbed after step 0, in each seed."""
        dips = dip_table(self.sweep, self.trials, stage=1).set_index("trial")["d0_rise"]
        return self._rows(one).set_index("seed")["trial"].map(dips)

    def course(self, one: Weights, role: str, steps: tuple[int, int]) -> pd.Series:
        """The mean of the evaluations from one step to another, in each seed."""
        rows = whole_sets(self.sweep)
        rows = rows[(rows["role"] == role) & rows["step"].between(*steps)]
        means = rows.groupby("state")["loss"].mean()
        return self._rows(one).set_index("seed")["state"].map(means)

    def _rows(self, one: Weights) -> pd.DataFrame:
        (setting,) = one
        return self.trials[self.trials["setting"] == setting]
