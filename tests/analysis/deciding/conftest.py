"""Sweeps whose endings are typed: three seeds that waver by as much as a test says."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from analysis.deciding.decision import Decision
from analysis.deciding.noise import Noise
from analysis.load import Sweep, load_sweep
from analysis.measures import trial_table
from analysis.settings import anchor, settings_table

WOBBLES = {
    0.0: (1, -1, 0),
    0.05: (-1, 0, 1),
    0.5: (0, 1, -1),
}
"""Off the setting's value in each seed, in wobbles; no two settings waver alike."""


@pytest.fixture
def decided(typed) -> Callable[..., "Decided"]:
    """Takes replay -> (forgetting, adaptation), how many seeds, and how much they waver."""

    def write(
        endings: Mapping[float, tuple[float, float]],
        seeds: int = 3,
        wobble: float = 0.0,
        statuses: Mapping[float, str] | None = None,
    ) -> Decided:
        typed.axes = {"replay_fraction": list(endings), "seed": list(range(seeds))}
        for replay, (forgetting, adaptation) in endings.items():
            for seed in range(seeds):
                off = wobble * WOBBLES[replay][seed] + 0.02 * seed
                losses = {
                    "prose": [(0, 2.0), (100, 2.0 + forgetting + off)],
                    "code": [(0, 3.0), (100, 3.0 - adaptation + off)],
                }
                status = (statuses or {}).get(replay, "complete")
                typed.add(f"r{replay:g}-{seed}", replay, seed=seed, losses=losses, status=status)
        return Decided(load_sweep(typed.write("grid")))

    return write


class Decided:
    """A sweep, its settings and what is decided from them; settings are named by their replay."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.trials = trial_table(sweep)
        self.settings = settings_table(sweep, self.trials, anchor(sweep))
        self.decision = Decision(Noise(sweep, self.trials), self.settings)

    def key(self, replay: float) -> str:
        return str(self.trials.loc[self.trials["replay_fraction"] == replay, "setting"].iloc[0])

    def names(self, keys: Any) -> list[float]:
        """The replay of each of these settings."""
        return [float(self.settings.at[key, "replay_fraction"]) for key in keys]
