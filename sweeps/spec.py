"""The sweep file's content: what a person asks for, frozen, each field checked by itself."""

import math
import re
from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from cpt.config import OptimizerConfig
from cpt.dataset_config import AnyDatasetConfig
from cpt.model_config import PRESETS, ModelConfig
from cpt.parsing import (
    LONGEST_NAME,
    Count,
    CountOrZero,
    ExactShare,
    Frozen,
    Name,
    NotNegative,
    Positive,
    Text,
    UnitShare,
    nearest,
)
from cpt.storage import holds_secret, place, shown_uri
from cpt.tokenizer_config import NamedOrTrained, TrainedTokenizerConfig
from sweeps.factors import Axes, Center, Lengths, Listed, ScheduleShape, ScheduleType, StageAxes
from sweeps.stopping import AshaStopping, NoStopping
from sweeps.trackers_config import Trackers, names_someone

Baseline = Literal["no_rewarm", "no_redecay", "downstream_only", "union"]
CHECKPOINT_FIELD = "upstream.checkpoint"
"""How refusals call the model that a sweep starts from."""
AS_TRIAL = "as_trial"
"""Upstream's schedule where every trial brings its own, so that schedules can be compared from the
first step of pre-training on."""


def _model(value: object) -> object:
    if value is None or isinstance(value, dict | ModelConfig):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a preset's name or a mapping of its fields")
    if value not in PRESETS:
        raise ValueError(f"must be a preset or a mapping of its fields{nearest(value, PRESETS)}")
    return PRESETS[value]


