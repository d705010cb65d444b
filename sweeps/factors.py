"""What a trial can vary: the factors, their values as people write them, ranges to draw from."""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Tag, model_validator

from cpt.parsing import (
    CountOrZero,
    ExactShare,
    Frozen,
    Name,
    NotNegative,
    Positive,
    UnitShare,
)

ScheduleType = Literal["constant", "cosine", "infinite_cosine", "infinite_inverse_sqrt", "wsd"]
HOLDING = ("infinite_cosine", "infinite_inverse_sqrt", "wsd")
"""Schedules that hold a rate before they anneal: budgets branch off there, and a later stage under
the same schedule goes on there instead of re-warming."""
_OWN_FIELDS = {
    "infinite_cosine": {"cooldown_fraction", "constant_fraction"},
    "infinite_inverse_sqrt": {"cooldown_fraction", "constant_fraction", "timescale"},
    "wsd": {"decay_fraction"},
}
"""Which lengths each type reads; those not named here read none."""
FACTORS = ("max_lr", "warmup_fraction", "replay_fraction", "schedule")
"""What distinguishes trials, beside budget and seed; every one has a value in every trial."""


class Lengths(Frozen):
    """What shapes a schedule beside its rates and warm-up.

    Attributes:
        cooldown_fraction: Infinite schedules.
        constant_fraction: Infinite schedules.
        timescale: Inverse-square-root cool-down.
        decay_fraction: WSD.
    """

    cooldown_fraction: UnitShare = 0.6
    constant_fraction: UnitShare = 0.25
    timescale: Positive = 10.0
    decay_fraction: UnitShare = 0.2

    def check_read(self, kind: str) -> None:
        """Refuses a length that a schedule of this type does not read.

        Raises:
            ValueError: Naming the first.
        """
        read = _OWN_FIELDS.get(kind, set())
        for name in Lengths.model_fields:
            if name in self.model_fields_set and name not in read:
                raise ValueError(f"{name} must be left out: {kind} does not read it")


class ScheduleShape(Lengths):
    """A schedule without its rates and warm-up, which are axes of their own.

    Attributes:
        type: Which curve (cpt.schedule).
    """

    type: ScheduleType

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.check_read(self.type)
        return self

    @property
    def label(self) -> str:
        """The type, and what differs from its defaults."""
        changed = self.model_dump(exclude_defaults=True)
        inside = ",".join(
            f"{name}={changed[name]:g}" for name in Lengths.model_fields if name in changed
        )
        return f"{self.type}({inside})" if inside else self.type

    @property
    def holds(self) -> bool:
        """Whether it holds a rate that a branch or a later stage can go on from."""
        return self.type in HOLDING


def _shape(value: object) -> object:
    if not isinstance(value, str | Mapping | ScheduleShape):
        raise ValueError("must be the name of a schedule, or a mapping with its type")
    return {"type": value} if isinstance(value, str) else value


Shape = Annotated[ScheduleShape, BeforeValidator(_shape)]


class Range(Frozen):
    """Where a random design draws from.

    Attributes:
        low: Least value.
        high: Largest value.
        scale: log or linear; None: log for rates, linear for shares.
    """

    low: NotNegative
    high: Positive
    scale: Literal["log", "linear"] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        if self.scale == "log" and self.low == 0:
            raise ValueError("low must be above 0 on a log scale")
        return self

    def at(self, x: float, scale: Literal["log", "linear"]) -> float:
        """The value at x in [0, 1), three digits long so that it can be read and typed.

        Args:
            x: Where between `low` and `high`.
            scale: What to use where the range does not say.
        """
        if (self.scale or scale) == "log":
            value = self.low * math.pow(self.high / self.low, x)
        else:
            value = self.low + (self.high - self.low) * x
        return min(max(float(f"{value:.3g}"), self.low), self.high)


class RateRange(Range):
    """A range of learning rates, log-uniform unless it says otherwise."""

    low: Positive


class ShareRange(Range):
    """A range of shares below 1, uniform unless it says otherwise."""

    @model_validator(mode="after")
    def _check_share(self) -> Self:
        if self.high >= 1:
            raise ValueError(f"high {self.high:g} must be below 1")
        return self


def _list_or_range(value: object) -> str:
    return "range" if isinstance(value, Mapping | Range) else "list"


Rates = Annotated[
    Annotated[tuple[Positive, ...], Tag("list")] | Annotated[RateRange, Tag("range")],
    Discriminator(_list_or_range),
]
Shares = Annotated[
    Annotated[tuple[UnitShare, ...], Tag("list")] | Annotated[ShareRange, Tag("range")],
    Discriminator(_list_or_range),
]
ExactShares = Annotated[
    Annotated[tuple[ExactShare, ...], Tag("list")] | Annotated[ShareRange, Tag("range")],
    Discriminator(_list_or_range),
]


class StageAxes(Frozen):
    """Values to sweep; an axis left out stays at the centre.

    A random design also draws from ranges.

    Attributes:
        max_lr: Peaks to re-warm to.
        warmup_fraction: Shares of the stage's steps; 0 is no warm-up.
        replay_fraction: Exact shares of earlier data in the stage's stream.
        schedule: Names, or mappings with a `type`.
    """

    max_lr: Rates | None = None
    warmup_fraction: Shares | None = None
    replay_fraction: ExactShares | None = None
    schedule: tuple[Shape, ...] | None = None

    def given(self) -> dict[str, tuple[Any, ...] | Range]:
        """The axes that the file names."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if value is not None}


class Axes(StageAxes):
    """The axes of the sweep: those of every stage, and the seed.

    Attributes:
        seed: Replicates: data order and, from scratch, initial weights.
    """

    seed: tuple[CountOrZero, ...] | None = None


class Center(Frozen):
    """The setting the sweep is built around; see `StageAxes` for the fields."""

    max_lr: Positive | None = None
    warmup_fraction: UnitShare | None = None
    replay_fraction: ExactShare | None = None
    schedule: Shape | None = None

    def given(self) -> dict[str, Any]:
        """The factors that the file fixes."""
        values = {name: getattr(self, name) for name in FACTORS}
        return {name: value for name, value in values.items() if value is not None}


class Listed(Center):
    """One trial of a list; what it leaves out is the centre's.

    Attributes:
        name: Its label; None: made from what it says.
    """

    name: Name | None = None


def scoped(dataset: str, factor: str) -> str:
    """The name of a factor that belongs to one stage alone: `german.max_lr`."""
    return f"{dataset}.{factor}"


def plain(value: object) -> Any:
    """A factor's value as plain JSON: a number, or the name of a schedule."""
    if isinstance(value, Fraction):
        return float(value)
    return value.label if isinstance(value, ScheduleShape) else value


def short(value: object) -> str:
    """As short as it can be without two values looking alike: 0.05, 3e-05, 1/3, cosine."""
    shown = plain(value)
    if not isinstance(shown, float):
        return str(shown)
    text = f"{shown:g}"
    if isinstance(value, Fraction):
        return text if Fraction(text) == value else str(value)
    return text if float(text) == shown else repr(shown)
