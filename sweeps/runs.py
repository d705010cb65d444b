"""From one setting to the runs that train it: its path of states."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from cpt.config import EvaluationConfig, HeldOut, RunConfig, Source
from cpt.model_config import ModelConfig
from cpt.parsing import parse
from cpt.schedule_config import ScheduleConfig
from sweeps.design import with_seed
from sweeps.facts import DatasetFacts
from sweeps.spec import Baseline, ScheduleShape, SweepSpec

Stage = Literal["upstream", "downstream", "from_scratch"]


@dataclass(frozen=True, kw_only=True)
class State:
    """A wanted training state."""

    stage: Stage
    config: RunConfig

    @property
    def id(self) -> str:
        """Its name, made from its content."""
        return self.config.state_id


class RunBuilder:
    """Run configurations of one sweep."""

    def __init__(
        self, spec: SweepSpec, model: ModelConfig, datasets: Mapping[str, DatasetFacts]
    ) -> None:
        self.spec, self.model, self.datasets = spec, model, datasets
        self.d0, self.d1 = spec.upstream.dataset, spec.downstream.dataset

    def path(
        self, label: str, factors: Mapping[str, Any], baseline: Baseline | None, seed: int
    ) -> tuple[State, ...]:
        """The states of one trial, in the order they are trained."""
        spec = self.spec
        both = spec.upstream_steps + spec.downstream_steps
        if baseline == "downstream_only":
            weights = {self.d1: Fraction(1)}
            return (self._scratch(seed, label, weights, spec.downstream_steps),)
        if baseline == "union":
            weights = {
                self.d0: Fraction(spec.upstream_steps, both),
                self.d1: Fraction(spec.downstream_steps, both),
            }
            return (self._scratch(seed, label, weights, both),)
        upstream = State(
            stage="upstream",
            config=self._run(
                label=with_seed(spec, f"pre-training on {self.d0}", seed),
                steps=spec.upstream_steps,
                schedule=self._upstream_schedule(),
                weights={self.d0: Fraction(1)},
                held_out=(self.d0,),
                seed=seed,
            ),
        )
        replay = factors["replay_fraction"]
        weights = {self.d0: replay} if replay else {}
        downstream = State(
            stage="downstream",
            config=self._run(
                label=label,
                steps=spec.downstream_steps,
                schedule=self._downstream_schedule(factors, baseline),
                weights=weights | {self.d1: 1 - replay},
                held_out=(self.d0, self.d1),
                seed=seed,
                parent=upstream.id,
            ),
        )
        return upstream, downstream

    def _scratch(self, seed: int, label: str, weights: Mapping[str, Fraction], steps: int) -> State:
        """From random weights; the rates are those of pre-training."""
        config = self._run(
            label=label,
            steps=steps,
            schedule=self._upstream_schedule(),
            weights=weights,
            held_out=(self.d0, self.d1),
            seed=seed,
        )
        return State(stage="from_scratch", config=config)

    def _upstream_schedule(self) -> ScheduleConfig:
        schedule = self.spec.upstream.schedule
        return _schedule(
            schedule,
            max_lr=schedule.max_lr,
            min_lr=schedule.max_lr * schedule.min_lr_fraction,
            warmup_fraction=schedule.warmup_fraction,
        )

    def _downstream_schedule(
        self, factors: Mapping[str, Any], baseline: Baseline | None
    ) -> ScheduleConfig:
        max_lr = factors["max_lr"]
        if baseline == "no_rewarm":
            # Stays where pre-training ended: its floor, from the first update on.
            floor = self._upstream_schedule()
            return ScheduleConfig(type="constant", max_lr=_final_lr(floor))
        constant = ScheduleShape(type="constant")
        return _schedule(
            constant if baseline == "no_redecay" else factors["schedule"],
            max_lr=max_lr,
            min_lr=max_lr * self.spec.downstream.min_lr_fraction,
            warmup_fraction=factors["warmup_fraction"],
            start_lr=self.spec.downstream.start_lr,
        )

    def _run(
        self,
        *,
        label: str,
        steps: int,
        schedule: ScheduleConfig,
        weights: Mapping[str, Fraction],
        held_out: Iterable[str],
        seed: int,
        parent: str | None = None,
    ) -> RunConfig:
        spec, evaluation = self.spec, self.spec.evaluation
        return RunConfig(
            label=label,
            model=self.model,
            sequence_length=spec.sequence_length,
            global_batch_size=spec.global_batch_size,
            total_steps=steps,
            schedule=schedule,
            stream=tuple(
                Source(name=name, corpus=self.datasets[name].train.corpus, weight=weight)
                for name, weight in weights.items()
            ),
            evaluation=EvaluationConfig(
                datasets=tuple(
                    HeldOut(name=name, corpus=self.datasets[name].validation.corpus)
                    for name in held_out
                ),
                interval_steps=evaluation.interval_steps,
                final_window_steps=evaluation.final_window_steps,
                final_window_interval_steps=evaluation.final_window_interval_steps,
                tokens_per_dataset=evaluation.tokens_per_dataset,
            ),
            parent=parent,
            optimizer=spec.optimizer,
            seed=seed,
            precision=spec.precision,
            micro_batch_size=spec.micro_batch_size,
            checkpoint_interval_steps=spec.checkpoint_interval_steps,
            log_interval_steps=spec.log_interval_steps,
        )


def baseline_shape(spec: SweepSpec, baseline: Baseline) -> ScheduleShape:
    """The schedule of a baseline: constant, or from scratch that of pre-training."""
    if baseline in ("no_rewarm", "no_redecay"):
        return ScheduleShape(type="constant")
    shape: ScheduleShape = spec.upstream.schedule
    return shape


def _schedule(
    shape: ScheduleShape,
    *,
    max_lr: float,
    min_lr: float,
    warmup_fraction: float,
    start_lr: float = 0.0,
) -> ScheduleConfig:
    """A shape with its rates.

    Raises:
        ConfigError: Its phases do not fit into the stage.
    """
    return parse(
        ScheduleConfig,
        {
            "type": shape.type,
            "cooldown_fraction": shape.cooldown_fraction,
            "constant_fraction": shape.constant_fraction,
            "timescale": shape.timescale,
            "decay_fraction": shape.decay_fraction,
            "max_lr": max_lr,
            "min_lr": min_lr,
            "warmup_fraction": warmup_fraction,
            "start_lr": start_lr,
        },
    )


def _final_lr(schedule: ScheduleConfig) -> float:
    """Where a schedule ends, whatever its length."""
    return schedule.pieces(1)[-1].end_lr
