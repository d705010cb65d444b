"""What the report predicts of sweeps whose truth is known, and whether its proposals are any good.

    python benchmarks/predictions.py [--sweeps 20] [--first 0] [--design NAME]

Each sweep is drawn from a law of its own (`lawful.draw_law`) with the noise of seeds, trials and
evaluations, and read like any other. Two designs: the grid of 30 settings with three seeds, and 16
settings drawn at random with one seed. Told of each design:

- held-out errors of the law and of the surface as shares of the loss, of settings and, with all
  seeds of the setting out, of trials (see `predicting.tables.by_trial`);
- how often the 95% interval of predicted forgetting or adaptation holds the expected one, for
  settings that were not run: inside the range tried, and by the law alone outside of it and with
  twice and four times the budget (errors in shares of the loss);
- regret: how much more the best setting within the bounds adapts, under the cap, than the best
  known after three more trials, both by expected losses: with no trial more, with the three
  proposals of the report, and with three points at random within the same bounds (log-uniform
  peak, uniform replay), the mean of many draws; within the bounds of the report, and within the
  range tried.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lawful import Truth, areas, draw_law, sweep_content, write_sweep

from analysis.load import load_sweep
from analysis.measures import trial_table
from analysis.predicting import tables
from analysis.predicting.held_out import LAW, SURFACE
from analysis.predicting.outlook import Outlook, outlook
from analysis.predicting.proposals import Bounds, bounds, propose
from analysis.predicting.unrun import planned_points
from cpt.schedule import lr

DRAWS = 100
FINE = 50
DESIGNS: dict[str, dict[str, Any]] = {
    "grid of 30, three seeds": {},
    "16 at random, one seed": {
        "design": "random",
        "points": 16,
        "axes": {
            "max_lr": {"low": 7.5e-4, "high": 2.4e-2},
            "replay_fraction": {"low": 0, "high": 0.5},
            "seed": [0],
        },
    },
}


@dataclass
class Expected:
    """Expected forgetting and adaptation of any setting of a sweep."""

    truth: Truth

    def __post_init__(self) -> None:
        plan = self.truth.plan
        trial = next(one for one in plan.trials if one.baseline is None)
        before, state = (plan.states[name] for name in trial.states)
        self.config = state.config
        pretraining = areas(
            np.array([before.config.lr(step) for step in range(before.config.end_step)])
        )
        self.before = pretraining[0][-1], pretraining[1][-1]
        self.starts = {
            role: float(curve[-1]) for role, curve in self.truth.curves(trial.states[0]).items()
        }
        self.areas: dict[tuple[float, int], tuple[np.ndarray, np.ndarray]] = {}

    def losses(
        self, peak: float, replay: np.ndarray, times: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Final D0 and D1 losses of one peak with some shares of replay."""
        steps = self.config.total_steps * times
        if (peak, times) not in self.areas:
            schedule = self.config.schedule.model_copy(
                update={"max_lr": peak, "min_lr": 0.1 * peak}
            )
            pieces = schedule.pieces(steps)
            self.areas[peak, times] = areas(np.array([lr(pieces, step) for step in range(steps)]))
        back = self.config.total_steps - np.array(self.config.evaluation_steps())
        window = steps - back[back < self.config.evaluation.final_window_steps]
        s1, s2 = (area[window] for area in self.areas[peak, times])
        law, (before1, before2) = self.truth.law, self.before
        found = [
            [own.loss(s1, s2 + before2, before1, s1, share).mean() for share in replay]
            for own in (law.d0, law.d1)
        ]
        return np.array(found[0]), np.array(found[1])

    def measures(self, points: pd.DataFrame) -> pd.DataFrame:
        """`forgetting` and `adaptation` of points with `peak` and `replay`."""
        rows = [self.losses(peak, np.array([share])) for peak, share in points.to_numpy(float)]
        return pd.DataFrame(
            {
                "forgetting": [float(d0[0]) - self.starts["d0"] for d0, _ in rows],
                "adaptation": [self.starts["d1"] - float(d1[0]) for _, d1 in rows],
            }
        )

    def best(self, within: Bounds, cap: float) -> float:
        """The largest adaptation within bounds whose forgetting stays under the cap."""
        shares = np.linspace(*within.shares, FINE)
        tables = []
        for peak in np.geomspace(*within.peaks, FINE):
            d0, d1 = self.losses(float(peak), shares)
            tables.append(np.column_stack([d0 - self.starts["d0"], self.starts["d1"] - d1]))
        every = np.concatenate(tables)
        return float(every[every[:, 0] <= cap, 1].max())


def known_best(measures: pd.DataFrame, cap: float) -> float:
    """The largest adaptation under the cap; 0, no change at all, where there is none."""
    under = measures.loc[measures["forgetting"] <= cap, "adaptation"]
    return max(float(under.max()), 0.0) if len(under) else 0.0


