"""What Ray costs: a sweep under `rewarm run` against the same trainings without it.

    python benchmarks/overhead.py [--states 12] [--seconds 30] [FOLDER]

Twelve settings that continue one pre-trained model, of about thirty seconds each with two of them
side by side, one thread each. Once as a sweep on a local Ray with two slots, from the first import
to the report; once in two plain processes that train half of them each, one after the other, with
`cpt.train.train`, imports included. Pre-training and packed tokens exist before. The length is
sized by a short measurement. FOLDER, a temporary one by default, must not exist. Needs two cores
that are otherwise idle: the load average before each part is printed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cpt.config import RunConfig
from cpt.parsing import parse
from cpt.records import ResultTree, StatusWord
from cpt.rows import read_rows
from sweeps.plan import Plan
from sweeps.prepare import prepare
from sweeps.spec import SweepSpec

ROOT = Path(__file__).parents[1]
SLOTS = 2
MEASURED_STEPS = 150
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def sweep(storage: Path, states: int, steps: int) -> dict[str, Any]:
    """The quickstart's model and data, with one peak learning rate for each state."""
    return {
        "name": "overhead",
        "storage": str(storage),
        "model": "gpt-200k",
        "sequence_length": 128,
        "global_batch_size": 16,
        "datasets": {
            "prose": {"path": "local:python-prose", "domain": "domain"},
            "code": {"path": "local:python-code", "repeat": True},
        },
        "upstream": {
            "dataset": "prose",
            "token_budget": 40 * 2048,
            "schedule": {"type": "cosine", "max_lr": 6e-3},
        },
        "downstream": {"dataset": "code", "token_budget": steps * 2048},
        "evaluation": {
            "interval_steps": 100,
            "final_window_steps": 20,
            "final_window_interval_steps": 10,
            "tokens_per_dataset": 8192,
        },
        "design": "grid",
        "axes": {"max_lr": [round(1e-3 * 1.1**number, 6) for number in range(states)]},
        "center": {"warmup_fraction": 0.02, "replay_fraction": 0.05, "schedule": "cosine"},
    }


def planned(content: dict[str, Any], tree: ResultTree) -> tuple[Plan, list[RunConfig]]:
    """The plan, and how to train each downstream state."""
    plan = prepare(parse(SweepSpec, content), tree, lambda text: None)
    runs = [state.config for state in plan.states.values() if state.stage == "downstream"]
    return plan, runs


def start_plain(runs: Sequence[RunConfig], tree: ResultTree) -> subprocess.Popen[bytes]:
    """Starts a process that trains these one after the other."""
    todo = json.dumps([run.model_dump(mode="json") for run in runs])
    command = [sys.executable, __file__, "--train", str(tree.storage)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=ENVIRONMENT)
    assert process.stdin is not None
    process.stdin.write(todo.encode())
    process.stdin.close()
    return process


def train_plain(storage: Path) -> None:
    """The plain process: configurations from standard input."""
    import torch

    from cpt.train import train

    torch.set_num_threads(1)
    for content in json.load(sys.stdin):
        train(parse(RunConfig, content), ResultTree(storage))


def side_by_side(runs: Sequence[RunConfig], tree: ResultTree) -> float:
    """Seconds that two plain processes need for these."""
    began = time.monotonic()
    processes = [start_plain(runs[slot::SLOTS], tree) for slot in range(SLOTS)]
    statuses = [process.wait() for process in processes]
    if any(statuses):
        raise SystemExit("a plain training failed")
    return time.monotonic() - began


@dataclass(frozen=True)
class Timeline:
    """Where the time of a run went, in seconds.

    Attributes:
        whole: From the start of the command to its end.
        to_ray: Until Ray was up.
        to_first: From there until the first state began.
        training: From the first begin to the last end.
        between: Mean gap of a slot from the end of one state to the begin of the next.
        after: From the last end to the end of the command: Ray's shutdown and the report.
    """

    whole: float
    to_ray: float
    to_first: float
    training: float
    between: float
    after: float


