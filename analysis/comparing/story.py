"""What a reader must know before two sweeps are held against each other, and what came of it."""

from collections.abc import Mapping, Sequence

import pandas as pd

from analysis import labels
from analysis.comparing.differences import measure_label
from analysis.comparing.entries import Entry
from analysis.comparing.held_out import common_roles, held_out, same_text, same_tokenizer
from analysis.comparing.matching import SAME_RUN, clear, shared_states, unmatched
from analysis.measures import whole_sets
from analysis.page.story import Finding


def caveats(entries: Sequence[Entry], reason: str) -> list[Finding]:
    """On what ground the sweeps are compared.

    Args:
        entries: The first is what the others are held against.
        reason: Why losses are in their unit, see `held_out.unit_for`.
    """
    first, *others = entries
    unit = labels.title(first.sweep.unit.words)
    told = [Finding("Unit", f"{unit}: {reason}.")]
    for other in others:
        told += _held_out(first, other)
        told += _shared(first, other)
    return told


def outcomes(entries: Sequence[Entry], matched: Mapping[str, pd.DataFrame]) -> list[Finding]:
    """What differs beyond the noise where settings match, sweep by sweep.

    Args:
        entries: The first is what the others are held against.
        matched: By sweep, as `matching.matched_settings` returns them.
    """
    first, *others = entries
    told = []
    for other in others:
        table = matched[other.name]
        ours, theirs = unmatched(first, other)
        rest = f"{ours} of {first.name} and {theirs} of {other.name} have no counterpart."
        same = int((table["how"] == SAME_RUN).sum())
        if table.empty:
            text = f"No setting is complete in both. {rest}"
        elif same == len(table):
            text = f"All {same} settings that match are the same runs in both. {rest}"
        else:
            runs = f", {same} of them the same runs" if same else ""
            text = f"{_counted(len(table), 'setting')} match{runs}. {rest}"
            text += "".join(
                f" {sentence}"
                for measure in ("adaptation", "forgetting")
                if f"{measure}_change" in table and (sentence := _beyond(table, measure))
            )
        told.append(Finding(f"{other.name} against {first.name}", text))
    return told


def _beyond(table: pd.DataFrame, measure: str) -> str:
    """How many differences of a measure exceed the noise; empty where there is none."""
    change = table[f"{measure}_change"]
    tested = int(table[f"{measure}_change_se"].notna().sum())
    words = labels.title(measure_label(measure))
    if not change.notna().any():
        return ""
    mean = f"{words} differs by {labels.change(change.mean())} on average"
    if not tested:
        return f"{mean}; no setting has the seeds in both that an interval needs."
    beyond = change[clear(table, measure)]
    up = int((beyond > 0).sum())
    return (
        f"{mean}; beyond the noise it is higher in {up} and lower in {len(beyond) - up} of "
        f"{tested} settings tested at once (95%, Bonferroni)."
    )


def _held_out(first: Entry, other: Entry) -> list[Finding]:
    one, two = first.sweep.plan, other.sweep.plan
    told = []
    missing = sorted(set(first.sweep.roles) ^ set(other.sweep.roles))
    if missing:
        sets = labels.listing([role.upper() for role in missing])
        told.append(
            Finding(
                f"Stages of {other.name}",
                f"Only one of the two has {sets}, so their adaptation and mean loss are measures "
                "of different things and no difference is taken.",
            )
        )
    for role in common_roles(one, two):
        if not same_text(one, two, role):
            told.append(
                Finding(f"Held-out {role.upper()} of {other.name}", _other_text(first, other, role))
            )
        elif same_tokenizer(one, two) and (counts := _amounts(first, other, role)):
            told.append(
                Finding(
                    f"Held-out {role.upper()} of {other.name}",
                    f"The same text, but {first.name} evaluates {counts[0]:,} tokens of it and "
                    f"{other.name} {counts[1]:,}: that adds an error that no interval here holds.",
                )
            )
    return told


def _other_text(first: Entry, other: Entry, role: str) -> str:
    ours, theirs = held_out(first.sweep.plan, role), held_out(other.sweep.plan, role)
    recorded = ours.get("validation_text") and theirs.get("validation_text")
    if not recorded and not same_tokenizer(first.sweep.plan, other.sweep.plan):
        return (
            "Whether it is the same text cannot be told: a plan from before texts were recorded "
            "names it by a tokenizer's tokens alone. No difference is taken; rewarm run SPEC "
            "writes the plan anew."
        )
    return (
        f"It is not the text that {first.name} holds out, so losses on it, and what follows from "
        "them, are shown side by side and no difference is taken."
    )


def _amounts(first: Entry, other: Entry, role: str) -> tuple[int, int] | None:
    """How many tokens each evaluates of a set, where they are not as many."""
    counts = []
    for entry in (first, other):
        rows = whole_sets(entry.sweep)
        own = rows.loc[rows["role"] == role, "num_tokens"]
        if own.empty:
            return None
        counts.append(int(own.max()))
    return (counts[0], counts[1]) if counts[0] != counts[1] else None


def _shared(first: Entry, other: Entry) -> list[Finding]:
    states = shared_states(first, other)
    if not states:
        return []
    words = f"{_counted(len(states), 'state')} of {other.name} and {first.name}"
    upstream = int((first.sweep.states.loc[states, "stage"] == "upstream").sum())
    text = (
        f"{words} are the same, {upstream} of them pre-training: trained once, they are no second "
        "observation."
    )
    return [Finding("Shared runs", text)]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
