"""The tables of the section on prediction."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis import labels
from analysis.laws import Law
from analysis.load import Sweep
from analysis.page.tables import Cell, Table, number
from analysis.predicting.courses import Course
from analysis.predicting.held_out import Judged

MEASURES = ("forgetting", "adaptation", "d0_loss", "d1_loss")


def judgements_table(sweep: Sweep, judged: Sequence[Judged], by_trial: pd.DataFrame) -> Table:
    """Errors of each fit on settings that it had not seen.

    Args:
        sweep: For names.
        judged: The fits.
        by_trial: As `predicting.tables.by_trial` returns it.
    """
    headings = ["model", "loss on", "holds", "settings", "parameters"]
    headings += [
        "held-out error",
        "of the loss",
        "worst",
        "within 1%",
        "trials within 1%",
        "guessing the mean",
    ]
    rows = []
    for one in judged:
        known = len(one.table) > 0
        mean = float(one.table["observed"].mean()) if known else float("nan")
        error = one.error if known else float("nan")
        worst = float(one.table["share"].max()) if known else float("nan")
        within = float((one.table["share"] <= 0.01).mean()) if known else float("nan")
        own = by_trial[(by_trial["model"] == one.model) & (by_trial["role"] == one.role)]
        trials = float((own["share"] <= 0.01).mean())
        guess = one.error_of_mean if known else float("nan")
        cells = [
            Cell(one.model, one.model),
            Cell(f"{one.role.upper()}, {sweep.dataset(one.role)}", one.role),
            Cell("yes" if one.holds else "no", "yes" if one.holds else "no"),
            number(str(len(one.table)) if known else labels.MISSING, len(one.table)),
            number(str(one.parameters) if one.parameters else labels.MISSING, one.parameters),
            number(_nats(error), error),
            number(_share(error / mean), error / mean, "strong"),
            number(_share(worst), worst),
            number(labels.MISSING if pd.isna(within) else f"{within:.0%}", within),
            number(labels.MISSING if pd.isna(trials) else f"{trials:.0%}", trials),
            number(_nats(guess), guess, "quiet"),
        ]
        rows.append(("", cells))
    return Table(headings, [False] * 3 + [True] * 8, rows)


def constants_table(judged: Sequence[Judged]) -> Table | None:
    """One row a law that holds; the letters are those of `analysis.laws`."""
    laws = [one.fit for one in judged if one.holds and isinstance(one.fit, Law)]
    if not laws:
        return None
    letters = list(laws[0].constants)
    rows = [
        (
            "",
            [
                Cell(law.role.upper(), law.role),
                *(number(f"{value:.3g}", value) for value in law.constants.values()),
            ],
        )
        for law in laws
    ]
    return Table(["loss on", *letters], [False, *(True for _ in letters)], rows)


def elsewhere_table(sweep: Sweep, table: pd.DataFrame, steps: int) -> Table:
    """Predictions for settings that were not run.

    Args:
        sweep: For tokens.
        table: As `predicting.tables.elsewhere` returns it.
        steps: Updates of the reference.
    """
    headings = ["peak LR", "replay", "tokens", "by", *MEASURES[:2], "D0 loss", "D1 loss"]
    rows = []
    for row in table.to_dict("records"):
        tokens = row["times"] * steps * sweep.tokens_per_step
        note = "outside the range tried" if row["outside"] else ""
        if row["times"] > 1:
            note = f"{row['times']} times the budget"
        cells = [
            Cell(labels.value_label("max_lr", row["peak"]), row["peak"], note=note),
            number(labels.value_label("replay_fraction", row["replay"]), row["replay"]),
            number(labels.amount(tokens), tokens),
            Cell(row["model"], row["model"]),
            *(_between(row, measure) for measure in MEASURES),
        ]
        rows.append(("", cells))
    return Table(headings, [True, True, True, False, True, True, True, True], rows)


def proposals_table(table: pd.DataFrame, model: str, courses: Sequence[Course]) -> Table:
    """Proposed trials, as `predicting.proposals.propose` returns them, each with its reason."""
    headings = ["trial", "peak LR", "replay", "adaptation", "forgetting", "under the cap", "why"]
    rows = []
    for place, row in enumerate(table.to_dict("records"), 1):
        cells = [
            Cell(f"proposal-{place}", place),
            number(labels.value_label("max_lr", row["peak"]), row["peak"]),
            number(labels.value_label("replay_fraction", row["replay"]), row["replay"]),
            _between(row, "adaptation"),
            _between(row, "forgetting"),
            number(f"{row['chance']:.0%}", row["chance"]),
            Cell(_reason(row, model, courses), row["gain"], role="why"),
        ]
        rows.append(("", cells))
    return Table(headings, [False] + [True] * 5 + [False], rows)


def _reason(row: Mapping[Any, Any], model: str, courses: Sequence[Course]) -> str:
    peaks = [one.peak for one in courses if one.usual]
    where = (
        "above every peak tried"
        if row["peak"] > max(peaks)
        else "below every peak tried"
        if row["peak"] < min(peaks)
        else "between the peaks tried"
    )
    gain = f"{row['gain']:.3f}" if row["gain"] >= 0.0005 else "less than 0.001"
    return f"expected gain {gain} by the {model}; {where}"


def _between(row: Mapping[Any, Any], measure: str) -> Cell:
    """A prediction and its interval below it."""
    write = labels.loss if measure.endswith("_loss") or measure == "adaptation" else labels.change
    low, high = write(row[f"{measure}_low"]), write(row[f"{measure}_high"])
    return Cell(write(row[measure]), float(row[measure]), note=f"{low} to {high}")


def _nats(value: float) -> str:
    return labels.MISSING if pd.isna(value) else f"{value:.4f}"


def _share(value: float) -> str:
    return labels.MISSING if pd.isna(value) else f"{value:.2%}"