def _slug(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise ValueError("must be letters, digits, '.', '_' and '-', since it names a folder")
    if len(value) > LONGEST_NAME:
        raise ValueError(f"must be at most {LONGEST_NAME} characters long, since it names a folder")
    return value


class UpstreamSchedule(Lengths):
    """The schedule of pre-training, with its rates.

    Attributes:
        type: Which curve; `as_trial`: that of the trial, so each schedule has a pre-training.
        max_lr: Peak.
        min_lr_fraction: Floor as a share of the peak; 0.1 in the paper.
        warmup_fraction: Share of the upstream steps.
    """

    type: Literal[ScheduleType, "as_trial"]
    max_lr: Positive
    min_lr_fraction: UnitShare = 0.1
    warmup_fraction: UnitShare = 0.01

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.check_read(self.type)
        return self

    def shape(self, of_trial: ScheduleShape) -> ScheduleShape:
        """The curve, given the trial's."""
        if self.type == AS_TRIAL:
            return of_trial
        lengths = {name: getattr(self, name) for name in self.model_fields_set & _LENGTHS}
        return ScheduleShape(type=self.type, **lengths)


_LENGTHS = set(Lengths.model_fields)


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


class TakenUpstream(Frozen):
    """A model that was pre-trained elsewhere, shared by all trials.

    Attributes:
        checkpoint: A Hugging Face model directory or a hub id: the weights and the model's shape.
        dataset: D0, a name below `datasets`: what it was trained on, or the nearest to it.
        stand_in: D0 is not what it was trained on, only the nearest at hand.
        token_budget: How many tokens it was trained on; needed by the baseline union, and by replay
            in a second stage, which parts between data sets by it. Replay reads again what so many
            tokens reach, all of D0 where it is not given.
        max_lr: The peak of its pre-training.
        min_lr_fraction: The floor it came down to, as a share of the peak.
        warmup_fraction: Of the baselines from random weights, which are trained as it was.
    """

    checkpoint: Text
    dataset: str
    stand_in: bool = False
    token_budget: Count | None = None
    max_lr: Positive
    min_lr_fraction: UnitShare = 0.1
    warmup_fraction: UnitShare = 0.01

    @property
    def schedule(self) -> UpstreamSchedule:
        """How it was trained, as far as is known: its rate came down at the end."""
        return UpstreamSchedule(
            type="cosine",
            max_lr=self.max_lr,
            min_lr_fraction=self.min_lr_fraction,
            warmup_fraction=self.warmup_fraction,
        )


def _trained_or_taken(value: object) -> str:
    if isinstance(value, TakenUpstream) or (isinstance(value, dict) and "checkpoint" in value):
        return "taken"
    return "trained"


TrainedOrTaken = Annotated[
    Annotated[Upstream, Tag("trained")] | Annotated[TakenUpstream, Tag("taken")],
    Discriminator(_trained_or_taken),
]


class Downstream(Frozen):
    """One stage of continued pre-training, what the axes vary.

    Attributes:
        dataset: The new data, a name below `datasets`.
        token_budget: Training tokens, rounded down to whole steps; replay is included, or comes on
            top by `replay.accounting`.
        min_lr_fraction: Floor as a share of each trial's peak; 0.1 in the paper.
        start_lr: Rate at step 0 of a warm-up; 0 in the paper.
        budgets: Last stage, infinite and WSD schedules: token budgets at which a converged model
            is wanted, all annealed from one trunk. Warm-up and cool-down are shares of
            `token_budget`, the anneal or decay of each budget.
        axes: Axes of this stage alone.
        center: What this stage has instead of the sweep's centre.
    """

    dataset: str
    token_budget: Count
    min_lr_fraction: UnitShare = 0.1
    start_lr: NotNegative = 0.0
    budgets: tuple[Count, ...] | None = None
    axes: StageAxes = StageAxes()
    center: Center = Center()


def _one_or_several(value: object) -> str:
    return "several" if isinstance(value, list | tuple) else "one"


OneStageOrSeveral = Annotated[
    Annotated[Downstream, Tag("one")]
    | Annotated[tuple[Downstream, ...], Field(min_length=1), Tag("several")],
    Discriminator(_one_or_several),
]


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


class Replay(Frozen):
    """Which of the earlier data are read again, and what they cost.

    Attributes:
        order: original: as they were trained on, from the beginning; reshuffled: in another order.
        offset: This share of what was seen is passed over at first, and comes at the end.
        accounting: compute_equivalent: replay takes its share out of `token_budget`; additive: new
            tokens stay as many, and a stage is longer by its replay.
    """

    order: Literal["original", "reshuffled"] = "original"
    offset: ExactShare = Fraction(0)
    accounting: Literal["compute_equivalent", "additive"] = "compute_equivalent"

    def steps(self, steps: int, share: Fraction) -> int:
        """Length of a stage that would have `steps` without replay; exact, rounded up."""
        return steps if self.accounting == "compute_equivalent" else math.ceil(steps / (1 - share))


Stopping = Annotated[NoStopping | AshaStopping, Field(discriminator="type")]


def _least_to_most(value: tuple[int, int]) -> tuple[int, int]:
    if value[0] > value[1]:
        raise ValueError("must be [least, most], the smaller number first")
    return value


Workers = Annotated[
    Annotated[Count, Tag("one")]
    | Annotated[tuple[Count, Count], AfterValidator(_least_to_most), Tag("several")],
    Discriminator(_one_or_several),
]


class Resources(Frozen):
    """What one state is trained on; recorded, never part of its identity.

    Attributes:
        workers: Processes that train one state together; `[least, most]`: as many as there is room
            for when an attempt begins.
        replicas: Groups of workers that each hold the whole model, sharded inside a group.
        cpus_per_worker: Threads.
        gpus_per_worker: 0, 1, or a share of one that several states of one worker use. With 0 a
            GPU that is there is not touched.
        states_at_once: At most so many are trained at once; None: as many as there is room for. A
            cluster that grows in a way not seen from its head (KubeRay) is asked to grow to these.
        max_failures: How often in a row, without a new checkpoint between, an attempt at a state
            may die before the state is given up. A machine taken away with notice does not count.
    """

    workers: Workers = 1
    replicas: Count = 1
    cpus_per_worker: Count = 1
    gpus_per_worker: NotNegative = 0.0
    states_at_once: Count | None = None
    max_failures: CountOrZero = 3

    @property
    def least_workers(self) -> int:
        """Without so many no attempt begins."""
        return self.workers if isinstance(self.workers, int) else self.workers[0]

    @property
    def most_workers(self) -> int:
        """What an attempt has at most."""
        return self.workers if isinstance(self.workers, int) else self.workers[1]


class Cost(Frozen):
    """What `rewarm plan` reckons hours and money by.

    Attributes:
        tokens_per_second: Training tokens of one worker; None: not known, see `plan --measure`.
        price_per_worker_hour: None: not known.
        currency: Of the price.
    """

    tokens_per_second: Positive | None = None
    price_per_worker_hour: NotNegative | None = None
    currency: Name = "USD"


class SweepSpec(Frozen):
    """A whole sweep file. `starter.yaml` explains every field."""

    name: Annotated[str, AfterValidator(_slug)]
    storage: Annotated[str, AfterValidator(place)] = "results"
    token_storage: Annotated[str, AfterValidator(place)] | None = None
    model: Annotated[ModelConfig | None, BeforeValidator(_model)] = None
    tokenizer: NamedOrTrained | None = None
    sequence_length: Count
    global_batch_size: Count
    precision: Literal["fp32", "bf16"] = "fp32"
    micro_batch_size: Count | None = None
    compile: Literal["auto", "always", "never"] = "auto"
    activation_checkpointing: bool = False
    mask_documents: bool = False
    checkpoint_interval_steps: Count = 1000
    keep_checkpoints: Count = 2
    log_interval_steps: Count = 1
    shortest_shared_steps: Count = 100
    datasets: Annotated[dict[Name, AnyDatasetConfig], Field(min_length=1)]
    upstream: TrainedOrTaken
    downstream: OneStageOrSeveral
    optimizer: OptimizerConfig = OptimizerConfig()
    evaluation: Evaluation = Evaluation()
    axes: Axes = Axes()
    design: Literal["one_at_a_time", "grid", "random", "list"]
    points: Count | None = None
    design_seed: CountOrZero = 0
    trials: tuple[Listed, ...] | None = None
    center: Center = Center()
    replay: Replay = Replay()
    baselines: tuple[Baseline, ...] = ()
    stopping: Stopping = NoStopping()
    resources: Resources = Resources()
    cost: Cost = Cost()
    trackers: Trackers = Trackers()

    @model_validator(mode="after")
    def _check_storage(self) -> Self:
        # Not a check of the field: its sentence would show the value.
        for field in ("storage", "token_storage"):
            where = getattr(self, field)
            if where is not None and holds_secret(where):
                raise ValueError(
                    f"{field}: got {shown_uri(where)} with a user, password or key, which would "
                    "be written down with it; put that into the environment (e.g. "
                    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)."
                )
        mlflow = self.trackers.mlflow
        if mlflow is not None and names_someone(mlflow.tracking_uri):
            raise ValueError(
                f"trackers.mlflow.tracking_uri: got {shown_uri(mlflow.tracking_uri)} with a user, "
                "password or key, which would be written down with it; put that into the "
                "environment (MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
                "MLFLOW_TRACKING_TOKEN)."
            )
        return self

    @property
    def tokens_per_step(self) -> int:
        """Training tokens in one optimizer update."""
        return self.global_batch_size * self.sequence_length

    def steps(self, token_budget: int) -> int:
        """Optimizer updates that a budget pays for."""
        return token_budget // self.tokens_per_step

    @property
    def checkpoint(self) -> str | None:
        """The model that the sweep starts from; None: it trains one."""
        return self.upstream.checkpoint if isinstance(self.upstream, TakenUpstream) else None

    @property
    def stand_in(self) -> bool:
        """Whether D0 only stands in for what the checkpoint was trained on."""
        return isinstance(self.upstream, TakenUpstream) and self.upstream.stand_in

    @property
    def tokenizer_name(self) -> str:
        """The tokenizer: where none is named that of the checkpoint, else bytes."""
        if isinstance(self.tokenizer, TrainedTokenizerConfig):
            return self.tokenizer.label
        return self.tokenizer or self.checkpoint or "bytes"

    @property
    def stages(self) -> tuple[Downstream, ...]:
        """The downstream stages in their order."""
        return self.downstream if isinstance(self.downstream, tuple) else (self.downstream,)

    def stage_field(self, number: int) -> str:
        """How the file calls a downstream stage."""
        return f"downstream[{number}]" if isinstance(self.downstream, tuple) else "downstream"

    @property
    def stage_datasets(self) -> tuple[str, ...]:
        """D0, D1, D2 ... by name: upstream's data set, then those of the downstream stages."""
        return (self.upstream.dataset, *(stage.dataset for stage in self.stages))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The replicates; seed 0 alone where no axis names them."""
        return self.axes.seed or (0,)
