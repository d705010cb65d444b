"""The rows of all states of a sweep as tables, under the names that this sweep has for its data.

States are shared between sweeps and know a data set by the name that the first sweep gave it, so
evaluations are matched by the id of the held-out corpus, and what was read by the place of a source
in its stream; never by name.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.columns import Columns, from_rows, joined
from analysis.state_files import StateFolders
from cpt.rows import DataRow, EvalRow, TaskRow, TrainRow

EVAL_COLUMNS = ["state", "role", *(field.name for field in dataclasses.fields(EvalRow))]
DATA_COLUMNS = ["state", *(field.name for field in dataclasses.fields(DataRow))]
TASK_COLUMNS = ["state", *(field.name for field in dataclasses.fields(TaskRow))]


def evals(plan: Mapping[str, Any], folders: StateFolders) -> pd.DataFrame:
    """Evaluation rows under the sweep's own names; sets that it does not know are left out.

    Where two data sets share one held-out corpus (re-warming on unchanged data) its rows stand
    under both, each once, though a state that knows it by two names evaluated it twice. A loss that
    is infinite is NaN: no mean, difference or rank is made of either.
    """
    rows = _table(plan, folders.evals, EvalRow, "corpus")
    planned = pd.DataFrame(
        [
            (plan["datasets"][name]["validation"], name, role)
            for role, name in datasets_by_role(plan).items()
        ],
        columns=["corpus", "planned", "role"],
    )
    once = rows.drop_duplicates(["state", "corpus", "step", "domain"])
    named = once.astype({"corpus": object}).merge(planned, on="corpus")
    named["dataset"] = named["planned"]
    for name in ("loss", "bits_per_byte"):
        named[name] = named[name].where(np.isfinite(named[name]))
    return named[EVAL_COLUMNS]


def data(plan: Mapping[str, Any], folders: StateFolders) -> pd.DataFrame:
    """What was read, under the sweep's own names: a state's sources stand in one order everywhere.

    Plans that do not list the sources of a state are of programs that wrote no such rows.
    """
    sources = {
        state["state"]: np.array([source["source"] for source in state.get("sources", [])], object)
        for state in plan["states"]
    }

    def named(state: str) -> Columns:
        rows = folders.data(state)
        numbers = rows["number"].astype(int)
        known = numbers < len(sources[state])
        return rows.where(known).also(source=sources[state][numbers[known]])

    rows = _table(plan, named, DataRow, "number")[DATA_COLUMNS]
    return rows.astype({"samples": "Int64", "first_sample": "Int64"})


def tasks(plan: Mapping[str, Any], folders: StateFolders) -> pd.DataFrame:
    """Scores on downstream tasks."""
    rows = [
        {"state": state["state"], **row}
        for state in plan["states"]
        for row in folders.files(state["state"]).tasks
    ]
    # Plain JSON values: a None must not turn its neighbours into floats.
    return pd.DataFrame(rows, columns=TASK_COLUMNS, dtype=object)


def train(plan: Mapping[str, Any], folders: StateFolders) -> pd.DataFrame:
    """Updates, of whole stages; a loss that is infinite is NaN."""
    rows = _table(plan, folders.train, TrainRow)
    rows["loss"] = rows["loss"].where(np.isfinite(rows["loss"]))
    return rows


def _table(
    plan: Mapping[str, Any], read: Callable[[str], Columns], shape: type, *more: str
) -> pd.DataFrame:
    """The rows of all planned states under one another, `state` before their own columns."""
    names = [state["state"] for state in plan["states"]]
    parts = [read(name) for name in names]
    empty = from_rows([], shape).also(**{name: np.empty(0, object) for name in more})
    rows = joined([part for part in parts if len(part)] or [empty])
    states = np.repeat(np.array(names, object), [len(part) for part in parts])
    # A column of texts that is empty stays one of texts when it is mapped to numbers.
    named = pd.Series(states, dtype="str" if len(states) else object)
    return pd.DataFrame({"state": named, **rows.values}, copy=False)


def datasets_by_role(plan: Mapping[str, Any]) -> dict[str, str]:
    """Role to name; a data set that several stages train on has the role of each of them."""
    return {stage["role"]: stage["dataset"] for stage in plan["stages"]}
