"""What `rewarm plan` says of the data: sizes, how often they are read, what is odd about them."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Literal

from rich.table import Table

from sweeps import words
from sweeps.epochs import Epochs
from sweeps.facts import DatasetFacts, SplitFacts
from sweeps.plan import Plan


def headed_table(title: str, *headings: str) -> Table:
    """A table without lines; the first column is words, the others are numbers."""
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for number, heading in enumerate(headings):
        justify: Literal["left", "right"] = "right" if number else "left"
        # Where the terminal is narrow a label goes on below, for its end tells trials apart.
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=bool(number))
    return table


def data_table(plan: Plan) -> Table:
    """What each stage reads, and how often the trials read it over: the least and the most.

    Under a data set of several sources each has a row of its own, with its share.
    """
    spec, epochs = plan.spec, Epochs(plan).ranges()
    trained = spec.upstream.token_budget if spec.checkpoint is None else 0
    budgets = [trained or 0, *(stage.token_budget for stage in spec.stages)]
    every = plan.datasets.values()
    mixed = any(any(facts.sources) for facts in every)
    columns = ["name", "role,\nshare" if mixed else "role", "stage\nsteps", "train\ntokens"]
    columns += ["epochs"]
    read = any(facts.bytes for facts in every)
    # Sources have rows of their own; what needs a column is that there are domains inside one.
    sources = [source for facts in every for source in facts.sources.values()]
    inside = any(map(_domains, sources if mixed else every))
    if read:
        columns += ["documents", "bytes\n/token", *(["domains"] if inside else []), "held\nout"]

    def sizes(facts: DatasetFacts | SplitFacts, held_out: str) -> list[str]:
        domains = [str(_domains(facts) or "")] if inside else []
        density = f"{facts.bytes / facts.tokens:.2f}"
        return [f"{facts.documents:,}", density, *domains, held_out] if read else []

    table = headed_table("data", *columns)
    for number, name in enumerate(spec.stage_datasets):
        facts = plan.datasets[name]
        table.add_row(
            name,
            f"D{number}",
            f"{spec.steps(budgets[number]):,}",
            words.quantity(facts.tokens),
            _range(*epochs[name]),
            *sizes(facts, words.quantity(facts.validation.tokens)),
        )
        for part, source in facts.sources.items() if any(facts.sources) else ():
            table.add_row(
                f"  {part}",
                f"{float(facts.weights[part]):.2%}",
                "",
                words.quantity(source.tokens),
                _range(*epochs[f"{name}/{part}"]),
                *sizes(source, ""),
            )
    return table


def data_remarks(plan: Plan) -> Iterator[str]:
    """A sentence for each thing about the data that a table does not show."""
    spec = plan.spec
    d0 = spec.upstream.dataset
    if spec.stand_in:
        yield (
            f"{d0} is a stand-in, not what {spec.checkpoint} was trained on: forgetting is "
            "measured on it, and replay reads it."
        )
    for name, facts in plan.datasets.items():
        empty = facts.validation.empty + sum(source.empty for source in facts.sources.values())
        if empty:
            yield f"{name}: {words.counted(empty, 'document')} without text left out."
        for other, count in facts.shared.items():
            if count:
                yield (
                    f"{name}: {count:,} of {facts.validation.documents:,} held-out documents "
                    f"stand in the training data of {other} too."
                )
    if told := _replay(plan):
        yield f"replay: {told}."


def _replay(plan: Plan) -> str:
    """How replay differs from the paper's; empty where it does not."""
    replay = plan.spec.replay
    told = ["reshuffled"] if replay.order == "reshuffled" else []
    if replay.offset:
        told.append(f"starts after {_share(replay.offset)} of what was seen")
    if replay.accounting == "additive":
        told.append("additive, so stages are longer by their replay and budgets count new tokens")
    return "; ".join(told)


def _share(value: Fraction) -> str:
    return f"{float(value):.3g}"


def _domains(facts: DatasetFacts | SplitFacts) -> int:
    """How many domains the training text names; of several sources, those that are measured."""
    if isinstance(facts, SplitFacts):
        return len(facts.domain_tokens)
    one = facts.sources.get("")
    return len((one or facts.validation).domain_tokens)


def _range(least: float, most: float) -> str:
    low, high = f"{least:.3g}", f"{most:.3g}"
    return low if low == high else f"{low}..{high}"
