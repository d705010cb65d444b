"""The same at another size: arithmetic on what was measured, each number with its formula."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.scaling.sweep import SAVE_EVERY, STEPS

PART_BYTES = 10 * 2**20
"""An upload in parts: pyarrow's; 1 GiB took 103 PUT, 64 MiB 7."""
PIECE_BYTES = 8 * 2**20
"""A read: `cpt.object_store.PIECE_BYTES`."""
ROWS_SECONDS = 30.0
"""`cpt.object_mirror.ROWS_EVERY_SECONDS`."""
LOOK_SECONDS = 3.0
"""`sweeps.following.LOOK_EVERY_SECONDS`."""
ROW_FILES = 3
WRITES_A_SECOND, READS_A_SECOND = 3500, 5500
"""What S3 promises for each prefix."""
WRITING = ("PUT", "PARTS", "COPY", "DELETE")
READING = ("GET", "HEAD", "LIST")


@dataclass(frozen=True)
class Size:
    """What is asked about; the defaults are 1,000 GPUs.

    Attributes:
        trials: Of the sweep.
        nodes: Beside the head.
        at_once: States.
        workers: Of a state, a file of each checkpoint each.
        state_seconds: That a state is trained.
        checkpoint_seconds: From one to the next.
        checkpoint_bytes: Weights and both moments of AdamW in fp32: 12 bytes a parameter.
    """

    trials: int = 500
    nodes: int = 125
    at_once: int = 125
    workers: int = 8
    state_seconds: float = 7200.0
    checkpoint_seconds: float = 600.0
    checkpoint_bytes: float = 12e9


@dataclass(frozen=True)
class Row:
    """A number.

    Attributes:
        name: What it counts.
        formula: How it came from what was measured.
        value: At that size.
        limit: What it must stay under; None: nothing is known.
    """

    name: str
    formula: str
    value: float
    limit: float | None = None


def store_rows(alone: Mapping[str, Counter[str]], size: Size) -> Iterator[Row]:
    """What the store is asked in a second.

    Args:
        alone: As `benchmarks.scaling.alone.steps` counts it.
        size: Of the cluster.
    """
    save, state = alone["checkpoint"], alone["state"]
    look, again = alone["look"], alone["look again"]
    saving, saved = _sum(save, WRITING), STEPS // SAVE_EVERY
    parts = size.checkpoint_bytes / PART_BYTES
    rest = max(_sum(state, WRITING) - saved * saving, 0.0)
    yield Row(
        "writes of trainings a second",
        f"{size.at_once} x (({saving:.1f} + {size.workers - 1} files + {parts:.0f} parts) / "
        f"{size.checkpoint_seconds:g} s + {ROW_FILES} / {ROWS_SECONDS:g} s + {rest:.0f} / "
        f"{size.state_seconds:g} s)",
        size.at_once
        * (
            (saving + size.workers - 1 + parts) / size.checkpoint_seconds
            + ROW_FILES / ROWS_SECONDS
            + rest / size.state_seconds
        ),
        WRITES_A_SECOND,
    )
    saving = _sum(save, READING)
    pieces, rest = size.checkpoint_bytes / PIECE_BYTES, _sum(state, READING) - saved * saving
    yield Row(
        "reads of trainings a second",
        f"{size.at_once} x ({saving:.1f} / {size.checkpoint_seconds:g} s + ({rest:.0f} + "
        f"{pieces:.0f} pieces) / {size.state_seconds:g} s)",
        size.at_once * (saving / size.checkpoint_seconds + (rest + pieces) / size.state_seconds),
        READS_A_SECOND,
    )
    nothing, news = _sum(again, READING), 2 * ROW_FILES
    yield Row(
        "reads of the driver a second, to follow",
        f"{size.at_once} x ({nothing:.0f} / {LOOK_SECONDS:g} s + {news} / {ROWS_SECONDS:g} s)",
        size.at_once * (nothing / LOOK_SECONDS + news / ROWS_SECONDS),
        READS_A_SECOND,
    )
    yield Row(
        "reads of the driver a second, of ended states",
        f"{size.at_once} x {_sum(look, READING):.0f} / {size.state_seconds:g} s",
        size.at_once * _sum(look, READING) / size.state_seconds,
        READS_A_SECOND,
    )


def head_rows(
    fixed: float, a_node: float, a_state: float, a_group: float, size: Size
) -> Iterator[Row]:
    """What the memory of the head is asked for, in bytes.

    Args:
        fixed: Head and driver without nodes and states.
        a_node: More for each node.
        a_state: More for each state.
        a_group: Its processes on the head; 0 where states have one worker.
        size: Of the cluster.
    """
    yield Row(
        "memory of the head, GB, states of one worker",
        f"{fixed / 1e9:.2f} + {size.nodes} x {a_node / 1e6:.2f} MB + {size.trials} x "
        f"{a_state / 1e3:.0f} kB",
        (fixed + size.nodes * a_node + size.trials * a_state) / 1e9,
    )
    if a_group:
        yield Row(
            "and of groups, GB",
            f"{size.at_once} x {a_group / 1e6:.0f} MB",
            size.at_once * a_group / 1e9,
        )


def group_rows(share: float, size: Size) -> Iterator[Row]:
    """What the processes of groups ask of the head's processors.

    Args:
        share: Of a core, by those of one group on the head.
        size: Of the cluster.
    """
    yield Row(
        "cores of the head, for groups",
        f"{size.at_once} x {share:.3f}",
        size.at_once * share,
    )


def driver_rows(a_state: float, mean_wait: float, size: Size) -> Iterator[Row]:
    """What Tune's loop is asked for.

    Args:
        a_state: Processor seconds of the driver for each state.
        mean_wait: Of a slot between two states, in seconds.
        size: Of the cluster.
    """
    yield Row(
        "states that end a second",
        f"{size.at_once} / ({size.state_seconds:g} + {mean_wait:.2f}) s",
        size.at_once / (size.state_seconds + mean_wait),
        1 / a_state,
    )
    yield Row(
        "GPUs that wait, of a thousand",
        f"1000 x {mean_wait:.2f} / ({size.state_seconds:g} + {mean_wait:.2f})",
        1000 * mean_wait / (size.state_seconds + mean_wait),
    )


def table(rows: Iterator[Row]) -> Iterator[str]:
    """Lines."""
    yield "| at 1,000 GPUs | formula | is | limit | used |"
    yield "|---|---|---|---|---|"
    for row in rows:
        limit = "" if row.limit is None else f"{row.limit:,.0f}"
        used = "" if row.limit is None else f"{row.value / row.limit:.1%}"
        yield f"| {row.name} | {row.formula} | {row.value:,.3g} | {limit} | {used} |"
    yield ""


def _sum(counts: Mapping[str, float], kinds: tuple[str, ...]) -> float:
    return sum(counts.get(kind, 0) for kind in kinds)
