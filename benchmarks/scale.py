"""What a head, a driver and a store see of many trials on many nodes.

    python -m benchmarks.scale [--nodes 12] [--trials 300] [--storage dir|s3] [--seconds 5]
                                [--groups] [FOLDER]

A cluster of `ray.cluster_utils` on this machine: a head without CPUs and so many nodes of one slot
each. On it first a bare Ray Tune run of as many trials that only sleep, then `rewarm run` of a
sweep whose plan, searcher, progress, result tree and report are the real ones, with a stub for the
training (`scaling/stub.py`), which sleeps and writes all that a training writes. Then the same
command again, which finds nothing to do, and the report. What is left is arithmetic: the same at
1,000 GPUs, with formulas (`scaling/extrapolation.py`). FOLDER, a temporary one by default, must not
exist.
"""

import argparse
import contextlib
import os
import tempfile
from pathlib import Path

from benchmarks.scaling import tables
from benchmarks.scaling.alone import steps
from benchmarks.scaling.planning import planning
from benchmarks.scaling.run import measured
from benchmarks.scaling.store import store
from benchmarks.scaling.sweep import SEEDS, write

GROUP_STEPS = 300
"""Some seconds, after which what starting a group costs no longer shows."""


def main() -> None:
    """Measures in FOLDER or a temporary one."""
    parser = argparse.ArgumentParser(description="What many trials on many nodes ask for.")
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--nodes", type=int, default=12)
    parser.add_argument("--trials", type=int, default=300, help=f"a multiple of {SEEDS}")
    parser.add_argument("--storage", choices=("dir", "s3"), default="dir")
    parser.add_argument("--seconds", type=float, default=5.0, help="that a stub sleeps")
    parser.add_argument(
        "--groups", action="store_true", help="weigh the processes of states of two workers too"
    )
    asked = parser.parse_args()
    if asked.trials < SEEDS or asked.trials % SEEDS:
        parser.error(f"--trials: got {asked.trials}; must be a multiple of the {SEEDS} seeds.")
    if asked.nodes < 1 or asked.trials < 2 * asked.nodes:
        parser.error(
            f"--nodes: got {asked.nodes}; must be from 1 to half of the {asked.trials} trials, "
            "lest a slot has no second state to wait for."
        )
    if not asked.seconds > 0:
        parser.error(f"--seconds: got {asked.seconds}; must be above 0.")
    with contextlib.ExitStack() as stack:
        if asked.folder is None:
            asked.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scale-")))
        else:
            asked.folder.mkdir(parents=True)
        folder = asked.folder.resolve()
        alone = {}
        storage = folder / "results"
        if asked.storage == "s3":
            storage = stack.enter_context(store())
            (folder / "alone").mkdir()
            alone = steps(storage, folder / "alone")
        uri = str(storage) if isinstance(storage, Path) else storage.uri
        groups = None
        if asked.groups:
            (folder / "groups").mkdir()
            groups = write(
                folder / "groups",
                str(folder / "groups" / "results"),
                SEEDS,
                workers=2,
                steps=GROUP_STEPS,
            )
        print(f"load {os.getloadavg()[0]:.2f} before", flush=True)
        found = measured(
            folder, write(folder, uri, asked.trials), storage,
            asked.nodes, asked.trials, asked.seconds, groups,
        )  # fmt: skip
        print(f"load {os.getloadavg()[0]:.2f} after\n", flush=True)
        for line in tables.all_of(found, asked.nodes, asked.seconds, alone):
            print(line)
        if asked.storage == "dir":
            for line in planning(folder / "planned"):
                print(line)


if __name__ == "__main__":
    main()
