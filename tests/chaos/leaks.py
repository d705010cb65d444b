"""What a finished sweep must not leave behind: processes, Ray's actors and groups, files."""

import time
from collections.abc import Callable
from pathlib import Path

from cpt.records import ResultTree
from tests.chaos.processes import command, descendants

PATIENCE_SECONDS = 20.0
"""Ray ends the processes of a driver that is gone a moment after it."""
LEFT_OVER = (".*", "*.partial", "*.damaged-*")


def processes_left() -> list[str]:
    """Training processes and drivers that still run some time after the sweep's end."""
    return _patiently(
        lambda: [
            f"process {one.pid} is left: {command(one)[:120]}"
            for one in descendants()
            if _is_of_a_sweep(command(one))
        ]
    )


def _is_of_a_sweep(text: str) -> bool:
    # Ray keeps processes that wait for work, and a few of its own.
    of_ray = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent", "ray-dashboard-")
    is_worker = text.startswith("ray::") and not text.startswith(of_ray)
    return is_worker or "-m sweeps " in text


def ray_leaks(address: str) -> list[str]:
    """Actors and placement groups that the cluster still has."""
    import ray
    from ray.util.state import list_actors, list_placement_groups

    # The State API asks the dashboard, whose address a connected driver knows.
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    try:
        gone = [("state", "!=", "DEAD")]
        removed = [("state", "!=", "REMOVED")]
        return _patiently(
            lambda: [
                *(
                    f"actor {one.class_name} is left, {one.state}"
                    for one in list_actors(filters=gone)
                ),
                *(
                    f"placement group {one.placement_group_id} is left, {one.state}"
                    for one in list_placement_groups(filters=removed)
                ),
            ]
        )
    finally:
        ray.shutdown()


def files_left(tree: ResultTree, undisturbed: ResultTree, sweep: str) -> list[str]:
    """Temporary files that an undisturbed run does not leave, and what was set aside as damaged."""
    left = _temporary(tree.storage) - _temporary(undisturbed.storage)
    found = [f"{path} is left" for path in sorted(left)]
    if tree.sweep(sweep).ray.exists():
        found.append(f"{tree.sweep(sweep).ray} is left")
    return found


def _temporary(folder: Path) -> set[str]:
    """Below a folder."""
    return {
        str(path.relative_to(folder)) for pattern in LEFT_OVER for path in folder.rglob(pattern)
    }


def _patiently(look: Callable[[], list[str]]) -> list[str]:
    """What is still found when patience is at its end."""
    until = time.monotonic() + PATIENCE_SECONDS
    while (found := look()) and time.monotonic() < until:
        time.sleep(0.5)
    return found
