"""The answer, first on the page: what to take, how sure, and at what cost, as cards of text.

There is a card for every cap on forgetting at which the choice changes, one for the default rule
among them; a slider shows one at a time. All text is made here, so that the page without script
shows the default.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import labels
from analysis.deciding.decision import KEPT, Choice, Decision
from analysis.deciding.noise import Noise
from analysis.load import Sweep
from analysis.page.cards import Card, CardWriter


@dataclass(frozen=True)
class Answer:
    """The section's content.

    Attributes:
        cards: One for each stop of the slider, from the smallest cap to the largest.
        default: Index of the card that is shown first.
        rule: What the default cap is, in words.
        average: The choice by average loss.
        caution: Why not to trust it alone.
        counted: How many settings and seeds were compared.
        method: How intervals and sets were made.
    """

    cards: Sequence[Card]
    default: int
    rule: str
    average: Card
    caution: str
    counted: str
    method: str


def answer(
    sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame, center: Mapping[str, Any]
) -> Answer | None:
    """Every card of the answer; None while no setting can be recommended.

    Args:
        sweep: For names and what was planned.
        trials: As `measures.trial_table` returns them.
        settings: As `settings.settings_table` returns them.
        center: As `settings.anchor` returns it.
    """
    noise = Noise(sweep, trials)
    decision = Decision(noise, settings)
    if decision.candidates.empty:
        return None
    writer = CardWriter(sweep, trials, settings, center, noise, decision)
    caps, default, average = decision.caps(), decision.default(), decision.by_mean_loss()
    first = len(caps) - 1
    if default.best:
        # Of settings that forget the same one alone is a stop of the slider.
        first = [choice.cap for choice in caps].index(default.cap)
        caps[first] = default
    return Answer(
        cards=[writer.under_cap(choice, is_default=choice is default) for choice in caps],
        default=first,
        rule=_rule(default, writer.most),
        average=writer.by_average(average),
        caution=_caution(writer.rows[average.best]["adaptation"], writer.most),
        counted=f"{len(writer.rows)} settings compared, "
        + (f"over {writer.seeds} seeds" if writer.seeds > 1 else "with one seed"),
        method=_method(default),
    )


def _rule(default: Choice, most: float) -> str:
    """The default cap in words."""
    if not default.best:
        return "No setting adapts at all, so there is no default cap: any forgetting is allowed."
    return (
        f"The default cap is {labels.change(default.cap)}: the forgetting of the setting that "
        f"forgets least among those that keep {KEPT:.0%} of the largest adaptation "
        f"({labels.loss(most)})."
    )


def _caution(adaptation: float, most: float) -> str:
    """What the average rewards."""
    gained = "adapts to nothing"
    if most > 0:
        gained = f"gains {adaptation / most:.0%} of the largest adaptation"
    return (
        f"The mean of the final losses rewards not adapting: this setting {gained}. Where the "
        "shift is strong, not re-warming at all can win on it. Choose by both measures."
    )


def _method(default: Choice) -> str:
    """What the intervals and the sets are."""
    left_out = "What was stopped, failed or is running is not among them."
    if not default.told:
        return f"Without seeds to compare no interval and no test is possible. {left_out}"
    return (
        "Settings are compared seed by seed (paired), the noise of a difference estimated from "
        "all settings. What is said of one cap holds at 95% with its comparisons counted "
        "(Bonferroni); caps that are tried one after the other are not counted together. The "
        "interval of a single number is 95% by itself, from a bootstrap over seeds and over "
        f"the evaluations of the final window. {left_out}"
    )
