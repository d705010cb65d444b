"""The trackers that a sweep file asks for; each is imported where it is made alone."""

from collections.abc import Callable
from pathlib import Path

from cpt.mirror import Mirror
from cpt.records import ResultTree, SweepDir
from sweeps.spec import SweepSpec
from sweeps.tracking.cursor import Cursor
from sweeps.tracking.tracker import Tracker


def make(name: str, spec: SweepSpec, sweep: SweepDir) -> Tracker:
    """Makes a tracker; nothing is reached yet.

    Args:
        name: One of `spec.trackers.wanted`.
        spec: What was asked for.
        sweep: Where files go that have no other place.
    """
    trackers = spec.trackers
    if name == "tensorboard" and trackers.tensorboard is not None:
        from sweeps.tracking.tensorboard import TensorBoardTracker

        return TensorBoardTracker(_folder(trackers.tensorboard.dir, sweep.trackers / name))
    if name == "mlflow" and trackers.mlflow is not None:
        from sweeps.tracking.mlflow import MlflowTracker

        uri, experiment = trackers.mlflow.tracking_uri, trackers.mlflow.experiment
        return MlflowTracker(uri, experiment or spec.name, sweep.trackers)
    assert name == "wandb"
    assert trackers.wandb is not None
    from sweeps.tracking.wandb import WandbTracker

    folder = _folder(trackers.wandb.dir, sweep.trackers)
    return WandbTracker(trackers.wandb.project, trackers.wandb.mode, folder)


def cursor_of(
    tracker: Tracker, tree: ResultTree, sweep: SweepDir, say: Callable[[str], None]
) -> Cursor:
    """How far a tracker was told of a sweep."""
    path = sweep.trackers / f"{tracker.name}.json"
    return Cursor(path, tracker.destination, Mirror.of(tree), say)


def _folder(wanted: str | None, otherwise: Path) -> Path:
    """Whole, for the processes that write there have other working directories."""
    return otherwise if wanted is None else Path(wanted).expanduser().resolve()
