"""Which files of the working directory a job takes along, as Ray itself would pack them."""

import os
from collections.abc import Iterable
from pathlib import Path

from ray._private.ray_constants import RAY_RUNTIME_ENV_IGNORE_GITIGNORE
from ray._private.runtime_env.packaging import (
    GCS_STORAGE_MAX_SIZE,
    _dir_travel,
    _get_excludes,
)

from cpt.parsing import ConfigError, shown
from sweeps.cluster.paths import (
    LEFT_OUT,
    lying_here,
    named_paths,
    path_faults,
    size_fault,
    storage_faults,
)
from sweeps.spec import SweepSpec


def excludes(folder: Path) -> list[str]:
    """What is not sent: a fixed list, and what is a virtual environment or a result tree here."""
    return [*LEFT_OUT, *sorted(f"/{path.name}" for path in folder.iterdir() if _no_code(path))]


def _no_code(path: Path) -> bool:
    is_environment = (path / "pyvenv.cfg").is_file() or (path / "conda-meta").is_dir()
    return is_environment or ((path / "states").is_dir() and (path / "sweeps").is_dir())


def sent(folder: Path, left_out: Iterable[str]) -> dict[str, int]:
    """The files that Ray would pack, relative to the folder, and their bytes."""
    sizes: dict[str, int] = {}

    def note(path: Path) -> None:
        if path.is_file():
            sizes[path.relative_to(folder).as_posix()] = path.stat().st_size

    is_heeded = os.environ.get(RAY_RUNTIME_ENV_IGNORE_GITIGNORE, "0") != "1"
    _dir_travel(folder, [_get_excludes(folder, list(left_out))], note, include_gitignore=is_heeded)
    return sizes


def check(spec: SweepSpec, file: str, folder: Path, left_out: Iterable[str]) -> None:
    """Refuses what the head would not find, before anything is sent.

    Args:
        spec: The sweep.
        file: Its file, relative to the working directory.
        folder: That directory.
        left_out: What of it is not sent.

    Raises:
        ConfigError: With a sentence for each fault.
    """
    faults = storage_faults(spec)
    sizes = sent(folder, left_out)
    if file not in sizes:
        faults.append(
            f"SPEC: got {shown(file, 300)}, which is not sent to the cluster: it lies outside of "
            f"the working directory {folder}, or among what is left out (data, results, "
            ".gitignore, .rayignore); start the command where it is, or move it."
        )
    named = named_paths(spec)
    faults += path_faults(named, {one: lying_here(one, folder) for one in named}, sizes)
    too_large = size_fault(folder, sizes, GCS_STORAGE_MAX_SIZE)
    if too_large is not None:
        faults.append(too_large)
    if faults:
        raise ConfigError(faults)
