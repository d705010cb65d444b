"""The result tree: where everything lies, what a row holds, which words a status may use.

This file is the one contract between training, sweeps and analysis (standard library only):

    <storage>/
      tokens/<corpus_id>/          packed tokens, see cpt.builder
      tokenizers/<tokenizer_id>/   a tokenizer trained for a sweep, see cpt.tokenizer_training
      weights/<weights_id>/        a model from elsewhere that stages start from, see cpt.hub
      states/<state_id>/           one wanted training state and the run that leads to it
        config.json                the RunConfig that determined it (cpt.config)
        corpus.json                meta of the first token store, which names the tokenizer
        status.json                running | complete | stopped | failed, replaced atomically
        train.jsonl                one TrainRow a line, appended
        eval.jsonl                 one EvalRow a line, appended
        data.jsonl                 one DataRow a line, appended
        tasks.jsonl                one TaskRow a line, appended by `rewarm evaluate`
        checkpoints/step_00004000/ distributed checkpoint; `complete.json` in it is written last
                                   (cpt.checkpoint_marker)
      sweeps/<name>/
        sweep.yaml plan.json       as submitted
        owner.json                 who runs it at this moment (sweeps.owner)
        ray/                       what Ray keeps while it runs
        trackers/                  what trackers were told (sweeps.tracking), and what they keep
        report.html trials.csv     what a person reads

Rows are only ever appended. After a resume the rows past the resumed step stand there twice;
`current_rows` is the one place that decides which of them count. What is found damaged is set aside
under its name and `.damaged-1`, and nothing of it is deleted.
"""

import contextlib
import dataclasses
import json
import operator
import os
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from cpt.checkpoint_marker import NAME, Marker
from cpt.room import room_for
from cpt.seals import SEAL, BrokenSealError, sealed_text

ELSEWHERE = "elsewhere.json"
"""In a working copy, beside the marker of a checkpoint whose other files were not fetched."""


class StatusWord(StrEnum):
    """What may stand in `status.json`."""

    RUNNING = "running"
    COMPLETE = "complete"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Status:
    """The content of `status.json`.

    Attributes:
        status: One of the four words.
        step: Optimizer updates completed when this was written.
        reason: Why it failed or was stopped, in one sentence; while it runs, what was found damaged
            and where it went on from; empty otherwise.
        rule: The early-stopping rule that ended it, as its sweep file has it; None otherwise.
    """

    status: StatusWord
    step: int
    reason: str = ""
    rule: Mapping[str, Any] | None = None

    def is_ended_by(self, rule: Mapping[str, Any]) -> bool:
        """Whether this rule stopped it; `rule` may have fields beside those that were recorded."""
        return (
            self.status is StatusWord.STOPPED
            and self.rule is not None
            and self.rule.items() <= rule.items()
        )


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


