"""Rows as columns: what a file of JSON lines holds, without an object for each of its rows.

A sweep of a thousand trials has a million rows. As columns of numbers they take a tenth of the room
that they take as dictionaries, and are joined and filtered at once.
"""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Column = np.ndarray[Any, np.dtype[Any]]
INT64 = np.iinfo(np.int64)


@dataclasses.dataclass(frozen=True)
class Columns:
    """Columns of equal length, by name.

    Whole numbers are int64, or float64 with NaN where the row type allows None; other numbers are
    float64, NaN for None; anything else is an object.
    """

    values: Mapping[str, Column]

    def __len__(self) -> int:
        return len(next(iter(self.values.values()), ()))

    def __getitem__(self, name: str) -> Column:
        return self.values[name]

    def where(self, chosen: Column) -> "Columns":
        """The rows that a mask or an array of places picks."""
        return Columns({name: values[chosen] for name, values in self.values.items()})

    def also(self, **more: Column) -> "Columns":
        """With more columns, or others in their place."""
        return Columns({**self.values, **more})


def joined(parts: Sequence[Columns]) -> Columns:
    """Rows one after another; the parts have the same columns, and there is at least one."""
    if len(parts) == 1:
        return parts[0]
    return Columns(
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0].values}
    )


def from_rows(rows: Sequence[Mapping[str, Any]], shape: type) -> Columns:
    """The fields of a row type; rows with a value that is not of its field's kind are left out.

    Args:
        rows: Each has every field.
        shape: A dataclass of `cpt.rows` whose fields are `int`, `float`, `str` or one of them
            or None.
    """
    kinds = typing.get_type_hints(shape)
    listed = {name: [row[name] for row in rows] for name in kinds}
    if all(set(map(type, listed[name])) <= _types(kind) for name, kind in kinds.items()):
        try:
            return Columns({name: _array(listed[name], kind) for name, kind in kinds.items()})
        except OverflowError:
            pass
    whole = fitting(rows, shape)
    return Columns(
        {name: _array([row[name] for row in whole], kind) for name, kind in kinds.items()}
    )


def fitting(rows: Sequence[Mapping[str, Any]], shape: type) -> list[Mapping[str, Any]]:
    """The rows whose values are all of their fields' kinds."""
    kinds = typing.get_type_hints(shape)
    return [row for row in rows if all(_fits(row[name], kind) for name, kind in kinds.items())]


def _types(kind: Any) -> set[type]:
    """The types that a field's values have in JSON: a whole number may stand for any number.

    A program that cannot write NaN may have written null where a loss or a speed was none.
    """
    types: set[type] = set(typing.get_args(kind)) or {kind}
    return types | {int, type(None)} if float in types else types


def _fits(value: Any, kind: Any) -> bool:
    within = not isinstance(value, int) or INT64.min <= value <= INT64.max
    return within and type(value) in _types(kind)


def _array(values: Sequence[Any], kind: Any) -> Column:
    types = _types(kind)
    if float in types or types == {int, type(None)}:
        return np.array(values, dtype=np.float64)
    if types == {int}:
        return np.array(values, dtype=np.int64)
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made
