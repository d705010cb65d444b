"""Result trees of paths with several stages, states that go on from others, and stopped trials.

A step is 10 tokens and a final window 20 steps. Nothing here knows the program that trains: a
folder is written as the contract says it lies on disk.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from cpt.files import write_json
from cpt.records import ResultTree, Status, StatusWord
from cpt.rows import EvalRow, TrainRow, append_rows

TOKENS_PER_STEP = 10
ROLES = ("d0", "d1", "d2")
SETS = ("wiki", "code", "german")
Points = Mapping[str, Sequence[tuple[int, float]]]


class PathTree:
    """A sweep written piece by piece: states, then trials, then the plan."""

    def __init__(self, storage: Path, sets: Sequence[str] = SETS, steps: int = 100) -> None:
        self.storage = storage
        self.sets = tuple(sets)
        self.steps = steps
        self.corpora = {one: f"held-out-{one}" for one in sets}
        self.states: dict[str, dict[str, Any]] = {}
        self.trials: list[dict[str, Any]] = []

    def state(
        self,
        name: str,
        stage: int,
        evals: Points | None = None,
        *,
        parent: str | None = None,
        base: str | None = None,
        first: int = 0,
        steps: int | None = None,
        horizon: int | None = None,
        ends: bool = True,
        annealed: bool = True,
        planned: bool = True,
        status: str | None = "complete",
        step: int | None = None,
        reason: str = "",
        lr: Callable[[int], float] = lambda step: 1e-3,
        label: str = "",
        scratch: bool = False,
        rule: Mapping[str, Any] | None = None,
        may_stop: bool = True,
    ) -> str:
        """One state; `stage` counts from 0, pre-training; `evals` maps a set to (step, loss)."""
        kind = "from_scratch" if scratch else "downstream" if stage else "upstream"
        steps = self.steps if steps is None else steps
        horizon = steps if horizon is None else horizon
        if planned:
            self.states[name] = {
                "state": name,
                "label": label or name,
                "parent": parent,
                "base": base,
                "stage": kind,
                "role": None if scratch else ROLES[stage],
                "first_step": first,
                "steps": steps,
                "horizon_steps": horizon,
                "ends_stage": ends,
                "annealed": annealed and ends,
                "may_stop": may_stop,
                "tokens": (steps - first) * TOKENS_PER_STEP,
                "stage_tokens": steps * TOKENS_PER_STEP,
                "flops": 1e9,
                "source_tokens": {self.sets[stage]: (steps - first) * TOKENS_PER_STEP},
            }
        if status is None:
            return name
        folder = ResultTree(self.storage).state(name)
        held_out = [{"name": one, "corpus": self.corpora[one]} for one in self.sets]
        now = max(stage, 1) + 1
        write_json(
            folder.config,
            {
                "label": name,
                "total_steps": horizon,
                "stop_step": steps,
                "base": base,
                "evaluation": {
                    "datasets": held_out[:now],
                    "to_come": held_out[now:],
                    "final_window_steps": 20,
                },
            },
        )
        done = steps if step is None else step
        folder.write_status(Status(status=StatusWord(status), step=done, reason=reason, rule=rule))
        points = [(at, one, loss) for one, curve in (evals or {}).items() for at, loss in curve]
        points.sort(key=lambda point: point[0])
        append_rows(folder.eval_rows, [eval_row(*point) for point in points])
        append_rows(
            folder.train_rows,
            [train_row(at, lr(at - 1)) for at in range(first + 1, done + 1)],
        )
        return name

    def trial(
        self,
        name: str,
        path: Sequence[str],
        *,
        ends: Sequence[str] | None = None,
        baseline: str | None = None,
        center: bool = False,
        **factors: Any,
    ) -> None:
        """A path of states; `ends` are those that end a stage, all of them if not given."""
        self.trials.append(
            {
                "trial": name,
                "factors": {"seed": 0, **factors},
                "baseline": baseline,
                "center": center,
                "states": list(path),
                "stage_ends": list(path if ends is None else ends),
            }
        )

    def write(
        self,
        axes: Mapping[str, Sequence[Any]],
        center: Mapping[str, Any] | None = None,
        design: str = "one_at_a_time",
        stopping: Mapping[str, Any] | None = None,
    ) -> Path:
        """Writes plan.json and returns the sweep's folder."""
        roles = dict(zip(self.sets, ROLES, strict=False))
        tokens = self.steps * TOKENS_PER_STEP
        plan = {
            "version": 2,
            "name": "paths",
            "design": design,
            "axes": {**axes, "seed": sorted({trial["factors"]["seed"] for trial in self.trials})},
            "center": center,
            "datasets": {
                name: {
                    "role": role,
                    "path": "json",
                    "train": f"train-{name}",
                    "validation": self.corpora[name],
                    "documents": 1000,
                    "tokens": 1_000_000,
                    "bytes": 1_000_000,
                    "validation_tokens": 10_000,
                    "domains": [],
                }
                for name, role in roles.items()
            },
            "stages": [
                {"role": role, "dataset": name, "steps": self.steps, "tokens": tokens}
                for name, role in roles.items()
            ],
            "model": {"name": "gpt-200k", "parameters": 191_040},
            "tokenizer": "bytes",
            "sequence_length": 2,
            "global_batch_size": 5,
            "precision": "fp32",
            "trials": self.trials,
            "states": list(self.states.values()),
            "stopping": stopping or {"type": "none"},
            "tokens": {"alone": 3, "pretrained_once": 2, "planned": 1},
            "environment": {"submitted": "2026-11-20T09:30:00+00:00"},
        }
        sweep_dir = self.storage / "sweeps" / "paths"
        write_json(sweep_dir / "plan.json", plan)
        return sweep_dir


