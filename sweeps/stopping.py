"""Which trial may end early, and why: successive halving that knows schedules.

A rung is a number of tokens of a stage at which trials are compared. One whose loss there is not
among the best 1/`reduction_factor` of those that came by before it ends (ASHA, arXiv 1810.05934,
decided by Ray Tune's own scheduler); the others go on to the next rung. Its horizon never changes.
Only like is compared with like: one seed, one length of the last stage, the loss at the same step.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator

from cpt.parsing import Count, Frozen, Number

DIP_SHARE = 0.1
"""Share of a stage's steps after its warm-up in which no rung may lie.

Re-warming first costs what was learned, then wins it back: continued for 50B tokens, the target
score fell in the first 5B or so and recovered (arXiv 2406.14833).
"""


def _metric(value: str) -> str:
    role = value.removesuffix("_loss")
    if role == value or not (role == "mean" or (role[:1] == "d" and role[1:].isdecimal())):
        raise ValueError("must be mean_loss, or the loss of a role such as d0_loss or d1_loss")
    return value


def _apart(value: float) -> float:
    if value < 1.1:
        raise ValueError("must be at least 1.1, or there is a rung at every step")
    return value


class NoStopping(Frozen):
    """Every trial is trained to its end."""

    type: Literal["none"] = "none"


class AshaStopping(Frozen):
    """Asynchronous successive halving inside each cohort.

    Attributes:
        metric: `d0_loss`, `d1_loss`, ...: the loss on the data set of that role; `mean_loss`: the
            mean over all roles. Nats per token, lower is better.
        grace_tokens: The first rung, in tokens since the start of a trial's last stage.
        reduction_factor: One in so many goes on, and so many times further lies the next rung.
    """

    type: Literal["asha"]
    metric: Annotated[str, AfterValidator(_metric)]
    grace_tokens: Count
    reduction_factor: Annotated[Number, AfterValidator(_apart)] = 3.0


def rungs(stopping: AshaStopping, tokens: int) -> tuple[int, ...]:
    """The rungs below `tokens`: grace x reduction_factor^k, as whole tokens, ascending.

    Those of Ray's ASHA with `max_t` of the stage's budget.

    Args:
        stopping: The rule.
        tokens: The stage's budget, or where its final window starts.
    """
    result = []
    rung: float = stopping.grace_tokens
    while rung < tokens:
        result.append(math.ceil(rung))
        rung = stopping.grace_tokens * stopping.reduction_factor ** len(result)
    return tuple(result)


def looks(
    stopping: AshaStopping,
    tokens: int,
    evaluation_steps: Iterable[int],
    tokens_per_step: int,
) -> dict[int, int]:
    """The evaluation at which each rung is looked at: the first at or past it.

    Args:
        stopping: The rule.
        tokens: Where the final window of the stage starts; no rung lies in it or is looked at
            in it, since next to nothing is left to save there.
        evaluation_steps: When the stage is evaluated, ascending.
        tokens_per_step: Tokens of one update.

    Returns:
        A step for each rung that is looked at; two rungs may share one.
    """
    steps = [step for step in evaluation_steps if step * tokens_per_step < tokens]
    found = {}
    for rung in rungs(stopping, tokens):
        step = next((step for step in steps if step * tokens_per_step >= rung), None)
        if step is not None:
            found[rung] = step
    return found


def metric_roles(metric: str, roles: Iterable[str]) -> tuple[str, ...]:
    """The roles whose mean loss a metric is; none where the role does not exist."""
    wanted = metric.removesuffix("_loss")
    return tuple(role for role in roles if wanted in ("mean", role))


def dip_end(warmup_steps: float, steps: int) -> int:
    """The step at which the dip that re-warming causes is over.

    Args:
        warmup_steps: Length of the warm-up, may be fractional.
        steps: Length of the stage.
    """
    # Rounded, so that 0.3 x 10 is three steps and not the fourth.
    return math.ceil(round(warmup_steps + DIP_SHARE * steps, 6))


def faults(
    stopping: AshaStopping,
    *,
    longest_warmup: Mapping[int, float],
    final_window_steps: int,
    tokens_per_step: int,
    roles: Collection[str],
) -> list[str]:
    """What is wrong with a rule for these trials, a sentence each.

    Args:
        stopping: The rule.
        longest_warmup: For each length of a last stage, in steps, the longest warm-up, in steps,
            among its trials.
        final_window_steps: Length of the final window.
        tokens_per_step: Tokens of one update.
        roles: The roles that have a data set: d0, d1, ...
    """
    found = []
    if not metric_roles(stopping.metric, roles):
        legal = ", ".join([*(f"{role}_loss" for role in sorted(roles)), "mean_loss"])
        found.append(f"stopping.metric: got '{stopping.metric}'; must be one of {legal}.")
    got = f"stopping.grace_tokens: got {stopping.grace_tokens};"
    room = {
        steps: (dip_end(warmup_steps, steps), steps - final_window_steps)
        for steps, warmup_steps in sorted(longest_warmup.items())
    }
    for steps, (end, window) in room.items():
        if end >= window:
            found.append(
                f"{got} a stage of {steps} steps has no room for a rung between {_dip(end, steps)} "
                f"and its final window (from step {window} on); leave stopping out or raise the "
                "budget."
            )
            return found
    # One sentence where several lengths are at odds with it: what suits this one suits all.
    end, steps = max((end, steps) for steps, (end, _) in room.items())
    window, whole = min((window, steps) for steps, (_, window) in room.items())
    first, last = end * tokens_per_step, window * tokens_per_step
    if stopping.grace_tokens < first:
        found.append(f"{got} must be at least {first}, {_dip(end, steps)}; raise it.")
    elif stopping.grace_tokens >= last:
        found.append(
            f"{got} must be below {last}, the start of the final window (step {window} of "
            f"{whole}), past which nothing is saved; lower it."
        )
    return found


def _dip(end: int, steps: int) -> str:
    return f"the end of the warm-up and of the dip after it (step {end} of {steps})"


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """A trial as the rule sees it.

    Attributes:
        state: The trial's own last state.
        seed: Its replicate.
        steps: Length of its last stage.
        is_baseline: Whether it is a baseline.
        is_center: Whether it is the setting that all others are compared with.
        is_shared: Whether other states go on from its last state.
    """

    state: str
    seed: int
    steps: int
    is_baseline: bool
    is_center: bool
    is_shared: bool


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a state is compared.

    Attributes:
        seed: The cohort's, whose trials share their data order: a stopped seed must not bias
            another.
        steps: The cohort's length of the last stage.
        may_stop: Whether the rule may end it; if not it is a mark for the others alone.
    """

    seed: int
    steps: int
    may_stop: bool

    @property
    def cohort(self) -> tuple[int, int]:
        """What names the trials it is compared with."""
        return self.seed, self.steps


def places(entrants: Iterable[Entrant]) -> dict[str, Place]:
    """Which states are compared with which, and which of them may end.

    Baselines take no part: without re-warming there is no dip, so early on they would beat what
    beats them in the end. The centre and a state that others go on from are compared, never ended.
    """
    entrants = list(entrants)
    baselines = {entrant.state for entrant in entrants if entrant.is_baseline}
    kept = {entrant.state for entrant in entrants if entrant.is_center or entrant.is_shared}
    return {
        entrant.state: Place(
            seed=entrant.seed, steps=entrant.steps, may_stop=entrant.state not in kept
        )
        for entrant in entrants
        if entrant.state not in baselines
    }


def reason(stopping: AshaStopping, value: float, rung: int, compared: int) -> str:
    """Why a trial was ended.

    Args:
        stopping: The rule.
        value: Its loss at the rung, nats per token.
        rung: Tokens since the start of the stage.
        compared: How many trials came by the rung so far, this one included.
    """
    return (
        f"asha: {stopping.metric} {value:.4g} at {rung:,} tokens is not among the best "
        f"1/{stopping.reduction_factor:g} of {compared}"
    )
