"""How often verdicts on the paper's findings are wrong, and how often they are reached.

    python benchmarks/claims.py [--draws 400] [--seeds 3] [--uneven 0]

One sweep around a centre with four baselines is planned; its losses are then drawn many times. In
the first truth every finding is false by nothing: what has to be larger than a threshold equals it,
what has to be smaller equals it too. A verdict "supported" is an error there. In the second every
finding is true with some room, and "contradicted" is an error.
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.deciding.claims import paper_claims
from analysis.frames import EVAL_COLUMNS
from analysis.load import Sweep, load_sweep
from analysis.measures import trial_table
from analysis.settings import anchor, settings_table
from benchmarks.lawful import draw_law, sweep_content, write_sweep

CENTER = {
    "max_lr": 3e-3,
    "warmup_fraction": 0.02,
    "replay_fraction": 0.05,
    "schedule": "cosine",
}
AXES = {
    "max_lr": [1.5e-3, 3e-3, 6e-3],
    "warmup_fraction": [0, 0.01, 0.02, 0.1],
    "replay_fraction": [0, 0.01, 0.05, 0.25, 0.5],
    "schedule": ["cosine", "infinite_cosine", "infinite_inverse_sqrt"],
}
STARTS = (2.0, 3.0)
"""Losses of the pre-trained model on D0 and D1, nats per token."""
WINDOW = (490 / 500, 495 / 500, 1.0)
"""Evaluations in the final window, as shares of a state's steps."""
Ends = Mapping[Any, tuple[float, float]]

FALSE: Ends = {
    "centre": (0.4, 1.0),
    "no_rewarm": (0.4, 0.95),
    "no_redecay": (0.4, 0.95),
    "union": (0.35, 0.7),
    ("warmup_fraction", 0.1): (0.45, 1.0),
    ("max_lr", 1.5e-3): (0.3, 1.0),
    ("max_lr", 6e-3): (0.5, 1.0),
    ("replay_fraction", 0): (0.8, 1.0),
    ("replay_fraction", 0.01): (0.6, 1.0),
    ("schedule", "infinite_cosine"): (0.4, 0.95),
}
"""Forgetting and adaptation where they are not the centre's; 0.05 is the margin. Half of the
forgetting is removed at most, the smallest replay does half of what the largest does."""
TRUE: Ends = {
    "centre": (0.3, 1.0),
    "no_rewarm": (0.3, 0.9),
    "no_redecay": (0.3, 0.9),
    "union": (0.3, 0.99),
    ("warmup_fraction", 0.1): (0.31, 1.0),
    ("max_lr", 1.5e-3): (0.27, 0.98),
    ("max_lr", 6e-3): (0.33, 1.02),
    ("replay_fraction", 0): (0.8, 1.0),
    ("replay_fraction", 0.01): (0.4, 1.0),
    ("replay_fraction", 0.25): (0.2, 0.98),
    ("replay_fraction", 0.5): (0.15, 0.9),
    ("schedule", "infinite_cosine"): (0.31, 1.0),
}


def planned(seeds: int) -> Sweep:
    """The sweep, whose losses are to be replaced."""
    content = sweep_content(
        "claims",
        axes={**AXES, "seed": list(range(seeds))},
        center=CENTER,
        design="one_at_a_time",
        baselines=["no_rewarm", "no_redecay", "downstream_only", "union"],
    )
    with tempfile.TemporaryDirectory() as folder:
        path, _ = write_sweep(Path(folder), draw_law(np.random.default_rng(0)), content)
        return load_sweep(path)


def ends_of(trial: Mapping[Any, Any], truth: Ends) -> tuple[float, float]:
    """Forgetting and adaptation of a trial."""
    if trial["baseline"]:
        return truth.get(trial["baseline"], truth["centre"])
    apart = [(axis, trial[axis]) for axis in AXES if trial[axis] != CENTER[axis]]
    return truth.get(apart[0], truth["centre"]) if apart else truth["centre"]


def drawn(sweep: Sweep, truth: Ends, uneven: float, draw: np.random.Generator) -> Sweep:
    """The sweep with losses of its own: noise of seeds 0.01, trials 0.004, evaluations 0.003.

    Args:
        sweep: As `planned` returns it.
        truth: Forgetting and adaptation.
        uneven: Standard deviation of the logarithm of a setting's noise.
        draw: Where the noise comes from.
    """
    seeds = {seed: draw.normal(0, 0.01, 2) for seed in sweep.trials["seed"].unique()}
    louder: dict[Any, float] = {}
    rows = []
    for trial in sweep.trials.to_dict("records"):
        forgetting, adaptation = ends_of(trial, truth)
        key = str([trial["baseline"], *(trial[axis] for axis in AXES)])
        scale = 0.004 * louder.setdefault(key, float(np.exp(draw.normal(0, uneven))))
        ends = np.array([STARTS[0] + forgetting, STARTS[1] - adaptation])
        ends += seeds[trial["seed"]] + draw.normal(0, scale, 2)
        for share in (0.0, *WINDOW):
            step = round(share * trial["steps"])
            losses = ends + draw.normal(0, 0.003, 2) if step else np.array(STARTS)
            for role, loss in zip(("d0", "d1"), losses, strict=True):
                rows.append({"state": trial["state"], "role": role, "step": step, "loss": loss})
    evals = pd.DataFrame(rows, columns=EVAL_COLUMNS)
    evals["tokens"] = evals["step"] * sweep.tokens_per_step
    return dataclasses.replace(sweep, evals=evals)


def verdicts(sweep: Sweep) -> dict[str, str]:
    """Finding to verdict."""
    trials, center = trial_table(sweep), anchor(sweep)
    settings = settings_table(sweep, trials, center)
    claims = paper_claims(sweep, trials, settings, center)
    return {claim.name: claim.verdict.value for claim in claims if claim.effects}


def main() -> None:
    """Draws the losses and prints a table for docs/report.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--uneven", type=float, default=0.0)
    arguments = parser.parse_args()
    sweep, draw = planned(arguments.seeds), np.random.default_rng(arguments.seeds)
    found = {
        name: pd.DataFrame(
            [verdicts(drawn(sweep, truth, arguments.uneven, draw)) for _ in range(arguments.draws)]
        )
        for name, truth in (("false", FALSE), ("true", TRUE))
    }
    print("| finding | false by nothing: supported | contradicted | ", end="")
    print("true: contradicted | supported |")
    print("|---|---|---|---|---|")
    for claim in found["false"].columns:
        shares = [
            f"{(found[truth][claim] == verdict).mean():.1%}"
            for truth, verdict in (
                ("false", "supported"),
                ("false", "contradicted"),
                ("true", "contradicted"),
                ("true", "supported"),
            )
        ]
        print(f"| {claim} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
