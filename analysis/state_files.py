"""What the folders of states hold, joined to the curve of a whole stage.

A state that goes on from a `base`, an earlier state of its own stage, has rows of its own only for
the steps past that base. Its curve is

    rows of the base's curve with step <= the base's last step, then own rows past it

and so on down to the beginning of the stage. The base is the one that config.json names, in this
sweep's plan or not; own rows up to the base's last step were left by an attempt that started
elsewhere and do not count. Where a base's folder is gone its part of the curve is a gap.

The rows of a complete state are compared with the digests in the marker of its last checkpoint. A
folder that was damaged costs its own rows and a sentence, never the report. Of a
config.json only the few fields below are read, so that a state trained by another version of the
program stays readable.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from analysis.columns import Columns, fitting, from_rows, joined
from cpt.files import read_json
from cpt.records import ResultTree, StateDir, StatusWord
from cpt.rows import DataRow, EvalRow, TaskRow, TrainRow, current_places, current_rows, read_rows
from cpt.seals import BrokenSealError

Row = Mapping[str, Any]

TRAIN_KEY = ("step",)
EVAL_KEY = ("step", "dataset", "domain")
DATA_KEY = ("step", "source", "domain")
TASK_KEY = ("task", "metric", "filter", "num_fewshot", "limit")
"""The columns that name a row: of two with one key in a file the later counts."""


class HeldOutSet(BaseModel):
    """An evaluation set: the name that a state's rows use, and the id of its corpus."""

    name: str
    corpus: str


class Evaluation(BaseModel):
    """Sets that are evaluated all along, those of later stages (step 0 only), and the window."""

    datasets: list[HeldOutSet]
    to_come: list[HeldOutSet] = []
    final_window_steps: int


class StreamSource(BaseModel):
    """One source of a stream, by the name that the state's rows use."""

    name: str
    part: str | None = None

    @property
    def label(self) -> str:
        """`slimpajama/c4`, or the data set's name where it is one source."""
        return self.name if self.part is None else f"{self.name}/{self.part}"


class Configuration(BaseModel):
    """The part of a state's config.json that a report needs."""

    evaluation: Evaluation
    stream: list[StreamSource] = []
    base: str | None = None
    stop_step: int | None = None
    total_steps: int | None = None


class StatusFile(BaseModel):
    """A state's status.json."""

    status: StatusWord
    step: int
    reason: str
    rule: dict[str, Any] | None = None


Shape = TypeVar("Shape", bound=BaseModel)


@dataclasses.dataclass(frozen=True)
class StateFiles:
    """What one folder holds.

    Attributes:
        configuration: None before the state was first started, or where it cannot be read.
        status: The same of status.json.
        damage: Which file cannot be read and why, in one sentence; empty where all can.
        evaluated: Whether the evaluations and the names of their sets can be read.
        evals: The folder's own current rows, with `corpus`, the id of the held-out set of each; a
            loss that is infinite, or none, is NaN.
        train: The folder's own current rows.
        data: The same of what was read, with `number`, that of its source in the stream.
        tasks: The folder's current scores on downstream tasks.
        tasks_damage: Why those cannot be read; the state is not damaged by that.
    """

    configuration: Configuration | None
    status: StatusFile | None
    damage: str
    evaluated: bool
    evals: Columns
    train: Columns
    data: Columns
    tasks: list[Row]
    tasks_damage: str


class StateFolders:
    """Reads folders of states, each once.

    Args:
        tree: Where they lie.
        planned_steps: State id to its last step, for bases whose own configuration does not say.
    """

    def __init__(self, tree: ResultTree, planned_steps: Mapping[str, int]) -> None:
        self._tree = tree
        self._planned_steps = planned_steps
        self._read: dict[str, StateFiles] = {}

    def files(self, state: str) -> StateFiles:
        """The content of one folder; of one that does not exist, nothing."""
        if state not in self._read:
            self._read[state] = _read_state(self._tree, state)
        return self._read[state]

    def evals(self, state: str) -> Columns:
        """Evaluations of the whole stage up to this state, in the order of their steps."""
        return self._curve(state, lambda files: files.evals)

    def train(self, state: str) -> Columns:
        """Updates of the whole stage up to this state, in the order of their steps."""
        return self._curve(state, lambda files: files.train)

    def data(self, state: str) -> Columns:
        """What was read in the whole stage up to this state, without overlaps.

        A base may end between two evaluations; the row after it covers what it wrote at its end.
        """
        rows = self._curve(state, lambda files: files.data)
        spans = sorted(set(zip(rows["step"].tolist(), rows["since"].tolist(), strict=True)))
        covered = [step for (step, _), (_, since) in itertools.pairwise(spans) if since < step]
        return rows.where(~np.isin(rows["step"], covered)) if covered else rows

    def gap(self, state: str) -> int:
        """The step up to which evaluations may be missing; 0 where every base can be read."""
        missing = [base for base in self._chain(state)[1:] if not self.files(base).evaluated]
        return max((self.stop_step(base) or 0 for base in missing), default=0)

    def _chain(self, state: str) -> list[str]:
        """The state, its base, the base's base ...; a base that comes round again ends it."""
        chain: list[str] = []
        name: str | None = state
        while name is not None and name not in chain:
            chain.append(name)
            configuration = self.files(name).configuration
            name = None if configuration is None else configuration.base
        return chain

    def _curve(self, state: str, own: Callable[[StateFiles], Columns]) -> Columns:
        chain = self._chain(state)
        if len(chain) == 1:
            return own(self.files(state))
        parts: list[Columns] = []
        end = math.inf
        for name, base in itertools.zip_longest(chain, chain[1:]):
            stop = None if base is None else self.stop_step(base)
            begin = -math.inf if stop is None else stop
            rows = own(self.files(name))
            parts.append(rows.where((begin < rows["step"]) & (rows["step"] <= end)))
            end = min(end, math.inf if stop is None else stop)
        return joined(parts[::-1])

    def stop_step(self, state: str) -> int | None:
        """The last step of a base; None where neither its configuration nor the plan knows it."""
        configuration = self.files(state).configuration
        if configuration is not None:
            stop = configuration.stop_step
            known = configuration.total_steps if stop is None else stop
            if known is not None:
                return known
        return self._planned_steps.get(state)


