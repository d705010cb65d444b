"""From files to tables: a sweep's plan and whatever its states have written so far.

A `Sweep` holds six tables that every measure and figure reads. Nothing is computed here but what
belongs to reading: which rows make a state's curve (`analysis.state_files`), and which data set of
the sweep they speak of (`analysis.frames`).
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import frames
from analysis.frames import datasets_by_role
from analysis.state_files import StateFolders
from analysis.units import Unit
from analysis.unmeasured import unmeasured
from cpt.files import read_json
from cpt.records import ResultTree, Status, StatusWord, SweepDir

PLAN_VERSION = 2
PLAN_PARTS = ("name", "design", "axes", "center", "datasets", "model", "stages", "trials", "states")
"""What every plan has, whatever program wrote it."""
PAPERS_REPLAY = {"order": "original", "offset": "0", "accounting": "compute_equivalent"}
"""What plans say that were written when there was no other."""
PENDING = "pending"
"""The status of a state that was never started; the other words are `records.StatusWord`."""

PLANNED = ("label", "stage", "steps", "ends_stage", "annealed", "tokens", "stage_tokens")
STATE_COLUMNS = (
    *PLANNED, "role", "parent", "base", "first_step", "status", "reason", "step", "ended_by_rule",
    "gap", "final_window_steps", "tasks_damage",
)  # fmt: skip
TRIAL_COLUMNS = (
    "trial", "state", "path", "stage_ends", "baseline", "center", "from_scratch", "status",
    "reason", "step", "steps", "tokens", "path_tokens",
)  # fmt: skip
"""The columns of `Sweep.trials` but for the axes, which stand after the fourth."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Everything a report is made from.

    Attributes:
        folder: `<storage>/sweeps/<name>`.
        plan: `plan.json` as written by `sweeps.plan`.
        trials: One row a trial, in the plan's order: `trial` (label), `state` (id of its last
            state), `path` (all its states, in-stage bases included), `stage_ends` (the state at
            the end of each stage), one column per axis (None where it has no meaning for the
            trial), `seed` (0 where no factor names one: then the sweep has a single seed),
            `baseline` (empty: none), `center`, `from_scratch` (its last state started from random
            weights), `status` (pending | running | complete | stopped | failed), `reason` (why it
            failed, stopped or cannot start, or is complete without measures), `step` (updates done
            in its last stage), `steps` (updates planned there), `tokens` (planned, of its last
            stage), `path_tokens` (planned, of all stages after pre-training).
        states: One row a state, index `state`: `label`, `stage`, `role` (of the data set it
            trains on; empty from scratch), `first_step` and `steps` (it trains the updates
            between, counted from the beginning of the stage), `ends_stage` (else it is a shared
            beginning), `annealed` (whether its rate came down at the end, rather than being held
            for what goes on from it), `tokens` (that it trains itself), `stage_tokens` (since the
            beginning of the stage), `parent` (empty: random weights),
            `base` (state of the same stage that it goes on from; empty: none), `status`,
            `reason`, `step`, `ended_by_rule` (whether this sweep's own stopping rule ended it),
            `gap` (evaluations up to this step may be missing, since a base's
            folder is; 0: none are), `final_window_steps` (NaN before it has a configuration),
            `tasks_damage` (why its scores on downstream tasks cannot be read; empty: they can).
        evals: One row an evaluation: `state`, `role` (d0, d1, ...), then the columns of
            `rows.EvalRow`, with `dataset` as this sweep calls it and `domain` None for the
            whole set. `loss` is in `unit`. Every state has the rows of its whole stage.
        train: One row an update: `state`, then the columns of `rows.TrainRow`; whole stages.
        data: One row a source, or a domain of one, from one evaluation to the next: `state`, then
            the columns of `rows.DataRow`, with `source` as this sweep calls it; whole stages.
        tasks: One row a score on a downstream task: `state`, then the columns of
            `rows.TaskRow`; None where the row has none.
        unit: What `loss` of `evals`, and all that is measured from it, is counted in.
    """

    folder: Path
    plan: Mapping[str, Any]
    trials: pd.DataFrame
    states: pd.DataFrame
    evals: pd.DataFrame
    train: pd.DataFrame
    data: pd.DataFrame
    tasks: pd.DataFrame
    unit: Unit = Unit.NATS

    def in_unit(self, unit: Unit) -> "Sweep":
        """The same sweep with its losses counted in another unit, for whatever reads `loss`."""
        if unit is self.unit:
            return self
        if unit is Unit.NATS:
            raise ValueError("losses that were turned into bits per byte are not turned back")
        return dataclasses.replace(
            self, evals=self.evals.assign(loss=self.evals[unit.column]), unit=unit
        )

    @functools.cached_property
    def whole_sets(self) -> pd.DataFrame:
        """The evaluation rows of whole data sets, without those of single domains."""
        return self.evals[self.evals["domain"].isna()]

    @functools.cached_property
    def begun(self) -> frozenset[str]:
        """The states that have rows."""
        return frozenset(self.evals["state"].unique()) | frozenset(self.train["state"].unique())

    @property
    def axes(self) -> list[str]:
        """Names of the axes that the sweep file names, seed included where it does."""
        return list(self.plan["axes"])

    @property
    def setting_axes(self) -> list[str]:
        """The axes that make a setting: all but the seed."""
        return [axis for axis in self.axes if axis != "seed"]

    @property
    def roles(self) -> list[str]:
        """The roles of the data sets in the order of the stages: d0, d1, ..."""
        return sorted(datasets_by_role(self.plan), key=lambda role: int(role[1:]))

    @property
    def several_stages(self) -> bool:
        """Whether anything is trained after the first downstream stage."""
        return len(self.plan["stages"]) > 2

    @property
    def replay(self) -> Mapping[str, Any]:
        """Order, offset and accounting; plans from before there was a choice do not say."""
        replay: Mapping[str, Any] = self.plan.get("replay", PAPERS_REPLAY)
        return replay

    @property
    def additive_replay(self) -> bool:
        """Whether replay comes on top of a stage's budget, which then counts new tokens alone."""
        return bool(self.replay["accounting"] == "additive")

    @property
    def tokens_per_step(self) -> int:
        """Training tokens of one update."""
        return int(self.plan["global_batch_size"] * self.plan["sequence_length"])

    def dataset(self, role: str) -> str:
        """The sweep's name for the data set of a role."""
        return datasets_by_role(self.plan)[role]

    def downstream(self, trial: Mapping[Any, Any]) -> list[str]:
        """The states at the ends of a trial's stages after pre-training, in order.

        A baseline from random weights has one stage, its own.
        """
        return [
            state for state in trial["stage_ends"] if self.states.at[state, "stage"] != "upstream"
        ]


def load_sweep(sweep_dir: Path) -> Sweep:
    """Reads a sweep, finished or not; a damaged state's folder makes that state pending.

    Args:
        sweep_dir: `<storage>/sweeps/<name>`.

    Raises:
        FileNotFoundError: There is no such folder, or no plan in it.
        ValueError: The plan is of another version, not complete JSON, or lacks a part.
    """
    if not sweep_dir.is_dir():
        raise FileNotFoundError(f"{sweep_dir} is not a folder; a sweep is <storage>/sweeps/<name>")
    plan_path = SweepDir(sweep_dir).plan
    if not plan_path.exists():
        raise FileNotFoundError(f"{sweep_dir} holds no plan.json, so it is not a sweep's folder")
    plan = read_json(plan_path)
    if plan.get("version") != PLAN_VERSION:
        raise ValueError(
            f"{plan_path} has version {plan.get('version')}; "
            f"this program reads version {PLAN_VERSION}"
        )
    for part in PLAN_PARTS:
        if part not in plan:
            raise ValueError(f"{plan_path} has no `{part}`, so it is not a whole plan")
    tree = ResultTree(sweep_dir.resolve().parent.parent)
    folders = StateFolders(tree, {state["state"]: state["steps"] for state in plan["states"]})
    states, evals = _states(plan, folders), frames.evals(plan, folders)
    lasts = {trial["states"][-1] for trial in plan["trials"]}
    told = unmeasured(states, evals, lasts, datasets_by_role(plan))
    states["reason"] = [told.get(str(state), why) for state, why in states["reason"].items()]
    return Sweep(
        folder=sweep_dir,
        plan=plan,
        trials=_trials(plan, states),
        states=states,
        evals=evals,
        train=frames.train(plan, folders),
        data=frames.data(plan, folders),
        tasks=frames.tasks(plan, folders),
    )


def _states(plan: Mapping[str, Any], folders: StateFolders) -> pd.DataFrame:
    rows = []
    for state in plan["states"]:
        files = folders.files(state["state"])
        config, status = files.configuration, files.status
        base = state["base"] if config is None else config.base
        begins = folders.stop_step(base) if base else 0
        row = {
            **{key: state[key] for key in PLANNED},
            "role": state["role"] or "",
            "parent": state["parent"] or "",
            "base": base or "",
            "first_step": state["first_step"] if begins is None else begins,
            "status": PENDING,
            "reason": files.damage,
            "step": 0,
            "ended_by_rule": False,
            "gap": folders.gap(state["state"]),
            "final_window_steps": (
                float("nan") if config is None else config.evaluation.final_window_steps
            ),
            "tasks_damage": files.tasks_damage,
        }
        if status is not None and not files.damage:
            row |= {"status": status.status.value, "reason": status.reason, "step": status.step}
            recorded = Status(**dict(status))
            row["ended_by_rule"] = state["may_stop"] and recorded.is_ended_by(plan["stopping"])
        rows.append(row)
    index = pd.Index([state["state"] for state in plan["states"]], name="state", dtype=object)
    return pd.DataFrame(rows, index=index, columns=STATE_COLUMNS)


def _trials(plan: Mapping[str, Any], states: pd.DataFrame) -> pd.DataFrame:
    planned: dict[Any, Any] = states.to_dict("index")
    rows = []
    for trial in plan["trials"]:
        last = planned[trial["states"][-1]]
        factors = trial["factors"]
        ends = [planned[state] for state in trial["stage_ends"]]
        status, reason = _standing(trial["states"], planned)
        rows.append(
            {
                "trial": trial["trial"],
                "state": trial["states"][-1],
                "path": tuple(trial["states"]),
                "stage_ends": tuple(trial["stage_ends"]),
                **{axis: factors[axis] for axis in plan["axes"]},
                "seed": factors.get("seed", 0),
                "baseline": trial["baseline"] or "",
                "center": trial["center"],
                "from_scratch": last["stage"] == "from_scratch",
                "status": status,
                "reason": reason,
                "step": last["step"],
                "steps": last["steps"],
                "tokens": last["stage_tokens"],
                "path_tokens": sum(
                    end["stage_tokens"] for end in ends if end["stage"] != "upstream"
                ),
            }
        )
    axes = dict.fromkeys([*plan["axes"], "seed"])
    table = pd.DataFrame(rows, columns=[*TRIAL_COLUMNS[:4], *axes, *TRIAL_COLUMNS[4:]])
    # Plain JSON values: a None must not turn its neighbours into floats.
    for name in axes:
        table[name] = pd.Series([row[name] for row in rows], dtype=object)
    return table


def _standing(path: list[str], states: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """A trial's status and why: its last state's own, or what an earlier state keeps it from.

    A trial that was stopped before its last state began is stopped; one that waits for a failed
    or damaged state is pending.
    """
    *earlier, own = path
    last = states[own]
    if last["status"] == PENDING and not last["reason"]:
        for name in earlier:
            state = states[name]
            if state["status"] == StatusWord.STOPPED:
                progress = f"at step {state['step']} of {state['steps']} of {state['label']}"
                return StatusWord.STOPPED.value, f"{progress}: {state['reason']}"
            if state["status"] == StatusWord.FAILED:
                return PENDING, f"waits for {name}, which failed: {state['reason']}"
            if state["status"] == PENDING and state["reason"]:
                return PENDING, f"waits for {name}, {state['reason']}"
    return str(last["status"]), str(last["reason"])
