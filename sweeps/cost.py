"""What a sweep costs, three ways: numbers in, numbers out.

    alone             every trial by itself from random weights, as a plain grid trains
    pretrained_once   each pre-training once, every trial alone after it, as a careful person would
    planned           each state of the plan once

Work is counted in tokens; hours and money follow from the rates of one worker, and are None where a
rate is not known. Packing, starting, saving and waiting are not counted.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cpt.config import RunConfig
from sweeps.plan import Plan, Trial
from sweeps.spec import SweepSpec

Way = Literal["alone", "pretrained_once", "planned"]
WAYS: tuple[Way, ...] = ("alone", "pretrained_once", "planned")
BYTES_PER_PARAMETER = 4 + 8
"""A checkpoint's: the fp32 weight, and AdamW's two fp32 moments."""
FORWARD_SHARE = 1 / 3
"""An evaluated token costs a third of a trained one: 2 of the 6 FLOPs per weight (arXiv 2204.02311,
appendix B)."""


@dataclass(frozen=True, kw_only=True)
class Tariff:
    """What turns work into hours and money.

    Attributes:
        tokens_per_second: Training tokens of one worker; None: not known.
        price_per_worker_hour: None: not known.
        currency: Of the price.
        measured: Whether the throughput was measured here rather than given.
    """

    tokens_per_second: float | None = None
    price_per_worker_hour: float | None = None
    currency: str = "USD"
    measured: bool = False


@dataclass(frozen=True, kw_only=True)
class Work:
    """What training something takes.

    Attributes:
        training_tokens: Forward and backward.
        evaluation_tokens: Forward only.
        checkpoint_bytes: Kept on storage when all is done.
    """

    training_tokens: int = 0
    evaluation_tokens: int = 0
    checkpoint_bytes: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            training_tokens=self.training_tokens + other.training_tokens,
            evaluation_tokens=self.evaluation_tokens + other.evaluation_tokens,
            checkpoint_bytes=self.checkpoint_bytes + other.checkpoint_bytes,
        )

    def worker_hours(self, tokens_per_second: float) -> float:
        """(training tokens + evaluation tokens / 3) / tokens per second of a worker / 3600."""
        tokens = self.training_tokens + self.evaluation_tokens * FORWARD_SHARE
        return tokens / tokens_per_second / 3600


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One way's figures.

    Attributes:
        training_tokens: Forward and backward.
        tokens_after_pretraining: Those of them beyond pre-training, for who owns a model already.
        training_flops: Training tokens x `ModelConfig.flops_per_token`.
        evaluation_tokens: Forward only.
        checkpoint_bytes: Kept on storage when all is done.
        worker_hours: All the work on one worker; None where the throughput is not known.
        longest_path_hours: The longest trial from random weights to its end, its workers sharing
            it without loss: a lower bound for the time on any cluster; None likewise.
        money: Worker-hours x price; None where either is not known.
    """

    training_tokens: int
    tokens_after_pretraining: int
    training_flops: int
    evaluation_tokens: int
    checkpoint_bytes: int
    worker_hours: float | None
    longest_path_hours: float | None
    money: float | None


@dataclass(frozen=True, kw_only=True)
class Costs:
    """The figures of all three ways, and what they were reckoned by."""

    tariff: Tariff
    alone: Cost
    pretrained_once: Cost
    planned: Cost

    def to_json(self) -> dict[str, Any]:
        """For `plan.json`: the tariff, then one mapping of figures for each way."""
        return asdict(self)


def given_tariff(spec: SweepSpec) -> Tariff:
    """What the sweep file gives."""
    return Tariff(
        tokens_per_second=spec.cost.tokens_per_second,
        price_per_worker_hour=spec.cost.price_per_worker_hour,
        currency=spec.cost.currency,
    )


