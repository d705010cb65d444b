"""Scores on downstream tasks, as `rewarm evaluate` left them beside the states.

Only scores that answer the same question stand in one column: of one task in one version, with as
many solved examples before each question, over the same documents. The chance level of a task is
not in its rows, so nothing here speaks of it.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import labels
from analysis.load import Sweep
from analysis.page.tables import Cell, Table, number
from cpt.records import StatusWord

PREFERRED = ("acc_norm", "acc")
"""The metric shown where a task has several, in this order; else the one reported first."""
UNBROKEN = "\N{NON-BREAKING HYPHEN}"
COLUMN = ["task", "task_version", "num_fewshot", "limit"]


@dataclass(frozen=True)
class Tasks:
    """The section of the report.

    Attributes:
        main: What was asked for: single tasks, and of groups their aggregate.
        members: The tasks inside those groups; None where there is none.
        harness: The programs that scored, e.g. `lm_eval 0.4.13`.
        unscored: How many complete trials have no score yet.
        damage: Files of scores that cannot be read, in words.
    """

    main: Table
    members: Table | None
    harness: str
    unscored: int
    damage: list[str]


def task_scores(sweep: Sweep) -> pd.DataFrame:
    """One score a state and column: the task's main metric.

    Returns:
        The columns of `Sweep.tasks`, in its order, and `column`, a number: rows of one column can
        be compared. Columns are numbered in the order in which they were first reported.
    """
    rows = sweep.tasks
    column = pd.Series([str(tuple(row)) for row in rows[COLUMN].to_numpy()], index=rows.index)
    rows = rows.assign(column=pd.factorize(column)[0])
    main: list[pd.DataFrame] = [_main(group) for _, group in rows.groupby("column", sort=True)]
    return pd.concat(main).sort_index() if main else rows


def task_section(sweep: Sweep, trials: pd.DataFrame, center: dict[str, Any]) -> Tasks | None:
    """What the report shows of downstream tasks; None where no state was ever scored."""
    scores = task_scores(sweep)
    damage = [text for text in sweep.states["tasks_damage"] if text]
    if scores.empty and not damage:
        return None
    inside = scores["group"].notna().groupby(scores["column"]).transform("any")
    scored = set(scores["state"])
    return Tasks(
        main=_table(sweep, trials, center, scores[~inside]),
        members=_table(sweep, trials, center, scores[inside]) if inside.any() else None,
        harness=labels.listing(sorted(set(scores["harness"]))),
        unscored=int(
            ((trials["status"] == StatusWord.COMPLETE) & ~trials["state"].isin(scored)).sum()
        ),
        damage=damage,
    )


def _main(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one column that hold its main metric: one metric for all states."""
    ranks = [
        (PREFERRED.index(metric) if metric in PREFERRED else len(PREFERRED), name != "none")
        for metric, name in zip(rows["metric"], rows["filter"], strict=True)
    ]
    first = min(range(len(rows)), key=lambda place: (ranks[place], place))
    chosen = rows.iloc[first]
    same = (rows["metric"] == chosen["metric"]) & (rows["filter"] == chosen["filter"])
    main: pd.DataFrame = rows[same]
    return main


def _table(
    sweep: Sweep, trials: pd.DataFrame, center: dict[str, Any], scores: pd.DataFrame
) -> Table:
    columns = scores.drop_duplicates("column").sort_values("column")
    cells = {(row["state"], row["column"]): _score(row) for row in scores.to_dict("records")}
    rows = []
    for name, state, role in [*_pretrained(sweep, trials), *_last(sweep, trials, center)]:
        own = [
            cells.get((state, column), number(labels.MISSING, None)) for column in columns["column"]
        ]
        if any(cell.order != "" for cell in own):
            rows.append((role, [name, *own]))
    return Table(
        headings=["model", *columns["task"]],
        numeric=[False, *(True for _ in columns["task"])],
        rows=rows,
        notes=["", *(_question(row, columns) for row in columns.to_dict("records"))],
    )


def _score(row: dict[Any, Any]) -> Cell:
    note = "" if row["stderr"] is None else f"± {_plain(row['stderr'])}"
    return Cell(_plain(row["value"]), float(row["value"]), note=note)


def _plain(value: float) -> str:
    """Three decimals, as accuracies need them; fewer for what is large, such as a perplexity."""
    text = (
        f"{value:.3f}"
        if abs(value) < 10
        else f"{value:,.1f}"
        if abs(value) < 1e4
        else f"{value:.3g}"
    )
    return text.replace("-", labels.MINUS)


def _question(row: dict[Any, Any], columns: pd.DataFrame) -> str:
    """What was measured: `acc_norm, 5-shot`, and what else tells this column from others."""
    parts = [row["metric"]]
    if row["filter"] != "none":
        parts.append(row["filter"])
    if row["num_fewshot"] is not None:
        parts.append(f"{row['num_fewshot']}{UNBROKEN}shot")
    if row["limit"] is not None:
        parts.append(f"first {row['limit']:,}")
    if columns.loc[columns["task"] == row["task"], "task_version"].nunique() > 1:
        parts.append(f"version {row['task_version']}")
    if row["higher_is_better"] is False:
        parts.append("lower is better")
    return ", ".join(parts)


def _pretrained(sweep: Sweep, trials: pd.DataFrame) -> list[tuple[Cell, str, str]]:
    """The models that trials go on from."""
    ends = sweep.states[(sweep.states["stage"] == "upstream") & sweep.states["ends_stage"]]
    seeds = {ends[0]: seed for ends, seed in zip(trials["stage_ends"], trials["seed"], strict=True)}
    found = []
    for state, row in ends.iterrows():
        seed = f"seed {seeds[state]}" if trials["seed"].nunique() > 1 and state in seeds else ""
        label = row["label"] if len(ends) > trials["seed"].nunique() else ""
        note = ", ".join(filter(None, [label, seed]))
        found.append((Cell("pre-trained model", "pre-trained", note=note), str(state), "center"))
    return found


def _last(
    sweep: Sweep, trials: pd.DataFrame, center: dict[str, Any]
) -> list[tuple[Cell, str, str]]:
    several = trials["seed"].nunique() > 1
    # The seeds of a setting stand together.
    together = trials.assign(place=pd.factorize(trials["setting"])[0])
    found = []
    for trial in together.sort_values("place", kind="stable").to_dict("records"):
        name = labels.setting_label(sweep, trial, center)
        cell = Cell(name, name, note=f"seed {trial['seed']}" if several else "")
        found.append((cell, trial["state"], "baseline" if trial["baseline"] else ""))
    return found
