"""What a tracker is told of a row: names, numbers, the step. Pure.

A column of a training row keeps its name. Rows of an evaluation and of what was read also say of
which data set and domain they are: `eval/<dataset>/<domain>/loss`, and without a domain
`eval/<dataset>/loss`; `data/<source>/<domain>/tokens` likewise. `step` is the tracker's step, and
what is not a number (an `mfu` that is not known) is left out.
"""

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

Row = Mapping[str, Any]

LONGEST_PART = 80
"""Of a name; MLflow takes 250 characters in all."""


def part(text: str) -> str:
    """A name of a data set or domain as all trackers take it, as part of a longer one.

    Letters, digits, `_`, `-` and `.` stay; for others stands `_`, and then a hash keeps apart what
    would be called alike.
    """
    cleaned = re.sub(r"[^-\w.]", "_", text)[:LONGEST_PART]
    # MLflow takes names for paths: '.' is no name in one.
    if cleaned == text and cleaned.strip("."):
        return text
    return f"{cleaned}-{hashlib.sha256(text.encode()).hexdigest()[:4]}"


def _train(row: Row) -> str:
    return ""


def _evaluation(row: Row) -> str:
    return _prefix("eval", row["dataset"], row["domain"])


def _data(row: Row) -> str:
    return _prefix("data", row["source"], row["domain"])


def _prefix(kind: str, whole: str, domain: str | None) -> str:
    parts = [kind, part(whole), *([] if domain is None else [part(domain)])]
    return "/".join(parts) + "/"


TRAIN = "train.jsonl"

PREFIXES: dict[str, Callable[[Row], str]] = {
    TRAIN: _train,
    "eval.jsonl": _evaluation,
    "data.jsonl": _data,
}
"""What stands before the names of a file's columns. Training rows are read first, see
`sweeps.tracking.unsent`; scores of tasks are no curve, and are left to the report."""


def metrics(file: str, row: Row) -> dict[str, float]:
    """Name and value of each number in a row but its step.

    Args:
        file: Name of the file of rows it stands in.
        row: As it stands there.
    """
    prefix = PREFIXES[file](row)
    return {
        f"{prefix}{name}": value
        for name, value in row.items()
        if name != "step" and _is_number(value)
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
