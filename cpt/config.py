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
from cpt.mixture import counts
from cpt.model_config import ModelConfig
from cpt.parsing import (
    Count,
    CountOrZero,
    ExactPositive,
    Frozen,
    NotNegative,
    Positive,
    ShareBelow1,
    UnitShare,
)

IDENTITY_VERSION = 1
"""Enters every state id; raised only when the same configuration trains to another state."""


class ScheduleConfig(Frozen):
    """A learning-rate schedule with absolute rates; lengths are shares of this stage's steps.

    `cpt.schedule` documents each curve. `pieces` is the only reader.

    Attributes:
        type: constant | cosine | infinite_cosine | infinite_inverse_sqrt | wsd.
        max_lr: Peak of this stage.
        min_lr: Floor of this stage; a constant schedule has none and ignores it.
        start_lr: Rate at step 0 where there is a warm-up; 0 as in the paper.
        warmup_fraction: 0 means none.
        cooldown_fraction: Infinite schedules: 0.6 in the paper.
        constant_fraction: Infinite schedules: 0.25; the anneal takes the rest.
        constant_lr: Infinite schedules: the rate held; None means (max_lr + min_lr) / 2.
        timescale: alpha of the inverse square root.
        decay_fraction: WSD: share of the steps at the end.
    """

    type: Literal["constant", "cosine", "infinite_cosine", "infinite_inverse_sqrt", "wsd"]
    max_lr: Positive
    min_lr: NotNegative = 0.0
    start_lr: NotNegative = 0.0
    warmup_fraction: UnitShare = 0.0
    cooldown_fraction: UnitShare = 0.6
    constant_fraction: UnitShare = 0.25
    constant_lr: Positive | None = None
    timescale: Positive = 10.0
    decay_fraction: UnitShare = 0.2

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.type != "constant" and self.min_lr > self.max_lr:
            raise ValueError(f"min_lr {self.min_lr:g} must not exceed max_lr {self.max_lr:g}")
        if self.start_lr > self.max_lr:
            raise ValueError(f"start_lr {self.start_lr:g} must not exceed max_lr {self.max_lr:g}")
        if self.type.startswith("infinite"):
            used = self.warmup_fraction + self.cooldown_fraction + self.constant_fraction
            if used > 1 + 1e-12:
                raise ValueError(
                    "warmup_fraction, cooldown_fraction and constant_fraction must sum to at "
                    f"most 1, not {used:g}"
                )
            if self.min_lr == 0:
                raise ValueError(
                    f"min_lr must be above 0 for {self.type}, whose anneal is geometric"
                )
            if self.constant_lr is not None and not self.min_lr <= self.constant_lr <= self.max_lr:
                raise ValueError(
                    f"constant_lr {self.constant_lr:g} must lie between min_lr {self.min_lr:g} "
                    f"and max_lr {self.max_lr:g}"
                )
        if self.type == "wsd" and self.warmup_fraction + self.decay_fraction > 1 + 1e-12:
            raise ValueError("warmup_fraction and decay_fraction must sum to at most 1")
        return self

    def pieces(self, total_steps: int) -> schedules.Pieces:
        """The curve of a stage of `total_steps` steps."""
        warmup = self.warmup_fraction * total_steps
        match self.type:
            case "constant":
                return schedules.constant(
                    total_steps, max_lr=self.max_lr, warmup_steps=warmup, start_lr=self.start_lr
                )
            case "cosine":
                return schedules.cosine(
                    total_steps,
                    max_lr=self.max_lr,
                    min_lr=self.min_lr,
                    warmup_steps=warmup,
                    start_lr=self.start_lr,
                )
            case "infinite_cosine" | "infinite_inverse_sqrt":
                held = self.constant_lr
                return schedules.infinite(
                    total_steps,
                    cooldown="cosine" if self.type == "infinite_cosine" else "inverse_sqrt",
                    max_lr=self.max_lr,
                    constant_lr=(self.max_lr + self.min_lr) / 2 if held is None else held,
                    min_lr=self.min_lr,
                    warmup_steps=warmup,
                    cooldown_steps=self.cooldown_fraction * total_steps,
                    constant_steps=self.constant_fraction * total_steps,
                    start_lr=self.start_lr,
                    timescale=self.timescale,
                )
            case "wsd":
                return schedules.wsd(
                    total_steps,
                    max_lr=self.max_lr,
                    min_lr=self.min_lr,
                    warmup_steps=warmup,
                    decay_steps=self.decay_fraction * total_steps,
                    start_lr=self.start_lr,
                )


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


