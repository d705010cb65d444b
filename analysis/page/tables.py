"""The report's tables: from data frames to cells with a text, a value to sort by, and a role."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import labels
from analysis.dips import newest_role
from analysis.drawing import theme
from analysis.load import PENDING, Sweep
from analysis.measures import loss_names, measure_names
from analysis.settings import agrees
from cpt.records import StatusWord

Row = Mapping[Any, Any] | pd.Series


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: What is shown.
        order: What the column is sorted by; empty where there is nothing.
        note: A second, quieter line.
        role: Classes for the style sheet, e.g. `quiet` or `status failed`.
    """

    text: str
    order: str | float = ""
    note: str = ""
    role: str = ""


@dataclass(frozen=True)
class Table:
    """A table: headings, whether each column holds numbers, and rows of (class, cells).

    `notes` are second, quieter lines of the headings, one each, or none at all; `settings` the
    setting that each row is about (empty: of none), or none at all, by which a row is highlighted.
    """

    headings: list[str]
    numeric: list[bool]
    rows: list[tuple[str, list[Cell]]]
    notes: Sequence[str] = ()
    settings: Sequence[str] = ()


def number(text: str, value: Any, role: str = "") -> Cell:
    """A cell that sorts by a number; NaN sorts last."""
    return Cell(text, "" if value is None or pd.isna(value) else float(value), role=role)


def trials_table(
    sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame, center: Mapping[str, Any]
) -> Table:
    """Every trial: its factors, status and measures, and its difference to the centre's trial."""
    axes = [*center, *(["seed"] if trials["seed"].nunique() > 1 else [])]
    central = trials[trials["setting"].isin(settings.index) & _is_central(trials, center)]
    central = central.drop_duplicates("seed").set_index("seed")
    references = {name: central[name].to_dict() for name in ("forgetting", "adaptation")}
    rows = []
    for trial in trials.to_dict("records"):
        cells = [Cell(trial["trial"], trial["trial"], note=_unfinished(trial))]
        cells += [_value(axis, _kind(trial, axis), center) for axis in axes]
        cells += [
            number(labels.loss(trial[measure]), trial[measure])
            for measure in [*loss_names(sweep.roles), "mean_loss"]
        ]
        for measure in ("forgetting", "adaptation"):
            difference = trial[measure] - references[measure].get(trial["seed"], float("nan"))
            cells.append(number(_signed(measure)(trial[measure]), trial[measure], "strong"))
            cells.append(number(labels.change(difference), difference, "quiet"))
        rows.append((_row_role(trial), cells))
    losses = _loss_headings(sweep)
    headings = ["trial", *map(labels.axis_label, axes), *losses]
    against = f"vs {labels.center_name(sweep)}"
    headings += ["forgetting", against, "adaptation", against]
    ordered = [theme.is_numeric(sweep.plan["axes"][axis]) for axis in axes]
    numeric = [False, *ordered, *(True for _ in [*losses, *range(4)])]
    return Table(headings, numeric, rows, settings=list(trials["setting"]))


def settings_summary(sweep: Sweep, settings: pd.DataFrame, center: Mapping[str, Any]) -> Table:
    """Means over seeds with the half width of their 95% interval."""
    rows = []
    for setting in settings.to_dict("records"):
        name = labels.setting_label(sweep, setting, center)
        cells = [Cell(name, name), number(str(setting["seeds"]), setting["seeds"])]
        for measure in measure_names(sweep.roles):
            cells.append(_with_half_width(setting, measure, _signed(measure)))
            if measure in ("forgetting", "adaptation"):
                cells.append(_with_half_width(setting, f"{measure}_change", labels.change))
        rows.append((_row_role(setting), cells))
    against = f"vs {labels.center_name(sweep)}"
    headings = ["setting", "seeds", *_loss_headings(sweep)]
    headings += ["forgetting", against, "adaptation", against]
    numeric = [False, *(True for _ in headings[1:])]
    return Table(headings, numeric, rows, settings=list(settings.index))


def dip_summary(
    sweep: Sweep, dips: pd.DataFrame, trials: pd.DataFrame, center: Mapping[str, Any]
) -> Table:
    """How far losses rose after step 0 of the last stage, and when the newest loss was back."""
    rows = []
    known = dips.join(trials.set_index("trial"), on="trial")
    for _, dip in known.iterrows():
        name = labels.setting_label(sweep, dip.to_dict(), center)
        seed = f"seed {dip['seed']}" if trials["seed"].nunique() > 1 else ""
        recovered = dip[f"{newest_role(sweep)}_recovered_tokens"]
        if recovered == 0:
            back = "never rose"
        elif pd.isna(recovered):
            back = "not yet"
        else:
            back = labels.amount(recovered)
        cells = [
            Cell(name, name, note=seed),
            *(
                number(labels.change(dip[f"{role}_rise"]), dip[f"{role}_rise"])
                for role in sweep.roles
            ),
            number(back, recovered),
        ]
        rows.append((_row_role(dip), cells))
    rises = [f"largest rise of {role.upper()} loss" for role in sweep.roles]
    headings = ["trial", *rises, f"{newest_role(sweep).upper()} back after"]
    numeric = [False, *(True for _ in headings[1:])]
    return Table(headings, numeric, rows, settings=list(known["setting"]))


