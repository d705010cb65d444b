"""How often the true best setting is among those that a report calls possible, and how many.

    python benchmarks/decisions.py [--sweeps 20] [--seeds 3] [--noise 1]

Sweeps are drawn from random laws (benchmarks/lawful.py): six peaks by five shares of replay, losses
of the law plus noise of seeds, trials and evaluations. The best setting is that of the law, without
noise. It is sought in the report's set at the default rule, at three numbers as caps and at every
stop of the slider.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.deciding.decision import KEPT, Choice, Decision
from analysis.deciding.extent import inside
from analysis.deciding.noise import Noise
from analysis.load import load_sweep
from analysis.measures import trial_table
from analysis.settings import anchor, settings_table
from benchmarks.lawful import draw_law, sweep_content, write_sweep


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
        yield {"sweep": seed, "choice": name} | judged(choice, best, truth, sweep, settings)


def judged(choice: Choice, best: str, truth: pd.DataFrame, *tables: Any) -> dict[str, Any]:
    """Whether the truth lies in a choice, how wide it is and what its best one is short of."""
    within = inside(*tables, choice.rivals)
    short = float("nan")
    if best and choice.best:
        short = truth.at[best, "adaptation"] - truth.at[choice.best, "adaptation"]
    return {
        "set": best in choice.rivals,
        "interval": best in within,
        "exact": best == choice.best,
        "settings": len(choice.rivals),
        "in_interval": len(within),
        "of": len(truth),
        "short": short,
    }


def main() -> None:
    """Draws the sweeps and prints a table for docs/report.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--noise", type=float, default=1.0, help="times the law's, of each trial")
    arguments = parser.parse_args()
    rows = [
        row
        for seed in range(arguments.sweeps)
        for row in examined(seed, arguments.seeds, arguments.noise)
    ]
    table = pd.DataFrame(rows)
    print("| choice | cases | true best in the set | in the interval | is the one named ", end="")
    print("| settings in the set, median (most) | in the interval | of | adaptation lost, most |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, group in table.groupby("choice", sort=False):
        shares = [f"{group[key].mean():.0%}" for key in ("set", "interval", "exact")]
        sizes = [f"{group['settings'].median():.0f} ({group['settings'].max()})"]
        sizes += [f"{group['in_interval'].median():.0f}", f"{group['of'].max()}"]
        sizes.append(f"{group['short'].abs().max():.3f}")
        print(f"| {name} | {len(group)} | {' | '.join([*shares, *sizes])} |")


if __name__ == "__main__":
    main()