class Source(Frozen):
    """One corpus in a training stream.

    Attributes:
        name: How people call it; not hashed.
        corpus: Id of its token store.
        weight: Its share, exact.
    """

    name: str
    corpus: str
    weight: ExactPositive


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
        batch_sequences: Sequences per forward pass and worker. Not hashed.
    """

    datasets: tuple[HeldOut, ...]
    interval_steps: Count
    final_window_steps: Count
    final_window_interval_steps: Count
    tokens_per_dataset: Count = 65_536
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
    """One stage of one model: everything `cpt.train` needs.

    Attributes:
        label: Readable name; not hashed.
        model: Its `vocab_size` is a number here.
        sequence_length: Tokens a sequence is trained on.
        global_batch_size: Sequences per step, over all workers.
        total_steps: Length of the stage and horizon of its schedule.
        schedule: The learning rate.
        stream: What is read; with two sources the first is replay.
        evaluation: Held-out sets and when to evaluate.
        parent: State whose final weights this stage starts from; None: random weights.
        optimizer: AdamW; its state always starts fresh (the paper's setting).
        seed: Orders the data and, without a parent, initialises the weights.
        precision: bf16 computes in bfloat16 over fp32 weights.
        micro_batch_size: Sequences per worker in one forward pass; None: all at once. Not hashed.
        checkpoint_interval_steps: Not hashed.
        log_interval_steps: One train row every so many steps. Not hashed.
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
    optimizer: OptimizerConfig = OptimizerConfig()
    seed: CountOrZero = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    micro_batch_size: Count | None = None
    checkpoint_interval_steps: Count = 1000
    log_interval_steps: Count = 1

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.model.vocab_size is None:
            raise ValueError("model.vocab_size must be a number in a RunConfig")
        return self

    @property
    def tokens_per_step(self) -> int:
        """Training tokens in one optimizer update."""
        return self.global_batch_size * self.sequence_length

    @property
    def token_budget(self) -> int:
        """Training tokens of the whole stage, replay included."""
        return self.total_steps * self.tokens_per_step

    @property
    def weights(self) -> list[Fraction]:
        """The share of each source."""
        return [source.weight for source in self.stream]

    def source_samples(self) -> list[int]:
        """Sequences this stage reads from each source."""
        return counts(self.total_steps * self.global_batch_size, self.weights)

    def lr(self, step: int) -> float:
        """The rate used by the update from `step` to `step + 1`."""
        return schedules.lr(self.schedule.pieces(self.total_steps), step)

    def identity(self) -> dict[str, Any]:
        """What determined the state, in canonical form: plain JSON values, defaults left out.

        The learning rate stands as its pieces, so two ways to write one curve are one state; the
        weights stand as shares of one, and the width of the MLP only where it is not the usual.
        """
        content = self.model_dump(mode="json", exclude_defaults=True)
        for name in (
            "label",
            "micro_batch_size",
            "checkpoint_interval_steps",
            "log_interval_steps",
        ):
            content.pop(name, None)
        content["version"] = IDENTITY_VERSION
        content["schedule"] = [
            [piece.shape, *_numbers(piece)] for piece in self.schedule.pieces(self.total_steps)
        ]
        whole = sum(self.weights)
        content["stream"] = [[source.corpus, str(source.weight / whole)] for source in self.stream]
        if self.model.mlp_size == 4 * self.model.hidden_size:
            content["model"].pop("intermediate_size", None)
        content["evaluation"].pop("batch_sequences", None)
        content["evaluation"]["datasets"] = sorted(held.corpus for held in self.evaluation.datasets)
        return content

    @property
    def state_id(self) -> str:
        """A readable part made from the content, and a hash of the canonical form."""
        text = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return f"steps{self.total_steps}-seed{self.seed}-{digest}"


def _numbers(piece: schedules.Piece) -> list[float]:
    return [
        float(value)
        for value in (piece.start, piece.end, piece.start_lr, piece.end_lr, piece.timescale)
    ]
