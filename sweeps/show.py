"""What the terminal shows of a plan and of a sweep's folder."""

from collections import Counter
from typing import Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from cpt.config import RunConfig
from cpt.records import ResultTree, StatusWord, SweepDir, read_json
from sweeps.plan import Plan
from sweeps.tree import State


def counted(number: int, noun: str) -> str:
    """`1 state`, `12 states`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def plan(planned: Plan) -> RenderableType:
    """Trials, the tree of states, the rate at every join, tokens three ways, FLOPs."""
    spec = planned.spec
    tokens = planned.tokens()
    model = planned.model.num_parameters
    flops = sum(state.tokens * planned.flops_per_token for state in planned.states.values())
    summary = Table.grid(padding=(0, 2))
    summary.add_column()
    summary.add_column(justify="right")
    for name, value in (
        ("trials", f"{len(planned.trials):,}"),
        ("states", f"{len(planned.states):,}"),
        ("model parameters", f"{model:,}"),
        ("tokens, every trial alone from random weights", f"{tokens['alone']:,}"),
        ("tokens, pre-training once per seed", f"{tokens['pretrained_once']:,}"),
        ("tokens, as planned", f"{tokens['planned']:,}"),
        ("training FLOPs, as planned", f"{flops:.3g}"),
    ):
        summary.add_row(name, value)
    return Group(
        Text(f"{spec.name}: {' → '.join(spec.stage_datasets)}", style="bold"),
        _data(planned),
        _trials(planned),
        _tree(planned),
        summary,
    )


def _data(planned: Plan) -> Table:
    table = Table(box=None, pad_edge=False, title="data", title_justify="left")
    for heading in ("data set", "documents", "train tokens", "bytes/token", "validation tokens"):
        table.add_column(heading, justify="left" if heading == "data set" else "right")
    for name, facts in planned.datasets.items():
        train = facts.train
        table.add_row(
            name,
            f"{train.documents:,}",
            f"{train.tokens:,}",
            f"{train.bytes / train.tokens:.2f}",
            f"{facts.validation.tokens:,}",
        )
    return table


def _trials(planned: Plan) -> Table:
    """Every trial; `lr` is the rate of the first update, the peak and the end."""
    table = Table(box=None, pad_edge=False, title="trials", title_justify="left")
    headings = ("trial", "lr first → peak → end", "warm-up steps", "replay", "D1 tokens", "steps")
    for heading in headings:
        justify: Literal["left", "right"] = "left" if heading == "trial" else "right"
        # Where the terminal is narrow a label goes on below, for its end tells trials apart.
        whole = heading.startswith("lr")
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=whole)
    for trial in planned.trials:
        state = planned.states[trial.states[-1]]
        replay = trial.factors["replay_fraction"]
        table.add_row(
            trial.label,
            _rates(state.config),
            f"{state.config.schedule.warmup_fraction * state.config.end_step:g}",
            "" if replay is None else f"{replay:g}",
            f"{_source_tokens(state, planned.spec.stage_datasets[-1]):,}",
            f"{state.config.end_step:,}",
        )
    return table


def _rates(config: RunConfig) -> str:
    pieces = config.pieces()
    peak = max(rate for piece in pieces for rate in (piece.start_lr, piece.end_lr))
    return f"{config.lr(0):.3g} → {peak:.3g} → {pieces[-1].end_lr:.3g}"


def _source_tokens(state: State, dataset: str) -> int:
    config = state.config
    return sum(
        samples * config.sequence_length
        for source, samples in zip(config.stream, config.source_samples(), strict=True)
        if source.name == dataset
    )


def _tree(planned: Plan) -> Tree:
    """Which state is trained from which; the rates on both sides of each join."""
    root = Tree("states, each trained once")
    places: dict[str | None, Tree] = {None: root}
    for state in planned.states.values():
        config = state.config
        join = ""
        if config.parent is not None:
            parent = planned.states[config.parent].config
            ended = parent.pieces()[-1].end_lr
            join = f", lr {ended:.3g} ⟶ {config.lr(0):.3g}"
        places[state.id] = places[config.parent].add(
            Text(f"{config.label} · {config.token_budget:,} tokens{join} · {state.id}")
        )
    return root


def status(sweep: SweepDir) -> RenderableType:
    """What is complete, running, failed, and what is left; from the files alone."""
    plan_json = read_json(sweep.plan)
    tree = ResultTree(sweep.path.resolve().parent.parent)
    table = Table(box=None, pad_edge=False)
    for heading in ("state", "status", "step", "reason"):
        table.add_column(heading, justify="right" if heading == "step" else "left")
    words: Counter[str] = Counter()
    tokens_left = 0
    for planned in plan_json["states"]:
        found = tree.state(planned["state"]).read_status()
        word = "pending" if found is None else str(found.status)
        step = 0 if found is None else found.step
        words[word] += 1
        if word in ("pending", StatusWord.RUNNING):
            tokens_left += planned["tokens"] * (planned["steps"] - step) // planned["steps"]
        table.add_row(
            planned["label"], word, f"{step:,}/{planned['steps']:,}", found.reason if found else ""
        )
    name = plan_json["name"]
    return Group(table, Text(f"{name}: {_listed(words)}; {tokens_left:,} tokens left to train"))


def _listed(words: Counter[str]) -> str:
    order = (*(str(word) for word in StatusWord), "pending")
    return ", ".join(f"{words[word]} {word}" for word in order if words[word])
