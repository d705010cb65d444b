"""Result trees to read: one of hand-typed rows, and a whole sweep that looks like a real one."""

import dataclasses
import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cpt.config import EvaluationConfig, HeldOut, RunConfig
from cpt.files import write_json
from cpt.model_config import PRESETS
from cpt.records import ResultTree, Status, StatusWord
from cpt.rows import EvalRow, TrainRow, append_rows
from cpt.schedule_config import ScheduleConfig
from cpt.stream_config import Source

TOKENS_PER_STEP = 32 * 128
HELD_OUT = {"prose": "corpus-prose-valid", "code": "corpus-code-valid"}
CENTER = {"max_lr": 3e-3, "warmup_fraction": 0.01, "replay_fraction": 0.05, "schedule": "cosine"}
AXES: dict[str, list[Any]] = {
    "max_lr": [1.5e-3, 3e-3, 6e-3],
    "warmup_fraction": [0, 0.005, 0.01, 0.02],
    "replay_fraction": [0, 0.01, 0.05, 0.25, 0.5],
    "schedule": ["cosine", "constant", "infinite_cosine", "infinite_inverse_sqrt", "wsd"],
}
BASELINES = ("no_rewarm", "no_redecay", "downstream_only", "union")


def run_config(label: str, steps: int, **changes: Any) -> RunConfig:
    """A legal configuration; `changes` replace fields."""
    fields: dict[str, Any] = {
        "label": label,
        "model": PRESETS["gpt-200k"].model_copy(update={"vocab_size": 320}),
        "sequence_length": 128,
        "global_batch_size": 32,
        "total_steps": steps,
        "schedule": ScheduleConfig(type="cosine", max_lr=3e-3, min_lr=3e-4, warmup_fraction=0.01),
        "stream": (Source(name="prose", corpus="corpus-prose-train", weight=1),),
        "evaluation": EvaluationConfig(
            datasets=tuple(HeldOut(name=name, corpus=corpus) for name, corpus in HELD_OUT.items()),
            interval_steps=25,
            final_window_steps=20,
            final_window_interval_steps=4,
        ),
    }
    return RunConfig(**{**fields, **changes})


def write_state(
    storage: Path,
    state: str,
    config: RunConfig,
    status: Status | None,
    evals: Iterable[EvalRow] = (),
    train: Iterable[TrainRow] = (),
) -> None:
    directory = ResultTree(storage).state(state)
    write_json(directory.config, config.model_dump(mode="json"))
    if status is not None:
        directory.write_status(status)
    append_rows(directory.eval_rows, evals)
    append_rows(directory.train_rows, train)


def eval_row(
    step: int, dataset: str, loss: float, domain: str | None = None, per_step: int = TOKENS_PER_STEP
) -> EvalRow:
    return EvalRow(
        step=step,
        tokens=step * per_step,
        dataset=dataset,
        domain=domain,
        loss=loss,
        bits_per_byte=loss / math.log(2),
        num_tokens=65_536,
    )


def write_plan(
    storage: Path,
    name: str,
    axes: Mapping[str, Sequence[Any]],
    center: Mapping[str, Any] | None,
    trials: Sequence[Mapping[str, Any]],
    states: Sequence[Mapping[str, Any]],
    design: str = "one_at_a_time",
) -> Path:
    """Writes plan.json and returns the sweep's folder."""
    spent = {state["state"]: state["tokens"] for state in states}
    alone = sum(spent[state] for trial in trials for state in trial["states"])
    upstream = sum(state["tokens"] for state in states if state["stage"] == "upstream")
    last = sum(spent[trial["states"][-1]] for trial in trials)
    datasets = {
        dataset: {
            "role": role,
            "path": f"local:python-{dataset}",
            "train": f"corpus-{dataset}-train",
            "validation": HELD_OUT[dataset],
            "documents": documents,
            "tokens": size,
            "bytes": size,
            "validation_tokens": 262_144,
            "domains": [],
        }
        for dataset, role, documents, size in (
            ("prose", "d0", 41_210, 9_812_441),
            ("code", "d1", 1_624, 10_482_003),
        )
    }
    plan = {
        "version": 2,
        "name": name,
        "design": design,
        "axes": dict(axes),
        "center": None if center is None else dict(center),
        "datasets": datasets,
        "model": {"name": "gpt-200k", "parameters": 191_040, "num_layers": 3, "hidden_size": 64},
        "tokenizer": "bytes",
        "sequence_length": 128,
        "global_batch_size": 32,
        "precision": "fp32",
        "stages": [
            {"role": role, "dataset": dataset, "steps": 100, "tokens": 100 * TOKENS_PER_STEP}
            for role, dataset in (("d0", "prose"), ("d1", "code"))
        ],
        "trials": [{**trial, "stage_ends": trial["states"]} for trial in trials],
        "states": [_whole_stage(state) for state in states],
        "stopping": {"type": "none"},
        "tokens": {
            "alone": alone,
            "pretrained_once": last + upstream,
            "planned": sum(spent.values()),
        },
        "environment": {
            "python": "3.11.7",
            "torch": "2.13.0",
            "ray": "2.60.0",
            "rewarm": "0.1.0",
            "platform": "Linux-6.8-x86_64",
            "cpus": 2,
            "submitted": "2026-11-20T09:30:00+00:00",
        },
    }
    sweep_dir = storage / "sweeps" / name
    write_json(sweep_dir / "plan.json", plan)
    return sweep_dir


