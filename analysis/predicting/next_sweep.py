"""The next trials as a sweep file: the sweep's own, with a list of trials as its design."""

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from analysis import labels
from analysis.load import Sweep
from analysis.predicting.courses import DIALS, submitted
from analysis.settings import anchor
from cpt.parsing import ConfigError

OF_OTHER_DESIGNS = ("points", "design_seed", "trials", "baselines")
LONGEST_STEM = 80
"""Of a name that gets a number; a sweep's name may be longer, a folder's not by much."""


def next_sweep(sweep: Sweep, proposals: pd.DataFrame) -> tuple[str, str]:
    """A sweep file that trains proposals and nothing else, in the same result tree.

    Pre-training and evaluation stay as they were, so the same state serves, and so do the seeds.
    Baselines and axes are left out: the first were run, the second a list has not.

    Args:
        sweep: With one stage after pre-training.
        proposals: As `proposals.propose` returns them.

    Returns:
        The file as YAML, and why there is none, as a sentence without a full stop; one of them
        empty.
    """
    try:
        content = submitted(sweep)
    except ConfigError as error:
        return "", f"the sweep file cannot be read: {error}"
    if content is None:
        return "", "the sweep file as submitted (sweep.yaml) is missing"
    stage = content.get("downstream")
    if isinstance(stage, list):
        if len(stage) != 1:
            return "", f"the sweep has {len(stage)} stages, and proposals are for one"
        stage = stage[0]
    if not isinstance(stage, dict):
        return "", "the sweep file as submitted names no stage after pre-training"
    seeds = (content.get("axes") or {}).get("seed")
    kept = {name: value for name, value in content.items() if name not in OF_OTHER_DESIGNS}
    kept |= {
        "name": _free_name(sweep),
        # What one stage has of its own stands in the centre and the trials now.
        "downstream": {
            name: value
            for name, value in stage.items()
            if name not in ("axes", "center", "budgets")
        },
        "axes": {} if seeds is None else {"seed": seeds},
        "design": "list",
        "center": _center(sweep, content, stage),
        "trials": [
            {"name": f"proposal-{number}"}
            | {"max_lr": float(row["peak"]), "replay_fraction": float(row["replay"])}
            for number, row in enumerate(proposals.to_dict("records"), 1)
        ],
    }
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True), ""


def _free_name(sweep: Sweep) -> str:
    """`<name>-next`, or with the first number that no sweep of the tree has."""
    stem = f"{str(sweep.plan['name'])[:LONGEST_STEM]}-next"
    folder: Path = sweep.folder.resolve().parent
    names = [stem, *(f"{stem}-{number}" for number in range(2, 1000))]
    return next(name for name in names if not (folder / name).exists())


def _center(sweep: Sweep, content: dict[str, Any], stage: dict[str, Any]) -> dict[str, Any]:
    """What the trials do not say: the file's centre, and where it says nothing the reference."""
    center = dict(content.get("center") or {}) | dict(stage.get("center") or {})
    for axis, value in anchor(sweep).items():
        name = labels.factor(axis)
        if name in DIALS or value is None or name == "token_budget":
            continue
        center[name] = _shape(value) if name == "schedule" else value
    return center


def _shape(label: str) -> Any:
    """A schedule as a sweep file writes it: `wsd(decay_fraction=0.1)` as a mapping."""
    kind, _, fields = label.rstrip(")").partition("(")
    if not fields:
        return kind
    pairs = (field.partition("=") for field in fields.split(","))
    return {"type": kind} | {name: float(value) for name, _, value in pairs}
