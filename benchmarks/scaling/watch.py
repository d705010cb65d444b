"""Memory and processor time of a cluster's parts while a driver runs."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil

EVERY_SECONDS = 1.0


@dataclass(frozen=True)
class Use:
    """Of one part at one moment.

    Attributes:
        resident: Bytes in memory.
        processor: Seconds since it began.
    """

    resident: int
    processor: float


@dataclass(frozen=True)
class Sample:
    """All parts at one moment.

    Attributes:
        time: Of a monotonic clock, in seconds.
        ended: States that had ended.
        use: By the name of the part.
    """

    time: float
    ended: int
    use: dict[str, Use]


def parts_of_head(cluster: Any) -> dict[str, list[psutil.Process]]:
    """The processes of the head by part: what is not GCS, raylet or dashboard is `other`."""
    parts: dict[str, list[psutil.Process]] = {}
    known = {"gcs_server": "GCS", "raylet": "raylet of the head", "dashboard": "dashboard"}
    for kind, processes in cluster.head_node.all_processes.items():
        for one in processes:
            process = psutil.Process(one.process.pid)
            part = known.get(kind, "others of the head")
            parts.setdefault(part, []).append(process)
            # The agents of a raylet, and the modules of the dashboard, are processes of their own.
            for child in process.children(recursive=True):
                name = "others of the head" if kind == "raylet" else part
                parts.setdefault(name, []).append(child)
    return parts


def use_of(processes: list[psutil.Process]) -> Use:
    """The sum over processes, without those that have ended."""
    resident, processor = 0, 0.0
    for process in processes:
        try:
            with process.oneshot():
                resident += process.memory_full_info().pss
                times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        processor += times.user + times.system
    return Use(resident, processor)


def watched(
    driver: "subprocess.Popen[bytes]",
    head: dict[str, list[psutil.Process]],
    ended: Callable[[], int],
    limit_seconds: float,
) -> list[Sample]:
    """Samples until the driver has ended.

    Raises:
        SystemExit: It failed, or took too long and was killed.
    """
    parts = head | {"driver": [psutil.Process(driver.pid)]}
    samples: list[Sample] = []
    until = time.monotonic() + limit_seconds
    while driver.poll() is None:
        use = {name: use_of(processes) for name, processes in parts.items()}
        if use["driver"].resident:  # it may end while it is looked at
            samples.append(Sample(time.monotonic(), ended(), use))
        if time.monotonic() > until:
            driver.kill()
            raise SystemExit(f"the driver did not end in {limit_seconds:.0f} s")
        time.sleep(EVERY_SECONDS)
    if driver.returncode:
        raise SystemExit(f"the driver ended with status {driver.returncode}")
    return samples
