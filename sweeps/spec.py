"""The sweep file's content: what a person asks for, frozen, each field checked by itself."""

import re
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from cpt.config import OptimizerConfig
from cpt.dataset_config import DatasetConfig
from cpt.model_config import PRESETS, ModelConfig
from cpt.parsing import (
    Count,
    CountOrZero,
    ExactShare,
    Frozen,
    NotNegative,
    Positive,
    UnitShare,
    nearest,
)

ScheduleType = Literal["constant", "cosine", "infinite_cosine", "infinite_inverse_sqrt", "wsd"]
Baseline = Literal["no_rewarm", "no_redecay", "downstream_only", "union"]
_OWN_FIELDS = {
    "infinite_cosine": {"cooldown_fraction", "constant_fraction"},
    "infinite_inverse_sqrt": {"cooldown_fraction", "constant_fraction", "timescale"},
    "wsd": {"decay_fraction"},
}
"""Which fields of `ScheduleShape` each type reads; those not named here read none."""
FACTORS = ("max_lr", "warmup_fraction", "replay_fraction", "schedule")
"""What distinguishes trials, beside the seed; every one has a value in every trial."""


class ScheduleShape(Frozen):
    """A schedule without its rates and warm-up, which are axes of their own.

    Attributes:
        type: Which curve (cpt.schedule).
        cooldown_fraction: Infinite schedules.
        constant_fraction: Infinite schedules.
        timescale: Inverse-square-root cool-down.
        decay_fraction: WSD.
    """

    type: ScheduleType
    cooldown_fraction: UnitShare = 0.6
    constant_fraction: UnitShare = 0.25
    timescale: Positive = 10.0
    decay_fraction: UnitShare = 0.2

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        read = _OWN_FIELDS.get(self.type, set())
        for name in ScheduleShape.model_fields:
            if name != "type" and name in self.model_fields_set and name not in read:
                raise ValueError(f"{name} must be left out: {self.type} does not read it")
        return self

    @property
    def label(self) -> str:
        """The type, and what differs from its defaults."""
        changed = self.model_dump(exclude_defaults=True)
        inside = ",".join(
            f"{name}={changed[name]:g}"
            for name in ScheduleShape.model_fields
            if name != "type" and name in changed
        )
        return f"{self.type}({inside})" if inside else self.type


def _shape(value: object) -> object:
    return {"type": value} if isinstance(value, str) else value