def states_table(sweep: Sweep) -> Table:
    """Every training state: its id, where it starts, what it trained itself and how fast."""
    planned = {state["state"]: state for state in sweep.plan["states"]}
    first = sweep.train["state"].map(sweep.states["first_step"])
    groups = sweep.train[sweep.train["step"] > first].groupby("state")
    speed = groups["tokens_per_second"].median()
    clock = sweep.train.groupby("state")["elapsed_seconds"]
    before = sweep.train[sweep.train["step"] <= first].groupby("state")["elapsed_seconds"].max()
    seconds = clock.max() - before.reindex(clock.max().index).fillna(0)
    rows = []
    for name, state in zip(sweep.states.index, sweep.states.to_dict("records"), strict=True):
        plan = planned[str(name)]
        sources = ", ".join(
            f"{source} {labels.amount(count)}" for source, count in plan["source_tokens"].items()
        )
        rate, time = speed.get(name, float("nan")), seconds.get(name, float("nan"))
        cells = [
            Cell(str(name), str(name), note=_origin(state)),
            Cell(state["label"], state["label"], note=_kind_of_state(state)),
            _status(state),
            number(labels.amount(state["tokens"]), state["tokens"]),
            Cell(sources),
            number(f"{plan['flops']:.2e}", plan["flops"]),
            number(labels.amount(rate), rate),
            number(labels.duration(time), time),
        ]
        rows.append(("", cells))
    headings = ["state", "label", "status", "tokens", "of which", "FLOPs", "tokens/s", "time"]
    return Table(headings, [False, False, False, True, False, True, True, True], rows)


def _origin(state: Row) -> str:
    """What a state's weights come from."""
    if state["base"]:
        return f"goes on from {state['base']} at step {state['first_step']:,}"
    return f"from {state['parent']}" if state["parent"] else ""


def _kind_of_state(state: Row) -> str:
    stage = str(state["stage"]).replace("_", " ")
    return stage if state["ends_stage"] else f"{stage}, shared beginning"


def _loss_headings(sweep: Sweep) -> list[str]:
    return [*(f"{role.upper()} loss" for role in sweep.roles), "mean"]


def pairs(items: Iterable[tuple[str, Any]]) -> list[tuple[str, str]]:
    """Names and values as text, for a list of facts."""
    return [(name.replace("_", " "), _plain(value)) for name, value in items if value is not None]


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_central(trials: pd.DataFrame, center: Mapping[str, Any]) -> pd.Series:
    central = trials["baseline"] == ""
    for axis, value in center.items():
        central &= agrees(trials[axis], value)
    return central


def _kind(trial: Row, axis: str) -> Any:
    """A factor; of a baseline's schedule only the kind, since its rate and warm-up stand beside."""
    value = trial[axis]
    return value.partition("(")[0] if trial["baseline"] and isinstance(value, str) else value


def _value(axis: str, value: Any, center: Mapping[str, Any]) -> Cell:
    quiet = pd.isna(value) or (axis in center and value == center[axis]) or axis == "seed"
    order = value if isinstance(value, int | float) else str(value)
    return Cell(labels.value_label(axis, value), order, role="quiet" if quiet else "strong")


def _status(row: Row) -> Cell:
    status = str(row["status"])
    return Cell(status, status, note=_progress(row), role=f"status {status}")


def _unfinished(row: Row) -> str:
    """Status, progress and reason of a trial that has no measures; empty for one that has."""
    if row["status"] == StatusWord.COMPLETE:
        return f"complete, without measures: {row['reason']}" if row["reason"] else ""
    return ": ".join(filter(None, [row["status"], _progress(row)]))


def _progress(row: Row) -> str:
    """How far it came, and why it is no further."""
    begun = row["step"] > 0 and row["status"] not in (StatusWord.COMPLETE, PENDING)
    share = f"step {row['step']} of {row['steps']}" if begun else ""
    return ", ".join(filter(None, [share, row["reason"]]))


def _signed(measure: str) -> Any:
    return labels.change if measure == "forgetting" else labels.loss


def _with_half_width(row: Row, name: str, write: Any) -> Cell:
    half = row[f"{name}_high"] - row[name]
    note = "" if pd.isna(half) else f"± {half:.3f}"
    value = row[name]
    return Cell(write(value), "" if pd.isna(value) else float(value), note=note)


def _row_role(row: Row) -> str:
    roles = ["baseline" if row["baseline"] else "", "center" if row["center"] else ""]
    roles.append(str(row.get("status", "")))
    return " ".join(filter(None, roles))
