"""Whether the trackers of a sweep can be had, told before anything starts."""

import importlib.util
import os
from collections.abc import Iterator

from sweeps.trackers_config import Trackers

PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
EXTRAS = {"tensorboard": "sweep", "mlflow": "mlflow", "wandb": "wandb"}


def tracker_faults(trackers: Trackers) -> Iterator[str]:
    """A sentence for each package or key that is missing on this machine, the sweep's driver.

    Servers are not asked: one that does not answer is no reason not to train.
    """
    for name in trackers.wanted:
        # A folder of that name, such as W&B makes, is a package to Python too, without an origin.
        found = importlib.util.find_spec(PACKAGES[name])
        if found is None or found.origin is None:
            yield (
                f"trackers.{name}: needs {PACKAGES[name]}, which is not installed: pip install "
                f"'rewarm[{EXTRAS[name]}]', or leave it out."
            )
    wandb = trackers.wandb
    if wandb is not None and wandb.mode == "online" and not os.environ.get("WANDB_API_KEY"):
        yield (
            "trackers.wandb: got mode online, but WANDB_API_KEY is not set; set it in the "
            "environment of this command, or choose mode: offline."
        )
