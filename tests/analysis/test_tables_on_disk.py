"""Tables as Parquet: what was in memory comes back, in types that do not depend on the sweep."""

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.load import load_sweep
from analysis.measures import trial_table
from analysis.tables_on_disk import NoParquetError, tables, write_tables
from cpt.records import ResultTree
from cpt.rows import TaskRow, append_rows

ROOT = Path(__file__).parents[2]
LOSSES = {"prose": [(0, 2.0), (100, 2.4)], "code": [(0, 3.0), (100, 1.8)]}
NAMES = ["trials", "settings", "states", "evals", "train", "data", "tasks"]


def written(sweep_dir, folder):
    parquet = pytest.importorskip("pyarrow.parquet")
    sweep = load_sweep(sweep_dir)
    paths = write_tables(sweep, trial_table(sweep), folder)
    assert [path.name for path in paths] == [f"{name}.parquet" for name in NAMES]
    return sweep, {path.stem: parquet.read_table(path) for path in paths}


def types(table):
    return {field.name: str(field.type) for field in table.schema}


def test_what_was_in_memory_comes_back(quickstart, tmp_path):
    sweep, read = written(quickstart(seeds=(0, 1), steps=150), tmp_path / "tables")
    trials = read["trials"].to_pandas()
    expected = trial_table(sweep)
    assert trials["trial"].tolist() == expected["trial"].tolist()
    assert [tuple(path) for path in trials["path"]] == expected["path"].tolist()
    for name in ("forgetting", "adaptation_low", "d1_loss", "replay_fraction"):
        np.testing.assert_array_equal(trials[name], expected[name].astype(float))
    # A baseline has no schedule of its own.
    assert trials["schedule"].isna().tolist() == expected["schedule"].isna().tolist()
    for name in ("evals", "train"):
        pd.testing.assert_frame_equal(
            read[name].to_pandas(), getattr(sweep, name), check_dtype=False
        )
    assert read["states"].num_rows == len(sweep.states)
    assert read["settings"].column("seeds").to_pylist()[0] == 2


def test_types_are_those_of_an_empty_sweep_too(typed, quickstart, tmp_path):
    _, full = written(quickstart(steps=150), tmp_path / "full")
    typed.add("a", status=None)
    _, empty = written(typed.write(), tmp_path / "empty")
    for name in NAMES:
        known = types(full[name])
        assert (
            types(empty[name]).items()
            >= {
                column: kind for column, kind in known.items() if column in types(empty[name])
            }.items()
        )
    assert types(empty["data"])["samples"] == types(empty["data"])["tokens"] == "int64"
    assert types(empty["train"])["mfu"] == "double"


@pytest.mark.parametrize(
    ("values", "kind", "read"),
    [
        ([0, 0.05, None], "double", [0.0, 0.05, None]),
        ([0, 1, None], "int64", [0, 1, None]),
        (["cosine", 3, None], "string", ["cosine", "3", None]),
        ([True, False, None], "bool", [True, False, None]),
        (["wsd", None, None], "string", ["wsd", None, None]),
        ([None, None, None], "string", [None, None, None]),
    ],
)
def test_an_axis_of_any_values_has_one_type(typed, tmp_path, values, kind, read):
    for number, replay in enumerate(values):
        typed.add(f"t{number}", replay, losses=LOSSES)
    _, found = written(typed.write(), tmp_path / "tables")
    assert types(found["trials"])["replay_fraction"] == kind
    column = found["trials"].column("replay_fraction")
    assert [None if value != value else value for value in column.to_pylist()] == read


def test_scores_keep_what_a_row_may_lack(typed, tmp_path):
    state = typed.add("a", losses=LOSSES)
    score = TaskRow(
        step=100, task="arc", metric="acc", filter="none", value=0.5, stderr=None,
        higher_is_better=None, num_fewshot=None, num_samples=10, limit=3, group=None,
        task_version="1", harness="lm_eval 0.4.13",
    )  # fmt: skip
    append_rows(ResultTree(typed.storage).state(state).task_rows, [score])
    _, found = written(typed.write(), tmp_path / "tables")
    (row,) = found["tasks"].to_pylist()
    assert (row["limit"], row["num_fewshot"], row["higher_is_better"]) == (3, None, None)
    assert types(found["tasks"])["num_fewshot"] == "int64"


def test_every_column_is_told_in_the_document(quickstart):
    sweep = load_sweep(quickstart(steps=150))
    told = set(re.findall(r"`([\w<>]+)`", (ROOT / "docs/tables.md").read_text(encoding="utf-8")))
    measures = r"(d\d|mean)_loss|forgetting|adaptation"
    for name, table in tables(sweep, trial_table(sweep)).items():
        for column in table.columns:
            plain = re.sub(rf"^({measures})(_change)?_(low|high|window)$", r"\1\3", column)
            general = re.sub(r"^d\d", "<role>", plain)
            assert column in told or general in told or column in sweep.axes, (name, column)


def test_a_missing_package_is_one_sentence_and_nothing_is_written(typed, tmp_path, monkeypatch):
    typed.add("a", losses=LOSSES)
    sweep = load_sweep(typed.write())
    trials = trial_table(sweep)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(NoParquetError, match=r"not installed: pip install pyarrow$"):
        write_tables(sweep, trials, tmp_path / "tables")
    assert not (tmp_path / "tables").exists()
