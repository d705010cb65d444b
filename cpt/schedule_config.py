"""A learning-rate schedule as data: absolute rates, lengths as shares of a stage's steps."""

from typing import Literal, Self

from pydantic import model_validator

from cpt import schedule as schedules
from cpt.parsing import Count, Frozen, NotNegative, Positive, UnitShare


class ScheduleConfig(Frozen):
    """A learning-rate schedule with absolute rates; lengths are shares of this stage's steps.

    `cpt.schedule` documents each curve. `pieces` is the only reader.

    Branches that anneal from one trunk at several budgets must agree on where the trunk is: their
    `reference_steps` say of how many steps warm-up and cool-down are shares. The anneal or decay
    stays a share of each branch's own steps, and what lies between is held.

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
        reference_steps: Infinite schedules and WSD: what warm-up and cool-down are shares of; None:
            the stage's steps.
        anneal: False leaves out the anneal or decay at the end: a later stage goes on from there.
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
    reference_steps: Count | None = None
    anneal: bool = True

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
        """The curve of a stage of `total_steps` steps.

        Raises:
            ValueError: Warm-up, cool-down and anneal leave no room for a branch this short.
        """
        reference = self.reference_steps or total_steps
        warmup = self.warmup_steps(total_steps)
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
                return schedules.infinite(
                    total_steps,
                    cooldown="cosine" if self.type == "infinite_cosine" else "inverse_sqrt",
                    max_lr=self.max_lr,
                    constant_lr=self.held_lr,
                    min_lr=self.min_lr,
                    warmup_steps=warmup,
                    cooldown_steps=self.cooldown_fraction * reference,
                    constant_steps=self._constant_steps(total_steps),
                    start_lr=self.start_lr,
                    timescale=self.timescale,
                )
            case "wsd":
                decay = self.decay_fraction * total_steps if self.anneal else 0.0
                if warmup + decay > total_steps * (1 + 1e-12):
                    raise ValueError(self._no_room(total_steps, warmup))
                return schedules.wsd(
                    total_steps,
                    max_lr=self.max_lr,
                    min_lr=self.min_lr,
                    warmup_steps=warmup,
                    decay_steps=decay,
                    start_lr=self.start_lr,
                )

    @property
    def held_lr(self) -> float:
        """The rate that an infinite or WSD schedule holds, and that a later stage goes on at."""
        if self.type == "wsd":
            return self.max_lr
        return (self.max_lr + self.min_lr) / 2 if self.constant_lr is None else self.constant_lr

    @property
    def anneal_fraction(self) -> float:
        """Share of the steps that the anneal or decay takes, for schedules that hold a rate."""
        if self.type == "wsd":
            return self.decay_fraction
        return 1 - self.warmup_fraction - self.cooldown_fraction - self.constant_fraction

    def warmup_steps(self, total_steps: int) -> float:
        """Length of the warm-up, may be fractional."""
        return self.warmup_fraction * (self.reference_steps or total_steps)

    def trunk_start(self, total_steps: int) -> float:
        """The step from which the rate is held, and before which nothing can branch off."""
        cooldown = 0.0 if self.type == "wsd" else self.cooldown_fraction
        return (self.warmup_fraction + cooldown) * (self.reference_steps or total_steps)

    def anneal_start(self, total_steps: int) -> float:
        """The step at which the rate is held no longer, may be fractional."""
        return total_steps * (1 - self.anneal_fraction)

    def _constant_steps(self, total_steps: int) -> float | None:
        """How long an infinite schedule holds its rate; None: to the end."""
        if not self.anneal:
            return None
        if self.reference_steps is None:
            return self.constant_fraction * total_steps
        held = self.anneal_start(total_steps) - self.trunk_start(total_steps)
        if held < 0:
            raise ValueError(self._no_room(total_steps, self.trunk_start(total_steps)))
        return held

    def _no_room(self, total_steps: int, trunk_start: float) -> str:
        return (
            f"{total_steps} steps leave no room: the rate is held from step {trunk_start:g} on, "
            f"and the anneal of the last {self.anneal_fraction:.3g} must come after it"
        )
