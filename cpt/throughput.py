"""How many tokens a second one worker trains on this machine: real updates on random tokens.

What is timed is what `cpt.train` does between two evaluations: forward and backward of each
micro-batch, then the clipped update. Data, evaluation and checkpoints are left out. Writes nothing.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from cpt.config import RunConfig
from cpt.learner import Learner
from cpt.model import initial_weights
from cpt.parallel import Workers, workers
from cpt.placement import fill, is_compiled

SECONDS = 3.0
"""How long to measure, once warm."""
LONG_PASS_SECONDS = 0.5
"""A pass that takes so long is long enough to be timed: no more sequences are added to it."""


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """What was measured.

    Attributes:
        tokens_per_second: Training tokens of one worker.
        device: `cpu`, or the GPU's name.
        threads: Torch's on the CPU.
        steps: Updates that were timed, warm-up left out.
        sequences: How many each of their passes held; fewer than the sweep's where one pass of
            those would take long.
    """

    tokens_per_second: float
    device: str
    threads: int
    steps: int
    sequences: int


def measure(
    config: RunConfig,
    share: int,
    threads: int,
    seconds: float = SECONDS,
    *,
    use_gpu: bool | None = None,
) -> Throughput:
    """Trains a fresh model of this configuration for a few seconds, as the only worker.

    One update costs its worker (share / sequences in a pass) passes and one clipped step; both are
    timed apart, so that a large batch need not be trained whole to know its throughput.

    Args:
        config: Any state of the sweep: its model, precision, optimizer and sequence length.
        share: Sequences of a global batch that one worker trains on.
        threads: Of the CPU, as many as a worker is given.
        seconds: To measure for, at the least.
        use_gpu: See `cpt.parallel.workers`.

    Raises:
        MemoryError: The device cannot hold the model with one pass; says how many sequences.
    """
    with _threads(threads), workers(use_gpu=use_gpu) as team:
        most = min(config.micro_batch_size or share, share)
        sequences = 1
        try:
            trainer = _Trainer(config, team)
            # Each size would be compiled by itself, and that taken for a long pass.
            with torch.compiler.set_stance("force_eager"):
                last = trainer.update(sequences)
                while last[0] < LONG_PASS_SECONDS and sequences < most:
                    sequences = min(4 * sequences, most)
                    last = trainer.update(sequences)
            if is_compiled(config, team):
                trainer.update(sequences)
                last = trainer.update(sequences)
            # The first update of a size allocates, which is nothing beside a long one.
            timed = [last] if sum(last) >= seconds else []
            while sum(map(sum, timed)) < seconds:
                timed.append(trainer.update(sequences))
        except torch.OutOfMemoryError as error:
            raise MemoryError(
                f"{_name(team.device)} cannot hold the model and a pass of {sequences} x "
                f"{config.sequence_length} tokens"
            ) from error
        one_pass = sum(passed for passed, _ in timed) / len(timed)
        one_step = sum(stepped for _, stepped in timed) / len(timed)
        tokens = share * config.sequence_length
        return Throughput(
            tokens_per_second=tokens / (share / sequences * one_pass + one_step),
            device=_name(team.device),
            threads=threads,
            steps=len(timed),
            sequences=sequences,
        )


class _Trainer:
    """A model, its optimizer, and updates on random tokens."""

    def __init__(self, config: RunConfig, team: Workers) -> None:
        self._config, self._team = config, team
        self._learner = Learner(config, team)
        fill(self._learner.model, initial_weights(self._learner.model, config.seed))
        self._random = torch.Generator().manual_seed(0)

    def update(self, sequences: int) -> tuple[float, float]:
        """Seconds of one pass, forward and backward, and of the clipped step after it."""
        config = self._config
        vocab_size = config.model.vocab_size
        assert vocab_size is not None  # RunConfig refuses None
        shape = sequences, config.sequence_length + 1
        batch = torch.randint(vocab_size, shape, generator=self._random)
        began = self._now()
        self._learner.backward(batch)
        passed = self._now()
        self._learner.step(config.schedule.max_lr)
        return passed - began, self._now() - passed

    def _now(self) -> float:
        """Seconds, once the device has done what it was told."""
        if self._team.device.type == "cuda":
            torch.cuda.synchronize(self._team.device)
        return time.perf_counter()


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
