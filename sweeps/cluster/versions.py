"""Which versions run here, and where another machine's differ; imports none of what it names."""

import hashlib
import importlib.metadata
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

REWARM, PYTHON = "rewarm", "python"
COMPARED = (REWARM, "ray", "torch", PYTHON)
"""What must be alike on all machines of a sweep."""
_PACKAGES = ("analysis", "cpt", "sweeps")
_ROOT = Path(__file__).parents[2]


def installed() -> dict[str, str]:
    """The versions of this process; what is not installed is left out.

    Python's is `3.11`: patches of one minor version run the same code. That of rewarm ends in a
    digest of its sources, `0.1.0+5f0c2a91`, since a checkout changes without its number.
    """
    found = {PYTHON: "{}.{}".format(*sys.version_info)}
    for name in (REWARM, "ray", "torch"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if REWARM in found:
        found[REWARM] += f"+{_digest()}"
    return found


def differences(
    here: Mapping[str, str],
    there: Mapping[str, str],
    place: str = "the cluster",
    home: str = "this machine",
) -> list[str]:
    """A sentence for each version that is not the same in both places.

    How torch was built, `+cpu` or `+cu128`, makes no difference. What `here` lacks is not compared:
    a laptop that only submits needs no torch.

    Args:
        here: Of one machine, as `installed` tells it.
        there: Of another one.
        place: What to call the other one.
        home: What to call the first one.
    """
    return [
        _sentence(name, here[name], there.get(name), place, home)
        for name in COMPARED
        if name in here and _alike(name, here[name]) != _alike(name, there.get(name))
    ]


def _alike(name: str, version: str | None) -> str | None:
    if version is None or name == REWARM:
        return version
    return version.partition("+")[0]


def _sentence(name: str, here: str, there: str | None, place: str, home: str) -> str:
    got = "it is not installed" if there is None else f"it is {there}"
    remedy = {
        REWARM: "run the same checkout in both places",
        PYTHON: f"run Python {here} in both places",
    }.get(name, "install the versions of constraints.txt in both places")
    return f"{name}: is {here} on {home}, but on {place} {got}; {remedy}."


@cache
def _digest() -> str:
    """Of the sources that this process runs, some two hundred files, in a few milliseconds."""
    digest = hashlib.sha256()
    for file in sorted(path for name in _PACKAGES for path in (_ROOT / name).rglob("*.py")):
        digest.update(file.relative_to(_ROOT).as_posix().encode() + b"\0")
        digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()[:8]
