"""Sweeps drawn from a known law: real plans and result trees, losses of the law plus noise.

    python benchmarks/lawful.py FOLDER [--seed 0]

The loss on each held-out set follows the law of continual pre-training of arXiv 2505.07796 (S1 is
the sum of learning rates, S2 the annealing area of arXiv 2408.11029, r the share of replay)

    loss = floor + power (S1_before + S1)^-alpha - anneal (S2_before + S2)
           + shift exp(-relief r) (1 - (1 + speed S1)^-beta)

where `before` is pre-training. Nothing is trained; the plan, the configurations and the files are
those of the program, so whatever reads a result tree reads this one. The truth is known: what a
report recommends or predicts can be held against it.
"""

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from scipy.signal import lfilter

from cpt.config import RunConfig
from cpt.files import write_json
from cpt.parsing import parse
from cpt.records import ResultTree, StateDir, Status, StatusWord
from cpt.rows import DataRow, EvalRow, TrainRow, append_rows
from sweeps.declared import declared_facts
from sweeps.plan import Plan, make_plan
from sweeps.prepare import write_plan
from sweeps.spec import SweepSpec
from sweeps.tree import State

BYTES = 257
"""Vocabulary of the byte tokenizer."""
FORGETFULNESS = 0.999
"""The factor lambda of the annealing area."""
NATS_PER_BIT = math.log(2)
TOKENS_PER_SECOND = 40_000


@dataclass(frozen=True)
class SetLaw:
    """The law of one held-out set: losses in nats per token, areas in units of the rate."""

    floor: float
    power: float
    alpha: float
    anneal: float
    shift: float
    relief: float
    speed: float
    beta: float

    def loss(
        self, s1: np.ndarray, s2: np.ndarray, before: float, shifted: np.ndarray, replay: float
    ) -> np.ndarray:
        """Expected losses.

        Args:
            s1: Sums of rates since pre-training.
            s2: Annealing areas, pre-training's included.
            before: Pre-training's sum of rates; 0 from random weights.
            shifted: The part of `s1` that was spent on other data than the set's own.
            replay: Share of the set's own data that is replayed meanwhile.
        """
        base = self.floor + self.power * (before + s1 + 1e-3) ** -self.alpha - self.anneal * s2
        moved = 1 - (1 + self.speed * shifted) ** -self.beta
        return base + self.shift * math.exp(-self.relief * replay) * moved


@dataclass(frozen=True)
class Law:
    """What the losses of a sweep follow, and how much they scatter.

    Attributes:
        d0: Of the old data; its shift is positive.
        d1: Of the new data; its shift is negative.
        seed_noise: Standard deviation of what all trials of a seed share, nats per token.
        trial_noise: The same of each trial for itself.
        evaluation_noise: The same of each evaluation.
    """

    d0: SetLaw
    d1: SetLaw
    seed_noise: float = 0.01
    trial_noise: float = 0.004
    evaluation_noise: float = 0.003


def draw_law(noise: np.random.Generator) -> Law:
    """A law with parameters in the range of small models on small data."""
    draw = noise.uniform
    d0 = SetLaw(
        floor=draw(1.2, 2.0),
        power=draw(0.3, 0.7),
        alpha=draw(0.3, 0.6),
        anneal=draw(0.05, 0.2),
        shift=draw(0.3, 0.9),
        relief=draw(4, 15),
        speed=draw(1, 5),
        beta=draw(0.5, 1.2),
    )
    d1 = SetLaw(
        floor=draw(1.9, 2.6),
        power=draw(0.2, 0.6),
        alpha=draw(0.3, 0.6),
        anneal=draw(0.05, 0.2),
        shift=-draw(0.5, 1.0),
        relief=draw(0.2, 1.0),
        speed=draw(1, 5),
        beta=draw(0.5, 1.2),
    )
    return Law(d0, d1)