def _model(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in PRESETS:
        raise ValueError(f"must be a preset or a mapping of its fields{nearest(value, PRESETS)}")
    return PRESETS[value]


def _slug(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise ValueError("must be letters, digits, '.', '_' and '-', since it names a folder")
    return value


def _local_path(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    if separator and scheme != "file":
        raise ValueError(f"must be a directory or a file:// URI; {scheme}:// is not supported yet")
    path = rest if separator else value
    if not path:
        raise ValueError("must name a directory; '.' is the current one")
    return path


Shape = Annotated[ScheduleShape, BeforeValidator(_shape)]


class UpstreamSchedule(ScheduleShape):
    """The schedule of pre-training, with its rates.

    Attributes:
        max_lr: Peak.
        min_lr_fraction: Floor as a share of the peak; 0.1 in the paper.
        warmup_fraction: Share of the upstream steps.
    """

    max_lr: Positive
    min_lr_fraction: UnitShare = 0.1
    warmup_fraction: UnitShare = 0.01

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.type not in ("cosine", "constant"):
            raise ValueError(
                f"type {self.type!r} must be cosine or constant: continuing an infinite or WSD "
                "schedule from its un-annealed state is not supported yet"
            )
        return self


class Upstream(Frozen):
    """Pre-training, shared by all trials of one seed.

    Attributes:
        dataset: D0, a name below `datasets`.
        token_budget: Training tokens; rounded down to whole steps.
        schedule: Its learning rate.
    """

    dataset: str
    token_budget: Count
    schedule: UpstreamSchedule


class Downstream(Frozen):
    """Continued pre-training, what the axes vary.

    Attributes:
        dataset: D1, a name below `datasets`.
        token_budget: Training tokens, replay included; rounded down to whole steps.
        min_lr_fraction: Floor as a share of each trial's peak; 0.1 in the paper.
        start_lr: Rate at step 0 of a warm-up; 0 in the paper.
    """

    dataset: str
    token_budget: Count
    min_lr_fraction: UnitShare = 0.1
    start_lr: NotNegative = 0.0


class Evaluation(Frozen):
    """When and how much to evaluate; steps are optimizer updates.

    Attributes:
        interval_steps: Regular evaluations.
        final_window_steps: `final_loss` is the mean over the last this many steps.
        final_window_interval_steps: Evaluations inside the window.
        tokens_per_dataset: Validation tokens of each data set.
    """

    interval_steps: Count = 100
    final_window_steps: Count = 100
    final_window_interval_steps: Count = 10
    tokens_per_dataset: Count = 65_536


class Axes(Frozen):
    """Values to sweep; an axis left out stays at the centre.

    Attributes:
        max_lr: Peaks to re-warm to.
        warmup_fraction: Shares of the downstream steps; 0 is no warm-up.
        replay_fraction: Exact shares of D0 in the downstream stream.
        schedule: Names, or mappings with a `type`.
        seed: Replicates: data order and, from scratch, initial weights.
    """

    max_lr: tuple[Positive, ...] | None = None
    warmup_fraction: tuple[UnitShare, ...] | None = None
    replay_fraction: tuple[ExactShare, ...] | None = None
    schedule: tuple[Shape, ...] | None = None
    seed: tuple[CountOrZero, ...] | None = None

    def given(self) -> dict[str, tuple[Any, ...]]:
        """The axes that the file names."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if value is not None}


class Center(Frozen):
    """The setting the sweep is built around; see `Axes` for the fields."""

    max_lr: Positive | None = None
    warmup_fraction: UnitShare | None = None
    replay_fraction: ExactShare | None = None
    schedule: Shape | None = None

    def given(self) -> dict[str, Any]:
        """The factors that the file fixes."""
        values = {name: getattr(self, name) for name in FACTORS}
        return {name: value for name, value in values.items() if value is not None}


class Stopping(Frozen):
    """Which trials may end early: none."""

    type: Literal["none"] = "none"


class Resources(Frozen):
    """What one state is trained on; recorded, never part of its identity."""

    workers: Count = 1
    cpus_per_worker: Count = 1
    gpus_per_worker: NotNegative = 0.0


class SweepSpec(Frozen):
    """A whole sweep file. `starter.yaml` explains every field."""

    name: Annotated[str, AfterValidator(_slug)]
    storage: Annotated[str, AfterValidator(_local_path)] = "results"
    model: Annotated[ModelConfig, BeforeValidator(_model)]
    tokenizer: str = "bytes"
    sequence_length: Count
    global_batch_size: Count
    precision: Literal["fp32", "bf16"] = "fp32"
    micro_batch_size: Count | None = None
    checkpoint_interval_steps: Count = 1000
    log_interval_steps: Count = 1
    datasets: Annotated[dict[str, DatasetConfig], Field(min_length=1)]
    upstream: Upstream
    downstream: Downstream
    optimizer: OptimizerConfig = OptimizerConfig()
    evaluation: Evaluation = Evaluation()
    axes: Axes = Axes()
    design: Literal["one_at_a_time", "grid"]
    center: Center = Center()
    baselines: tuple[Baseline, ...] = ()
    stopping: Stopping = Stopping()
    resources: Resources = Resources()

    @property
    def tokens_per_step(self) -> int:
        """Training tokens in one optimizer update."""
        return self.global_batch_size * self.sequence_length

    @property
    def upstream_steps(self) -> int:
        """Optimizer updates of pre-training."""
        return self.upstream.token_budget // self.tokens_per_step

    @property
    def downstream_steps(self) -> int:
        """Optimizer updates of every continued trial."""
        return self.downstream.token_budget // self.tokens_per_step

    @property
    def seeds(self) -> tuple[int, ...]:
        """The replicates; seed 0 alone where no axis names them."""
        return self.axes.seed or (0,)


def plain(value: object) -> Any:
    """A factor's value as plain JSON: a number, or the name of a schedule."""
    if isinstance(value, Fraction):
        return float(value)
    return value.label if isinstance(value, ScheduleShape) else value
