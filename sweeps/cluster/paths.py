"""Which paths of a sweep file the head of a cluster would find.

A job runs there in a temporary copy of the working directory. So what a sweep reads must either be
sent along or be absolute, and what it writes must not land in that copy.
"""

import glob
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cpt.dataset_config import FILE_FORMATS
from cpt.parsing import shown
from cpt.storage import is_remote
from sweeps.spec import CHECKPOINT_FIELD, SweepSpec
from sweeps.words import stored

LEFT_OUT = (
    # Ray's own list, which its environment can change.
    *(".git", ".venv", "venv", "__pycache__"),
    # What a checkout holds that no run reads: data, results, caches, secrets.
    *("/data", "/results", "/reports", "/build", "node_modules", "*.egg-info"),
    *(".*_cache", ".cache", ".hypothesis", ".ipynb_checkpoints", ".DS_Store"),
    *(".env", "*.pem"),
)
"""What is not sent, as .gitignore has it; .gitignore and .rayignore of the folder add to it."""


def storage_faults(spec: SweepSpec) -> list[str]:
    """A sentence for each place of results that only this machine would find."""
    return [
        f"{field}: got {shown(where, 300)}; must be absolute, a directory that all machines of the "
        "cluster see, or the URI of an object store: a job's own folder on the head is temporary."
        for field in ("storage", "token_storage")
        if (where := getattr(spec, field)) is not None
        and not is_remote(where)
        and not PurePosixPath(where).is_absolute()
    ]


@dataclass(frozen=True)
class Named:
    """A relative path that a sweep file names.

    Attributes:
        field: Which field does.
        pattern: What stands there; of data files it may be a glob.
        may_be_hub_id: Whether it means something on the hub where nothing of that name lies here.
    """

    field: str
    pattern: str
    may_be_hub_id: bool = False


def named_paths(spec: SweepSpec) -> list[Named]:
    """The relative paths that a run of this sweep reads; absolute ones are those of the cluster."""
    found: list[Named] = []
    for name in dict.fromkeys(spec.stage_datasets):
        for part, source in spec.datasets[name].sources.items():
            field = f"datasets.{name}.sources.{part}" if part else f"datasets.{name}"
            if source.path in FILE_FORMATS:
                found += [Named(f"{field}.train", one) for one in source.train]
                found += [Named(f"{field}.validation", one) for one in source.validation]
            elif not source.path.startswith("local:"):
                found.append(Named(f"{field}.path", source.path, may_be_hub_id=True))
    if isinstance(spec.tokenizer, str) and spec.tokenizer != "bytes":
        is_file = spec.tokenizer.endswith(".json")
        found.append(Named("tokenizer", spec.tokenizer, may_be_hub_id=not is_file))
    if spec.checkpoint is not None:
        found.append(Named(CHECKPOINT_FIELD, spec.checkpoint, may_be_hub_id=True))
    return [one for one in found if not PurePosixPath(one.pattern).is_absolute()]


def lying_here(named: Named, folder: Path) -> list[str]:
    """What a path names in the working directory: files, or all files of a directory.

    Returns:
        Paths relative to it; one that leaves it begins with `..`.
    """
    place = folder / named.pattern
    if place.is_dir():
        inside = [file for file in place.rglob("*") if file.is_file()]
    elif place.is_file():
        inside = [place]
    else:
        globbed = glob.glob(named.pattern, root_dir=folder, recursive=True)  # noqa: PTH207
        inside = [folder / one for one in globbed if (folder / one).is_file()]
    # Not resolved: links are sent as what they lead to, from where they lie.
    return sorted(os.path.relpath(file, folder) for file in inside)


def path_faults(
    named: Iterable[Named], here: Mapping[Named, Collection[str]], sent: Collection[str]
) -> list[str]:
    """A sentence for each path of a sweep file that the head would not find, or not all of.

    Args:
        named: What the sweep file names.
        here: What each is in the working directory, as `lying_here` tells it.
        sent: The files that are sent, relative to it.
    """
    return [fault for one in named if (fault := _path_fault(one, here[one], sent)) is not None]


def _path_fault(named: Named, here: Collection[str], sent: Collection[str]) -> str | None:
    told = f"{named.field}: got {shown(named.pattern, 300)}; "
    if not here:
        if named.may_be_hub_id:
            return None
        rule = "matches no file" if glob.has_magic(named.pattern) else "there is no such file"
        return f"{told}{rule} below the working directory."
    missing = [file for file in here if file not in sent]
    if not missing:
        return None
    if missing[0].startswith("../"):
        rule = "it lies outside of the working directory, all that is sent to the cluster"
    elif len(missing) == len(here):
        rule = "it is left out of what is sent to the cluster"
    else:
        rule = f"{len(missing)} of its {len(here)} files are left out of what is sent"
    return (
        f"{told}{rule}; bring it to the head (file_mounts of the cluster file, or a directory that "
        "all machines see) and name it by its absolute path there."
    )


def size_fault(folder: Path, sizes: Mapping[str, int], limit: int) -> str | None:
    """A sentence where what would be sent is more than Ray takes.

    Args:
        folder: The working directory.
        sizes: Bytes of each file that would be sent, by its path relative to it.
        limit: Of Ray, in bytes.
    """
    total = sum(sizes.values())
    if total < limit:
        return None
    parts: dict[str, int] = {}
    for file, size in sizes.items():
        top, below, _ = file.partition("/")
        parts[top + below] = parts.get(top + below, 0) + size
    largest = sorted(parts, key=lambda part: -parts[part])[:3]
    told = ", ".join(f"{part} ({stored(parts[part])})" for part in largest)
    return (
        f"the working directory {folder} would send {stored(total)}, and Ray takes less than "
        f"{stored(limit)}; the largest: {told}; name what no run reads in .rayignore, or start "
        "the command in a folder of its own."
    )