def sweep_content(name: str = "lawful", **changes: Any) -> dict[str, Any]:
    """A sweep file: a grid of six peaks and five shares of replay with three seeds.

    Args:
        name: Of the sweep.
        changes: Fields that replace whole top-level fields.
    """
    return {
        "name": name,
        "model": "gpt-200k",
        "tokenizer": "bytes",
        "sequence_length": 128,
        "global_batch_size": 16,
        "datasets": {
            data: {"path": "json", "train": data, "validation": f"{data}-valid", "tokens": 10**9}
            for data in ("old", "new")
        },
        "upstream": {
            "dataset": "old",
            "token_budget": 1_024_000,
            "schedule": {"type": "cosine", "max_lr": 6e-3, "warmup_fraction": 0.02},
        },
        "downstream": {"dataset": "new", "token_budget": 512_000},
        "evaluation": {
            "interval_steps": 40,
            "final_window_steps": 25,
            "final_window_interval_steps": 5,
            "tokens_per_dataset": 8_192,
        },
        "axes": {
            "max_lr": [7.5e-4, 1.5e-3, 3e-3, 6e-3, 1.2e-2, 2.4e-2],
            "warmup_fraction": [0.02],
            "replay_fraction": [0, 0.01, 0.05, 0.25, 0.5],
            "schedule": ["cosine"],
            "seed": [0, 1, 2],
        },
        "design": "grid",
        "center": {
            "max_lr": 3e-3,
            "warmup_fraction": 0.02,
            "replay_fraction": 0.05,
            "schedule": "cosine",
        },
        "baselines": ["union"],
    } | changes