@dataclasses.dataclass(frozen=True)
class StateDir:
    """Paths inside `states/<state_id>/`."""

    path: Path

    @property
    def config(self) -> Path:
        """The RunConfig."""
        return self.path / "config.json"

    @property
    def status(self) -> Path:
        """The Status."""
        return self.path / "status.json"

    @property
    def train_rows(self) -> Path:
        """TrainRow lines."""
        return self.path / "train.jsonl"

    @property
    def eval_rows(self) -> Path:
        """EvalRow lines."""
        return self.path / "eval.jsonl"

    @property
    def data_rows(self) -> Path:
        """DataRow lines."""
        return self.path / "data.jsonl"

    @property
    def task_rows(self) -> Path:
        """TaskRow lines."""
        return self.path / "tasks.jsonl"

    @property
    def row_files(self) -> tuple[Path, ...]:
        """All files of rows, whether they exist or not."""
        return self.train_rows, self.eval_rows, self.data_rows, self.task_rows

    @property
    def corpus(self) -> Path:
        """What the store of the first source says of itself; the store may lie elsewhere."""
        return self.path / "corpus.json"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        """The folder of the checkpoint after `step` updates."""
        return self.checkpoints / f"step_{step:08d}"

    def checkpoint_marker(self, step: int) -> Path:
        """Written last: a checkpoint without it is the remains of a kill."""
        return self.checkpoint(step) / NAME

    def mark_checkpoint(self, marker: Marker) -> None:
        """Declares a checkpoint whole; all that it speaks of is on disk before."""
        for name in marker.rows:
            if (self.path / name).exists():
                _sync(self.path / name)
        folder = self.checkpoint(marker.step)
        for above in (self.path, self.checkpoints, folder):
            _sync(above)
        write_sealed(self.checkpoint_marker(marker.step), marker.to_json())
        _sync(folder)

    def read_marker(self, step: int) -> Marker:
        """What the checkpoint of a step says of itself.

        Raises:
            ValueError: There is no marker, or it is damaged, or another checkpoint's.
        """
        path = self.checkpoint_marker(step)
        if not path.is_file():
            raise ValueError(f"{path} is missing")
        content = read_json(path)
        try:
            marker = Marker.from_json(content)
        except ValueError as error:
            raise ValueError(f"{path} is no marker of a checkpoint: {error}") from error
        if (marker.state, marker.step) != (self.path.name, step):
            whose = f"{marker.state}, step {marker.step}"
            raise ValueError(f"{self.checkpoint(step)} is the checkpoint of {whose}")
        return marker

    def checkpoint_steps(self) -> list[int]:
        """Steps that have a folder, marked or not, ascending."""
        if not self.checkpoints.is_dir():
            return []
        names = (re.fullmatch(r"step_(\d{8,})", path.name) for path in self.checkpoints.iterdir())
        return sorted(int(name[1]) for name in names if name)

    def marked_steps(self) -> list[int]:
        """Steps whose checkpoint bears a marker, ascending."""
        return [step for step in self.checkpoint_steps() if self.checkpoint_marker(step).exists()]

    def whole_steps(self) -> list[int]:
        """Steps whose checkpoint has no fault that `checkpoint_fault` sees, ascending."""
        return [step for step in self.marked_steps() if self.checkpoint_fault(step) is None]

    def checkpoint_fault(self, step: int) -> str | None:
        """What is wrong with the checkpoint of a step, in words; None: nothing that is soon seen.

        Told from the marker: a folder without one, that of another state, a file that is missing or
        of another size, rows that are fewer than it goes on from. No content is read.
        """
        try:
            marker = self.read_marker(step)
        except ValueError as error:
            return str(error)
        elsewhere = self.checkpoint(step) / ELSEWHERE
        if elsewhere.exists():
            noted: str | None = read_json(elsewhere)["fault"]
            return noted or marker.missing_rows(self.path)
        return marker.quick_fault(self.checkpoint(step), self.path)

    def completion_fault(self, step: int) -> str | None:
        """Why a state is not complete at its last step, whatever its status; None: it is.

        Its rows are read; the files of its checkpoint are not.
        """
        return self.checkpoint_fault(step) or self.read_marker(step).final_row_fault(self.path)

    def set_checkpoint_aside(self, step: int) -> Path:
        """Renames a damaged checkpoint, to `step_00000040.damaged-1`."""
        return set_aside(self.checkpoint(step))

    def read_status(self) -> Status | None:
        """The status, or None where this state was never started.

        Raises:
            ValueError: `status.json` is damaged; the sentence names it.
        """
        if not self.status.exists():
            return None
        content = read_json(self.status)
        try:
            return Status(
                status=StatusWord(content["status"]),
                step=content["step"],
                reason=content["reason"],
                rule=content.get("rule"),
            )
        except (KeyError, ValueError) as error:
            raise ValueError(f"{self.status} is no status ({error})") from error

    def write_status(self, status: Status) -> None:
        """Replaces `status.json` atomically."""
        content = dataclasses.asdict(status)
        if status.rule is None:
            del content["rule"]
        write_sealed(self.status, content)


@dataclasses.dataclass(frozen=True)
class SweepDir:
    """Paths inside `sweeps/<name>/`."""

    path: Path

    @property
    def spec(self) -> Path:
        """The sweep file as submitted, with overrides applied."""
        return self.path / "sweep.yaml"

    @property
    def plan(self) -> Path:
        """Trials and the states they need (sweeps.plan.Plan)."""
        return self.path / "plan.json"

    @property
    def ray(self) -> Path:
        """What Ray keeps while the sweep runs."""
        return self.path / "ray"

    @property
    def trackers(self) -> Path:
        """How far trackers were told of the rows, and what they write where no place was named."""
        return self.path / "trackers"

    @property
    def report(self) -> Path:
        """The page a person reads."""
        return self.path / "report.html"

    @property
    def trials(self) -> Path:
        """One row a trial."""
        return self.path / "trials.csv"


