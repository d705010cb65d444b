"""The report of a sweep that ran elsewhere, copied to this machine."""

from pathlib import Path

from cpt.mirror import Mirror
from cpt.records import ResultTree, SweepDir
from cpt.storage import is_remote, shown_uri
from cpt.token_store import StoreError
from sweeps.cluster.head import find_head
from sweeps.cluster.launcher_file import ClusterFile
from sweeps.cluster.tunnel import TunnelError
from sweeps.spec import SweepSpec
from sweeps.store import remote_tree


class NotHomeError(RuntimeError):
    """The report could not be brought home; the message says why, and where it lies."""


def bring_home(cluster: ClusterFile, spec: SweepSpec, folder: Path) -> Path | None:
    """Copies report.html and trials.csv.

    Args:
        cluster: Where the sweep ran.
        spec: The sweep.
        folder: Where to; made where it is not there.

    Returns:
        The page; None where the sweep has none yet.

    Raises:
        NotHomeError: Storage, or the head, does not let this machine read it.
        ConfigError: There is no such cluster any more.
    """
    read = _from_store(spec) if is_remote(spec.storage) else _from_head(cluster, spec)
    if read is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in read.items():
        (folder / name).write_bytes(content)
    return SweepDir(folder).report


def _from_store(spec: SweepSpec) -> dict[str, bytes] | None:
    tree = remote_tree(spec.storage)
    sweep = tree.sweep(spec.name)
    try:
        Mirror.of(tree).fetch(sweep.report, sweep.trials)
    except StoreError as error:
        told, uri = str(error).rstrip("."), shown_uri(spec.storage)
        raise NotHomeError(
            f"this machine cannot read {uri} ({told}); where its keys are: "
            f"rewarm report '{uri}/sweeps/{spec.name}'"
        ) from error
    there = [file for file in (sweep.report, sweep.trials) if file.is_file()]
    return {file.name: file.read_bytes() for file in there} if sweep.report in there else None


def _from_head(cluster: ClusterFile, spec: SweepSpec) -> dict[str, bytes] | None:
    sweep = ResultTree(Path(spec.storage)).sweep(spec.name)
    head = find_head(cluster)
    read: dict[str, bytes] = {}
    try:
        for file in (sweep.report, sweep.trials):
            content = head.read(file)
            if content is None:
                return None
            read[file.name] = content
    except TunnelError as error:
        raise NotHomeError(
            f"{sweep.report} could not be copied from the head ({error}): "
            f"ray rsync-down {cluster.path} {sweep.report} ."
        ) from error
    return read