def areas(lrs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """S1 and S2 after each number of updates, from none on: arrays of `len(lrs) + 1`.

    The annealing area counts falls of the rate alone: that paper's begins at the peak.
    """
    falls = np.maximum(-np.diff(lrs, prepend=lrs[:1]), 0)
    momentum = lfilter([1.0], [1.0, -FORGETFULNESS], falls)
    return np.append(0.0, np.cumsum(lrs)), np.append(0.0, np.cumsum(momentum))


class Truth:
    """The expected losses of a plan's states under a law."""

    def __init__(self, plan: Plan, law: Law) -> None:
        self.plan, self.law = plan, law
        self._areas: dict[Any, tuple[np.ndarray, np.ndarray]] = {}

    def curves(self, state: str) -> dict[str, np.ndarray]:
        """Role to the expected loss after 0, 1, ... updates of the state's whole stage."""
        planned = self.plan.states[state]
        config = planned.config
        s1, s2 = self._of(config)
        before1 = before2 = 0.0
        if config.parent is not None:
            parent1, parent2 = self._of(self.plan.states[config.parent].config)
            before1, before2 = parent1[-1], parent2[-1]
        shares = {source.name.partition("/")[0]: 0.0 for source in config.stream}
        total = float(sum(source.weight for source in config.stream))
        for source in config.stream:
            shares[source.name.partition("/")[0]] += float(source.weight) / total
        old = self.plan.spec.stage_datasets[0]
        strange = {
            "upstream": (0.0, 0.0),
            "downstream": (1.0, 1.0),
            "from_scratch": (float(old not in shares), 1.0),
        }[planned.stage]
        area = s2 + before2
        replay = shares.get(old, 0.0) if planned.stage == "downstream" else 0.0
        return {
            "d0": self.law.d0.loss(s1, area, before1, s1 * strange[0], replay),
            "d1": self.law.d1.loss(s1, area, before1, s1 * strange[1], replay),
        }

    def final_losses(self, state: str) -> dict[str, float]:
        """Role to the mean over the final window, without noise."""
        config = self.plan.states[state].config
        window = [
            step
            for step in config.evaluation_steps()
            if step > config.total_steps - config.evaluation.final_window_steps
        ]
        return {role: float(curve[window].mean()) for role, curve in self.curves(state).items()}

    def table(self) -> pd.DataFrame:
        """One row a trial: `trial`, `d0_loss`, `d1_loss`, `forgetting`, `adaptation`."""
        rows = []
        for trial in self.plan.trials:
            final = self.final_losses(trial.states[-1])
            sibling = next(
                one.states[0]
                for one in self.plan.trials
                if one.factors["seed"] == trial.factors["seed"]
                and self.plan.states[one.states[0]].stage == "upstream"
            )
            pretrained = {role: float(curve[-1]) for role, curve in self.curves(sibling).items()}
            rows.append(
                {
                    "trial": trial.label,
                    "d0_loss": final["d0"],
                    "d1_loss": final["d1"],
                    "forgetting": final["d0"] - pretrained["d0"],
                    "adaptation": pretrained["d1"] - final["d1"],
                }
            )
        return pd.DataFrame(rows)

    def _of(self, config: RunConfig) -> tuple[np.ndarray, np.ndarray]:
        key = (config.schedule, config.total_steps, config.end_step)
        if key not in self._areas:
            lrs = np.array([config.lr(step) for step in range(config.end_step)])
            self._areas[key] = areas(lrs)
        return self._areas[key]


def write_sweep(
    storage: Path,
    law: Law,
    content: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    domains: Sequence[str] = (),
) -> tuple[Path, Truth]:
    """Writes a finished sweep.

    Args:
        storage: Where `states` and `sweeps` go; left out of `content`.
        law: What its losses follow.
        content: A sweep file, as `sweep_content` returns it.
        seed: Of the noise.
        domains: Names of domains that every held-out set has, their losses a little apart.

    Returns:
        The sweep's folder, and the truth behind it.
    """
    submitted = {**(content or sweep_content()), "storage": str(storage)}
    spec = parse(SweepSpec, submitted)
    plan = make_plan(spec, declared_facts(spec), BYTES)
    tree = ResultTree(storage)
    write_plan(plan, yaml.safe_dump(submitted, sort_keys=False), tree)
    truth = Truth(plan, law)
    noise = np.random.default_rng(seed)
    of_seeds: dict[int, np.ndarray] = {}
    for state in plan.states.values():
        if state.config.seed not in of_seeds:
            of_seeds[state.config.seed] = noise.normal(0, law.seed_noise, 2)
        own = np.zeros(2) if state.stage == "upstream" else noise.normal(0, law.trial_noise, 2)
        writer = _Writer(state, truth, of_seeds[state.config.seed], own, noise)
        writer.write(tree.state(state.id), domains)
    return tree.sweep(spec.name).path, truth


@dataclass(frozen=True)
class _Writer:
    """The files of one state; `of_seed` and `own` are what its losses lie off the law, by role."""

    state: State
    truth: Truth
    of_seed: np.ndarray
    own: np.ndarray
    noise: np.random.Generator

    def write(self, folder: StateDir, domains: Sequence[str]) -> None:
        config = self.state.config
        write_json(folder.config, config.model_dump(mode="json"))
        append_rows(folder.train_rows, self._updates())
        append_rows(folder.data_rows, self._reading())
        append_rows(folder.eval_rows, self._evaluations(domains))
        folder.write_status(Status(status=StatusWord.COMPLETE, step=config.end_step))

    def _updates(self) -> Iterator[TrainRow]:
        config, curves = self.state.config, self.truth.curves(self.state.id)
        expected = curves["d0" if self.state.stage == "upstream" else "d1"]
        for step in range(self.state.first_step + 1, config.end_step + 1):
            tokens = step * config.tokens_per_step
            yield TrainRow(
                step=step,
                tokens=tokens,
                lr=config.lr(step - 1),
                loss=round(float(expected[step] + self.noise.normal(0, 0.03)), 5),
                grad_norm=1.0,
                tokens_per_second=round(TOKENS_PER_SECOND + self.noise.normal(0, 500), 1),
                mfu=None,
                elapsed_seconds=round(tokens / TOKENS_PER_SECOND, 2),
            )

    def _reading(self) -> Iterator[DataRow]:
        config, first = self.state.config, self.state.first_step
        total = sum(source.weight for source in config.stream)
        for source in config.stream:
            samples = (config.end_step - first) * config.global_batch_size * source.weight / total
            yield DataRow(
                step=config.end_step,
                since=first,
                source=source.name,
                domain=None,
                tokens=int(samples * config.sequence_length),
                samples=int(samples),
                first_sample=0,
                epoch=0.01,
            )

    def _evaluations(self, domains: Sequence[str]) -> Iterator[EvalRow]:
        config, curves = self.state.config, self.truth.curves(self.state.id)
        held_out = [*config.evaluation.datasets, *config.evaluation.to_come]
        for step in config.evaluation_steps():
            if self.state.first_step and step <= self.state.first_step:
                continue
            for number, held in enumerate(held_out):
                off = self.of_seed[number]
                # Step 0 is the very model that the stage before ended with.
                if step:
                    scatter = self.noise.normal(0, self.truth.law.evaluation_noise)
                    off += self.own[number] + scatter
                loss = float(curves[f"d{number}"][step]) + off
                for index, domain in enumerate([None, *domains]):
                    apart = 0.05 * (index - (len(domains) + 1) / 2) if domain else 0.0
                    yield EvalRow(
                        step=step,
                        tokens=step * config.tokens_per_step,
                        dataset=held.name,
                        domain=domain,
                        loss=round(loss + apart, 6),
                        bits_per_byte=round((loss + apart) / NATS_PER_BIT, 6),
                        num_tokens=config.evaluation.tokens_per_dataset,
                    )


def main() -> None:
    """Writes one sweep and says where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a result tree to write into")
    parser.add_argument("--seed", type=int, default=0, help="of the law and of the noise")
    arguments = parser.parse_args()
    law = draw_law(np.random.default_rng(arguments.seed))
    sweep, truth = write_sweep(arguments.folder, law, seed=arguments.seed, domains=("a", "b"))
    print(truth.table().to_string(index=False))
    print(sweep)


if __name__ == "__main__":
    main()