@dataclasses.dataclass(frozen=True)
class ResultTree:
    """Paths below one `storage`.

    Attributes:
        storage: A directory. Where the tree lies on object storage it is this machine's working
            copy, which a `cpt.mirror.Mirror` fills and sends.
        token_storage: Directory or URI of the token stores; None: `<storage>/tokens`. They are
            opened through `cpt.token_library`.
        remote: URI of the tree on object storage; None: `storage` itself is the tree.
    """

    storage: Path
    token_storage: str | None = None
    remote: str | None = None

    def tokens(self, corpus_id: str) -> Path:
        """The token store of one corpus, where they lie below `storage`."""
        return self.storage / "tokens" / folder_name(corpus_id)

    def tokenizer(self, tokenizer_id: str) -> Path:
        """The folder of a tokenizer that was trained for a sweep."""
        return self.storage / "tokenizers" / folder_name(tokenizer_id)

    def weights(self, weights_id: str) -> Path:
        """The Hugging Face model directory of a model from elsewhere."""
        return self.storage / "weights" / folder_name(weights_id)

    def state(self, state_id: str) -> StateDir:
        """The folder of one state."""
        return StateDir(self.storage / "states" / folder_name(state_id))

    def sweep(self, name: str) -> SweepDir:
        """The folder of one sweep."""
        return SweepDir(self.storage / "sweeps" / folder_name(name))

    def sweeps(self) -> list[SweepDir]:
        """The folders of all sweeps, by name."""
        folders = (path for path in (self.storage / "sweeps").glob("*") if path.is_dir())
        return [SweepDir(path) for path in sorted(folders)]


def folder_name(name: str) -> str:
    """The name itself, if a path that ends in it stays in the folder before it.

    Raises:
        ValueError: It names another place.
    """
    if name in ("", ".", "..") or not {"/", "\\", "\0"}.isdisjoint(name):
        raise ValueError(f"got {name!r}; must be the name of a folder, not a path to another place")
    return name


def read_json(path: Path) -> dict[str, Any]:
    """Reads one JSON object; of one that bears a seal, what the seal is of.

    An object without a seal was written by a person or another program and is taken at its word.

    Raises:
        ValueError: The file holds no complete JSON object, or its seal is broken; the sentence
            names the path.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text ({error.reason} at byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not complete JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a JSON {type(content).__name__}, not an object")
    if content.pop(SEAL, None) is not None and text != sealed_text(content):
        raise BrokenSealError(f"{path} is not as it was written: its seal is broken")
    return content


def write_text(path: Path, text: str) -> None:
    """Replaces a file atomically: a reader sees the old content or the new, never a part.

    Raises:
        NoRoomError: The disk is full.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """The same, of a file that is no text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with room_for(path, len(content)), aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replaces a JSON file atomically.

    Raises:
        ValueError: A number is NaN or infinite, which JSON lacks; the file is left as it was.
    """
    write_text(path, _json(path, content, indent=1) + "\n")


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Replaces a JSON file atomically by one that bears a seal, which `read_json` checks.

    Raises:
        ValueError: A number is NaN or infinite, which JSON lacks; the file is left as it was.
    """
    try:
        text = sealed_text(content)
    except ValueError as error:
        raise ValueError(f"{path} cannot hold {content}: {error}") from error
    write_text(path, text)


def set_aside(path: Path) -> Path:
    """Renames a damaged file or folder, to its name and `.damaged-1`; returns the new path."""
    return path.rename(name_aside(path))


def name_aside(path: Path) -> Path:
    """The first name of the kind `NAME.damaged-1` that is free."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return aside


def _sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append_rows(path: Path, rows: Iterable[TrainRow | EvalRow | DataRow | TaskRow]) -> None:
    """Appends rows as JSON lines in one write, after healing a line cut off by a kill.

    Raises:
        ValueError: A number is NaN or infinite, which JSON lacks; no row is appended.
        NoRoomError: The disk is full.
    """
    lines = "".join(_json(path, dataclasses.asdict(row)) + "\n" for row in rows)
    with room_for(path, len(lines)), path.open("a+b") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                lines = "\n" + lines
        file.write(lines.encode("utf-8"))


def _json(path: Path, content: Mapping[str, Any], *, indent: int | None = None) -> str:
    try:
        return json.dumps(content, indent=indent, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"{path} cannot hold {content}: {error}") from error


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
