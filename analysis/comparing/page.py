"""One page of several sweeps: what each recommends, and how they differ.

The first sweep is what the others are held against. Charts and tables are those of
`analysis.comparing`; the template is `templates/comparison.html.j2`, with the parts that a report
has too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from plotly.offline import get_plotlyjs

from analysis import labels
from analysis.comparing import charts, story, tables
from analysis.comparing.costs import cost_table
from analysis.comparing.entries import entries
from analysis.comparing.facts import fact_table
from analysis.comparing.held_out import comparable_measures, unit_for
from analysis.comparing.highlights import keys_of, told_keys
from analysis.comparing.matching import SAME_RUN, matched_settings
from analysis.comparing.recommendations import recommendation_table
from analysis.drawing import theme
from analysis.load import Sweep
from analysis.page.environment import environment
from analysis.page.question import question
from analysis.page.tables import Table
from analysis.report import progress
from analysis.units import Unit
from cpt.parsing import ConfigError

DECIDING = ("adaptation", "forgetting")


@dataclass(frozen=True)
class Standing:
    """How far one sweep is, and what it asks: its name, question, progress and report."""

    name: str
    question: str
    progress: str
    finished: bool


def comparison_page(
    sweeps: Sequence[Sweep], asked: Unit | None = None, *, reload_seconds: float | None = None
) -> str:
    """The page as text.

    Args:
        sweeps: Two at least, as they were loaded.
        asked: The unit that a person asked for; None: what can be compared.
        reload_seconds: The page reloads itself so often; 0: it did, and is final; None: it never
            does.

    Raises:
        ConfigError: Nats were asked for, and two of the sweeps have different tokenizers; or the
            plan of one holds no trial.
    """
    empty = [sweep.plan["name"] for sweep in sweeps if sweep.trials.empty]
    if empty:
        raise ConfigError(
            f"{name}: its plan holds no trial, so there is nothing to compare; leave it out."
            for name in empty
        )
    unit, reason = unit_for(sweeps, asked)
    compared = entries(sweeps, unit)
    first, *others = compared
    measures = {
        other.name: comparable_measures(first.sweep.plan, other.sweep.plan) for other in others
    }
    matched = {other.name: matched_settings(first, other, measures[other.name]) for other in others}
    recommended = recommendation_table(compared)
    keys = keys_of(compared, matched)
    facts = fact_table(compared)
    names = [entry.name for entry in compared]
    shown = [one for one in DECIDING if any(one in names for names in measures.values())]
    template = environment().get_template("comparison.html.j2")
    return template.render(
        names=names,
        heading=labels.listing(names),
        standings=[_standing(sweep, name) for sweep, name in zip(sweeps, names, strict=True)],
        recommended=tables.recommendation_rows(recommended, measures, first.name),
        caveats=story.caveats(compared, reason),
        outcomes=story.outcomes(compared, matched),
        planes=charts.plane_charts(compared, recommended, keys),
        differences=charts.difference_chart(matched, compared, shown),
        matched=_matched_tables(matched, measures, first.name),
        centers=charts.center_chart(compared, keys),
        costs=tables.cost_rows(cost_table(compared), compared),
        differing=tables.fact_rows(facts, names, differing=True),
        common=tables.fact_rows(facts, names, differing=False),
        unit=unit.words,
        plotly=get_plotlyjs(),
        config=theme.CONFIG,
        palette=theme.PALETTE,
        told=told_keys(compared, keys),
        reload_seconds=reload_seconds,
        title=labels.title,
    )


def _standing(sweep: Sweep, name: str) -> Standing:
    told = progress(sweep, sweep.trials)
    return Standing(name, question(sweep), told["sentence"], told["finished"])


def _matched_tables(
    matched: dict[str, pd.DataFrame], measures: dict[str, list[str]], first: str
) -> list[tuple[str, list[tuple[str, Table]]]]:
    """For each other sweep its name and tables with their names: the deciding measures, the losses.

    Left out is what would hold nothing: no measure that can be compared, no run of their own.
    """
    made = []
    for name, table in matched.items():
        if (table["how"] == SAME_RUN).all():
            continue
        deciding = [one for one in DECIDING if one in measures[name]]
        losses = [one for one in measures[name] if one not in deciding]
        parts = [
            (title, tables.matched_table(table, chosen, first, name))
            for title, chosen in (("Settings", deciding), ("Final losses", losses))
            if chosen
        ]
        if parts:
            made.append((name, parts))
    return made
