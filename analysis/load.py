"""From files to tables: a sweep's plan and whatever its states have written so far.

A `Sweep` holds four tables that every measure and figure reads. Nothing is computed here but two
decisions that belong to reading: which rows a resume superseded (`cpt.records.current_rows`), and
which data set of the sweep a state's evaluation rows speak of. States are shared between sweeps and
know a data set by the name that the first sweep gave it, so rows are matched by the id of the
held-out corpus, never by name.

Of a state's config.json only `evaluation.datasets` and `evaluation.final_window_steps` are read, so
that a state trained by another version of the program stays readable.
"""

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cpt.records import (
    EvalRow,
    ResultTree,
    StateDir,
    StatusWord,
    SweepDir,
    TrainRow,
    current_rows,
    read_json,
    read_rows,
)

PLAN_VERSION = 1
PENDING = "pending"
"""The status of a state that was never started; the other words are `records.StatusWord`."""

TRAIN_COLUMNS = ["state", *(field.name for field in dataclasses.fields(TrainRow))]
EVAL_COLUMNS = ["state", "role", *(field.name for field in dataclasses.fields(EvalRow))]


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Everything a report is made from.

    Attributes:
        plan: `plan.json` as written by `sweeps.plan`.
        trials: One row a trial, in the plan's order: `trial` (label), `state` (id of its last
            state), one column per axis (None where a baseline gives it no meaning), `seed` (0
            where no factor names one: then the sweep has a single seed), `baseline` (empty:
            none), `center`, `from_scratch` (its last state started from random weights),
            `status` (pending | running | complete | stopped | failed), `reason` (why it failed,
            stopped or cannot start), `step` (updates done), `steps` (updates planned), `tokens`
            (planned, of the last state).
        states: One row a state, index `state`: `label`, `stage`, `steps`, `tokens`, `parent`
            (empty: random weights), `status`, `reason`, `step`, `final_window_steps` (NaN before
            the state has a configuration).
        evals: One row an evaluation: `state`, `role` (d0, d1, ...), then the columns of
            `records.EvalRow`, with `dataset` as this sweep calls it and `domain` None for the
            whole set. Losses in nats per token.
        train: One row an update: `state`, then the columns of `records.TrainRow`.
    """

    plan: Mapping[str, Any]
    trials: pd.DataFrame
    states: pd.DataFrame
    evals: pd.DataFrame
    train: pd.DataFrame

    @property
    def axes(self) -> list[str]:
        """Names of the axes that the sweep file names, seed included where it does."""
        return list(self.plan["axes"])

    @property
    def setting_axes(self) -> list[str]:
        """The axes that make a setting: all but the seed."""
        return [axis for axis in self.axes if axis != "seed"]

    def dataset(self, role: str) -> str:
        """The sweep's name for the data set of a role, `d0` or `d1`."""
        return _datasets_by_role(self.plan)[role]


def load_sweep(sweep_dir: Path) -> Sweep:
    """Reads a sweep, finished or not.

    Args:
        sweep_dir: `<storage>/sweeps/<name>`.

    Raises:
        FileNotFoundError: There is no such folder, or no plan in it.
        ValueError: The plan is of another version, or a file is not complete JSON.
    """
    if not sweep_dir.is_dir():
        raise FileNotFoundError(f"{sweep_dir} is not a folder; a sweep is <storage>/sweeps/<name>")
    plan_path = SweepDir(sweep_dir).plan
    if not plan_path.exists():
        raise FileNotFoundError(f"{sweep_dir} holds no plan.json, so it is not a sweep's folder")
    plan = read_json(plan_path)
    if plan["version"] != PLAN_VERSION:
        raise ValueError(
            f"{plan_path} has version {plan['version']}; this program reads version {PLAN_VERSION}"
        )
    tree = ResultTree(sweep_dir.resolve().parent.parent)
    directories = {state["state"]: tree.state(state["state"]) for state in plan["states"]}
    evaluations = {
        state: read_json(directory.config)["evaluation"]
        for state, directory in directories.items()
        if directory.config.exists()
    }
    states = _states(plan, directories, evaluations)
    return Sweep(
        plan=plan,
        trials=_trials(plan, states),
        states=states,
        evals=_evals(plan, directories, evaluations),
        train=_rows(directories, TRAIN_COLUMNS, lambda state: state.train_rows, _train_key),
    )