def _whole_stage(state: Mapping[str, Any]) -> dict[str, Any]:
    """A planned state that is trained from the beginning of its stage to the end."""
    return {
        "base": None,
        "role": {"upstream": "d0", "downstream": "d1", "from_scratch": None}[state["stage"]],
        "first_step": 0,
        "horizon_steps": state["steps"],
        "ends_stage": True,
        "annealed": True,
        "may_stop": True,
        "stage_tokens": state["tokens"],
        **state,
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """A made-up training: losses that bump, then decay exponentially to where they end."""

    d0_start: float
    d1_start: float
    d0_end: float
    d1_end: float
    bump: float = 0.0
    bump_at: float = 0.02
    rate: float = 6.0

    def losses(self, share: float) -> tuple[float, float]:
        done = (1 - math.exp(-self.rate * share)) / (1 - math.exp(-self.rate))
        bump = self.bump * share / self.bump_at * math.exp(1 - share / self.bump_at)
        d0 = self.d0_start + (self.d0_end - self.d0_start) * done + 0.7 * bump
        return d0, self.d1_start + (self.d1_end - self.d1_start) * done + bump


def plausible_rows(
    config: RunConfig, curve: Curve, seed: int, until: int
) -> tuple[list[EvalRow], list[TrainRow]]:
    noise = np.random.default_rng(seed)
    steps = config.total_steps
    evals = []
    for step in config.evaluation.steps(steps):
        if step <= until:
            wobble = noise.normal(0, 0.0015, 2) * (step > 0)
            for name, loss, add in zip(HELD_OUT, curve.losses(step / steps), wobble, strict=True):
                evals.append(eval_row(step, name, loss + add))
                evals.append(eval_row(step, name, loss + 0.1 + add, domain="stdlib"))
    train = [
        TrainRow(
            step=step,
            tokens=step * TOKENS_PER_STEP,
            lr=config.lr(step - 1),
            loss=curve.losses(step / steps)[1] + noise.normal(0, 0.04),
            grad_norm=1.0,
            tokens_per_second=41_000 + noise.normal(0, 900),
            mfu=None,
            elapsed_seconds=step * 0.1,
        )
        for step in range(1, until + 1)
    ]
    return evals, train


def settings() -> list[tuple[str, dict[str, Any], str | None]]:
    """Label, factors and baseline of each setting of the quickstart-like sweep."""
    chosen: list[tuple[str, dict[str, Any], str | None]] = [("center", dict(CENTER), None)]
    for axis, values in AXES.items():
        for value in values:
            if value != CENTER[axis]:
                chosen.append((f"{axis}={value}", {**CENTER, axis: value}, None))
    for baseline in BASELINES:
        factors: dict[str, Any] = dict(CENTER)
        if baseline == "no_rewarm":
            factors |= {"max_lr": 3e-4, "warmup_fraction": None, "schedule": None}
        elif baseline == "no_redecay":
            factors["schedule"] = None
        else:
            factors["replay_fraction"] = None
        chosen.append((baseline, factors, baseline))
    return chosen


def plausible(factors: Mapping[str, Any], baseline: str | None) -> tuple[ScheduleConfig, Curve]:
    """A schedule and a curve whose ends depend on the factors about as in the paper."""
    if baseline in ("downstream_only", "union"):
        ends = (2.21, 1.66) if baseline == "downstream_only" else (1.66, 1.69)
        scratch = Curve(d0_start=5.6, d1_start=5.6, d0_end=ends[0], d1_end=ends[1], rate=9)
        return ScheduleConfig(
            type="cosine", max_lr=3e-3, min_lr=3e-4, warmup_fraction=0.01
        ), scratch
    peak = factors["max_lr"] / 3e-3
    replay = factors["replay_fraction"]
    warmup = factors["warmup_fraction"] or 0.0
    kind = factors["schedule"] or "constant"
    undecayed = {"constant": 0.05, "infinite_cosine": 0.008, "wsd": -0.004}.get(kind, 0.0)
    bumped = baseline != "no_rewarm"
    curve = Curve(
        d0_start=1.62,
        d1_start=2.35,
        d0_end=1.62 + 0.55 * peak**0.4 * math.exp(-3.2 * replay**0.45) + undecayed * bumped,
        d1_end=1.58 + 0.11 * math.exp(-1.6 * peak) + 0.09 * replay + undecayed * bumped,
        bump=0.9 * peak**0.6 / (1 + 20 * warmup) * bumped,
        bump_at=0.006 + 0.6 * warmup,
    )
    floor = min(factors["max_lr"], 3e-4)
    schedule = ScheduleConfig(
        type=kind, max_lr=factors["max_lr"], min_lr=floor, warmup_fraction=warmup
    )
    return schedule, curve


def write_quickstart(
    storage: Path,
    seeds: Sequence[int] = (0,),
    steps: int = 300,
    unfinished: Mapping[str, str] | None = None,
) -> Path:
    """A sweep of 14 settings around a centre and four baselines, as if it had been run.

    Args:
        storage: Where `states` and `sweeps` go.
        seeds: One copy of every setting for each.
        steps: Of the downstream stage.
        unfinished: Trial label (without seed) -> pending | running | stopped | failed.
    """
    unfinished = unfinished or {}
    trials, states = [], []
    for seed in seeds:
        upstream = f"up-{seed}"
        config = run_config("pre-training on prose", 2 * steps, seed=seed)
        curve = Curve(d0_start=5.6, d1_start=5.6, d0_end=1.62, d1_end=2.35, rate=9)
        status = Status(status=StatusWord.COMPLETE, step=2 * steps)
        write_state(
            storage, upstream, config, status, *plausible_rows(config, curve, seed, 2 * steps)
        )
        states.append(_planned(upstream, config, None, "upstream", {"prose": config.token_budget}))
        for index, (label, factors, baseline) in enumerate(settings()):
            state = f"{label}-{seed}"
            scratch = baseline in ("downstream_only", "union")
            schedule, curve = plausible(factors, baseline)
            config = run_config(
                label,
                3 * steps if baseline == "union" else steps,
                schedule=schedule,
                seed=seed,
                parent=None if scratch else upstream,
            )
            replayed = int(config.token_budget * (factors["replay_fraction"] or 0))
            sources = {"prose": replayed, "code": config.token_budget - replayed}
            stage = "from_scratch" if scratch else "downstream"
            states.append(_planned(state, config, config.parent, stage, sources))
            path = [state] if scratch else [upstream, state]
            name = label if len(seeds) == 1 else f"{label} seed={seed}"
            trials.append(
                {
                    "trial": name,
                    "factors": {**factors, "seed": seed},
                    "baseline": baseline,
                    "center": label == "center",
                    "states": path,
                }
            )
            word = unfinished.get(label, "complete")
            if word == "pending":
                continue
            done = config.total_steps if word == "complete" else int(0.55 * config.total_steps)
            status = Status(
                status=StatusWord(word),
                step=done,
                reason="the loss became NaN at step 165" if word == "failed" else "",
            )
            rows = plausible_rows(config, curve, 100 * seed + index, done)
            write_state(storage, state, config, status, *rows)
    return write_plan(storage, "quickstart", {**AXES, "seed": list(seeds)}, CENTER, trials, states)


def _planned(
    state: str, config: RunConfig, parent: str | None, stage: str, sources: Mapping[str, int]
) -> dict[str, Any]:
    return {
        "state": state,
        "label": config.label,
        "parent": parent,
        "steps": config.total_steps,
        "tokens": config.token_budget,
        "flops": 6.0 * 191_040 * config.token_budget,
        "stage": stage,
        "source_tokens": dict(sources),
    }


@pytest.fixture
def quickstart(tmp_path: Path) -> Callable[..., Path]:
    """Writes a plausible sweep below `tmp_path`; takes the arguments of `write_quickstart`."""
    return lambda **arguments: write_quickstart(tmp_path, **arguments)


@pytest.fixture
def browser() -> Iterator[Any]:
    """A Chromium; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if program is None:
        pytest.skip("no chromium on the path")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def typed(tmp_path: Path) -> "TypedTree":
    """A tree whose numbers are typed by the test."""
    return TypedTree(tmp_path)


class TypedTree:
    """A sweep over replay with steps of 10 tokens; every state has 100 steps, a window of 20."""

    def __init__(self, storage: Path) -> None:
        self.storage = storage
        self.trials: list[dict[str, Any]] = []
        self.states: dict[str, dict[str, Any]] = {}
        self.axes: dict[str, list[Any]] = {"replay_fraction": [0, 0.05, 0.5], "seed": [0, 1]}
        self.center: dict[str, Any] | None = {"replay_fraction": 0.05}

    def add(
        self,
        trial: str,
        replay: float | None = 0.05,
        seed: int = 0,
        losses: Mapping[str, Sequence[tuple[int, float]]] | None = None,
        status: str | None = "complete",
        reason: str = "",
        baseline: str | None = None,
        scratch: bool = False,
        names: Mapping[str, str] | None = None,
    ) -> str:
        """Adds a trial; `losses` maps a data set to (step, loss)."""
        state = f"state-{trial}".replace("/", "|")
        upstream = f"up-{seed}"
        self._plan_state(upstream, None, "upstream")
        self._plan_state(
            state, None if scratch else upstream, "from_scratch" if scratch else "downstream"
        )
        self.trials.append(
            {
                "trial": trial,
                "factors": {"replay_fraction": replay, "seed": seed},
                "baseline": baseline,
                "center": self.center is not None and baseline is None and replay == 0.05,
                "states": [state] if scratch else [upstream, state],
            }
        )
        if status is not None:
            names = names or {}
            held_out = tuple(
                HeldOut(name=names.get(name, name), corpus=corpus)
                for name, corpus in HELD_OUT.items()
            )
            config = run_config(
                trial,
                100,
                evaluation=EvaluationConfig(
                    datasets=held_out,
                    interval_steps=50,
                    final_window_steps=20,
                    final_window_interval_steps=10,
                ),
            )
            rows = [
                eval_row(step, names.get(name, name), loss, per_step=10)
                for name, points in (losses or {}).items()
                for step, loss in points
            ]
            # Both sets are evaluated at one step before the next: the order a trainer writes.
            rows.sort(key=lambda row: row.step)
            last = Status(status=StatusWord(status), step=100, reason=reason)
            write_state(self.storage, state, config, last, rows)
        return state

    def _plan_state(self, state: str, parent: str | None, stage: str) -> None:
        self.states[state] = {
            "state": state,
            "label": state,
            "parent": parent,
            "steps": 100,
            "tokens": 1000,
            "flops": 1.0,
            "stage": stage,
            "source_tokens": {"prose": 50, "code": 950},
        }

    def eval_file(self, state: str) -> Path:
        return ResultTree(self.storage).state(state).eval_rows

    def append(self, state: str, *rows: Mapping[str, Any] | str) -> None:
        """Appends rows, or raw text, to a state's eval.jsonl."""
        with self.eval_file(state).open("a", encoding="utf-8") as file:
            for row in rows:
                file.write(row if isinstance(row, str) else json.dumps(row) + "\n")

    def fail(self, state: str, reason: str) -> None:
        status = Status(status=StatusWord.FAILED, step=3, reason=reason)
        ResultTree(self.storage).state(state).write_status(status)

    def write(self, design: str = "one_at_a_time") -> Path:
        states = list(self.states.values())
        return write_plan(
            self.storage, "typed", self.axes, self.center, self.trials, states, design
        )
