"""Gathers what the doctor wants to know of the machine that this process runs on."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cpt.storage import cache_folder
from sweeps.cluster.machine_facts import Disk, Machine, RayToken
from sweeps.cluster.versions import installed

SHARED_MEMORY = Path("/dev/shm")
TOKEN_FILE = Path("~/.ray/auth_token")
"""Where Ray looks for its token, and leaves one, unless the environment names another place."""
OWN_STORE_BYTES = 100 * 1024 * 1024
"""Of the object store that `rewarm run` starts: its states pass nothing through it."""
_COUNT = "import torch; torch.cuda.init(); print(torch.cuda.device_count())"
_COUNT_SECONDS = 120.0
"""For importing torch from a cold disk and waking GPUs."""


def look(resources: Mapping[str, float] | None = None) -> Machine:
    """What is here; takes a second or two, and some more where there are GPUs.

    Args:
        resources: What Ray promises of this node; None: what it would if `rewarm run` started it
            here. It is asked, and not started.
    """
    versions = installed()
    found: dict[str, Any] = {"resources": resources or {}}
    if "ray" in versions:
        # Imported here: a machine without Ray is told so.
        from ray._common.utils import get_default_ray_temp_dir
        from ray._private.utils import get_dashboard_dependency_error

        error = get_dashboard_dependency_error()
        temporary = Path(get_default_ray_temp_dir())
        found = {
            "resources": _promised() if resources is None else dict(resources),
            "lacks": None if error is None else error.name,
            "token": _token(),
            "temporary": disk(temporary),
        }
        if error is None:
            from sweeps.cluster.leftovers import leftovers

            found["leftovers"] = leftovers(temporary)
    if found["resources"].get("GPU", 0) > 0:
        found["gpus"], found["gpu_fault"] = _gpus_of_torch()
    return Machine(
        versions=versions,
        shared_memory=shutil.disk_usage(SHARED_MEMORY).total if SHARED_MEMORY.is_dir() else None,
        cache=disk(cache_folder()),
        **found,
    )


def disk(folder: Path) -> Disk:
    """The file system in which a folder lies, or will once it is made."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    usage = shutil.disk_usage(there)
    return Disk(path=str(folder), free=usage.free, total=usage.total)


def folder_bytes(folder: Path) -> int:
    """What the files below a folder take on the disk; what goes away meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.lstat().st_blocks * 512
    return total


def _promised() -> dict[str, float]:
    from ray._private.resource_and_label_spec import ResourceAndLabelSpec

    spec = ResourceAndLabelSpec(object_store_memory=OWN_STORE_BYTES).resolve(is_head=True)
    return dict(spec.to_resource_dict())


def _gpus_of_torch() -> tuple[int, str | None]:
    """How many torch sees, and why none; asked of a process that Ray hides none from."""
    environment = {name: one for name, one in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    try:
        asked = subprocess.run(
            [sys.executable, "-c", _COUNT],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_COUNT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 0, f"torch did not find any in {_COUNT_SECONDS:.0f} s"
    if asked.returncode != 0:
        return 0, (asked.stderr.strip().splitlines() or ["torch died"])[-1]
    return int(asked.stdout), None


def _token() -> RayToken:
    from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined] # Cython's
    from ray.exceptions import AuthenticationError

    mode = os.environ.get("RAY_AUTH_MODE")
    try:
        token = AuthenticationTokenLoader.instance().get_raw_token(ignore_auth_mode=True)
    except AuthenticationError as error:
        return RayToken(mode=mode, fault=" ".join(str(error).split()))
    if not token:
        return RayToken(mode=mode)
    if os.environ.get("RAY_AUTH_TOKEN"):
        source, is_open = "RAY_AUTH_TOKEN", False
    else:
        file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or TOKEN_FILE).expanduser()
        source, is_open = str(file), _is_open(file)
    digest = hashlib.sha256(token.encode()).hexdigest()[:12]
    return RayToken(mode=mode, source=source, digest=digest, is_open=is_open)


def _is_open(file: Path) -> bool:
    """Whether users who do not own a file can read it: it lets them, and so does each folder."""
    path = file.resolve()
    return bool(path.stat().st_mode & 0o004) and all(
        folder.stat().st_mode & 0o001 for folder in path.parents
    )