def _states(
    plan: Mapping[str, Any],
    directories: Mapping[str, StateDir],
    evaluations: Mapping[str, Mapping[str, Any]],
) -> pd.DataFrame:
    rows = []
    for state in plan["states"]:
        name = state["state"]
        status = directories[name].read_status()
        rows.append(
            {
                **{key: state[key] for key in ("label", "stage", "steps", "tokens")},
                "parent": state["parent"] or "",
                "status": PENDING if status is None else status.status.value,
                "reason": "" if status is None else status.reason,
                "step": 0 if status is None else status.step,
                "final_window_steps": (
                    evaluations[name]["final_window_steps"] if name in evaluations else float("nan")
                ),
            }
        )
    index = pd.Index([state["state"] for state in plan["states"]], name="state")
    return pd.DataFrame(rows, index=index)


def _trials(plan: Mapping[str, Any], states: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for trial in plan["trials"]:
        last = states.loc[trial["states"][-1]]
        factors = trial["factors"]
        rows.append(
            {
                "trial": trial["trial"],
                "state": trial["states"][-1],
                **{axis: factors[axis] for axis in plan["axes"]},
                "seed": factors.get("seed", 0),
                "baseline": trial["baseline"] or "",
                "center": trial["center"],
                "from_scratch": last["stage"] == "from_scratch",
                "status": last["status"],
                "reason": _reason(trial["states"], states),
                "step": last["step"],
                "steps": last["steps"],
                "tokens": last["tokens"],
            }
        )
    table = pd.DataFrame(rows)
    # Plain JSON values: a None must not turn its neighbours into floats.
    for name in {*plan["axes"], "seed"}:
        table[name] = pd.Series([row[name] for row in rows], dtype=object)
    return table


def _reason(path: list[str], states: pd.DataFrame) -> str:
    """Why a trial is where it is: its last state's own reason, or the ancestor that failed."""
    *ancestors, last = (states.loc[state] for state in path)
    if last["status"] == PENDING:
        for ancestor in ancestors:
            if ancestor["status"] == StatusWord.FAILED:
                return f"waits for {ancestor.name}, which failed: {ancestor['reason']}"
    return str(last["reason"])


def _evals(
    plan: Mapping[str, Any],
    directories: Mapping[str, StateDir],
    evaluations: Mapping[str, Mapping[str, Any]],
) -> pd.DataFrame:
    """Evaluation rows under the sweep's own names; sets that it does not know are left out.

    Where D0 and D1 share one held-out corpus (re-warming on unchanged data) its rows stand under
    both.
    """
    own_names = ["state", *(field.name for field in dataclasses.fields(EvalRow))]
    rows = _rows(directories, own_names, lambda state: state.eval_rows, _eval_key)
    held_out = pd.DataFrame(
        [
            (state, held["name"], held["corpus"])
            for state, evaluation in evaluations.items()
            for held in evaluation["datasets"]
        ],
        columns=["state", "dataset", "corpus"],
    )
    planned = pd.DataFrame(
        [
            (plan["datasets"][name]["validation"], name, role)
            for role, name in _datasets_by_role(plan).items()
        ],
        columns=["corpus", "planned", "role"],
    )
    named = rows.merge(held_out, on=["state", "dataset"]).merge(planned, on="corpus")
    named["dataset"] = named["planned"]
    return named[EVAL_COLUMNS]


def _datasets_by_role(plan: Mapping[str, Any]) -> dict[str, str]:
    """Role to name; a sweep that goes on with its only data set has that as D0 and as D1."""
    names = {dataset["role"]: name for name, dataset in plan["datasets"].items()}
    return {"d1": names["d0"], **names}


def _rows(
    directories: Mapping[str, StateDir],
    columns: list[str],
    path: Callable[[StateDir], Path],
    key: Callable[[Mapping[str, Any]], Hashable],
) -> pd.DataFrame:
    """The current rows of one kind, of all states, in the order of their steps."""
    rows = [
        {"state": state, **row}
        for state, directory in directories.items()
        for row in current_rows(read_rows(path(directory)), key)
    ]
    return pd.DataFrame(rows, columns=columns)


def _train_key(row: Mapping[str, Any]) -> Hashable:
    step: int = row["step"]
    return step


def _eval_key(row: Mapping[str, Any]) -> Hashable:
    return row["step"], row["dataset"], row["domain"]