def eval_row(step: int, dataset: str, loss: float) -> EvalRow:
    return EvalRow(
        step=step,
        tokens=step * TOKENS_PER_STEP,
        dataset=dataset,
        domain=None,
        loss=loss,
        bits_per_byte=loss / math.log(2),
        num_tokens=10_000,
    )


def train_row(step: int, lr: float) -> TrainRow:
    return TrainRow(
        step=step,
        tokens=step * TOKENS_PER_STEP,
        lr=lr,
        loss=2.0,
        grad_norm=1.0,
        tokens_per_second=40_000,
        mfu=None,
        elapsed_seconds=0.1 * step,
    )


def falling(start: float, end: float, steps: int, *, bump: float = 0.0, first: int = 0) -> Any:
    """A loss that bumps, then decays exponentially from `start` to `end` over `steps`."""
    rows = []
    early = [2**power for power in range(10) if 2**power < steps // 10]
    for step in sorted({0, *early, *range(0, steps, 10), *range(steps - 20, steps + 1, 5)}):
        share = step / steps
        done = (1 - math.exp(-6 * share)) / (1 - math.exp(-6))
        rise = bump * share / 0.02 * math.exp(1 - share / 0.02)
        if step > first or first == 0:
            rows.append((step, start + (end - start) * done + rise))
    return rows


@pytest.fixture
def tree(tmp_path: Path) -> PathTree:
    """An empty tree of three data sets."""
    return PathTree(tmp_path)


@pytest.fixture
def two_sets(tmp_path: Path) -> PathTree:
    """An empty tree of two data sets."""
    return PathTree(tmp_path, SETS[:2])


@pytest.fixture
def three_stages(tmp_path: Path) -> Path:
    """Pre-training and two stages after it; the infinite schedule goes on un-annealed."""
    return write_three_stages(tmp_path)


@pytest.fixture
def budgets(tmp_path: Path) -> Path:
    """Three budgets that share the beginning of one WSD schedule."""
    return write_budgets(tmp_path)


@pytest.fixture
def random_design(tmp_path: Path) -> Path:
    """Nine trials that share no value."""
    return write_random(tmp_path)


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """Five peaks, three of them stopped early."""
    return write_stopped(tmp_path)


@pytest.fixture
def stopped_by(tmp_path: Path) -> Callable[..., Path]:
    """The same, with options of `write_stopped`."""
    return functools.partial(write_stopped, tmp_path)


def write_three_stages(storage: Path, steps: int = 200) -> Path:
    made = PathTree(storage, steps=steps)
    axes = {
        "schedule": ["cosine", "infinite_cosine", "wsd"],
        "replay_fraction": [0, 0.05, 0.25],
        "code.max_lr": [1.5e-3, 3e-3],
    }
    center = {"schedule": "cosine", "replay_fraction": 0.05, "code.max_lr": 3e-3}
    settings: list[dict[str, Any]] = [center]
    for axis, values in axes.items():
        settings += [{**center, axis: value} for value in values if value != center[axis]]
    for kind in axes["schedule"]:
        first = {"wiki": falling(5.6, 2.0, steps), "code": falling(5.6, 3.0, steps)}
        first["german"] = [(0, 5.6)]
        rate, comes_down = _rate(str(kind), steps, 0), kind == "cosine"
        made.state(f"up-{kind}", 0, first, lr=rate, label="wiki", annealed=comes_down)
    for factors in settings:
        kind, replay = str(factors["schedule"]), float(factors["replay_fraction"])
        name = "center" if factors == center else "-".join(f"{value}" for value in factors.values())
        kept = math.exp(-3 * replay**0.45)
        undone = 0.05 if kind != "cosine" else 0.0
        peak = (float(factors["code.max_lr"]) / 3e-3) ** 0.4
        bump = 0.3 * peak if kind == "cosine" else 0.1
        d0, d1 = 2.0 + 0.5 * kept * peak + undone, 1.6 + 0.1 * replay + undone + 0.1 * (1 - peak)
        made.state(
            f"code-{name}",
            1,
            {
                "wiki": falling(2.0, d0, steps, bump=bump),
                "code": falling(3.0, d1, steps, bump=bump),
                "german": [(0, 3.4)],
            },
            parent=f"up-{kind}",
            lr=_rate(kind, steps, 1),
            annealed=kind == "cosine",
        )
        made.state(
            f"german-{name}",
            2,
            {
                "wiki": falling(d0, d0 + 0.5 * kept - undone, steps, bump=bump),
                "code": falling(d1, d1 + 0.8 * kept - undone, steps, bump=bump),
                "german": falling(3.3, 1.9 + 0.1 * replay, steps, bump=bump),
            },
            parent=f"code-{name}",
            lr=_rate(kind, steps, 2),
        )
        path = [f"up-{kind}", f"code-{name}", f"german-{name}"]
        given = {**factors, "code.max_lr": factors["code.max_lr"] if kind == "cosine" else None}
        made.trial(name, path, center=name == "center", **given)
    return made.write(axes, center)


def write_budgets(storage: Path) -> Path:
    made = PathTree(storage, SETS[:2])
    made.state("up", 0, {"wiki": falling(5.6, 2.0, 100), "code": falling(5.6, 3.0, 100)})
    base, begins = None, 0
    for index, budget in enumerate((100, 200, 400)):
        trunk = f"trunk-{budget}"
        held = int(0.8 * budget)
        curves = {
            "wiki": falling(2.0, 2.5, 400, bump=0.2),
            "code": falling(3.0, 1.7, 400, bump=0.2),
        }
        kept = {
            one: [row for row in rows if begins < row[0] <= held or row[0] == begins == 0]
            for one, rows in curves.items()
        }
        made.state(
            trunk,
            1,
            kept,
            parent="up",
            base=base,
            first=begins,
            steps=held,
            horizon=400,
            ends=False,
        )
        base, begins = trunk, held
        at = {one: dict(rows)[held] for one, rows in curves.items()}
        ends = {
            one: [
                (step, at[one] - 0.1 * (step - held) / (budget - held))
                for step in range(held + 5, budget + 1, 5)
            ]
            for one in curves
        }
        last = made.state(
            f"end-{budget}", 1, ends, parent="up", base=trunk, first=held, steps=budget
        )
        path = ["up", *(f"trunk-{one}" for one in (100, 200, 400)[: index + 1]), last]
        made.trial(
            f"token_budget={budget * TOKENS_PER_STEP}",
            path,
            ends=["up", last],
            center=budget == 400,
            token_budget=budget * TOKENS_PER_STEP,
            schedule="wsd",
        )
    budgets = [1000, 2000, 4000]
    return made.write({"token_budget": budgets}, {"token_budget": 4000, "schedule": "wsd"})


def write_random(storage: Path) -> Path:
    made = PathTree(storage, SETS[:2])
    made.state("up", 0, {"wiki": falling(5.6, 2.0, 100), "code": falling(5.6, 3.0, 100)})
    axes: dict[str, list[Any]] = {
        "max_lr": [],
        "replay_fraction": [],
        "schedule": ["cosine", "wsd"],
    }
    for index in range(9):
        peak = 5e-4 * 20 ** ((index * 5 % 9) / 8)
        replay = 0.5 * ((index * 7 % 9) / 8) ** 2
        axes["max_lr"].append(peak)
        axes["replay_fraction"].append(replay)
        d0 = 2.0 + 0.3 * (peak / 3e-3) ** 0.4 * math.exp(-3 * replay**0.45)
        d1 = 1.6 + 0.3 * math.exp(-peak / 2e-3) + 0.1 * replay
        evals = {
            "wiki": falling(2.0, d0, 100, bump=0.1),
            "code": falling(3.0, d1, 100, bump=0.1),
        }
        made.state(f"r{index}", 1, evals, parent="up")
        made.trial(
            f"random-{index}",
            ["up", f"r{index}"],
            max_lr=peak,
            replay_fraction=replay,
            schedule=axes["schedule"][index % 2],
        )
    axes["max_lr"].sort()
    axes["replay_fraction"].sort()
    return made.write(axes, None, "random")


def write_stopped(
    storage: Path, recorded: Mapping[str, Any] | None = None, may_stop: bool = True
) -> Path:
    """Five peaks, three of them stopped early.

    Args:
        storage: The root of the tree.
        recorded: What differs from the sweep's rule in that which stopped them.
        may_stop: Whether the sweep's rule may end them.
    """
    rule = {"type": "asha", "metric": "d1_loss", "grace_tokens": 300, "reduction_factor": 2}
    made = PathTree(storage, SETS[:2])
    made.state("up", 0, {"wiki": falling(5.6, 2.0, 100), "code": falling(5.6, 3.0, 100)})
    peaks = [7.5e-4, 1.5e-3, 3e-3, 6e-3, 1.2e-2]
    for peak in peaks:
        until = {7.5e-4: 30, 1.5e-3: 60, 1.2e-2: 30}.get(peak, 100)
        scale = (peak / 3e-3) ** 0.4
        curves = {
            "wiki": falling(2.0, 2.0 + 0.4 * scale, 100, bump=0.1 * scale),
            "code": falling(3.0, 1.6 + 0.1 / scale, 100, bump=0.1 * scale),
        }
        made.state(
            f"lr-{peak}",
            1,
            {one: [row for row in rows if row[0] <= until] for one, rows in curves.items()},
            parent="up",
            status="complete" if until == 100 else "stopped",
            step=until,
            reason="" if until == 100 else f"d1_loss ranked 4 of 5 at {until * 10} tokens",
            rule=None if until == 100 else rule | (recorded or {}),
            may_stop=may_stop,
        )
        made.trial(f"max_lr={peak}", ["up", f"lr-{peak}"], center=peak == 3e-3, max_lr=peak)
    stopping = rule | {"rungs": [300, 600]}
    return made.write({"max_lr": peaks}, {"max_lr": 3e-3}, stopping=stopping)


def _rate(kind: str, steps: int, stage: int) -> Callable[[int], float]:
    """About the learning rate of a stage: cosine comes down each time, others at the very end."""
    peak, floor, held = 3e-3, 3e-4, 1.65e-3

    def rate(step: int) -> float:
        share = step / steps
        if kind == "cosine":
            wave = floor + (peak - floor) / 2 * (1 + math.cos(math.pi * share))
            return min(wave, peak * share / 0.05)
        constant = peak if kind == "wsd" else held
        if stage == 0:
            down = held + (peak - held) / 2 * (1 + math.cos(math.pi * min(share / 0.6, 1)))
            return min(peak if kind == "wsd" else down, peak * share / 0.05)
        if stage == 2 and share > 0.8:
            return constant * (floor / constant) ** ((share - 0.8) / 0.2)
        return constant

    return rate
