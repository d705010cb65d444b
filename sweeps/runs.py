"""From one setting to the stages that train it: its path, each stage whole.

Between stages weights carry over and the optimizer starts fresh. A schedule that holds a rate
(infinite, WSD) goes on at that rate into a later stage under the same schedule, from the state
before the anneal; every other schedule anneals at the end of its stage and re-warms in the next.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from cpt.config import EvaluationConfig, HeldOut, RunConfig, Source
from cpt.model_config import ModelConfig
from cpt.parsing import ConfigError, parse
from cpt.schedule_config import ScheduleConfig
from sweeps.design import TOKEN_BUDGET, Setting, budgets, reference, with_seed
from sweeps.factors import ScheduleShape, scoped
from sweeps.facts import DatasetFacts
from sweeps.spec import Downstream, SweepSpec

Stage = Literal["upstream", "downstream", "from_scratch"]
CONSTANT = ScheduleShape(type="constant")


@dataclass(frozen=True, kw_only=True)
class StageRun:
    """One whole stage of a path.

    Attributes:
        id: Name of the state at its end.
        stage: Which kind.
        role: That of its new data, d0, d1, ...; None from scratch, where several are new.
        config: From its first step to its last.
        keep: A step before its end whose state is wanted too, since longer budgets go on from it.
    """

    id: str
    stage: Stage
    role: str | None
    config: RunConfig
    keep: int | None = None


class RunBuilder:
    """Stages of one sweep."""

    def __init__(
        self, spec: SweepSpec, model: ModelConfig, datasets: Mapping[str, DatasetFacts]
    ) -> None:
        self.spec, self.model, self.datasets = spec, model, datasets
        self._built: dict[Any, StageRun] = {}
        self._middle = reference(spec)

    def path(self, setting: Setting, seed: int) -> tuple[StageRun, ...]:
        """The stages of one trial, in the order they are trained.

        Raises:
            ConfigError: The phases of a schedule do not fit into a stage or a budget.
        """
        label = with_seed(self.spec, setting.label, seed)
        if setting.baseline in ("downstream_only", "union"):
            return (self._scratch(label, setting, seed),)
        shapes = [self._shape(setting, stage) for stage in self.spec.stages]
        before = self.spec.upstream.schedule.shape(self._factor(setting, 0, "schedule"))
        goes_on = [
            one.holds and one.type == following.type
            for one, following in zip([before, *shapes], shapes, strict=False)
        ]
        runs = [self._upstream(seed, before, anneal=not goes_on[0])]
        schedule = runs[0].config.schedule
        for number, shape in enumerate(shapes):
            anneal = not (number + 1 < len(shapes) and goes_on[number + 1])
            origin = schedule if goes_on[number] else None
            schedule = self._schedule(setting, number, shape, origin, anneal=anneal)
            runs.append(self._downstream(label, setting, seed, number, schedule, runs[-1].id))
        return tuple(runs)

    def reads(self, setting: Setting) -> set[str]:
        """Names of the factors that make a difference to a trial that is no baseline.

        A stage that goes on at a rate it was handed reads neither a peak nor a warm-up.
        """
        before = self.spec.upstream.schedule.shape(self._factor(setting, 0, "schedule"))
        names = {"replay_fraction", "schedule", TOKEN_BUDGET}
        for stage in self.spec.stages:
            shape = self._shape(setting, stage)
            names |= {scoped(stage.dataset, name) for name in ("replay_fraction", "schedule")}
            if not (before.holds and before.type == shape.type):
                for name in ("max_lr", "warmup_fraction"):
                    own = scoped(stage.dataset, name)
                    names.add(own if own in setting.factors else name)
            before = shape
        return names

    def _shape(self, setting: Setting, stage: Downstream) -> ScheduleShape:
        if setting.baseline in ("no_rewarm", "no_redecay"):
            return CONSTANT
        shape: ScheduleShape = self._factor(setting, self.spec.stages.index(stage), "schedule")
        return shape

    def _factor(self, setting: Setting, number: int, name: str) -> Any:
        """A stage's own value of a factor, or that of all stages."""
        own = scoped(self.spec.stages[number].dataset, name)
        return setting.factors[own] if own in setting.factors else setting.factors[name]

    def _upstream(self, seed: int, shape: ScheduleShape, *, anneal: bool) -> StageRun:
        key = ("upstream", seed, shape, anneal)
        if key not in self._built:
            d0, given = self.spec.upstream.dataset, self.spec.upstream.schedule
            label = f"pre-training on {d0}"
            label += f", {shape.label}" if given.type == "as_trial" else ""
            label += "" if anneal or not shape.holds else ", not annealed"
            self._built[key] = self._stage_run(
                "upstream",
                "d0",
                label=with_seed(self.spec, label, seed),
                steps=self.spec.steps(self.spec.upstream.token_budget),
                schedule=self._upstream_schedule(shape, anneal=anneal),
                weights={d0: Fraction(1)},
                held_out=[d0],
                seed=seed,
            )
        return self._built[key]

    def _upstream_schedule(self, shape: ScheduleShape, *, anneal: bool = True) -> ScheduleConfig:
        given = self.spec.upstream.schedule
        return _rated(
            shape,
            max_lr=given.max_lr,
            min_lr=given.max_lr * given.min_lr_fraction,
            warmup_fraction=given.warmup_fraction,
            anneal=anneal,
        )

    def _downstream(
        self,
        label: str,
        setting: Setting,
        seed: int,
        number: int,
        schedule: ScheduleConfig,
        parent: str,
    ) -> StageRun:
        stages, steps = self.spec.stages, self._stage_steps(setting, number)
        replay = self._factor(setting, number, "replay_fraction")
        key = (number, steps, schedule, replay, parent, seed)
        if key not in self._built:
            sets = self.spec.stage_datasets
            seen, new, to_come = sets[: number + 1], sets[number + 1], sets[number + 2 :]
            self._check_branch(setting, number, schedule, steps)
            self._built[key] = self._stage_run(
                "downstream",
                f"d{number + 1}",
                label=label if number + 1 == len(stages) else f"{label} on {new}",
                steps=steps,
                schedule=schedule,
                weights=self._replayed(seen, replay) | {new: 1 - replay},
                held_out=[*seen, new],
                to_come=to_come,
                seed=seed,
                parent=parent,
                branches=self._branches(setting, number),
            )
        return self._built[key]

    def _replayed(self, seen: Sequence[str], replay: Fraction) -> dict[str, Fraction]:
        """Earlier data share the replay in proportion to the tokens their stages trained on."""
        if not replay:
            return {}
        spent = [self.spec.upstream.token_budget, *(s.token_budget for s in self.spec.stages)]
        whole = sum(spent[: len(seen)])
        return {
            name: replay * Fraction(tokens, whole)
            for name, tokens in zip(seen, spent, strict=False)
        }

    def _stage_steps(self, setting: Setting, number: int) -> int:
        if number + 1 < len(self.spec.stages):
            return self.spec.steps(self.spec.stages[number].token_budget)
        return self.spec.steps(setting.factors.get(TOKEN_BUDGET, budgets(self.spec)[0]))

    def _branches(self, setting: Setting, number: int) -> bool:
        """Whether this stage of this trial is one of several budgets on a trunk."""
        last = number + 1 == len(self.spec.stages)
        return last and setting.baseline is None and self.spec.stages[-1].budgets is not None

    def _schedule(
        self,
        setting: Setting,
        number: int,
        shape: ScheduleShape,
        origin: ScheduleConfig | None,
        *,
        anneal: bool,
    ) -> ScheduleConfig:
        """The curve of a downstream stage.

        Args:
            setting: Gives the rates, unless the stage goes on.
            number: Which stage.
            shape: Its curve.
            origin: The schedule whose held rate it goes on at; None: it re-warms.
            anneal: Whether it comes down at the end.
        """
        if setting.baseline == "no_rewarm":
            # Stays where pre-training ended: its floor, from the first update on.
            floor = self._upstream_schedule(
                self.spec.upstream.schedule.shape(self._factor(setting, 0, "schedule"))
            )
            return ScheduleConfig(type="constant", max_lr=floor.pieces(1)[-1].end_lr)
        if origin is not None:
            return _going_on(shape, origin, anneal=anneal)
        stage = self.spec.stages[number]
        usual = self.spec.steps(stage.token_budget)
        max_lr = self._factor(setting, number, "max_lr")
        return _rated(
            shape,
            max_lr=max_lr,
            min_lr=max_lr * stage.min_lr_fraction,
            warmup_fraction=self._factor(setting, number, "warmup_fraction"),
            start_lr=stage.start_lr,
            anneal=anneal,
            reference_steps=None if usual == self._stage_steps(setting, number) else usual,
        )

    def _check_branch(
        self, setting: Setting, number: int, schedule: ScheduleConfig, steps: int
    ) -> None:
        """Refuses a budget whose anneal would begin before the trunk does."""
        if not self._branches(setting, number):
            return
        trunk, share = schedule.trunk_start(steps), 1 - schedule.anneal_fraction
        if schedule.anneal_start(steps) <= trunk:
            least = math.ceil((trunk + 1) / share) * self.spec.tokens_per_step
            budget = setting.factors.get(TOKEN_BUDGET, budgets(self.spec)[0])
            raise ConfigError(
                [
                    f"{self.spec.stage_field(number)}.budgets: got {budget}; must be at least "
                    f"{least}, so that its anneal begins after the trunk does, at step "
                    f"{trunk:g}; raise it, or lower token_budget, of which the warm-up and "
                    "cool-down of the trunk are shares."
                ]
            )

    def _scratch(self, label: str, setting: Setting, seed: int) -> StageRun:
        """A baseline from random weights; its schedule is that of pre-training."""
        new = {
            stage.dataset: self._stage_steps(setting, number)
            for number, stage in enumerate(self.spec.stages)
        }
        old = {self.spec.upstream.dataset: self.spec.steps(self.spec.upstream.token_budget)}
        trained = old | new if setting.baseline == "union" else new
        steps = sum(trained.values())
        shape = self.spec.upstream.schedule.shape(self._factor(setting, 0, "schedule"))
        return self._stage_run(
            "from_scratch",
            None,
            label=label,
            steps=steps,
            schedule=self._upstream_schedule(shape),
            weights={name: Fraction(share, steps) for name, share in trained.items()},
            held_out=self.spec.stage_datasets,
            seed=seed,
        )

    def _stage_run(
        self,
        stage: Stage,
        role: str | None,
        *,
        label: str,
        steps: int,
        schedule: ScheduleConfig,
        weights: Mapping[str, Fraction],
        held_out: Iterable[str],
        seed: int,
        to_come: Iterable[str] = (),
        parent: str | None = None,
        branches: bool = False,
    ) -> StageRun:
        spec, evaluation = self.spec, self.spec.evaluation
        config = RunConfig(
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
                datasets=self._held_out(held_out),
                to_come=self._held_out(to_come),
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
        keep = None
        if branches:
            latest = steps - evaluation.final_window_steps
            keep = min(math.ceil(schedule.anneal_start(steps)), latest)
        return StageRun(id=config.state_id, stage=stage, role=role, config=config, keep=keep)

    def _held_out(self, names: Iterable[str]) -> tuple[HeldOut, ...]:
        return tuple(
            HeldOut(name=name, corpus=self.datasets[name].validation.corpus) for name in names
        )


def _rated(
    shape: ScheduleShape,
    *,
    max_lr: float,
    min_lr: float,
    warmup_fraction: float,
    start_lr: float = 0.0,
    anneal: bool = True,
    reference_steps: int | None = None,
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
            "anneal": anneal,
            "reference_steps": reference_steps,
        },
    )


def _going_on(shape: ScheduleShape, origin: ScheduleConfig, *, anneal: bool) -> ScheduleConfig:
    """The held rate of `origin` for a whole stage, then the anneal to its floor."""
    return ScheduleConfig(
        type=shape.type,
        max_lr=origin.max_lr,
        min_lr=origin.min_lr,
        constant_lr=None if shape.type == "wsd" else origin.held_lr,
        cooldown_fraction=0.0,
        constant_fraction=1 - origin.anneal_fraction,
        decay_fraction=shape.decay_fraction,
        anneal=anneal,
    )
