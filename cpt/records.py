"""The result tree: where everything lies, and which words a status may use.

With `cpt.rows` the one contract between training, sweeps and analysis (standard library only):

    <storage>/
      tokens/<corpus_id>/          packed tokens, see cpt.builder
      tokenizers/<tokenizer_id>/   a tokenizer trained for a sweep, see cpt.tokenizer_training
      weights/<weights_id>/        a model from elsewhere that stages start from, see cpt.hub
      states/<state_id>/           one wanted training state and the run that leads to it
        config.json                the RunConfig that determined it (cpt.config)
        corpus.json                meta of the first token store, which names the tokenizer
        status.json                running | complete | stopped | failed, replaced atomically
        train.jsonl                one TrainRow a line, appended (cpt.rows)
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

What is found damaged is set aside under its name and `.damaged-1`, and nothing of it is deleted.
"""

import dataclasses
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from cpt.checkpoint_marker import NAME, Marker
from cpt.files import folder_name, read_json, set_aside, sync, write_sealed

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
                sync(self.path / name)
        folder = self.checkpoint(marker.step)
        for above in (self.path, self.checkpoints, folder):
            sync(above)
        write_sealed(self.checkpoint_marker(marker.step), marker.to_json())
        sync(folder)

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
