"""Downstream tasks: what EleutherAI's lm-evaluation-harness says of a finished state.

The state is exported to a temporary Hugging Face directory, the harness scores it there like any
other model, and what it reports becomes TaskRows in the state's `tasks.jsonl`. What a task is, how
its questions are put and what counts as right is the harness's business alone.

The harness reseeds the global random generators of its process: never call this where something
trains.
"""

import difflib
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from numbers import Real
from pathlib import Path
from typing import Any

import lm_eval
import torch
from lm_eval.tasks import TaskManager

from cpt.hub_state import complete_config, export_state
from cpt.parsing import ConfigError, shown
from cpt.records import StateDir
from cpt.rows import TaskRow, append_rows

BATCH_SIZE = 16


class TaskError(RuntimeError):
    """A task could not be made ready, most often because its data could not be had."""


class TaskSuite:
    """Tasks whose data are at hand, to score any number of states on.

    Args:
        names: Of tasks, groups of tasks and tags, as the harness knows them.
        include_path: A folder with more tasks; they win over the harness's own of the same name.
        num_fewshot: Solved examples before each question; None: what each task prescribes. The
            harness leaves a task at 0 that insists on 0.
        limit: Ask for the first so many documents of each task only; None: all.
        batch_size: Questions the model sees at once.

    Raises:
        ConfigError: A name is unknown, a task is asked for twice, or there is no such folder.
        TaskError: The data of a task cannot be loaded.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        include_path: Path | None = None,
        num_fewshot: int | None = None,
        limit: int | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        if include_path is not None and not include_path.is_dir():
            raise ConfigError([f"include_path: got {shown(str(include_path))}; must be a folder."])
        self._manager = TaskManager(include_path=include_path)
        _check_names(names, self._manager.all_tasks)
        self._tasks = _loaded(self._manager, names)
        self._num_fewshot = num_fewshot
        self._limit = limit
        self._batch_size = batch_size

    def score(self, state: StateDir) -> list[TaskRow]:
        """Scores a state and appends the rows to its `tasks.jsonl`.

        Raises:
            ConfigError: The state is not complete, or its tokenizer is no longer found.
        """
        step = complete_config(state).end_step
        with tempfile.TemporaryDirectory(prefix="rewarm-evaluate-") as aside:
            folder = Path(aside) / "model"
            if told := export_state(state, folder):
                raise ConfigError(f"{state.path} cannot be scored: {fault}." for fault in told)
            results = lm_eval.simple_evaluate(
                model="hf",
                model_args={"pretrained": str(folder)},
                tasks=self._tasks,
                num_fewshot=self._num_fewshot,
                limit=self._limit,
                batch_size=self._batch_size,
                # Left to itself the harness asks for CUDA, also where torch has none.
                device="cuda" if torch.cuda.is_available() else "cpu",
                log_samples=False,
                task_manager=self._manager,
            )
        rows = list(rows_of(results, step=step, limit=self._limit))
        append_rows(state.task_rows, rows)
        return rows


def rows_of(results: Mapping[str, Any], *, step: int, limit: int | None) -> Iterator[TaskRow]:
    """The rows in what the harness reports: one a task, metric and filter, aggregates included.

    What is no finite number (a perplexity that overflows) is no score and left out.
    """
    scores = {
        name: {key: value for key, value in reported.items() if _is_score(key, value)}
        for name, reported in results["results"].items()
    }
    groups = {
        task: group
        for group, members in results["group_subtasks"].items()
        if scores.get(group)
        for task in members
    }
    for task, values in scores.items():
        for key, value in values.items():
            metric, _, filtered = key.partition(",")
            stderr = results["results"][task].get(f"{metric}_stderr,{filtered}")
            yield TaskRow(
                step=step,
                task=task,
                metric=metric,
                filter=filtered,
                value=float(value),
                stderr=float(stderr) if _is_finite(stderr) else None,
                higher_is_better=results["higher_is_better"].get(task, {}).get(metric),
                num_fewshot=results["n-shot"].get(task),
                num_samples=results["results"][task]["sample_len"],
                limit=limit,
                group=groups.get(task),
                task_version=str(results["versions"].get(task, "")),
                harness=f"lm_eval {version('lm_eval')}",
            )


def _is_score(key: str, value: object) -> bool:
    metric, comma, _ = key.partition(",")
    return bool(comma) and not metric.endswith("_stderr") and _is_finite(value)


def _is_finite(value: object) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _check_names(names: Sequence[str], known: Sequence[str]) -> None:
    if not names:
        raise ConfigError(["tasks: got none; must name at least one task, e.g. arc_easy."])
    faults = []
    for name in names:
        if name in known:
            continue
        close = difflib.get_close_matches(name, known, n=3)
        close = close or [other for other in known if other.startswith(name)][:3]
        hint = " or ".join(map(repr, close))
        faults.append(
            f"tasks: got {shown(name)}; lm-evaluation-harness knows no such task"
            + (f"; did you mean {hint}?" if close else "; include_path adds a folder of tasks.")
        )
    if faults:
        raise ConfigError(faults)


def _loaded(manager: TaskManager, names: Sequence[str]) -> list[Any]:
    """The tasks and groups themselves, so that many states are scored with data loaded once."""
    try:
        loaded = manager.load(list(dict.fromkeys(names)))
    except ValueError as error:
        if "Duplicate task" not in str(error):
            raise TaskError(_cannot_load(names, error)) from error
        raise ConfigError([f"tasks: {error}; ask for one of the two."]) from error
    except (OSError, ImportError, KeyError, RuntimeError) as error:
        raise TaskError(_cannot_load(names, error)) from error
    members = {task for group in loaded["group_map"].values() for task in group}
    everything = {**loaded["groups"], **loaded["tasks"]}
    return [item for name, item in everything.items() if name not in members]


def _cannot_load(names: Sequence[str], error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return f"{', '.join(names)}: the data of a task cannot be loaded ({reason})"
