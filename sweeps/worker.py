"""One state as Ray runs it: a Tune trial that starts a Ray Train `TorchTrainer` around `cpt.train`.

A state on one worker is trained in the trial's own process (Ray Train's local mode,
`num_workers=0`), which Tune reuses for the next state: torch is imported once per slot, and a
state costs nothing but its training. With more workers the trial is only the driver of a worker
group.
"""

from pathlib import Path
from typing import Any

import torch
from ray import train, tune
from ray.train.torch import TorchTrainer

from cpt.config import RunConfig
from cpt.parsing import parse
from cpt.records import ResultTree
from cpt.train import DivergedError
from cpt.train import train as train_stage
from sweeps.spec import Resources


def train_state(trial: dict[str, Any]) -> None:
    """The Tune trainable.

    Args:
        trial: `run` (a RunConfig as JSON), `storage` and `ray_storage` (absolute paths),
            `resources` (as JSON).

    Raises:
        Exception: Whatever stopped the training, but for divergence, which the state's own
            `status.json` records.
    """
    resources = parse(Resources, trial["resources"])
    state_id = parse(RunConfig, trial["run"]).state_id
    trainer = TorchTrainer(
        _train_loop,
        train_loop_config=trial,
        scaling_config=train.ScalingConfig(
            num_workers=0 if resources.workers == 1 else resources.workers,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=worker_resources(resources),
        ),
        run_config=train.RunConfig(name=state_id, storage_path=trial["ray_storage"]),
    )
    trainer.fit()
    tune.report({"state": state_id})


def trial_resources(resources: Resources) -> dict[str, float]:
    """What Tune reserves for a trial: the one worker in it, or nearly nothing for a driver."""
    if resources.workers > 1:
        # Tune refuses a trial of no resources at all, and any share of a CPU would leave too
        # little for the workers where they need all there are: a byte is missed by nobody.
        return {"cpu": 0, "memory": 1}
    return {"cpu": resources.cpus_per_worker, "gpu": resources.gpus_per_worker}


def worker_resources(resources: Resources) -> dict[str, float]:
    """What one worker needs, in Ray's names."""
    needed = {"CPU": float(resources.cpus_per_worker), "GPU": resources.gpus_per_worker}
    return {name: amount for name, amount in needed.items() if amount > 0}


def _train_loop(trial: dict[str, Any]) -> None:
    """Runs on every worker of the group."""
    torch.set_num_threads(parse(Resources, trial["resources"]).cpus_per_worker)
    try:
        train_stage(parse(RunConfig, trial["run"]), ResultTree(Path(trial["storage"])))
    except DivergedError:
        # Recorded in status.json by rank 0; not a fault of Ray's, so nothing to try again.
        return
