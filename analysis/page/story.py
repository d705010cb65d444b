"""What else a sweep found, beside the recommendation: from its tables and never beyond them.

Who adapts most, who forgets least, who is beaten by nobody, and what training from random weights
reached. What the axes do is told by the paper's findings (`analysis.deciding.claims`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import labels
from analysis.deciding.decision import KEPT
from analysis.load import Sweep
from analysis.page.stopping import stopped_sentence


@dataclass(frozen=True)
class Finding:
    """One point of the answer.

    Attributes:
        title: What it is about.
        text: One or two sentences.
        subject: The setting that it names, if it names one.
    """

    title: str
    text: str
    subject: str = ""


def findings(
    sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame, center: Mapping[str, Any]
) -> list[Finding]:
    """What the complete trials say so far.

    Args:
        sweep: For names and what was planned.
        trials: As `measures.trial_table` returns them.
        settings: As `settings.settings_table` returns them.
        center: As `settings.anchor` returns it.
    """
    sentence = stopped_sentence(sweep, trials)
    stopped = [Finding("Stopped early", sentence)] if sentence else []
    compared = named(sweep, settings, center)
    scratch = compared[compared["from_scratch"]]
    continued = compared[~compared["from_scratch"]]
    continued = continued.dropna(subset=["forgetting", "adaptation"])
    if continued.empty:
        return [
            *stopped,
            Finding(
                "Nothing to compare yet",
                "No trial that continues from the pre-trained model is complete. Curves below "
                "show what has been trained so far.",
            ),
        ]
    found = _extremes(sweep, continued)
    found.append(_efficient(continued))
    found += [_from_scratch(sweep, row, continued) for _, row in scratch.iterrows()]
    return found + stopped


def named(sweep: Sweep, settings: pd.DataFrame, center: Mapping[str, Any]) -> pd.DataFrame:
    """The settings with a column `name`, their name in words."""
    names = [
        labels.setting_label(sweep, setting, center) for setting in settings.to_dict("records")
    ]
    return settings.assign(name=names)


def _extremes(sweep: Sweep, continued: pd.DataFrame) -> list[Finding]:
    """Most adaptation, and least forgetting among the re-warmed."""
    most = _first(continued, "adaptation", largest=True)
    found = [
        Finding(
            "Adapts most",
            f"{_fall(sweep, most)}, and D0 loss changes by "
            f"{_measured(most, 'forgetting', signed=True)}.",
            subject=most["name"],
        )
    ]
    rewarmed = continued[continued["baseline"] != "no_rewarm"]
    if len(rewarmed):
        least = _first(rewarmed, "forgetting")
        found.append(
            Finding(
                "Forgets least of the re-warmed",
                f"D0 loss changes by "
                f"{_measured(least, 'forgetting', signed=True)}, for an adaptation of "
                f"{_measured(least, 'adaptation')}.",
                subject=least["name"],
            )
        )
    return found


def _fall(sweep: Sweep, most: pd.Series) -> str:
    """How far the losses on new data fell, and to what."""
    new = sweep.roles[1:]
    gained = _measured(most, "adaptation")
    reached = labels.listing([labels.loss(most[f"{role}_loss"]) for role in new])
    if len(new) == 1:
        return f"{new[0].upper()} loss falls by {gained} to {reached}"
    sets = labels.listing([role.upper() for role in new])
    return f"The losses on {sets} fall by {gained} on average, to {reached}"


def _efficient(continued: pd.DataFrame) -> Finding:
    """The Pareto front, from least to most forgetting."""
    efficient = continued[continued["efficient"]].sort_values("forgetting")
    return Finding(
        f"Not beaten on both axes: {len(efficient)} of {len(continued)} settings",
        f"From least to most forgetting: {labels.listing(list(efficient['name']))}. Every other "
        "setting forgets more, adapts less, or both, than one of these.",
    )


def _from_scratch(sweep: Sweep, scratch: pd.Series, continued: pd.DataFrame) -> Finding:
    """How a baseline from random weights compares, at its own price."""
    other = _balanced(continued)
    price = scratch["path_tokens"] / other["path_tokens"]
    own = [f"{role.upper()} loss {labels.loss(scratch[f'{role}_loss'])}" for role in sweep.roles]
    others = [labels.loss(other[f"{role}_loss"]) for role in sweep.roles]
    spent = "as many tokens as" if price == 1 else f"{price:.3g} times the tokens of"
    return Finding(
        f"Against {scratch['name']}",
        f"It reaches {labels.listing(own)} for {spent} a continuation; {other['name']} reaches "
        f"{labels.listing(others)} on top of the pre-trained model.",
    )


def _balanced(continued: pd.DataFrame) -> pd.Series:
    """Who forgets least of those that keep `KEPT` of the largest adaptation."""
    keeping = continued[continued["adaptation"] >= KEPT * continued["adaptation"].max()]
    return _first(keeping if len(keeping) else continued, "forgetting")


def _first(table: pd.DataFrame, name: str, *, largest: bool = False) -> pd.Series:
    """The row with the smallest (or largest) value; the earlier one of equals."""
    return table.sort_values(name, ascending=not largest, kind="stable").iloc[0]


def _measured(row: pd.Series, name: str, *, signed: bool = False) -> str:
    """A measure, with its interval where seeds give one."""
    write = labels.change if signed else labels.loss
    value = write(row[name])
    if pd.isna(row[f"{name}_low"]):
        return value
    return f"{value} ({write(row[f'{name}_low'])} to {write(row[f'{name}_high'])})"
