"""From a sweep's folder to the page a person decides from, and the table a program reads.

`write_report` loads the tables, measures them, makes sections of charts and fills the template in
`templates/`. The page is one file: style, script, plotly and data are inside it, nothing is
fetched.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd
from plotly.offline import get_plotlyjs

from analysis import labels
from analysis.dips import newest_role
from analysis.drawing import gallery, slices, theme
from analysis.drawing.plane import new_losses
from analysis.load import Sweep, load_sweep
from analysis.measures import csv_table, trial_table
from analysis.page import story, tables
from analysis.page.answer import answer
from analysis.page.claims import claims_section
from analysis.page.data_tables import datasets_table, reading_table
from analysis.page.dip_summary import dip_section
from analysis.page.environment import environment
from analysis.page.heat import heat_tables, matrix_of_trials
from analysis.page.prediction import prediction_section
from analysis.page.question import question
from analysis.page.tasks import task_section
from analysis.page.told import told_settings
from analysis.settings import DESIGNS_WITHOUT_SLICES, anchor, settings_table
from cpt.files import write_text
from cpt.records import StatusWord, SweepDir


def write_report(sweep_dir: Path) -> Path:
    """Writes `report.html` and `trials.csv` into a sweep's folder, finished or not.

    Args:
        sweep_dir: `<storage>/sweeps/<name>`.

    Returns:
        The path of `report.html`.

    Raises:
        FileNotFoundError: There is no such folder, or no plan in it.
        ValueError: The plan is of another version, or a file is not complete JSON.
    """
    page = SweepDir(sweep_dir).report
    write_page(load_sweep(sweep_dir), sweep_dir, page)
    return page


def write_page(
    sweep: Sweep, sweep_dir: Path, page: Path, *, reload_seconds: float | None = None
) -> None:
    """Writes the page of a sweep that was read, and `trials.csv` into its folder.

    Args:
        sweep: The sweep.
        sweep_dir: Its folder.
        page: Where the page goes.
        reload_seconds: The page reloads itself so often; 0: it did, and is final; None: it never
            does.
    """
    trials = trial_table(sweep)
    write_text(SweepDir(sweep_dir).trials, csv_table(sweep, trials).to_csv(index=False))
    write_text(page, render(sweep, trials, reload_seconds))


def render(sweep: Sweep, trials: pd.DataFrame, reload_seconds: float | None = None) -> str:
    """The page as text; one that is going to change reloads itself."""
    if trials.empty:
        template = environment().get_template("nothing.html.j2")
        datasets = datasets_table(sweep.plan)
        return template.render(
            plan=sweep.plan, question=question(sweep), datasets=datasets, palette=theme.PALETTE
        )
    center = anchor(sweep)
    measured = gallery.Measured(sweep, trials, settings_table(sweep, trials, center), center)
    # Those of the prediction come with its section, which fits only once.
    drawn = [name for name in gallery.SECTIONS if name != "prediction"]
    template = environment().get_template("report.html.j2")
    return template.render(
        plan=sweep.plan,
        plotly=get_plotlyjs(),
        config=theme.CONFIG,
        palette=theme.PALETTE,
        question=question(sweep),
        progress=progress(sweep, trials),
        reload_seconds=reload_seconds,
        amount=labels.amount,
        title=labels.title,
        **_words(sweep, center),
        **_conclusions(measured),
        **_tables(measured),
        **_run(sweep),
        **{name: gallery.section(name, measured) for name in drawn},
    )


def _words(sweep: Sweep, center: Mapping[str, Any]) -> dict[str, Any]:
    """What things are called on this page."""
    return {
        "middle": labels.center_name(sweep),
        "reference": "" if labels.has_center(sweep) else _reference(sweep, center),
        "meanings": labels.baseline_meanings(sweep),
        "names": labels.baseline_names(sweep),
        "new": [role.upper() for role in sweep.roles[1:]],
        "newest": newest_role(sweep).upper(),
        "new_losses": new_losses(sweep),
        "several_stages": sweep.several_stages,
    }


def _conclusions(measured: gallery.Measured) -> dict[str, Any]:
    """What is recommended, found and predicted."""
    sweep, trials, settings, center = measured
    return {
        "answer": answer(sweep, trials, settings, center),
        "findings": story.findings(sweep, trials, settings, center),
        "paper": claims_section(sweep, trials, settings, center),
        "prediction": prediction_section(sweep, trials, settings, center),
    }


def _tables(measured: gallery.Measured) -> dict[str, Any]:
    """The tables of trials, settings, dips and boundaries, and what a highlight says of them."""
    sweep, trials, settings, center = measured
    matrices = heat_tables(sweep, trials, center) if sweep.several_stages else []
    return {
        "told": told_settings(sweep, trials, settings, center),
        "settings": tables.settings_summary(sweep, settings, center),
        "several_seeds": trials["seed"].nunique() > 1,
        "trials": tables.trials_table(sweep, trials, settings, center),
        "tasks": task_section(sweep, trials, center),
        "matrices": matrices,
        "unannealed": any(note for matrix in matrices for _, note, _ in matrix.rows),
        "matrix_table": matrix_of_trials(sweep) if sweep.several_stages else None,
        "sliced": bool(slices.slices(sweep, trials, center)),
        "dip": dip_section(sweep, trials, center),
    }


def _run(sweep: Sweep) -> dict[str, Any]:
    """What was run, and on what."""
    # Plans of sweeps that train their model, written before there were others, do not say so.
    upstream = sweep.plan.get("upstream", {})
    return {
        "checkpoint": upstream.get("checkpoint"),
        "stand_in": sweep.dataset("d0") if upstream.get("stand_in") else "",
        "additive": sweep.additive_replay,
        "datasets": datasets_table(sweep.plan),
        "reading": reading_table(sweep),
        "states": tables.states_table(sweep),
        "facts": _facts(sweep),
    }


def progress(sweep: Sweep, trials: pd.DataFrame) -> dict[str, Any]:
    """How far the sweep is: counts by status, whether it is finished, and a sentence."""
    counts = trials["status"].value_counts()
    complete = int(counts.get(StatusWord.COMPLETE, 0))
    others = [f"{count} {status}" for status, count in counts.items() if status != "complete"]
    sentence = f"{complete} of {len(trials)} trials complete"
    settled = complete + int(counts.get(StatusWord.STOPPED, 0))
    return {
        "finished": settled == len(trials),
        "sentence": f"{sentence}; {', '.join(others)}" if others else sentence,
        "share": complete / len(trials),
    }


def _reference(sweep: Sweep, center: Mapping[str, Any]) -> str:
    """What the reference of a sweep without a centre is, and why."""
    first = sweep.plan["design"] in DESIGNS_WITHOUT_SLICES
    why = "its first trial" if first else "the most common value of each axis"
    values = labels.listing(
        [
            f"{labels.axis_label(axis)} {labels.value_label(axis, value)}"
            for axis, value in center.items()
        ]
    )
    return f"{why}: {values}"


def _facts(sweep: Sweep) -> dict[str, Iterable[tuple[str, str]]]:
    plan = sweep.plan
    training = {
        "tokenizer": plan["tokenizer"],
        "sequence_length": plan["sequence_length"],
        "global_batch_size": plan["global_batch_size"],
        "precision": plan["precision"],
        # Plans written before it could be asked for lack the key.
        "attention": "inside documents" if plan.get("mask_documents") else "through sequences",
        "design": plan["design"],
    }
    replay = {
        "order": sweep.replay["order"],
        "starts after": f"{float(Fraction(sweep.replay['offset'])):.3g} of what was seen",
        "accounting": sweep.replay["accounting"].replace("_", " "),
    }
    return {
        "Model": tables.pairs(plan["model"].items()),
        "Training": tables.pairs(training.items()),
        "Replay": tables.pairs(replay.items()),
        "Environment": tables.pairs(plan["environment"].items()),
    }
