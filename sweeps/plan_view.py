"""What `rewarm plan` prints: the data, the trials, the tree of states, the costs."""

import re
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cpt.config import RunConfig
from sweeps import words
from sweeps.cost import Costs
from sweeps.cost_view import cost_table, remarks
from sweeps.data_view import data_remarks, data_table, headed_table
from sweeps.design import center
from sweeps.factors import plain, scoped
from sweeps.forest import without_seed
from sweeps.plan import Plan, Trial
from sweeps.tree_view import tree_table

MOST_ROWS = 40
"""Where there are more settings, the axes stand for the trials."""


def plan_page(plan: Plan, costs: Costs, width: int, *, whole: bool = False) -> RenderableType:
    """Everything that a person reads before a sweep is paid for.

    Args:
        plan: What would be trained.
        costs: What it costs.
        width: Columns of the terminal.
        whole: Whether to list every trial and state, however many.
    """
    listed = whole or len(_by_setting(plan)) <= MOST_ROWS
    return Group(
        _heading(plan),
        Text(),
        data_table(plan),
        *map(Text, data_remarks(plan)),
        Text(),
        _trials(plan, width) if listed else _axes(plan),
        Text(),
        tree_table(plan, width, whole=whole),
        Text(),
        cost_table(costs),
        *map(Text, remarks(plan, costs.tariff)),
    )


def _heading(plan: Plan) -> Text:
    spec = plan.spec
    masked = ", attention inside documents" if spec.mask_documents else ""
    return Text.assemble(
        (f"{spec.name}: {' → '.join(spec.stage_datasets)}", "bold"),
        f"\n{plan.model.num_parameters:,} parameters, {spec.precision}; "
        f"{spec.global_batch_size:,} x {spec.sequence_length:,} = {spec.tokens_per_step:,} "
        f"tokens a step{masked}",
    )


def _trials(plan: Plan, width: int) -> Table:
    """Every setting; rates, replay, tokens and steps are those of its last stage."""
    settings = _by_setting(plan)
    title = words.counted(len(plan.trials), "trial")
    if len(settings) < len(plan.trials):
        seeds = words.counted(len(plan.spec.seeds), "seed")
        title += f": {words.counted(len(settings), 'setting')} x {seeds}"
    if len(plan.spec.stages) > 1:
        title += f"; figures of the last stage, on {plan.spec.stage_datasets[-1]}"
    headings = ("lr first → peak → end", "warm-up\nsteps", "replay", "new\ntokens", "steps")
    rows = [_trial_cells(plan, trial) for trial in settings.values()]
    taken = sum(
        2 + max(map(len, [*heading.split("\n"), *cells]))
        for heading, cells in zip(headings, zip(*rows, strict=True), strict=True)
    )
    table = headed_table(title, "trial", *headings)
    for label, row in zip(settings, rows, strict=True):
        table.add_row(_broken(label, max(width - taken, 20)), *row)
    return table


def _by_setting(plan: Plan) -> dict[str, Trial]:
    """For each setting its first trial, which stands for all: seeds share rates and budgets."""
    settings: dict[str, Trial] = {}
    for trial in plan.trials:
        settings.setdefault(without_seed(trial.label, trial.factors["seed"]), trial)
    return settings


def _trial_cells(plan: Plan, trial: Trial) -> list[str]:
    config, replay = plan.states[trial.states[-1]].config, _replay(plan, trial)
    warmup = config.schedule.warmup_steps(config.total_steps)
    return [
        _rates(config),
        f"{warmup:,.6g}",
        "" if replay is None else f"{replay:g}",
        words.quantity(_new_tokens(plan, trial)),
        f"{config.end_step:,}",
    ]


def _broken(label: str, room: int) -> str:
    """A label on several rows, broken after commas only."""
    rows = [""]
    for part in re.split(r"(?<=,)", label):
        if rows[-1] and len(rows[-1]) + len(part) > room:
            rows.append(" ")
        rows[-1] += part
    return "\n".join(rows)


def _rates(config: RunConfig) -> str:
    """The first rate, the peak and the last; one where they are the same throughout."""
    pieces = config.pieces()
    peak = max(rate for piece in pieces for rate in (piece.start_lr, piece.end_lr))
    rates = list(map(words.rate, (config.lr(0), peak, pieces[-1].end_lr)))
    return " → ".join(rates if len(set(rates)) > 1 else rates[:1])


def _replay(plan: Plan, trial: Trial) -> Any:
    own = scoped(plan.spec.stage_datasets[-1], "replay_fraction")
    return trial.factors.get(own, trial.factors["replay_fraction"])


def _new_tokens(plan: Plan, trial: Trial) -> int:
    """Tokens of the last stage's own data set, what replay leaves of the budget."""
    config = plan.states[trial.states[-1]].config
    return sum(
        samples * config.sequence_length
        for source, samples in zip(config.stream, config.source_samples(), strict=True)
        if source.name == plan.spec.stage_datasets[-1]
    )


def _axes(plan: Plan) -> Table:
    """The axes, where there are too many trials to list."""
    compared = [trial for trial in plan.trials if trial.baseline is None]
    baselines = list(dict.fromkeys(trial.baseline for trial in plan.trials if trial.baseline))
    table = Table(box=None, pad_edge=False, title_justify="left")
    table.title = (
        f"{words.counted(len(plan.trials), 'trial')}, {plan.spec.design}; --all lists each"
    )
    table.add_column("axis")
    table.add_column("values", overflow="fold")
    middle = {} if plan.spec.design == "grid" else center(plan.spec)
    if middle:
        table.add_column("centre")
    for name in compared[0].factors:
        values = list(dict.fromkeys(trial.factors[name] for trial in compared))
        if len(values) > 1:
            at_centre = [_shown(plain(middle.get(name, "")))] if middle else []
            table.add_row(name, _listed(values), *at_centre)
    if baselines:
        table.add_row("baselines", ", ".join(baselines))
    return table


def _listed(values: Sequence[Any]) -> str:
    if any(isinstance(value, str) for value in values):
        return ", ".join(map(_shown, values))
    shown = list(map(_shown, sorted(value for value in values if value is not None)))
    return ", ".join(shown) if len(shown) <= 12 else f"{len(shown)} from {shown[0]} to {shown[-1]}"


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
