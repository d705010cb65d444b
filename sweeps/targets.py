"""What a command is pointed at: a sweep or a state, in a directory or on object storage.

A URI names the folder of a sweep or state, `s3://bucket/results/sweeps/NAME`. What lies there is
fetched into this machine's working copy first, and read like any directory.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cpt.files import read_json
from cpt.mirror import Mirror
from cpt.parsing import ConfigError, shown
from cpt.records import ResultTree, StateDir, SweepDir
from cpt.storage import below, is_remote, place, shown_uri
from sweeps.store import check_plan, remote_tree, tree_of
from sweeps.sweep_file import load


@dataclass(frozen=True)
class SweepTarget:
    """A sweep that was started, and the tree that holds its states."""

    tree: ResultTree
    sweep: SweepDir

    def send(self, *written: Path) -> None:
        """Puts files of the sweep's folder where the sweep lies.

        Raises:
            StoreError: One cannot be written.
        """
        Mirror.of(self.tree).send(*written)


@dataclass(frozen=True)
class StateTarget:
    """A state, and the tree that holds it."""

    tree: ResultTree
    state: StateDir


def target_of(target: str) -> SweepTarget | StateTarget:
    """A sweep's file, folder or URI, or a state's folder or URI.

    Raises:
        ConfigError: There is no such thing, or the sweep was not started.
        StoreError: What lies there cannot be fetched.
    """
    if is_remote(target):
        _, kind, _ = _split(target)
        return state_at(target) if kind == "states" else sweep_at(target)
    path = Path(target)
    if not path.exists():
        raise ConfigError([f"{target} does not exist; name a state's folder or a sweep."])
    if path.is_dir() and not SweepDir(path).plan.is_file():
        return state_at(target)
    return sweep_at(target)


def sweep_at(target: str) -> SweepTarget:
    """A sweep by its file, folder or URI; rows and statuses of its states are fetched.

    Raises:
        ConfigError: There is no such sweep, or it was not started.
        StoreError: What lies there cannot be fetched.
    """
    if is_remote(target):
        tree, kind, name = _split(target)
        if kind != "sweeps":
            raise ConfigError([_no_place(target, "sweeps/NAME")])
        sweep = tree.sweep(name)
    elif Path(target).is_dir():
        sweep = SweepDir(Path(target).resolve())
        tree = ResultTree(sweep.path.parent.parent)
    else:
        spec, _ = load(Path(target))
        tree = tree_of(spec)
        sweep = tree.sweep(spec.name)
    fetch_sweep(tree, sweep)
    if not sweep.plan.is_file():
        raise ConfigError(
            [f"{_told(tree, sweep.plan)} does not exist; start the sweep with: rewarm run SPEC."]
        )
    return SweepTarget(tree, sweep)


def tree_at(target: str) -> ResultTree:
    """The result tree of a sweep by its file or folder, or by the tree's own folder.

    Raises:
        ConfigError: It is none, or lies on object storage.
    """
    folder = Path(target)
    if is_remote(target) or not folder.is_dir():
        tree = None if is_remote(target) else tree_of(load(folder)[0])
        if tree is None or tree.remote is not None:
            raise ConfigError(
                [
                    f"{shown_uri(target) if tree is None else 'storage'}: lies on object storage, "
                    "where nothing can be cleaned yet; name a tree in a directory."
                ]
            )
        return tree
    for root in (folder.resolve(), folder.resolve().parent.parent):
        if (root / "sweeps").is_dir() or (root / "states").is_dir():
            return ResultTree(root)
    raise ConfigError([f"{target} is no result tree, nor a sweep of one; name a sweep's file."])


def state_at(target: str) -> StateTarget:
    """A state by its folder or URI; its last checkpoint is fetched.

    Raises:
        ConfigError: There is no such state.
        StoreError: What lies there cannot be fetched.
    """
    if not is_remote(target):
        state = StateDir(Path(target).resolve())
        return StateTarget(ResultTree(state.path.parent.parent), state)
    tree, kind, name = _split(target)
    if kind != "states":
        raise ConfigError([_no_place(target, "states/ID")])
    state = tree.state(name)
    fetch_whole(tree, state)
    if not state.config.is_file():
        raise ConfigError(
            [f"{shown_uri(target)} is no state; rewarm status lists those of a sweep."]
        )
    return StateTarget(tree, state)


def fetch_sweep(tree: ResultTree, sweep: SweepDir) -> None:
    """Fetches the plan of a sweep, and rows and statuses of its states.

    Raises:
        ConfigError: The plan is damaged.
        StoreError: They cannot be fetched.
    """
    mirror = Mirror.of(tree)
    mirror.fetch(sweep.spec, sweep.plan)
    if not sweep.plan.is_file():
        return
    check_plan(sweep)
    if tree.remote is not None:
        planned = [state["state"] for state in read_json(sweep.plan)["states"]]
        mirror.fetch_states(planned, bases=True)


def fetch_whole(tree: ResultTree, state: StateDir) -> None:
    """Fetches a state with its last checkpoint, and a tokenizer that was trained for it.

    Raises:
        ConfigError: That checkpoint is damaged where it lies.
        StoreError: They cannot be fetched.
    """
    mirror = Mirror.of(tree)
    faults = mirror.fetch_state(state, checkpoint=True)
    if faults:
        raise ConfigError([f"{_told(tree, state.path)} is damaged: {faults[0]}"])
    if tree.remote is not None and state.corpus.is_file():
        file = Path(read_json(state.corpus)["tokenizer"])
        if file.parent.parent.name == "tokenizers":
            mirror.fetch(tree.tokenizer(file.parent.name) / file.name)


def _split(uri: str) -> tuple[ResultTree, str, str]:
    """The tree a URI leads into, and the last two parts of its path."""
    try:
        parts = urlsplit(place(uri))
    except ValueError as error:
        raise ConfigError([f"{shown(shown_uri(uri), 300)}: {error}"]) from error
    above, _, name = parts.path.rstrip("/").rpartition("/")
    root, _, kind = above.rpartition("/")
    if kind not in ("sweeps", "states") or not name:
        raise ConfigError([_no_place(uri, "sweeps/NAME or states/ID")])
    return remote_tree(parts._replace(path=root).geturl()), kind, name


def _no_place(uri: str, rule: str) -> str:
    return f"{shown(shown_uri(uri), 300)}: must end in {rule}, below the storage of a sweep."


def _told(tree: ResultTree, path: Path) -> str:
    if tree.remote is None:
        return str(path)
    return shown_uri(below(tree.remote, path.relative_to(tree.storage).as_posix()))
