"""What determines one training: frozen configurations, their canonical form and its hash.

A `RunConfig` is one stage of one model. Its `state_id` names the training state at the end: a
hash of everything that determined it, and of nothing else. Where it ran, on how many workers, in
which micro-batches, how it is called: recorded in `config.json`, never hashed. Fields at their
default are left out of the hashed form, so a new field does not re-address finished states;
therefore a default, once released, never changes.
"""

import hashlib
import json
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from cpt import schedule as schedules
from cpt import stream_config
from cpt.mixture import counts
from cpt.model_config import ModelConfig
from cpt.parsing import (
    Count,
    CountOrZero,
    Frozen,
    NotNegative,
    Positive,
    ShareBelow1,
)
from cpt.schedule_config import ScheduleConfig
from cpt.stream_config import Source

IDENTITY_VERSION = 1
"""Enters every state id; raised only when the same configuration trains to another state."""


class OptimizerConfig(Frozen):
    """AdamW as in the paper's code (GPT-NeoX's Pythia configurations).

    Attributes:
        betas: Decay rates of the moments.
        eps: Added to the root of the second moment.
        weight_decay: On matrices only; biases and norms are not decayed.
        max_grad_norm: The gradient is clipped to this L2 norm.
    """

    betas: tuple[ShareBelow1, ShareBelow1] = (0.9, 0.95)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.1
    max_grad_norm: Positive = 1.0


class HeldOut(Frozen):
    """One evaluation set.

    Attributes:
        name: How people call it; not hashed.
        corpus: Id of its token store.
    """

    name: str
    corpus: str


class EvaluationConfig(Frozen):
    """What is evaluated, and when.

    Attributes:
        datasets: The held-out sets.
        interval_steps: Regular evaluations.
        final_window_steps: `final_loss` is the mean over the last this many steps.
        final_window_interval_steps: Evaluations inside that window (the paper: 100, every 10).
        tokens_per_dataset: Tokens evaluated in each set, spread evenly over every domain; a
            smaller set is evaluated whole.
        to_come: Held-out sets of later stages, evaluated at step 0 alone, so that every boundary is
            known on every set. Not hashed: what comes later did not determine the state.
        batch_sequences: Sequences per forward pass and worker. Not hashed.
    """

    datasets: tuple[HeldOut, ...]
    interval_steps: Count
    final_window_steps: Count
    final_window_interval_steps: Count
    tokens_per_dataset: Count = 65_536
    to_come: tuple[HeldOut, ...] = ()
    batch_sequences: Count = 64

    def steps(self, total_steps: int) -> tuple[int, ...]:
        """When to evaluate: at 0, log-spaced after it, regularly, and in the final window.

        The window is (total_steps - final_window_steps, total_steps], counted from its end. Inside
        it only its own steps count, or `final_loss` would lean towards where another met them.
        """
        early = {2**power for power in range(max(self.interval_steps - 1, 0).bit_length())}
        regular = range(0, total_steps, self.interval_steps)
        window_start = max(total_steps - self.final_window_steps, 0)
        window = range(total_steps, window_start, -self.final_window_interval_steps)
        before = {step for step in {0, *early, *regular} if step <= window_start}
        return tuple(sorted({*before, *window}))


