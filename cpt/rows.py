"""What the rows of a result tree hold, how they are appended, and which of them count.

The one interface between training and analysis (standard library only). Rows are only ever
appended. After a resume the rows past the resumed step stand there twice; `current_rows` is the one
place that decides which of them count.
"""

import contextlib
import dataclasses
import json
import operator
import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cpt.files import json_text
from cpt.room import room_for


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainRow:
    """One optimizer update, a line of `train.jsonl`.

    Attributes:
        step: Updates completed, this one included.
        tokens: Training tokens this stage has consumed, replay included.
        lr: The rate this update used, `schedule.lr(step - 1)`.
        loss: Mean over the global batch before the update, nats per token.
        grad_norm: L2 norm of the whole gradient before clipping.
        tokens_per_second: Over the time since the previous row, evaluation and saving left out.
        mfu: Model FLOPs utilisation in [0, 1]; None where the device's peak is not known.
        elapsed_seconds: Time spent in this stage up to here, over all attempts.
    """

    step: int
    tokens: int
    lr: float
    loss: float
    grad_norm: float
    tokens_per_second: float
    mfu: float | None
    elapsed_seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalRow:
    """The loss on one held-out set, a line of `eval.jsonl`.

    Attributes:
        step: Updates completed when evaluated.
        tokens: Training tokens this stage has consumed, replay included.
        dataset: Name of the data set in the configuration of this state.
        domain: Domain inside it; None for the whole set.
        loss: Mean cross-entropy, nats per token.
        bits_per_byte: The same loss per byte of text.
        num_tokens: Number of predicted tokens the mean was taken over.
    """

    step: int
    tokens: int
    dataset: str
    domain: str | None
    loss: float
    bits_per_byte: float
    num_tokens: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataRow:
    """What a stage read of one source from one evaluation to the next, a line of `data.jsonl`.

    Rows of a stage follow one another without gaps; a beginning that others go on from may end
    between two evaluations, and the row that follows its last covers that row too.

    Attributes:
        step: Updates completed.
        since: The row covers the updates from this step to `step`.
        source: Name of the source in the configuration of this state: its data set, and its part.
        domain: Domain inside it; None for the whole source.
        tokens: Predicted tokens, as they were read and not by shares.
        samples: Sequences; None in the row of a domain.
        first_sample: Index of the first of them among those the stage reads of the source; None in
            the row of a domain.
        epoch: Sequences that this stage read of the source up to `step`, as a share of those it
            holds; None in the row of a domain.
    """

    step: int
    since: int
    source: str
    domain: str | None
    tokens: int
    samples: int | None
    first_sample: int | None
    epoch: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskRow:
    """A finished state's score on one downstream task, a line of `tasks.jsonl`.

    The last of the rows that agree in task, metric, filter, num_fewshot and limit counts.

    Attributes:
        step: Updates completed when the state was scored: its last.
        task: Name of the task, or of a group of tasks that reports an aggregate.
        metric: As the harness calls it, e.g. `acc_norm`.
        filter: How answers were extracted from what the model wrote; `none` where they were not.
        value: In the metric's own unit; an accuracy lies in [0, 1].
        stderr: Standard error over the documents; None where the harness gives none.
        higher_is_better: None where the harness does not say.
        num_fewshot: Solved examples before each question; None for a group whose tasks differ.
        num_samples: Documents the value was taken over.
        limit: The first so many documents of each task were asked for; None: all of them.
        group: The group of tasks whose aggregate this row is part of; None for one that was asked
            for by itself.
        task_version: Of the task, as the harness has it.
        harness: The program and its version, e.g. `lm_eval 0.4.13`.
    """

    step: int
    task: str
    metric: str
    filter: str
    value: float
    stderr: float | None
    higher_is_better: bool | None
    num_fewshot: int | None
    num_samples: int
    limit: int | None
    group: str | None
    task_version: str
    harness: str


def append_rows(path: Path, rows: Iterable[TrainRow | EvalRow | DataRow | TaskRow]) -> None:
    """Appends rows as JSON lines in one write, after healing a line cut off by a kill.

    Raises:
        ValueError: A number is NaN or infinite, which JSON lacks; no row is appended.
        NoRoomError: The disk is full.
    """
    lines = "".join(json_text(path, dataclasses.asdict(row)) + "\n" for row in rows)
    with room_for(path, len(lines)), path.open("a+b") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                lines = "\n" + lines
        file.write(lines.encode("utf-8"))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Reads JSON lines in file order; a line cut off by a kill is left out.

    A missing file has no rows. Only a line that lost its end may be unreadable: one that a kill
    cut off, at the end of the file or before a resume. What else befell a line is told by the
    digests of `cpt.checkpoint_marker`.
    """
    if not path.exists():
        return []
    rows = _values(path.read_bytes().splitlines())
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get("step"), int)]


def _values(lines: list[bytes]) -> list[Any]:
    """What JSON lines say, without those that are cut off.

    All at once where each is whole, which takes two thirds of the time. No text in JSON holds an
    end of a line, so the part of one line is never read together with that of the next.
    """
    try:
        values: list[Any] = json.loads(b"[" + b",\n".join(lines) + b"]")
    except ValueError:
        values = []
    if len(values) == len(lines):
        return values
    whole = []
    for line in lines:
        with contextlib.suppress(ValueError):
            whole.append(json.loads(line))
    return whole


def current_rows(
    rows: Iterable[Mapping[str, Any]], key: Callable[[Mapping[str, Any]], Hashable]
) -> list[Mapping[str, Any]]:
    """Leaves out the rows that a later attempt superseded.

    A resumed run starts again at its last checkpoint, so its first row steps back; every earlier
    row from that step on belongs to work that was lost. Of two rows with one key the later counts.

    Args:
        rows: In file order.
        key: What names a row, e.g. its step, or step, data set and domain, or task and metric.
    """
    rows = list(rows)
    places = current_places([row["step"] for row in rows], [key(row) for row in rows])
    return [rows[place] for place in places]


def current_places(steps: Sequence[int], keys: Sequence[Hashable]) -> Sequence[int]:
    """Which rows `current_rows` leaves, as their places, of rows given by their steps and keys."""
    if all(map(operator.le, steps, steps[1:])) and len(set(keys)) == len(keys):
        return range(len(keys))
    kept: dict[Hashable, int] = {}
    last_step = -1
    for place, (step, key) in enumerate(zip(steps, keys, strict=True)):
        if step < last_step:
            kept = {name: old for name, old in kept.items() if steps[old] < step}
        last_step = step
        kept.pop(key, None)
        kept[key] = place
    return list(kept.values())