def regrets(
    found: Outlook, expected: Expected, planned: pd.DataFrame, noise: np.random.Generator
) -> dict[str, Any]:
    """Regret without another trial, with the proposals and with random points.

    Once within all bounds of the law, where adaptation often grows up to the largest peak, and once
    within the range tried (`... inside`), where it cannot be found by going further alone.
    """
    told: dict[str, Any] = {"model": (found.holding() or ["none"])[0]}
    cap, run = found.cap(), expected.measures(planned)
    for words, reach in (("", LAW), (" inside", SURFACE)):
        within = bounds(found.courses, reach)
        assert within is not None
        best = expected.best(within, cap)
        told["nothing" + words] = best - known_best(run, cap)
        if found.holding():
            more = propose(found, found.holding()[0], within, planned, cap)[["peak", "replay"]]
            after = pd.concat([run, expected.measures(more)])
            told["proposals" + words] = best - known_best(after, cap)
        peaks = np.exp(noise.uniform(*np.log(within.peaks), (DRAWS, 3)))
        shares = noise.uniform(*within.shares, (DRAWS, 3))
        drawn = expected.measures(pd.DataFrame({"peak": peaks.ravel(), "replay": shares.ravel()}))
        after = [pd.concat([run, drawn.iloc[3 * at : 3 * at + 3]]) for at in range(DRAWS)]
        told["random" + words] = float(np.mean([best - known_best(one, cap) for one in after]))
    return told


def held_out(found: Outlook, trials: pd.DataFrame) -> list[dict[str, Any]]:
    """Errors of each model on each data set."""
    rows = []
    by_trial = tables.by_trial(found, trials).set_index(["model", "role"])["share"]
    for (model, role), judged in found.judged.items():
        rows.append(
            {
                "model": model,
                "role": role,
                "holds": judged.holds,
                "settings": judged.table["share"].to_numpy(),
                "trials": by_trial.loc[[(model, role)]].to_numpy(),
            }
        )
    return rows


def covered(found: Outlook, expected: Expected, model: str) -> list[tuple[str, bool, float]]:
    """Whether intervals hold what is expected of settings that were not run."""
    within = bounds(found.courses, LAW)
    assert within is not None
    assert found.unrun is not None
    low, high = within.peaks
    tried = (2 * low, high / 2)
    cases = [("inside", peak, 1) for peak in np.geomspace(*tried, 5) * 1.2 if peak < tried[1]]
    if model == LAW:
        cases += [("outside", peak, 1) for peak in (low, high)]
        cases += [(f"{times} x budget", float(np.sqrt(low * high)), times) for times in (2, 4)]
    rows = []
    for where, peak, times in cases:
        for share in (0.0, 0.03, 0.1, 0.4):
            row = found.predict(model, [found.unrun.course(float(peak), share, times)]).iloc[0]
            losses = expected.losses(float(peak), np.array([share]), times)
            pairs = zip(("d0", "d1"), ("forgetting", "adaptation"), (1, -1), losses, strict=True)
            for role, measure, sign, loss in pairs:
                true = sign * (float(loss[0]) - expected.starts[role])
                inside = row[f"{measure}_low"] <= true <= row[f"{measure}_high"]
                rows.append((where, bool(inside), abs(row[measure] - true) / float(loss[0])))
    return rows


def main() -> None:
    """Prints the tables of all sweeps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="seed of the first law")
    parser.add_argument("--design", choices=list(DESIGNS), help="one of the two; else both")
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.sweeps)
    chosen = [arguments.design] if arguments.design else list(DESIGNS)
    for name in chosen:
        changes = DESIGNS[name]
        errors, regret, intervals, seconds = [], [], [], []
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder:
                law = draw_law(np.random.default_rng(seed))
                content = sweep_content(**{"baselines": [], **changes})
                path, truth = write_sweep(Path(folder), law, content, seed=seed)
                sweep = load_sweep(path)
                trials = trial_table(sweep)
                begun = time.perf_counter()
                found = outlook(sweep, trials)
                seconds.append(time.perf_counter() - begun)
                expected = Expected(truth)
                errors += held_out(found, trials)
                planned = planned_points(sweep)
                noise = np.random.default_rng(seed)
                regret.append({"sweep": seed, **regrets(found, expected, planned, noise)})
                for model in found.holding():
                    intervals += [(model, *row) for row in covered(found, expected, model)]
        report(name, errors, pd.DataFrame(regret), intervals, seconds)


def report(
    name: str,
    errors: list[dict[str, Any]],
    regret: pd.DataFrame,
    intervals: list[tuple[str, str, bool, float]],
    seconds: list[float],
) -> None:
    """Prints the tables of one design."""
    print(
        f"\n## {name}: {len(regret)} sweeps, fitted and judged in {np.mean(seconds):.1f} s each\n"
    )
    rows = []
    for (model, role), group in pd.DataFrame(errors).groupby(["model", "role"]):
        settings, trials = (np.concatenate(list(group[key])) for key in ("settings", "trials"))
        rows.append(
            {
                "model": model,
                "loss": role,
                "holds": f"{group['holds'].sum()} of {len(group)}",
                "settings within 1%": f"{(settings <= 0.01).mean():.1%}",
                "trials within 1%": f"{(trials <= 0.01).mean():.1%}",
                "worst setting": f"{settings.max():.2%}",
                "worst trial": f"{trials.max():.2%}",
            }
        )
    print(pd.DataFrame(rows).to_string(index=False))
    if intervals:
        table = pd.DataFrame(intervals, columns=["model", "where", "covered", "error"])
        groups = table.groupby(["model", "where"])
        print(
            groups.agg(
                covered=("covered", "mean"),
                mean_error=("error", "mean"),
                worst=("error", "max"),
                n=("error", "size"),
            ).round(4)
        )
    print(regret.round(4).to_string(index=False))
    print(regret.drop(columns=["sweep", "model"]).mean().round(4).to_dict())
    for words in ("", " inside"):
        proposed, drawn = regret["proposals" + words], regret["random" + words]
        better, known = (proposed < drawn).sum(), proposed.count()
        print(f"proposals{words} better than random on average in {better} of {known}")


if __name__ == "__main__":
    main()
