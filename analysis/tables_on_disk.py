"""Every table of a sweep as Parquet, for whatever else reads tables; docs/tables.md tells columns.

A column has one type whatever the sweep holds: an axis of numbers is numbers, also where a trial
has no value on it, and an axis of words, or of words and numbers, is text. Losses that are no
finite number are missing, as is what a row does not have.
"""

import dataclasses
import importlib
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.load import Sweep
from analysis.settings import anchor, settings_table
from cpt.files import write_bytes
from cpt.rows import DataRow, EvalRow, TaskRow, TrainRow

TEXT, WHOLE, NUMBER, YES_NO, TEXTS = "string", "Int64", "float64", "boolean", "texts"
TRIALS = {
    "trial": TEXT, "state": TEXT, "path": TEXTS, "stage_ends": TEXTS, "baseline": TEXT,
    "center": YES_NO, "from_scratch": YES_NO, "status": TEXT, "reason": TEXT, "step": WHOLE,
    "steps": WHOLE, "tokens": WHOLE, "path_tokens": WHOLE, "setting": TEXT,
}  # fmt: skip
SETTINGS = {
    "setting": TEXT, "trial": TEXT, "baseline": TEXT, "center": YES_NO, "from_scratch": YES_NO,
    "tokens": WHOLE, "path_tokens": WHOLE, "seeds": WHOLE, "states": TEXT, "efficient": YES_NO,
}  # fmt: skip
STATES = {
    "state": TEXT, "label": TEXT, "stage": TEXT, "role": TEXT, "first_step": WHOLE, "steps": WHOLE,
    "ends_stage": YES_NO, "annealed": YES_NO, "tokens": WHOLE, "stage_tokens": WHOLE,
    "parent": TEXT, "base": TEXT, "status": TEXT, "reason": TEXT, "step": WHOLE,
    "ended_by_rule": YES_NO, "gap": WHOLE, "final_window_steps": NUMBER, "tasks_damage": TEXT,
}  # fmt: skip


class NoParquetError(RuntimeError):
    """Parquet cannot be written here: the package that does is missing."""


def write_tables(sweep: Sweep, trials: pd.DataFrame, folder: Path) -> list[Path]:
    """Writes trials, settings, states, evals, train, data and tasks, each `<name>.parquet`.

    Args:
        sweep: The sweep, finished or not.
        trials: As `measures.trial_table` returns them.
        folder: Where the files go; made if it is not there.

    Returns:
        Their paths.

    Raises:
        NoParquetError: pyarrow is not installed; nothing is written.
    """
    try:
        arrow, parquet = map(importlib.import_module, ("pyarrow", "pyarrow.parquet"))
    except ImportError as error:
        raise NoParquetError(
            "tables as Parquet are written by pyarrow, which is not installed: pip install pyarrow"
        ) from error
    written = []
    for name, table in tables(sweep, trials).items():
        path = folder / f"{name}.parquet"
        kinds = {
            TEXT: arrow.string(),
            WHOLE: arrow.int64(),
            NUMBER: arrow.float64(),
            YES_NO: arrow.bool_(),
            "object": arrow.list_(arrow.string()),
        }
        schema = arrow.schema([(str(at), kinds[kind.name]) for at, kind in table.dtypes.items()])
        buffer = arrow.BufferOutputStream()
        parquet.write_table(arrow.Table.from_pandas(table, schema, preserve_index=False), buffer)
        write_bytes(path, buffer.getvalue().to_pybytes())
        written.append(path)
    return written


def tables(sweep: Sweep, trials: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables as they are written: name to a frame of typed columns, without an index.

    Args:
        sweep: The sweep.
        trials: As `measures.trial_table` returns them.
    """
    axes = dict.fromkeys(("seed", *sweep.axes), TEXT)
    axes |= {name: _kind(trials[name]) for name in axes if name in trials}
    settings = pd.DataFrame(columns=list(SETTINGS))
    if len(trials):
        settings = settings_table(sweep, trials, anchor(sweep)).reset_index()
    rows = {"evals": EvalRow, "train": TrainRow, "data": DataRow, "tasks": TaskRow}
    return {
        "trials": _typed(trials, TRIALS | axes),
        "settings": _typed(settings, SETTINGS | axes),
        "states": _typed(sweep.states.rename_axis("state").reset_index(), STATES),
        **{name: _typed(getattr(sweep, name), _kinds(shape)) for name, shape in rows.items()},
    }


def _kinds(shape: type) -> dict[str, str]:
    """The kinds of the columns of a row type, with those that the reading adds."""
    hints = typing.get_type_hints(shape)
    named = {str: TEXT, int: WHOLE, float: NUMBER, bool: YES_NO}
    own = {
        field.name: named[(typing.get_args(hints[field.name]) or (hints[field.name],))[0]]
        for field in dataclasses.fields(shape)
    }
    return {"state": TEXT, "role": TEXT, **own}


def _kind(values: pd.Series) -> str:
    """The kind of an axis, by its values."""
    types = {type(value) for value in values if not _is_missing(value)}
    if types and types <= {int, float}:
        return WHOLE if types == {int} else NUMBER
    return YES_NO if types == {bool} else TEXT


def _typed(table: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Columns of their kinds; measures, which are not named, are numbers."""
    return pd.DataFrame(
        {name: _column(values, kinds.get(str(name), NUMBER)) for name, values in table.items()}
    )


def _column(values: pd.Series, kind: str) -> pd.Series:
    if kind == TEXTS:
        return pd.Series([list(one) for one in values], index=values.index, dtype=object)
    dtype: Any = kind
    if kind == TEXT:
        told = [None if _is_missing(value) else _text(value) for value in values]
        return pd.Series(told, index=values.index, dtype=dtype)
    if values.dtype == object:
        values = values.where(values.notna(), float("nan") if kind == NUMBER else None)
    made: pd.Series = values.astype(dtype)
    return made


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)
