"""What a state of several workers costs a cluster in processes: its driver's beside its workers.

Really trained, for the processes of a group are Ray Train's and not a stub's.
"""

import itertools
import re
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import psutil

from benchmarks.scaling.watch import EVERY_SECONDS

TRIAL = "TrainsStates"
"""The class of `sweeps.worker` that there is one of for each group."""


@dataclass(frozen=True)
class Kind:
    """Processes of one actor class.

    Attributes:
        most: How many there were at once.
        on_head: How many of these on the head.
        resident: Bytes of the largest of them.
        share: Of a core that one of them uses, the median, in the second half of its life.
    """

    most: int
    on_head: int
    resident: int
    share: float


def weighed(driver: "subprocess.Popen[bytes]", raylets: Sequence[int]) -> dict[str, Kind]:
    """Looks at Ray's worker processes until a driver ends.

    Args:
        driver: Of the sweep.
        raylets: Process ids; that of the head first.

    Raises:
        SystemExit: The driver failed.
    """
    seen: defaultdict[str, list[list[Seen]]] = defaultdict(list)
    while True:
        try:
            driver.wait(EVERY_SECONDS)
        except subprocess.TimeoutExpired:
            for name, found in _look(raylets).items():
                seen[name].append(found)
            continue
        if driver.returncode:
            raise SystemExit(f"the driver of the groups ended with status {driver.returncode}")
        return {name: kind_of(looks) for name, looks in seen.items()}


def on_head(kinds: dict[str, Kind]) -> list[Kind]:
    """Those of which the head has one for each group."""
    groups = kinds[TRIAL].most
    return [kind for kind in kinds.values() if kind.on_head >= groups]


def table(kinds: dict[str, Kind]) -> Iterator[str]:
    """Lines."""
    yield "| process | at once | on the head | MB in memory, the largest | share of a core |"
    yield "|---|---|---|---|---|"
    for name, kind in sorted(kinds.items()):
        yield (
            f"| `{name}` | {kind.most} | {kind.on_head} | {kind.resident / 1e6:.0f} | "
            f"{kind.share:.1%} |"
        )
    yield ""


@dataclass(frozen=True)
class Seen:
    """A process at one moment: seconds of a monotonic clock and of a processor, bytes in memory."""

    pid: int
    is_on_head: bool
    time: float
    processor: float
    resident: int


def _look(raylets: Sequence[int]) -> dict[str, list[Seen]]:
    """By class."""
    found: defaultdict[str, list[Seen]] = defaultdict(list)
    for raylet in raylets:
        for process in psutil.Process(raylet).children():
            try:
                title, memory = " ".join(process.cmdline()), process.memory_full_info().pss
                times = process.cpu_times()
            except (psutil.NoSuchProcess, psutil.AccessDenied):  # it has just ended
                continue
            if name := re.match(r"ray::(?!IDLE)(\w+)", title):
                is_on_head = raylet == raylets[0]
                used = times.user + times.system
                one = Seen(process.pid, is_on_head, time.monotonic(), used, memory)
                found[name[1]].append(one)
    return found


def kind_of(looks: list[list[Seen]]) -> Kind:
    """What the looks at the processes of one class tell."""
    most = max(looks, key=len)
    lives: defaultdict[int, list[Seen]] = defaultdict(list)
    for one in itertools.chain(*looks):
        lives[one.pid].append(one)
    halves = [life[len(life) // 2 :] for life in lives.values() if len(life) > 3]
    shares = [
        (half[-1].processor - half[0].processor) / (half[-1].time - half[0].time) for half in halves
    ]
    return Kind(
        most=len(most),
        on_head=sum(one.is_on_head for one in most),
        resident=max(one.resident for one in itertools.chain(*looks)),
        share=median(shares) if shares else 0.0,
    )