class RunConfig(Frozen):
    """One stage of one model, or its beginning: everything `cpt.train` needs.

    A state is named by what determined it from the first step of its stage on. So the beginning
    that two schedules share is one state, however they go on, and a state is the same whether it
    was trained from step 0 or from such a beginning.

    Attributes:
        label: Readable name; not hashed.
        model: Its `vocab_size` is a number here.
        sequence_length: Tokens a sequence is trained on.
        global_batch_size: Sequences per step, over all workers.
        total_steps: Length of the stage and horizon of its schedule.
        schedule: The learning rate.
        stream: What is read; the last data set is new, those before it are replay.
        evaluation: Held-out sets and when to evaluate.
        parent: State whose final weights this stage starts from; None: `weights`, or random ones.
        weights: Id of a model from elsewhere, in the result tree, that this stage starts from.
        stop_step: Where this state ends; None: at `total_steps`. Before it, the horizon enters the
            name only as far as it shaped the rates up to here.
        base: A state of the same stage at an earlier step, to go on from with its optimizer state;
            None: from step 0. Not hashed.
        optimizer: AdamW; its state starts fresh with every stage (the paper's setting).
        seed: Orders the data and, without a parent, initialises the weights.
        precision: bf16 computes in bfloat16 over fp32 weights.
        document_end: Id of the token that ends a document; attention stays inside documents. None:
            sequences are read through.
        micro_batch_size: Sequences per worker in one forward pass; None: all at once. Not hashed.
        checkpoint_interval_steps: Not hashed.
        keep_checkpoints: The newest so many are kept, the others to go back to should one be
            damaged. Not hashed.
        log_interval_steps: One train row every so many steps. Not hashed.
        compile: Whether blocks are compiled; auto: where the stage is long enough to gain by it.
            Not hashed, like all that changes rounding alone.
        activation_checkpointing: Keeps a block's input alone and computes the rest again in the
            backward pass: less memory, a third more work. Not hashed.
        replicas: Groups of workers that each hold the whole model, sharded inside the group; 1:
            sharded over all. Not hashed.
    """

    label: str
    model: ModelConfig
    sequence_length: Count
    global_batch_size: Count
    total_steps: Count
    schedule: ScheduleConfig
    stream: Annotated[tuple[Source, ...], Field(min_length=1)]
    evaluation: EvaluationConfig
    parent: str | None = None
    weights: str | None = None
    stop_step: Count | None = None
    base: str | None = None
    optimizer: OptimizerConfig = OptimizerConfig()
    seed: CountOrZero = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    document_end: CountOrZero | None = None
    micro_batch_size: Count | None = None
    checkpoint_interval_steps: Count = 1000
    keep_checkpoints: Count = 2
    log_interval_steps: Count = 1
    compile: Literal["auto", "always", "never"] = "auto"
    activation_checkpointing: bool = False
    replicas: Count = 1

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.model.vocab_size is None:
            raise ValueError("model.vocab_size must be a number in a RunConfig")
        if self.document_end is not None and self.document_end >= self.model.vocab_size:
            raise ValueError(
                f"document_end {self.document_end} must be below "
                f"model.vocab_size, {self.model.vocab_size}"
            )
        if self.parent is not None and self.weights is not None:
            raise ValueError("parent and weights: must not both be given; leave one out")
        labels = [source.label for source in self.stream]
        if len(set(labels)) < len(labels):
            raise ValueError(f"stream {labels} must name each source once")
        longest = self.model.max_sequence_length
        if longest is not None and self.sequence_length > longest:
            raise ValueError(
                f"sequence_length {self.sequence_length} must be at most "
                f"model.max_sequence_length, {longest}"
            )
        if self.stop_step is not None and self.stop_step != self.total_steps:
            latest = self.total_steps - self.evaluation.final_window_steps
            if self.stop_step > latest:
                raise ValueError(
                    f"stop_step {self.stop_step} must be {self.total_steps}, or at most {latest}, "
                    "before the final window"
                )
        return self

    @property
    def end_step(self) -> int:
        """The step this state stands at."""
        return self.total_steps if self.stop_step is None else self.stop_step

    @property
    def is_beginning(self) -> bool:
        """Whether the schedule goes on beyond this state."""
        return self.end_step < self.total_steps

    @property
    def tokens_per_step(self) -> int:
        """Training tokens in one optimizer update."""
        return self.global_batch_size * self.sequence_length

    @property
    def token_budget(self) -> int:
        """Training tokens from the start of the stage up to this state, replay included."""
        return self.end_step * self.tokens_per_step

    @property
    def shares(self) -> list[list[Fraction]]:
        """The weight of each source, a group for each data set."""
        return stream_config.groups(self.stream)

    def source_samples(self, step: int | None = None) -> list[int]:
        """Sequences read from each source, from the start of the stage up to a step or the end."""
        steps = self.end_step if step is None else step
        return counts(steps * self.global_batch_size, self.shares)

    def pieces(self) -> schedules.Pieces:
        """The curve of the whole stage, beyond this state too."""
        return self.schedule.pieces(self.total_steps)

    def lr(self, step: int) -> float:
        """The rate used by the update from `step` to `step + 1`."""
        return schedules.lr(self.pieces(), step)

    def evaluation_steps(self) -> tuple[int, ...]:
        """When to evaluate, up to this state."""
        steps = self.evaluation.steps(self.total_steps)
        return tuple(step for step in steps if step <= self.end_step)

    def identity(self) -> dict[str, Any]:
        """What determined the state, in canonical form: plain JSON values, defaults left out.

        The learning rate stands as the pieces that drove it, so two ways to write one curve are one
        state, and so are two curves up to where they part; the weights stand as shares of one, and
        the width of the MLP only where it is not the usual. The final window of a schedule that
        goes on is not its concern.
        """
        content = self.model_dump(mode="json", exclude_defaults=True, exclude=_NOT_HASHED)
        content["version"] = IDENTITY_VERSION
        content["total_steps"] = self.end_step
        content["schedule"] = [
            [piece.shape, *_numbers(piece)]
            for piece in schedules.restricted(self.pieces(), self.end_step)
        ]
        content["stream"] = stream_config.identity(self.stream, self.source_samples())
        if self.model.mlp_size == 4 * self.model.hidden_size:
            content["model"].pop("intermediate_size", None)
        content["evaluation"]["datasets"] = sorted(held.corpus for held in self.evaluation.datasets)
        if self.is_beginning:
            del content["evaluation"]["final_window_steps"]
            del content["evaluation"]["final_window_interval_steps"]
        return content

    @property
    def state_id(self) -> str:
        """A readable part made from the content, and a hash of the canonical form."""
        text = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return f"steps{self.end_step}-seed{self.seed}-{digest}"


_NOT_HASHED: dict[str, Any] = {
    "label": True,
    "base": True,
    "stop_step": True,
    "schedule": True,
    "stream": True,
    "micro_batch_size": True,
    "checkpoint_interval_steps": True,
    "keep_checkpoints": True,
    "log_interval_steps": True,
    "compile": True,
    "activation_checkpointing": True,
    "replicas": True,
    "model": {"max_sequence_length"},
    "evaluation": {"datasets", "to_come", "batch_sequences"},
}
"""Fields that are recorded alone, and those that `identity` writes in a form of their own."""


def _numbers(piece: schedules.Piece) -> list[float]:
    return [
        float(value)
        for value in (piece.start, piece.end, piece.start_lr, piece.end_lr, piece.timescale)
    ]
