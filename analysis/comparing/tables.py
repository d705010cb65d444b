"""The tables of a comparison as the page shows them."""

from collections.abc import Mapping, Sequence

import pandas as pd

from analysis import labels
from analysis.comparing.differences import measure_label
from analysis.comparing.entries import Entry
from analysis.comparing.matching import ONE_SEED, PAIRED, SAME_RUN, UNPAIRED, clear
from analysis.page.tables import Cell, Table, number

HOW = {
    PAIRED: "seed by seed",
    UNPAIRED: "means of different seeds",
    ONE_SEED: "one seed: no interval",
    SAME_RUN: "one run in both sweeps",
}


def matched_table(matched: pd.DataFrame, measures: Sequence[str], one: str, other: str) -> Table:
    """Settings of both sweeps with what each reached, the difference and its interval.

    Args:
        matched: As `matching.matched_settings` returns them.
        measures: Those to show.
        one: Name of the sweep that the other is held against.
        other: Name of the other.
    """
    beyond = {measure: list(clear(matched, measure)) for measure in measures}
    rows = []
    for index, (_, row) in enumerate(matched.iterrows()):
        cells = [
            Cell(row["name"], row["name"]),
            Cell(HOW[row["how"]], row["how"], note="" if row["how"] == SAME_RUN else row["seeds"]),
        ]
        for measure in measures:
            change = row[f"{measure}_change"]
            low, high = row[f"{measure}_change_low"], row[f"{measure}_change_high"]
            bounds = "" if pd.isna(low) else f"{labels.change(low)} to {labels.change(high)}"
            role = "strong" if beyond[measure][index] else "quiet"
            for side in ("one", "other"):
                value = row[f"{measure}_{side}"]
                write = labels.change if measure == "forgetting" else labels.loss
                cells.append(number(write(value), value))
            told = labels.change(change)
            order = "" if pd.isna(change) else float(change)
            cells.append(Cell(told, order, note=bounds, role=role))
        rows.append(("baseline" if row["baseline"] else "", cells))
    headings = ["setting", "compared"]
    notes = ["", ""]
    for measure in measures:
        headings += [measure_label(measure), measure_label(measure), "difference"]
        notes += [one, other, "95% interval"]
    numeric = [False, False, *(True for _ in headings[2:])]
    return Table(headings, numeric, rows, notes, list(matched["setting"]))


MOST_RIVALS = 3
"""Names of rivals that a cell lists; of more it counts the rest."""


def recommendation_rows(
    recommended: pd.DataFrame, comparable: Mapping[str, Sequence[str]], first: str
) -> Table:
    """What each sweep recommends, with its intervals and costs.

    Args:
        recommended: As `recommendations.recommendation_table` returns them.
        comparable: The measures of each other sweep that can be held against the first's.
        first: Name of the first.
    """
    rows = []
    for _, row in recommended.iterrows():
        setting = row["setting"] or "none can be named yet"
        cells = [
            Cell(row["sweep"], row["sweep"]),
            Cell(setting, setting, note=_rivals(row), role="wide"),
        ]
        for measure in ("adaptation", "forgetting"):
            write = labels.change if measure == "forgetting" else labels.loss
            low, high = row[f"{measure}_low"], row[f"{measure}_high"]
            bounds = "" if pd.isna(low) else f"{write(low)} to {write(high)}"
            value = row[measure]
            order = "" if pd.isna(value) else float(value)
            cells.append(Cell(write(value), order, note=bounds, role="strong"))
        apart = row["sweep"] != first and "forgetting" not in comparable[row["sweep"]]
        if apart:
            cells.append(Cell(labels.MISSING, note="other held-out text"))
        else:
            adapted = row["under_cap_adaptation"]
            cells.append(
                Cell(
                    labels.loss(adapted),
                    "" if pd.isna(adapted) else float(adapted),
                    note=row["under_cap"] or "none forgets so little",
                )
            )
        tokens, hours = row["tokens"], row["hours"]
        spent = "" if pd.isna(hours) else f"trained for {labels.duration(3600 * hours)}"
        order = "" if pd.isna(tokens) else float(tokens)
        cells.append(Cell(labels.amount(tokens), order, note=spent))
        rows.append(("", cells))
    cap = recommended["cap"].iloc[0]
    one_cap = "" if pd.isna(cap) else f"forgetting at most {labels.change(cap)}"
    headings = ["sweep", "take", "adaptation", "forgetting", "adaptation under one cap", "tokens"]
    notes = ["", "", "95% interval", "95% interval", one_cap, "of one trial"]
    return Table(headings, [False, False, *(True for _ in headings[2:])], rows, notes)


def _rivals(row: pd.Series) -> str:
    """Who may be as good, in few words."""
    names = list(row["rivals"])
    if not names:
        return "no other may be the better choice" if row["setting"] and row["told"] else ""
    more = len(names) - MOST_RIVALS
    if more > 0:
        names = [*names[:MOST_RIVALS], f"{more} more"]
    told = "may be as good" if row["told"] else "cannot be told apart without a second seed"
    return f"{labels.listing(names)} {told}"


def fact_rows(facts: pd.DataFrame, names: Sequence[str], *, differing: bool) -> Table:
    """Facts of all sweeps side by side.

    Args:
        facts: As `facts.fact_table` returns them.
        names: Of the sweeps.
        differing: Those that differ, else those that do not.
    """
    chosen = facts[facts["differs"] == differing]
    rows = [
        ("", [Cell(row["fact"], row["fact"]), *(Cell(row[name], row[name]) for name in names)])
        for _, row in chosen.iterrows()
    ]
    return Table(["", *names], [False for _ in range(len(names) + 1)], rows)


def cost_rows(costs: pd.DataFrame, entries: Sequence[Entry]) -> Table:
    """What each sweep cost.

    Args:
        costs: As `costs.cost_table` returns them.
        entries: The sweeps, for what their middle is called.
    """
    rows = []
    for _, row in costs.iterrows():
        hours = row["hours"]
        cells = [
            Cell(row["sweep"], row["sweep"]),
            number(f"{row['complete']} of {row['trials']}", row["complete"]),
            number(labels.amount(row["tokens"]), row["tokens"]),
            number(labels.amount(row["pretraining_tokens"]), row["pretraining_tokens"]),
            number(labels.amount(row["tokens_per_setting"]), row["tokens_per_setting"]),
            number(f"{row['flops']:.2e}", row["flops"]),
            number(labels.duration(3600 * hours), hours),
            number(labels.amount(row["tokens_per_second"]), row["tokens_per_second"]),
        ]
        rows.append(("", cells))
    middle = " or ".join(dict.fromkeys(labels.center_name(entry.sweep) for entry in entries))
    headings = [
        "sweep",
        "complete trials",
        "tokens, all states",
        "of which pre-training",
        f"tokens of the {middle}",
        "FLOPs",
        "trained for",
        "tokens/s",
    ]
    return Table(headings, [False, *(True for _ in headings[1:])], rows)
