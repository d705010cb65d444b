"""How often the true best setting is among those that a report calls possible, and how many.

    python benchmarks/decisions.py [--sweeps 20] [--worlds 500]

Prints the tables of docs/report.md. The first three are of sweeps drawn from random laws
(benchmarks/lawful.py): six peaks by five shares of replay, losses of the law plus noise of seeds,
trials and evaluations. The best setting is that of the law, without noise. It is sought in the
report's set at the default rule, at three numbers as caps, at every stop of the slider and by
average loss. The last table is of settings drawn along a front, so close that noise decides which
looks best: how often their truth is excluded.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.deciding.decision import KEPT, Choice, Decision, candidates
from analysis.deciding.extent import inside
from analysis.deciding.noise import Noise
from analysis.deciding.pooling import Pool, pool
from analysis.load import Sweep, load_sweep
from analysis.measures import trial_table
from analysis.settings import anchor, is_efficient, settings_table
from benchmarks.lawful import Law, draw_law, sweep_content, write_sweep

TIES = (
    (12, 3, 0.01, 0.0),
    (12, 2, 0.01, 0.0),
    (12, 3, 0.03, 0.7),
    (12, 2, 0.03, 0.7),
    (5, 2, 0.02, 0.0),
    (40, 3, 0.02, 0.5),
)
"""Settings, seeds, noise of a trial and how uneven it is between settings."""


def best_under(truth: pd.DataFrame, cap: float) -> str:
    """The setting with the largest expected adaptation among those under the cap."""
    under = truth[truth["forgetting"] <= cap]
    return str(under["adaptation"].idxmax()) if len(under) else ""


def best_by_default(truth: pd.DataFrame) -> str:
    """The setting that forgets least of those that keep 95% of the largest adaptation."""
    keeping = truth[truth["adaptation"] >= KEPT * truth["adaptation"].max()]
    return str(keeping["forgetting"].idxmin())


def examined(seed: int, seeds: int, louder: float) -> Iterator[dict[str, Any]]:
    """One row a choice of one random sweep, its trials' noise `louder` times the law's."""
    law = draw_law(np.random.default_rng(seed))
    law = replace(law, trial_noise=louder * law.trial_noise)
    content = sweep_content()
    content["axes"]["seed"] = list(range(seeds))
    with tempfile.TemporaryDirectory() as folder:
        path, true = write_sweep(Path(folder), law, content, seed=seed)
        sweep = load_sweep(path)
    trials = trial_table(sweep)
    settings = settings_table(sweep, trials, anchor(sweep))
    decision = Decision(Noise(sweep, trials), settings)
    truth = true.table().merge(trials[["trial", "setting"]], on="trial")
    truth = truth.groupby("setting")[["forgetting", "adaptation"]].first()
    truth = truth.loc[decision.candidates.index]
    default = best_by_default(truth)
    low, high = truth["forgetting"].quantile([0.25, 0.75])
    for name, choice, best in [
        ("default rule", decision.default(), default),
        *(
            (name, decision.under(cap), best_under(truth, cap))
            for name, cap in (
                ("cap: true forgetting of the default", truth.at[default, "forgetting"]),
                ("cap: lower quartile of forgetting", low),
                ("cap: upper quartile of forgetting", high),
            )
        ),
        *(
            ("stops of the slider", choice, best_under(truth, truth.at[choice.limit, "forgetting"]))
            for choice in decision.caps()
            if choice.limit
        ),
        (
            "smallest average loss",
            decision.by_mean_loss(),
            str((truth["forgetting"] - truth["adaptation"]).idxmin()),
        ),
    ]:
        yield {"sweep": seed, "choice": name} | judged(choice, best, sweep, settings)


def judged(choice: Choice, best: str, sweep: Sweep, settings: pd.DataFrame) -> dict[str, Any]:
    """Whether the truth lies in a choice, and how wide it is."""
    within = inside(sweep, settings, choice.rivals)
    return {
        "set": best in choice.rivals,
        "interval": best in within,
        "named": best == choice.best,
        "settings": len(choice.rivals),
        "of": len(candidates(settings)),
    }


def print_lawful(sweeps: int, seeds: int, louder: float) -> None:
    """A table: one row a way of choosing."""
    rows = [row for seed in range(sweeps) for row in examined(seed, seeds, louder)]
    print(f"\n{seeds} seeds, trials' noise {louder * Law.trial_noise:g}\n")
    print("| choice | cases | true best in the set | in the interval | is the one named ", end="")
    print("| settings in the set: median, most | of |")
    print("|---|---|---|---|---|---|---|")
    for name, group in pd.DataFrame(rows).groupby("choice", sort=False):
        shares = [f"{group[key].mean():.0%}" for key in ("set", "interval", "named")]
        sizes = f"{group['settings'].median():.0f}, {group['settings'].max()}"
        print(f"| {name} | {len(group)} | {' | '.join(shares)} | {sizes} | {group['of'].max()} |")


@dataclass(frozen=True)
class Drawn:
    """Measures of settings in seeds, as `Noise` has them."""

    values: Mapping[str, np.ndarray]

    def pool(self, settings: Sequence[str], measure: str) -> Pool:
        """The noise of all settings, without final windows."""
        return pool(self.values[measure], np.zeros(len(settings)))


def near_ties(
    noise: np.random.Generator, settings: int, seeds: int, spread: float, uneven: float
) -> dict[str, list[bool]]:
    """Whether one drawn world's true best is excluded, by way of choosing.

    Args:
        noise: Draws the world.
        settings: How many lie along the front.
        seeds: How many there are.
        spread: Standard deviation of a trial, nats per token.
        uneven: Of the logarithm of that, between settings.
    """
    forgetting = np.sort(noise.uniform(0, 0.3, settings))
    adaptation = 1 - 0.12 * np.exp(-12 * forgetting) + noise.normal(0, 0.01, settings)
    scales = spread * np.exp(noise.normal(0, uneven, (settings, 1)))
    block = noise.normal(0, 0.02, seeds)
    values = {
        "forgetting": forgetting[:, None] + block + noise.normal(0, 1, (settings, seeds)) * scales,
        "adaptation": adaptation[:, None] + block + noise.normal(0, 1, (settings, seeds)) * scales,
    }
    values["mean_loss"] = (values["forgetting"] - values["adaptation"]) / 2
    keys = [f"setting {number}" for number in range(settings)]
    table = pd.DataFrame({name: each.mean(axis=1) for name, each in values.items()}, index=keys)
    table = table.assign(from_scratch=False, path_tokens=1)
    decision = Decision(Drawn(values), table.assign(efficient=is_efficient(table)))
    truth = pd.DataFrame({"forgetting": forgetting, "adaptation": adaptation}, index=keys)
    cap = noise.uniform(0.1, 0.25)
    average = str((truth["forgetting"] - truth["adaptation"]).idxmin())
    return {
        "default rule": [best_by_default(truth) not in decision.default().rivals],
        "number as a cap": [best_under(truth, cap) not in (*decision.under(cap).rivals, "")],
        "stops of the slider": [
            best_under(truth, truth.at[choice.limit, "forgetting"]) not in choice.rivals
            for choice in decision.caps()
            if choice.limit
        ],
        "average loss": [average not in decision.by_mean_loss().rivals],
    }


def print_ties(worlds: int) -> None:
    """A table: one row a kind of world, how often the true best is excluded."""
    names = ("default rule", "number as a cap", "stops of the slider", "average loss")
    print(f"\n| settings | seeds | trials' noise | uneven | {' | '.join(names)} |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in TIES:
        noise = np.random.default_rng(1)
        found = [near_ties(noise, *kind) for _ in range(worlds)]
        rates = [np.mean([miss for world in found for miss in world[name]]) for name in names]
        cells = [f"{value:g}" for value in kind] + [f"{rate:.1%}" for rate in rates]
        print(f"| {' | '.join(cells)} |")


def main() -> None:
    """Draws the sweeps and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=20, help="random laws")
    parser.add_argument("--worlds", type=int, default=500, help="of near ties, of each kind")
    arguments = parser.parse_args()
    for seeds, louder in ((3, 1.0), (2, 1.0), (3, 5.0)):
        print_lawful(arguments.sweeps, seeds, louder)
    print_ties(arguments.worlds)


if __name__ == "__main__":
    main()
