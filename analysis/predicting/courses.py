"""What each setting went through, as a loss law reads it: rates of each update, and losses.

Trials of one setting differ in the seed alone and have the same rates and evaluation steps, so that
their mean stands for them. Only complete trials that continue from the pre-trained model take part;
baselines from random weights have no shift and are left out, those that continue are in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import labels
from analysis.load import Sweep
from analysis.predicting.areas import Array, areas, logged_rates, scheduled_rates
from analysis.settings import agrees, anchor
from cpt.files import read_json
from cpt.parsing import ConfigError, parse
from cpt.records import ResultTree, SweepDir
from cpt.schedule_config import ScheduleConfig
from cpt.yaml_text import read_yaml

DIALS = ("max_lr", "replay_fraction")
"""The factors that predictions are made along."""


@dataclass(frozen=True, eq=False)
class Rates:
    """The rate of each update of a stage, shape (steps,); none where it is not known."""

    values: Array
    _areas: dict[float, tuple[Array, Array]] = field(default_factory=dict, repr=False)

    def areas(self, decay: float) -> tuple[Array, Array]:
        """S1 and S2 after 0, 1, ... updates (see `areas.areas`), computed once."""
        if decay not in self._areas:
            self._areas[decay] = areas(self.values, decay)
        return self._areas[decay]


@dataclass(frozen=True, eq=False)
class Course:
    """One setting.

    Attributes:
        setting: Its key in `trials["setting"]`; empty where it was not run.
        peak: The learning rate that it re-warms to; NaN for baselines and where it does not.
        replay: Share of D0 in the stage, in [0, 1).
        usual: Differs from the sweep's reference in peak and replay at most.
        before: Rates of pre-training.
        rates: Rates of the stage after it.
        window: The evaluation steps that the final loss is a mean over.
        steps: The evaluation steps before those.
        losses: Role to the loss at `steps`, the mean over seeds, nats per token.
        finals: Role to the final loss, the mean over seeds.
        seeds: Complete ones.
    """

    peak: float
    replay: float
    before: Rates
    rates: Rates
    window: NDArray[np.int64]
    setting: str = ""
    usual: bool = True
    steps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    losses: Mapping[str, Array] = field(default_factory=dict)
    finals: Mapping[str, float] = field(default_factory=dict)
    seeds: int = 0

    @property
    def middle(self) -> NDArray[np.int64]:
        """The middle step of the final window, shape (1,)."""
        return self.window[(len(self.window) - 1) // 2 :][:1]


def factors_of(sweep: Sweep) -> dict[str, dict[str, Any]]:
    """Trial to its factors, `max_lr` and `replay_fraction` as its only later stage has them."""
    stage = sweep.plan["stages"][-1]["dataset"]
    given = {}
    for trial in sweep.plan["trials"]:
        factors = dict(trial["factors"])
        for name in DIALS:
            factors[name] = factors.get(f"{stage}.{name}", factors.get(name))
        given[trial["trial"]] = factors
    return given


def courses(sweep: Sweep, trials: pd.DataFrame) -> list[Course]:
    """The settings with a complete trial, in the order of the trials.

    Args:
        sweep: With one stage after pre-training.
        trials: As `measures.trial_table` returns them.
    """
    complete = trials[trials["mean_loss"].notna() & ~trials["from_scratch"]]
    complete = complete.assign(usual=is_usual(sweep, complete))
    factors = factors_of(sweep)
    rows = sweep.whole_sets.merge(complete[["state", "setting"]], on="state")
    means = rows.groupby(["setting", "role", "step"])["loss"].mean()
    updates = {str(state): rows for state, rows in sweep.train.groupby("state")[["step", "lr"]]}
    before = {state: _before(sweep, state, updates) for state in {*_pretrained(complete)}}
    found = []
    for setting, group in complete.groupby("setting", sort=False):
        first = group.iloc[0]
        steps = int(first["steps"])
        begins = steps - float(sweep.states["final_window_steps"][first["state"]])
        curves = means[setting].unstack("role")[sweep.roles].dropna()
        evaluated = curves.index.to_numpy(np.int64)
        own = factors[first["trial"]]
        found.append(
            Course(
                peak=float("nan") if first["baseline"] else _number(own["max_lr"]),
                replay=_number(own["replay_fraction"]),
                before=before[first["stage_ends"][0]],
                rates=Rates(_rates(sweep, first["state"], updates, steps)),
                window=evaluated[evaluated > begins],
                setting=str(setting),
                usual=bool(first["usual"]),
                steps=evaluated[evaluated <= begins],
                losses={
                    role: curves.loc[evaluated <= begins, role].to_numpy(float)
                    for role in sweep.roles
                },
                finals={role: float(group[f"{role}_loss"].mean()) for role in sweep.roles},
                seeds=len(group),
            )
        )
    return found


def is_usual(sweep: Sweep, trials: pd.DataFrame) -> pd.Series:
    """Which trials differ from the sweep's reference in peak and replay at most; no baseline."""
    chosen = trials["baseline"] == ""
    for axis, value in anchor(sweep).items():
        if labels.factor(axis) not in DIALS:
            chosen &= agrees(trials[axis], value)
    return chosen


