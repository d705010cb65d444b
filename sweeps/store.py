"""What exists of a plan: decided from the result tree alone, so running again is resuming."""

from dataclasses import dataclass
from pathlib import Path

from cpt.config import RunConfig
from cpt.files import read_json, set_aside
from cpt.mirror import Mirror
from cpt.parsing import ConfigError, parse
from cpt.records import ResultTree, StateDir, Status, StatusWord, SweepDir
from cpt.storage import below, cache_of, is_remote
from sweeps.plan import Plan
from sweeps.spec import SweepSpec
from sweeps.words import listed


@dataclass(frozen=True, kw_only=True)
class Found:
    """What lies in the folder of one state.

    Attributes:
        status: None where it was never started, or where it is damaged; running where it says
            complete and is not.
        base: The state it was trained from, by its own configuration.
        has_checkpoint: Whether an attempt left a checkpoint to resume from.
        faults: What is damaged of a status, checkpoints or rows, in words; training sets that aside
            and goes on from what is whole.
        damage: Why nothing of it can be trusted, in words; such a folder is set aside.
    """

    status: Status | None = None
    base: str | None = None
    has_checkpoint: bool = False
    faults: tuple[str, ...] = ()
    damage: str | None = None

    def is_(self, word: StatusWord) -> bool:
        """Whether the status is this word."""
        return self.status is not None and self.status.status is word


def tree_of(spec: SweepSpec) -> ResultTree:
    """The result tree of a sweep, as whoever plans and reads sees it."""
    if is_remote(spec.storage):
        return remote_tree(spec.storage, _token_storage(spec))
    return ResultTree(Path(spec.storage).expanduser().resolve(), _token_storage(spec))


def remote_tree(uri: str, token_storage: str | None = None) -> ResultTree:
    """The result tree at a URI: its working copy for whoever plans and reads."""
    return ResultTree(cache_of(uri) / "results", token_storage or below(uri, "tokens"), uri)


def training_tree(storage: str, token_storage: str | None, remote: str | None) -> ResultTree:
    """The same tree as a training sees it, on whatever machine it runs.

    Args:
        storage: Of the tree as it was planned in.
        token_storage: Likewise.
        remote: Likewise; where there is one, `storage` is another machine's copy.
    """
    copy = Path(storage) if remote is None else cache_of(remote) / "work"
    return ResultTree(copy, token_storage, remote)


def _token_storage(spec: SweepSpec) -> str | None:
    """Of workers in any directory."""
    if spec.token_storage is None or is_remote(spec.token_storage):
        return spec.token_storage
    return str(Path(spec.token_storage).expanduser().resolve())


def check_plan(sweep: SweepDir) -> None:
    """Looks through a `plan.json` before its states are looked for.

    Raises:
        ConfigError: It is damaged, or names a state outside of the result tree.
    """
    tree = ResultTree(sweep.path.resolve().parent.parent)
    try:
        plan = read_json(sweep.plan)
        missing = [name for name in ("states", "trials") if name not in plan]
        if missing:
            raise ValueError(f"{sweep.plan} is no plan: it has no {listed(missing)}")
        try:
            for name in (
                *(planned["state"] for planned in plan["states"]),
                *(name for trial in plan["trials"] for name in trial["states"]),
            ):
                tree.state(name)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{sweep.plan} is no plan: {error!r}") from error
        except ValueError as error:
            raise ValueError(f"{sweep.plan} is no plan: {error}") from error
    except ValueError as error:
        raise ConfigError([f"{error}; rewarm run SPEC writes it anew."]) from error


def find(plan: Plan, tree: ResultTree) -> dict[str, Found]:
    """What exists of every state of a plan, fetched where it lies elsewhere.

    Raises:
        StoreError: It cannot be fetched.
    """
    Mirror.of(tree).fetch_states(plan.states, bases=True)
    return {name: look(tree.state(name)) for name in plan.states}


def mend(state: StateDir, found: Found, mirror: Mirror) -> None:
    """Makes the status of a state say what `look` found, before others wait for that state.

    Checkpoints and rows are left to `cpt.recovery`, which alone reads them to the last byte.
    """
    if found.status is not None:
        for step in set(state.checkpoint_steps()) - set(state.marked_steps()):
            if step > found.status.step:  # its marker is lost: the next attempt would write over it
                state.set_checkpoint_aside(step)
        mirror.write_status(state, found.status)
    elif state.status.exists():
        set_aside(state.status)


def look(state: StateDir) -> Found:
    """What lies in the folder of one state."""
    if not state.path.is_dir() or not (state.status.exists() or state.config.exists()):
        return Found()
    try:
        config = parse(RunConfig, read_json(state.config))
    except (FileNotFoundError, ValueError) as error:
        return Found(damage=_reason(state, error))
    if config.state_id != state.path.name:
        return Found(damage=f"{state.config} is that of {config.state_id}")
    faults: list[str] = []
    status: Status | None = None
    try:
        status = state.read_status()
    except ValueError as error:
        faults.append(str(error))
    whole = state.whole_steps()
    if status is not None and status.status is StatusWord.COMPLETE:
        fault = _completion_fault(state, status, config)
        if fault is not None:
            faults.append(fault)
            step = max(whole, default=0) if state.checkpoint_fault(config.end_step) else 0
            status = Status(status=StatusWord.RUNNING, step=step, reason=fault)
    else:
        faults += filter(None, map(state.checkpoint_fault, state.marked_steps()))
    return Found(status=status, base=config.base, has_checkpoint=bool(whole), faults=tuple(faults))


def _reason(state: StateDir, error: FileNotFoundError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{error.filename} is missing"
    if isinstance(error, ConfigError):
        return f"{state.config} is no configuration: {error}"
    return str(error)


def _completion_fault(state: StateDir, status: Status, config: RunConfig) -> str | None:
    """Why a state that says complete is not."""
    if status.step != config.end_step:
        return f"{state.status} says complete at step {status.step}, not {config.end_step}"
    return state.completion_fault(config.end_step)
