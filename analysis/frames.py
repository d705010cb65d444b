"""The rows of all states of a sweep as tables, under the names that this sweep has for its data.

States are shared between sweeps and know a data set by the name that the first sweep gave it, so
evaluations are matched by the id of the held-out corpus, and what was read by the place of a source
in its stream; never by name.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.state_files import StateFolders
from cpt.records import DataRow, EvalRow, TaskRow, TrainRow

TRAIN_COLUMNS = ["state", *(field.name for field in dataclasses.fields(TrainRow))]
EVAL_COLUMNS = ["state", "role", *(field.name for field in dataclasses.fields(EvalRow))]
DATA_COLUMNS = ["state", *(field.name for field in dataclasses.fields(DataRow))]
TASK_COLUMNS = ["state", *(field.name for field in dataclasses.fields(TaskRow))]


def evals(plan: Mapping[str, Any], folders: StateFolders) -> pd.DataFrame:
    """Evaluation rows under the sweep's own names; sets that it does not know are left out.

    Where two data sets share one held-out corpus (re-warming on unchanged data) its rows stand
    under both, each once, though a state that knows it by two names evaluated it twice.
    """
    names = ["state", "corpus", *(field.name for field in dataclasses.fields(EvalRow))]
    rows = pd.DataFrame(
        [
            {"state": state["state"], **row}
            for state in plan["states"]
            for row in folders.evals(state["state"])
        ],
        columns=names,
    )
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
    return named[EVAL_COLUMNS]


def data(plan: Mapping[str, Any], folders: StateFolders) -> pd.DataFrame:
    """What was read, under the sweep's own names: a state's sources stand in one order everywhere.

    Plans that do not list the sources of a state are of programs that wrote no such rows.
    """
    rows = []
    for state in plan["states"]:
        names = [source["source"] for source in state.get("sources", [])]
        rows += [
            {"state": state["state"], **row, "source": names[row["number"]]}
            for row in folders.data(state["state"])
            if row["number"] < len(names)
        ]
    # Plain JSON values: a None must not turn its neighbours into floats.
    return pd.DataFrame(rows, columns=DATA_COLUMNS, dtype=object)


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
    """Updates, of whole stages."""
    rows = [
        {"state": state["state"], **row}
        for state in plan["states"]
        for row in folders.train(state["state"])
    ]
    return pd.DataFrame(rows, columns=TRAIN_COLUMNS)


def datasets_by_role(plan: Mapping[str, Any]) -> dict[str, str]:
    """Role to name; a data set that several stages train on has the role of each of them."""
    return {stage["role"]: stage["dataset"] for stage in plan["stages"]}