def schedule_of(sweep: Sweep, state: str) -> tuple[ScheduleConfig, int] | None:
    """The schedule and total steps of a state, as its configuration has them.

    None without one, or where it was written by a version with other schedules.
    """
    path = ResultTree(sweep.folder.resolve().parent.parent).state(state).config
    if not path.exists():
        return None
    content = read_json(path)
    try:
        return parse(ScheduleConfig, content["schedule"]), int(content["total_steps"])
    except (KeyError, ConfigError):
        return None


def submitted(sweep: Sweep) -> dict[str, Any] | None:
    """The sweep file as submitted; None where it is not there."""
    path = SweepDir(sweep.folder).spec
    return read_yaml(path) if path.exists() else None


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _steps(sweep: Sweep, state: str) -> int:
    return int(sweep.states["steps"][state])


def _pretrained(trials: pd.DataFrame) -> list[str]:
    return [ends[0] for ends in trials["stage_ends"]]


def _rates(sweep: Sweep, state: str, updates: Mapping[str, pd.DataFrame], steps: int) -> Array:
    """From the rows where there are any, else from the schedule; none where there is neither."""
    if state in updates:
        return logged_rates(updates[state], steps)
    configured = schedule_of(sweep, state)
    return np.zeros(0) if configured is None else scheduled_rates(configured[0], steps)


def _before(sweep: Sweep, state: str, updates: Mapping[str, pd.DataFrame]) -> Rates:
    """The rates of pre-training: of the state that trials go on from, or as the sweep file tells.

    A checkpoint from elsewhere was trained on a cosine with the peak, floor and budget told of it,
    in updates as large as the sweep's.
    """
    if sweep.states.at[state, "stage"] == "upstream":
        return Rates(_rates(sweep, state, updates, _steps(sweep, state)))
    upstream = (submitted(sweep) or {}).get("upstream", {})
    if upstream.get("token_budget") is None or "max_lr" not in upstream:
        return Rates(np.zeros(0))
    peak = _exact(upstream["max_lr"])
    schedule = ScheduleConfig(
        type="cosine",
        max_lr=peak,
        min_lr=peak * _exact(upstream.get("min_lr_fraction", 0.1)),
        warmup_fraction=_exact(upstream.get("warmup_fraction", 0.01)),
    )
    steps = int(_exact(upstream["token_budget"])) // sweep.tokens_per_step
    return Rates(scheduled_rates(schedule, steps))


def _exact(value: Any) -> float:
    """A number as a sweep file writes it: 0.1, 3e-4, 1/10, 1_000."""
    return float(Fraction(str(value).replace("_", "")))