def under_ray(content: dict[str, Any], runs: Sequence[RunConfig], tree: ResultTree) -> Timeline:
    """Times `rewarm run`."""
    file = tree.storage.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(content))
    began, ray_up = time.time(), 0.0
    process = subprocess.Popen(
        [sys.executable, "-m", "sweeps", "run", str(file)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Ray is up"):
            ray_up = time.time()
    process.wait()
    ended = time.time()
    spans = sorted(_span(run, tree) for run in runs)
    first, last = spans[0][0], max(end for _, end in spans)
    idle = SLOTS * (last - first) - sum(end - begin for begin, end in spans)
    return Timeline(
        whole=ended - began,
        to_ray=ray_up - began,
        to_first=first - ray_up,
        training=last - first,
        between=idle / max(len(runs) - SLOTS, 1),
        after=ended - last,
    )


def _span(run: RunConfig, tree: ResultTree) -> tuple[float, float]:
    """When a state began and ended: `config.json` is written first, `status.json` last."""
    place = tree.state(run.state_id)
    status = place.read_status()
    if status is None or status.status is not StatusWord.COMPLETE:
        raise SystemExit(f"{run.label} is not complete: {status}")
    return place.config.stat().st_mtime, place.status.stat().st_mtime


def steps_for(seconds: float, folder: Path) -> int:
    """How many updates take so long with two trainings side by side."""
    tree = ResultTree(folder / "measured")
    plan, runs = planned(sweep(tree.storage, SLOTS, MEASURED_STEPS), tree)
    _pretrain(plan, tree)
    side_by_side(runs, tree)
    rows = [row for run in runs for row in read_rows(tree.state(run.state_id).train_rows)[10:]]
    rates = sorted(row["tokens_per_second"] for row in rows)
    return int(seconds * rates[len(rates) // 2] / plan.spec.tokens_per_step)


def _pretrain(plan: Plan, tree: ResultTree) -> None:
    runs = [state.config for state in plan.states.values() if state.stage == "upstream"]
    if start_plain(runs, tree).wait():
        raise SystemExit("pre-training failed")


def measure(folder: Path, states: int, seconds: float) -> None:
    """Runs both and prints them."""
    steps = steps_for(seconds, folder)
    print(f"{states} states of {steps} steps, {SLOTS} at a time", flush=True)
    plain, ray = ResultTree(folder / "plain"), ResultTree(folder / "ray")
    shutil.copytree(folder / "measured" / "tokens", plain.storage / "tokens")
    plan, runs = planned(sweep(plain.storage, states, steps), plain)
    _pretrain(plan, plain)
    shutil.copytree(plain.storage, ray.storage)
    print(f"load {os.getloadavg()[0]:.2f}; under Ray ...", flush=True)
    timeline = under_ray(sweep(ray.storage, states, steps), runs, ray)
    print(f"load {os.getloadavg()[0]:.2f}; without Ray ...", flush=True)
    without = side_by_side(runs, plain)
    print(
        f"under `rewarm run`      {timeline.whole:7.1f} s\n"
        f"  until Ray is up       {timeline.to_ray:7.1f} s\n"
        f"  until a state begins  {timeline.to_first:7.1f} s\n"
        f"  training              {timeline.training:7.1f} s, "
        f"of which {timeline.between:.2f} s between two states of a slot\n"
        f"  shutdown and report   {timeline.after:7.1f} s\n"
        f"two plain processes     {without:7.1f} s\n"
        f"ratio                   {timeline.whole / without:7.3f}  (target below 1.25)"
    )


def main() -> None:
    """Measures in FOLDER or a temporary one."""
    parser = argparse.ArgumentParser(description="What Ray costs.")
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--states", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.train is not None:
        train_plain(asked.train)
    elif asked.folder is not None:
        asked.folder.mkdir(parents=True)
        measure(asked.folder.resolve(), asked.states, asked.seconds)
    else:
        with tempfile.TemporaryDirectory(prefix="rewarm-overhead-") as folder:
            measure(Path(folder), asked.states, asked.seconds)


if __name__ == "__main__":
    main()
