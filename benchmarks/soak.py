"""Whether a long sweep leaks: a driver that runs many states, and what is left on its cluster.

    python benchmarks/soak.py [--states 200] [FOLDER]

A sweep of 200 states of two steps each, one worker each, run by `rewarm run --address` on a Ray
that stays up: what a driver keeps for each state shows in its memory, and what it leaves behind in
the cluster's processes, actors and placement groups once it is gone. FOLDER, a temporary one by
default, must not exist. Memory is the driver's resident set, read twice a second from /proc; the
slope is a least-squares line from the 20th state, by when all that is loaded once is loaded, to the
last, after which the report is written.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import ray
import yaml

ROOT = Path(__file__).parents[1]
SETTLED_FROM = 20
PAGE = os.sysconf("SC_PAGE_SIZE")


def sweep(folder: Path, states: int) -> dict[str, Any]:
    """A pre-trained model of two steps, and one state of two steps for each peak learning rate."""
    for name, word in (("old", "the mouse"), ("new", "def mouse")):
        for split, documents in (("train", 40), ("valid", 4)):
            texts = [f"{word} {split} {number:02d}:{'.' * 26}" for number in range(documents)]
            lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
            (folder / f"{name}.{split}.jsonl").write_text(lines)
    return {
        "name": "soak",
        "storage": str(folder / "results"),
        "model": {"num_layers": 1, "hidden_size": 16, "num_heads": 2},
        "sequence_length": 16,
        "global_batch_size": 4,
        "datasets": {
            name: {
                "path": "json",
                "train": str(folder / f"{name}.train.jsonl"),
                "validation": str(folder / f"{name}.valid.jsonl"),
            }
            for name in ("old", "new")
        },
        "upstream": {
            "dataset": "old",
            "token_budget": 128,
            "schedule": {"type": "cosine", "max_lr": 0.01},
        },
        "downstream": {"dataset": "new", "token_budget": 128},
        "evaluation": {
            "interval_steps": 2,
            "final_window_steps": 1,
            "final_window_interval_steps": 1,
            "tokens_per_dataset": 64,
        },
        "design": "grid",
        "axes": {"max_lr": [round(1e-4 * 1.02**number, 9) for number in range(states - 1)]},
        "center": {"warmup_fraction": 0.5, "replay_fraction": 0.25, "schedule": "cosine"},
    }


def complete(storage: Path) -> int:
    """How many states are."""
    files = storage.glob("states/*/status.json")
    return sum('"complete"' in file.read_text() for file in files)


def resident(pid: int) -> int:
    """Bytes of a process in memory; 0 once it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0


def on_cluster() -> dict[str, int]:
    """Living worker processes, actors and placement groups, and how many are remembered."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            commands[int(folder.name)] = (folder / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(folder.name)] = int(fields[1])
    mine = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in mine} - mine:
        mine |= more
    actors = ray._private.state.actors().values()
    groups = ray.util.placement_group_table().values()
    return {
        "worker processes": sum(commands.get(pid, "").startswith("ray::") for pid in mine),
        "actors alive": Counter(actor["State"] for actor in actors)["ALIVE"],
        "actors remembered": len(actors),
        "placement groups created": Counter(group["state"] for group in groups)["CREATED"],
        "placement groups remembered": len(groups),
    }


def watched(command: list[str], storage: Path) -> tuple[list[tuple[int, int]], dict[str, int]]:
    """Runs a sweep; (states complete, resident bytes) again and again, and the most processes."""
    samples: list[tuple[int, int]] = []
    most: Counter[str] = Counter()
    # Taken now: Ray has put there how its clusters are entered.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    driver = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    while driver.poll() is None:
        samples.append((complete(storage), resident(driver.pid)))
        most |= Counter(on_cluster())
        time.sleep(0.5)
    if driver.returncode:
        sys.exit(f"the sweep ended with status {driver.returncode}")
    return [sample for sample in samples if sample[1]], most


def main() -> None:
    """Runs the sweep and prints the tables."""
    parser = argparse.ArgumentParser(description="Whether a long sweep leaks.")
    parser.add_argument("--states", type=int, default=200)
    parser.add_argument("folder", type=Path, nargs="?")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="rewarm-soak-"))
    folder.mkdir(parents=True, exist_ok=arguments.folder is None)
    file = folder / "soak.yaml"
    file.write_text(yaml.safe_dump(sweep(folder, arguments.states)))

    ray.init(address="local", num_cpus=2, include_dashboard=True, log_to_driver=False)
    before = on_cluster()
    address = ray.get_runtime_context().gcs_address
    began = time.monotonic()
    command = [sys.executable, "-m", "sweeps", "run", str(file), "--address", address]
    samples, most = watched(command, folder / "results")
    seconds = time.monotonic() - began
    time.sleep(5)  # processes of the driver end after it
    after = on_cluster()
    ray.shutdown()

    print(f"{arguments.states} states in {seconds:.0f} s\n")
    print("| states complete | driver's memory, MB |\n|---|---|")
    for mark in (1, 20, 50, 100, 150, arguments.states):
        of_mark = [memory for states, memory in samples if states >= mark]
        if of_mark:
            print(f"| {mark} | {of_mark[0] / 1e6:.1f} |")
    # With all complete the driver writes its report, for which it loads much anew.
    settled = np.array([one for one in samples if SETTLED_FROM <= one[0] < arguments.states])
    slope = float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0])
    print(f"\ngrowth from state {SETTLED_FROM} on: {slope / 1e3:.1f} kB a state\n")
    print("| on the cluster | before | most | 5 s after |\n|---|---|---|---|")
    for name in before:
        print(f"| {name} | {before[name]} | {most[name]} | {after[name]} |")
    if arguments.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