def costs(plan: Plan, tariff: Tariff) -> Costs:
    """Reckons a plan.

    Args:
        plan: All states, each once.
        tariff: Of one worker.
    """
    ledger = _Ledger(plan)
    ends = [name for trial in plan.trials for name in trial.stage_ends]
    pretraining = {name for name in ends if plan.states[name].stage == "upstream"}
    after = [name for name in ends if name not in pretraining]
    sums = {
        "alone": ledger.stages(ends),
        "pretrained_once": ledger.stages([*pretraining, *after]),
        "planned": ledger.states(plan.states),
    }
    unshared = ledger.stages(after).training_tokens
    later = [name for name, state in plan.states.items() if state.stage != "upstream"]
    shared_after = ledger.states(later).training_tokens
    beyond = {"alone": unshared, "pretrained_once": unshared, "planned": shared_after}
    whole, shared = (
        max(map(path, plan.trials), key=lambda work: work.worker_hours(1.0))
        for path in (ledger.whole_path, ledger.shared_path)
    )
    longest = {"alone": whole, "pretrained_once": whole, "planned": shared}
    return Costs(
        tariff=tariff,
        **{way: _cost(plan, tariff, sums[way], beyond[way], longest[way]) for way in WAYS},
    )


def _cost(plan: Plan, tariff: Tariff, work: Work, beyond: int, longest: Work) -> Cost:
    speed, price = tariff.tokens_per_second, tariff.price_per_worker_hour
    hours = None if speed is None else work.worker_hours(speed)
    return Cost(
        training_tokens=work.training_tokens,
        tokens_after_pretraining=beyond,
        training_flops=work.training_tokens * plan.flops_per_token,
        evaluation_tokens=work.evaluation_tokens,
        checkpoint_bytes=work.checkpoint_bytes,
        worker_hours=hours,
        longest_path_hours=None
        if speed is None
        else longest.worker_hours(speed) / plan.spec.resources.most_workers,
        money=None if hours is None or price is None else hours * price,
    )


class _Ledger:
    """The work of stages and states, each looked up once."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._work: dict[tuple[str, int], Work] = {}
        self._times: dict[tuple[int, int, int], int] = {}

    def stages(self, ends: Iterable[str]) -> Work:
        """Of whole stages, each time they are named."""
        return sum((self._of(name, 0) for name in ends), Work())

    def states(self, names: Iterable[str]) -> Work:
        """Of states, from their bases on."""
        states = self._plan.states
        return sum((self._of(name, states[name].first_step) for name in names), Work())

    def whole_path(self, trial: Trial) -> Work:
        """Of a trial that shares nothing."""
        return self.stages(trial.stage_ends)

    def shared_path(self, trial: Trial) -> Work:
        """Of the states along a trial's path."""
        return self.states(trial.states)

    def _of(self, name: str, first_step: int) -> Work:
        if (name, first_step) not in self._work:
            config = self._plan.states[name].config
            self._work[name, first_step] = Work(
                training_tokens=(config.end_step - first_step) * config.tokens_per_step,
                evaluation_tokens=self._evaluated(config, first_step),
                checkpoint_bytes=checkpoints(config, first_step)
                * BYTES_PER_PARAMETER
                * config.model.num_parameters,
            )
        return self._work[name, first_step]

    def _evaluated(self, config: RunConfig, first_step: int) -> int:
        """Held-out tokens read in (first_step, end_step], and at step 0 where it begins there."""
        regular = self._tokens(held.name for held in config.evaluation.datasets)
        once = self._tokens(held.name for held in config.evaluation.to_come)
        key = config.total_steps, config.end_step, first_step
        if key not in self._times:  # evaluations are alike in all of a sweep
            self._times[key] = sum(1 for step in config.evaluation_steps() if step > first_step)
        return self._times[key] * regular + (0 if first_step else regular + once)

    def _tokens(self, names: Iterable[str]) -> int:
        """Of one evaluation: `tokens_per_dataset` of each set, or all of a smaller one.

        In whole sequences; that a set with domains rounds each of them down is left out.
        """
        spec = self._plan.spec
        length, wanted = spec.sequence_length, spec.evaluation.tokens_per_dataset
        held = ((self._plan.datasets[name].validation.tokens - 1) // length for name in names)
        return sum(max(min(wanted // length, size), 1) * length for size in held)


def checkpoints(config: RunConfig, first_step: int) -> int:
    """How many checkpoints a state leaves behind: its last and, where it made others, those kept.

    Args:
        config: The state's.
        first_step: The step of its base, whose checkpoint is not its own; 0 without one.
    """
    return min(checkpoints_made(config, first_step), config.keep_checkpoints)


def checkpoints_made(config: RunConfig, first_step: int) -> int:
    """How many checkpoints a state writes, those that it removes again among them.

    Args:
        config: The state's.
        first_step: As for `checkpoints`.
    """
    interval, end = config.checkpoint_interval_steps, config.end_step
    return (end - 1) // interval - first_step // interval + 1
