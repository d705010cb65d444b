"""Rewarm's trainings beside those of others, as Markdown tables."""

import math
import statistics
from collections.abc import Sequence

from contest import Contender, Training

from cpt.config import RunConfig

LOSS_TOLERANCE = 0.02
"""Nats between the final losses of two contenders."""


class Report:
    """Comparisons of rewarm with others, and what went wrong in them."""

    def __init__(self) -> None:
        self._rows: list[Sequence[str]] = []
        self._compiled: list[Sequence[str]] = []
        self.faults: list[str] = []

    def compare(
        self,
        shape: str,
        config: RunConfig,
        ours: tuple[Contender, Sequence[Training]],
        theirs: tuple[Contender, Sequence[Training]],
        target: float,
    ) -> None:
        """Adds a row, and a fault where they did not train the same."""
        (us, mine), (them, other) = ours, theirs
        ratio, least, most = faster(mine, other)
        losses = [trainings[-1].final_loss for trainings in (mine, other)]
        self._rows.append(
            (
                shape,
                f"{us.name} / {them.name}",
                *(f"{tokens_per_second(trainings, config):,.0f}" for trainings in (mine, other)),
                f"{ratio:.2f} ({least:.2f} to {most:.2f})",
                f"at least {target:g}: {'met' if ratio >= target else 'missed'}",
                " / ".join(f"{loss:.4f}" for loss in losses),
            )
        )
        gap = disagreement(mine, other)
        if gap > LOSS_TOLERANCE:
            self.faults.append(
                f"{shape}: the final losses of {us.name} and {them.name} are {gap:.4f} nats "
                f"apart; at most {LOSS_TOLERANCE} says that they train the same"
            )

    def first_updates(self, shape: str, contender: Contender, took: Sequence[Training]) -> None:
        """Adds what compiling costs: the first round finds nothing compiled, the others do."""
        warm = [f"{one.first_seconds:.1f}" for one in took[1:]] or ["not run"]
        row = shape, contender.name, f"{took[0].first_seconds:.1f}", ", ".join(warm)
        self._compiled.append(row)

    def show(self) -> None:
        """Prints both tables."""
        if not self._rows:
            return
        print_table(
            "shape | trainers | tokens/s | tokens/s | ratio | target | final losses", self._rows
        )
        print_table("shape | first update of | cold, s | compiled before, s", self._compiled)


def faster(ours: Sequence[Training], theirs: Sequence[Training]) -> tuple[float, float, float]:
    """How many times as many steps a second: by the medians, and the least and most of a round."""
    rounds = [other.seconds / one.seconds for one, other in zip(ours, theirs, strict=True)]
    medians = _median_seconds(theirs) / _median_seconds(ours)
    return medians, min(rounds), max(rounds)


def tokens_per_second(trainings: Sequence[Training], config: RunConfig) -> float:
    """By the median of the rounds."""
    return trainings[0].steps * config.tokens_per_step / _median_seconds(trainings)


def disagreement(one: Sequence[Training], other: Sequence[Training]) -> float:
    """The largest difference of final losses in a round, nats; infinite where one is not finite."""
    gaps = [abs(a.final_loss - b.final_loss) for a, b in zip(one, other, strict=True)]
    return max(gap if math.isfinite(gap) else math.inf for gap in gaps)


def print_table(header: str, rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table."""
    print(f"\n| {header} |\n|{'---|' * (header.count('|') + 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def _median_seconds(trainings: Sequence[Training]) -> float:
    return statistics.median(one.seconds for one in trainings)
