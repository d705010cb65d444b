"""The learning rates of a trial, stage by stage: who re-warms, who goes on, who anneals.

A schedule that holds a rate (infinite, WSD) goes on at that rate into a later stage under the same
schedule, from the state before the anneal; every other schedule comes down at the end of its stage
and re-warms in the next.
"""

import math
from fractions import Fraction
from typing import Any

from cpt.parsing import ConfigError, parse
from cpt.schedule_config import ScheduleConfig
from sweeps.design import TOKEN_BUDGET, Setting, budgets
from sweeps.factors import ScheduleShape, scoped
from sweeps.spec import SweepSpec

CONSTANT = ScheduleShape(type="constant")


class Rates:
    """The schedules of one sweep; stages are numbered from 0, the first downstream one."""

    def __init__(self, spec: SweepSpec) -> None:
        self.spec = spec

    def factor(self, setting: Setting, number: int, name: str) -> Any:
        """A stage's own value of a factor, or that of all stages."""
        own = scoped(self.spec.stages[number].dataset, name)
        return setting.factors[own] if own in setting.factors else setting.factors[name]

    def steps(self, setting: Setting, number: int) -> int:
        """Length of a stage, with what additive replay puts on top."""
        return self._with_replay(setting, number, self.new_steps(setting, number))

    def new_steps(self, setting: Setting, number: int) -> int:
        """What its budget alone pays for: in the last the setting decides, where there are several.

        So long is a stage without replay, and what a baseline from random weights trains of it.
        """
        stage = self.spec.stages[number]
        if number + 1 < len(self.spec.stages):
            return self.spec.steps(stage.token_budget)
        return self.spec.steps(setting.factors.get(TOKEN_BUDGET, budgets(self.spec)[0]))

    def _with_replay(self, setting: Setting, number: int, steps: int) -> int:
        replay: Fraction = self.factor(setting, number, "replay_fraction")
        return self.spec.replay.steps(steps, replay)

    def branches(self, setting: Setting, number: int) -> bool:
        """Whether this stage of this trial is one of several budgets on a trunk."""
        last = number + 1 == len(self.spec.stages)
        return last and setting.baseline is None and self.spec.stages[-1].budgets is not None

    def upstream_shape(self, setting: Setting) -> ScheduleShape:
        """The curve of pre-training, which may be the trial's own."""
        return self.spec.upstream.schedule.shape(self.factor(setting, 0, "schedule"))

    def shape(self, setting: Setting, number: int) -> ScheduleShape:
        """The curve of a downstream stage."""
        if setting.baseline in ("no_rewarm", "no_redecay"):
            return CONSTANT
        shape: ScheduleShape = self.factor(setting, number, "schedule")
        return shape

    def goes_on(self, setting: Setting) -> list[bool]:
        """For each downstream stage, whether it goes on at the rate that the one before held."""
        shapes = [self.shape(setting, number) for number in range(len(self.spec.stages))]
        before = [self.upstream_shape(setting), *shapes]
        return [
            one.holds and one.type == following.type
            for one, following in zip(before, shapes, strict=False)
        ]

    def reads(self, setting: Setting) -> set[str]:
        """Names of the factors that make a difference to a trial that is no baseline.

        A stage that goes on at a rate it was handed reads neither a peak nor a warm-up.
        """
        names = {"replay_fraction", "schedule", TOKEN_BUDGET}
        for stage, goes_on in zip(self.spec.stages, self.goes_on(setting), strict=True):
            names |= {scoped(stage.dataset, name) for name in ("replay_fraction", "schedule")}
            for name in ("max_lr", "warmup_fraction") if not goes_on else ():
                own = scoped(stage.dataset, name)
                names.add(own if own in setting.factors else name)
        return names

    def upstream(self, shape: ScheduleShape, *, anneal: bool = True) -> ScheduleConfig:
        """The schedule of pre-training, and of baselines from random weights."""
        given = self.spec.upstream.schedule
        return _rated(
            shape,
            max_lr=given.max_lr,
            min_lr=given.max_lr * given.min_lr_fraction,
            warmup_fraction=given.warmup_fraction,
            anneal=anneal,
        )

    def downstream(
        self, setting: Setting, number: int, origin: ScheduleConfig | None, *, anneal: bool
    ) -> ScheduleConfig:
        """The schedule of a downstream stage.

        Args:
            setting: Gives the rates, unless the stage goes on.
            number: Which stage.
            origin: The schedule whose held rate it goes on at; None: it re-warms.
            anneal: Whether it comes down at the end.

        Raises:
            ConfigError: Its phases do not fit into the stage, or a budget is too short to branch.
        """
        if setting.baseline == "no_rewarm":
            # Stays where pre-training ended: its floor, from the first update on.
            floor = self.upstream(self.upstream_shape(setting))
            return ScheduleConfig(type="constant", max_lr=floor.pieces(1)[-1].end_lr)
        shape = self.shape(setting, number)
        if origin is not None:
            schedule = _going_on(shape, origin, anneal=anneal)
        else:
            stage, steps = self.spec.stages[number], self.steps(setting, number)
            usual = self._with_replay(setting, number, self.spec.steps(stage.token_budget))
            max_lr = self.factor(setting, number, "max_lr")
            schedule = _rated(
                shape,
                max_lr=max_lr,
                min_lr=max_lr * stage.min_lr_fraction,
                warmup_fraction=self.factor(setting, number, "warmup_fraction"),
                start_lr=stage.start_lr,
                anneal=anneal,
                reference_steps=None if usual == steps else usual,
            )
        if self.branches(setting, number):
            self._check_branch(setting, number, schedule)
        return schedule

    def _check_branch(self, setting: Setting, number: int, schedule: ScheduleConfig) -> None:
        """Refuses a budget whose anneal would begin before the trunk does."""
        steps = self.steps(setting, number)
        trunk, share = schedule.trunk_start(steps), 1 - schedule.anneal_fraction
        if schedule.anneal_start(steps) <= trunk:
            enough = math.ceil((trunk + 1) / share)
            if self.spec.replay.accounting == "additive":
                replay = self.factor(setting, number, "replay_fraction")
                enough = math.floor((enough - 1) * (1 - replay)) + 1
            least = enough * self.spec.tokens_per_step
            budget = setting.factors.get(TOKEN_BUDGET, budgets(self.spec)[0])
            raise ConfigError(
                [
                    f"{self.spec.stage_field(number)}.budgets: got {budget}; must be at least "
                    f"{least}, so that its anneal begins after the trunk does, at step "
                    f"{trunk:g}; raise it, or lower token_budget, of which the warm-up and "
                    "cool-down of the trunk are shares."
                ]
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
