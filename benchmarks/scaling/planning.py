"""How long a plan of hundreds and of thousands of trials takes, with its data packed."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.scaling.sweep import write
from sweeps.agenda import agenda
from sweeps.prepare import prepare, write_plan
from sweeps.store import find, tree_of
from sweeps.sweep_file import load

SIZES = (300, 3000)


def planning(folder: Path) -> Iterator[str]:
    """Lines of a table.

    Args:
        folder: Made.
    """
    yield "| | " + " | ".join(f"{size:,} trials" for size in SIZES) + " |"
    yield "|---" * (1 + len(SIZES)) + "|"
    found = [_seconds(folder / str(size), size) for size in SIZES]
    for name in found[0]:
        yield f"| {name}, s | " + " | ".join(f"{one[name]:.2f}" for one in found) + " |"


def _seconds(folder: Path, trials: int) -> dict[str, float]:
    folder.mkdir(parents=True)
    spec, submitted = load(write(folder, str(folder / "results"), trials), [])
    tree = tree_of(spec)
    prepare(spec, tree, lambda text: None)  # packs the data
    times = [time.perf_counter()]
    plan = prepare(spec, tree, lambda text: None)
    times.append(time.perf_counter())
    write_plan(plan, submitted, tree)
    times.append(time.perf_counter())
    agenda(plan, find(plan, tree))
    times.append(time.perf_counter())
    names = ("planned", "`plan.json` written", "what exists, and the agenda")
    spans = itertools.pairwise(times)
    return {name: end - begin for name, (begin, end) in zip(names, spans, strict=True)}