def _read_state(tree: ResultTree, state: str) -> StateFiles:
    folder = tree.state(state)
    configuration, broken_config = _parsed(folder.config, Configuration)
    status, broken_status = _parsed(folder.status, StatusFile)
    evals, broken_evals = _own_rows(folder.eval_rows, EvalRow)
    train, broken_train = _own_rows(folder.train_rows, TrainRow)
    data, broken_data = _own_rows(folder.data_rows, DataRow)
    tasks, broken_tasks = _own_rows(folder.task_rows, TaskRow)
    held_out: dict[str, str] = {}
    streamed: dict[str, int] = {}
    if configuration is not None:
        streamed = {one.label: number for number, one in enumerate(configuration.stream)}
        evaluation = configuration.evaluation
        held_out = {held.name: held.corpus for held in [*evaluation.datasets, *evaluation.to_come]}
    broken_rows = _final_rows(folder, status)
    faults = [broken_config, broken_status, broken_evals, broken_train, broken_data, broken_rows]
    damage = next(filter(None, faults), "")
    return StateFiles(
        configuration=configuration,
        status=status,
        damage=f"damaged: states/{state}/{damage}" if damage else "",
        evaluated=configuration is not None and not broken_evals,
        evals=_named(_current(from_rows(evals, EvalRow), EVAL_KEY), "dataset", held_out, "corpus"),
        train=_current(from_rows(train, TrainRow), TRAIN_KEY),
        data=_named(_current(from_rows(data, DataRow), DATA_KEY), "source", streamed, "number"),
        tasks=current_rows(fitting(tasks, TaskRow), itemgetter(*TASK_KEY)),
        tasks_damage=f"states/{state}/{broken_tasks}" if broken_tasks else "",
    )


def _parsed(path: Path, shape: type[Shape]) -> tuple[Shape | None, str]:
    """A JSON file in the shape that is needed, and what is wrong with it."""
    if not path.exists():
        return None, ""
    try:
        return shape.model_validate(read_json(path)), ""
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        return None, f"{path.name} is not as written ({field}: {first['msg'].lower()})"
    except BrokenSealError:
        return None, f"{path.name} is not as it was written (its seal is broken)"
    except ValueError:
        return None, f"{path.name} is not a complete JSON object"


def _final_rows(folder: StateDir, status: StatusFile | None) -> str:
    """What is wrong with the rows of a complete state, by the marker of its last checkpoint.

    A state whose checkpoints were removed to make room has none to be told by.
    """
    if status is None or status.status is not StatusWord.COMPLETE:
        return ""
    if not folder.checkpoint_marker(status.step).exists():
        return ""
    try:
        fault = folder.read_marker(status.step).final_row_fault(folder.path)
    except ValueError as error:
        fault = str(error)
    return (fault or "").removeprefix(f"{folder.path}/")


def _own_rows(
    path: Path, shape: type[EvalRow | TrainRow | DataRow | TaskRow]
) -> tuple[list[Row], str]:
    """The rows of a file, those left out that lack a column; and what is wrong with it."""
    columns = {field.name for field in dataclasses.fields(shape)}
    if path.exists():
        try:
            path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return [], f"{path.name} is not text"
    return [row for row in read_rows(path) if columns <= row.keys()], ""


def _current(rows: Columns, key: tuple[str, ...]) -> Columns:
    """The rows that no later attempt superseded; `key` are the columns that name a row."""
    steps = rows["step"].tolist()
    places = current_places(steps, list(zip(*(rows[name].tolist() for name in key), strict=True)))
    return rows if len(places) == len(rows) else rows.where(np.array(places, dtype=int))


def _named(rows: Columns, by: str, names: Mapping[str, Any], column: str) -> Columns:
    """The rows whose name in the column `by` is known, with what it stands for as a column."""
    found = [names.get(name) for name in rows[by].tolist()]
    known = np.array([one is not None for one in found], dtype=bool)
    return rows.where(known).also(**{column: np.array(found, dtype=object)[known]})
