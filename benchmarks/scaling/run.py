"""One cluster, on it a bare Tune run and then a sweep, and what was seen of both."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.scaling.figures import NOTES, Note, Waits, read_notes, waits
from benchmarks.scaling.groups import Kind, weighed
from benchmarks.scaling.store import Request, Store, sign_as
from benchmarks.scaling.watch import Sample, Use, parts_of_head, use_of, watched
from tests.chaos.local_cluster import LocalCluster

ROOT = Path(__file__).parents[2]
LOST_AFTER_SECONDS = 120
"""A machine with more nodes than cores answers late."""
LIMIT_SECONDS = 7200.0
SETTLING_SECONDS = 10.0
DRIVERS = 16
"""As cluster.yaml has it."""
SETTLED = 0.1
"""The share of states after which all that is loaded once is loaded."""


@dataclass(frozen=True)
class Driven:
    """A driver and its states.

    Attributes:
        trials: How many states it had.
        seconds: From its start to its end.
        waits: Of slots.
        notes: Of states.
        samples: Of the parts of the cluster, the driver among them.
    """

    trials: int
    seconds: float
    waits: Waits
    notes: dict[str, Note]
    samples: list[Sample]

    def settled(self) -> list[Sample]:
        """Samples between the first states and the last."""
        least = SETTLED * self.trials
        found = [one for one in self.samples if least <= one.ended < self.trials]
        if len(found) < 2:
            raise SystemExit(
                f"{self.trials} states were seen {len(found)} times while they ran; give more "
                "--trials or --seconds"
            )
        return found

    def processor(self, part: str) -> float:
        """Seconds of a part for each state, between the first states and the last."""
        first, *_, last = self.settled()
        used = last.use[part].processor - first.use[part].processor
        return used / (last.ended - first.ended)

    def share(self, part: str) -> float:
        """Of a core that a part used, between the first states and the last."""
        first, *_, last = self.settled()
        used = last.use[part].processor - first.use[part].processor
        return used / (last.time - first.time)


@dataclass(frozen=True)
class Measured:
    """All of one cluster.

    Attributes:
        empty: Parts of the head before it had a node.
        filled: And with all its nodes, before it had a driver.
        bare: A Tune run of as many trials that do nothing.
        sweep: The sweep.
        again_seconds: The same command again, when nothing is left to train.
        report_seconds: `rewarm report` of the finished sweep.
        requests: Of the sweep, where it lies in a store.
        idle: Processor seconds a second of the parts of the head, with its nodes and no driver.
        groups: Processes of states of two workers, by their class; empty where none was trained.
    """

    empty: dict[str, Use]
    filled: dict[str, Use]
    bare: Driven
    sweep: Driven
    again_seconds: float
    report_seconds: float
    requests: list[Request]
    idle: dict[str, float]
    groups: dict[str, Kind]


def measured(
    folder: Path,
    file: Path,
    storage: Path | Store,
    nodes: int,
    trials: int,
    seconds: float,
    groups: Path | None,
) -> Measured:
    """Runs both.

    Args:
        folder: Where notes and the disks of nodes come to lie; exists.
        file: The sweep file.
        storage: Where its result tree lies: a directory, or the store that serves it.
        nodes: Of the cluster beside its head, one slot each.
        trials: Of the bare run; the sweep's are its own.
        seconds: How long a state sleeps.
        groups: A sweep file whose states have several workers each, really trained; None: none.
    """
    os.environ |= sign_as("training") | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    cluster = LocalCluster(
        0, folder / "disks", lost_after_seconds=LOST_AFTER_SECONDS, drivers=DRIVERS
    )
    try:
        head = parts_of_head(cluster.ray)
        time.sleep(SETTLING_SECONDS)  # its modules are still being loaded
        head = parts_of_head(cluster.ray)
        empty = _uses(head)
        for _ in range(nodes):
            cluster.add_node()
        time.sleep(SETTLING_SECONDS)
        before = _uses(head)
        time.sleep(SETTLING_SECONDS)
        filled = _uses(head)
        idle = {
            part: (use.processor - before[part].processor) / SETTLING_SECONDS
            for part, use in filled.items()
        }

        def driven(kind: str, what: str) -> Driven:
            notes = folder / f"notes-{kind}"
            notes.mkdir()
            began = time.time()
            driver = _started(
                folder / f"{kind}.log",
                "benchmarks.scaling.driver", kind, what, "--address", cluster.address,
                "--seconds", str(seconds), "--notes", str(notes),
            )  # fmt: skip
            samples = watched(driver, head, lambda: len(list(notes.glob(NOTES))), LIMIT_SECONDS)
            took = time.time() - began
            found = read_notes(notes)
            after = _after(folder, storage) if kind == "sweep" else {}
            return Driven(len(found), took, waits(found, after, began), found, samples)

        bare = driven("bare", str(trials))
        if isinstance(storage, Store):
            storage.requests()
        sweep = driven("sweep", str(file))
        requests = storage.requests() if isinstance(storage, Store) else []
        again = _timed(
            folder / "again.log", "sweeps", "run", str(file), "--address", cluster.address
        )
        report = _timed(folder / "report.log", "sweeps", "report", str(file))
        kinds: dict[str, Kind] = {}
        if groups is not None:
            raylets = [_raylet(node) for node in (cluster.ray.head_node, *cluster.nodes)]
            kinds = weighed(
                _started(
                    folder / "groups.log",
                    "sweeps", "run", str(groups), "--address", cluster.address,
                ),
                raylets,
            )  # fmt: skip
    finally:
        cluster.shut_down()
    return Measured(empty, filled, bare, sweep, again, report, requests, idle, kinds)


def _uses(head: dict[str, Any]) -> dict[str, Use]:
    return {name: use_of(processes) for name, processes in head.items()}


def _raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def _started(log: Path, *command: str) -> "subprocess.Popen[bytes]":
    environment = os.environ | sign_as("driver") | {"COLUMNS": "200"}
    with log.open("w") as file:
        return subprocess.Popen(
            [sys.executable, "-m", *command], env=environment, stdout=file, stderr=file, cwd=ROOT
        )


def _timed(log: Path, *command: str) -> float:
    began = time.monotonic()
    if status := _started(log, *command).wait():
        raise SystemExit(f"{' '.join(command)} ended with status {status}: {log.read_text()}")
    return time.monotonic() - began


def _after(folder: Path, storage: Path | Store) -> dict[str, str | None]:
    """By the plan: the state that must be complete before each."""
    tree = storage if isinstance(storage, Path) else _copy_of(folder)
    plan = json.loads((tree / "sweeps" / "scale" / "plan.json").read_text())
    return {state["state"]: state["base"] or state["parent"] for state in plan["states"]}


def _copy_of(folder: Path) -> Path:
    """The driver's copy of the tree that the store holds."""
    (copy,) = (folder / "disks" / "driver").rglob("results/sweeps")
    return copy.parent
