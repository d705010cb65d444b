"""Contenders that train one state in turn, each in a fresh process, and how they compare.

A contender is a command that is given STATE_DIR, reads its `config.json` and writes a `train.jsonl`
there: `python -m cpt`, or a script that trains the same weights on the same batches in another way.
All are timed by what they write: the steps after the warm-up, so imports and compilation are left
out, and whatever a trainer does between two updates is not. They take turns, so that a machine
that slows down does so for all.
"""

import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from cpt.builder import build
from cpt.config import RunConfig
from cpt.dataset_config import DatasetConfig
from cpt.digests import Digests
from cpt.files import write_json
from cpt.model_config import ModelConfig
from cpt.parsing import parse
from cpt.records import ResultTree, StateDir
from cpt.rows import read_rows
from cpt.token_library import library
from cpt.tokenizer import load_tokenizer

ROOT = Path(__file__).parents[1]
WARM_UP_STEPS = 10
LOSS_STEPS = 10
"""The final loss is the mean over so many steps."""


class FailedError(RuntimeError):
    """A contender did not reach its end; says which, and what it printed of errors."""


@dataclass(frozen=True)
class Contender:
    """One way to train a state.

    Attributes:
        name: As printed.
        command: After `python` and before STATE_DIR.
        threads: Of each process.
    """

    name: str
    command: tuple[str, ...]
    threads: int = 2


REWARM = Contender("rewarm", ("-m", "cpt"))


@dataclass(frozen=True)
class Training:
    """The steps that one contender trained, from their rows.

    Attributes:
        losses: Of each step, nats.
        ends: Seconds at the end of each step.
        first_seconds: The first update, which compiles.
    """

    losses: list[float]
    ends: list[float]
    first_seconds: float

    @property
    def seconds(self) -> float:
        """Of the steps after the warm-up."""
        return self.ends[-1] - self.ends[WARM_UP_STEPS - 1]

    @property
    def steps(self) -> int:
        """After the warm-up."""
        return len(self.ends) - WARM_UP_STEPS

    @property
    def final_loss(self) -> float:
        """Nats, over the last `LOSS_STEPS` batches."""
        return statistics.fmean(self.losses[-LOSS_STEPS:])


@dataclass(frozen=True)
class Arena:
    """A result tree with real text in it.

    Attributes:
        tree: Holds the token stores, and one state at a time.
        train: Corpus id of the training text.
        held_out: Corpus id of its validation split.
    """

    tree: ResultTree
    train: str
    held_out: str

    @property
    def _compiled(self) -> Path:
        return self.tree.storage / "compiled"

    def config(
        self, model: ModelConfig, context: int, batch: int, steps: int, **changes: object
    ) -> RunConfig:
        """Trains in bf16, compiled, and evaluates a little text at the first and last step."""
        evaluation = {
            "datasets": [{"name": "prose", "corpus": self.held_out}],
            "interval_steps": steps,
            "final_window_steps": steps,
            "final_window_interval_steps": steps,
            "tokens_per_dataset": context,
        }
        fields: dict[str, object] = {
            "label": "contest",
            "model": model.model_dump() | {"vocab_size": 320},
            "sequence_length": context,
            "global_batch_size": batch,
            "total_steps": steps,
            "schedule": {"type": "constant", "max_lr": 1e-3},
            "stream": [{"name": "prose", "corpus": self.train, "weight": 1}],
            "evaluation": evaluation,
            "precision": "bf16",
            "compile": "always",
            "checkpoint_interval_steps": steps,
        }
        return parse(RunConfig, fields | changes)

    def fresh_state(self, config: RunConfig) -> StateDir:
        """The state as nobody has begun it."""
        state = self.tree.state(config.state_id)
        shutil.rmtree(state.path, ignore_errors=True)
        write_json(state.config, config.model_dump(mode="json"))
        return state

    def run(self, command: Sequence[str], threads: int = 2) -> str:
        """Runs a Python command to its end; its standard output.

        Raises:
            FailedError: Its exit status is not 0.
        """
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": str(threads),
            "TORCHINDUCTOR_CACHE_DIR": str(self._compiled),
        }
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            lines = done.stderr.splitlines()
            told = [line for line in lines if "rror: " in line][:5] or lines[-5:]
            raise FailedError("\n  ".join([f"{' '.join(command)} failed:", *told]))
        return done.stdout

    def train_once(self, contender: Contender, config: RunConfig) -> Training:
        """One contender from step 0 to the last."""
        state = self.fresh_state(config)
        self.run([*contender.command, str(state.path)], contender.threads)
        rows = read_rows(state.train_rows)
        assert [row["step"] for row in rows] == list(range(1, config.total_steps + 1))
        first = rows[0]["elapsed_seconds"]
        if (rate := rows[0].get("tokens_per_second")) is not None:
            # Rewarm's clock also runs while it evaluates step 0.
            first = config.tokens_per_step / rate
        ends = [row["elapsed_seconds"] for row in rows]
        return Training([row["loss"] for row in rows], ends, first)

    def in_turn(
        self, contenders: Sequence[Contender], config: RunConfig, rounds: int
    ) -> list[list[Training]]:
        """Each contender once a round; the trainings of the first, of the second, and so on.

        In the first round nothing is compiled yet.
        """
        shutil.rmtree(self._compiled, ignore_errors=True)
        taken = [[self.train_once(one, config) for one in contenders] for _ in range(rounds)]
        return [list(one) for one in zip(*taken, strict=True)]


def make_arena(folder: Path) -> Arena:
    """Packs the prose of this Python, byte by byte."""
    tree = ResultTree(folder)
    dataset = DatasetConfig(path="local:python-prose")
    shelf, digests = library(tree), Digests(folder / "digests.json")
    stores = build(dataset, load_tokenizer("bytes"), shelf, "datasets.prose", digests, print)
    return Arena(tree, stores.train[""].meta.corpus_id, stores.validation.meta.corpus_id)


def machine() -> str:
    """What it was measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cpu = f"{len(names)} x {names[0]}" if names else platform.processor()
    return f"torch {torch.__version__}, Python {platform.python_version()}, {cpu}"


def load() -> str:
    """The load average of the last minute."""
    return f"load {os.getloadavg()[0]:.2f}"
