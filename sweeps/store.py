"""What exists of a plan: decided from the result tree alone, so running again is resuming."""

from dataclasses import dataclass
from pathlib import Path

from cpt.config import RunConfig
from cpt.parsing import ConfigError, parse
from cpt.records import ResultTree, StateDir, Status, StatusWord, read_json
from sweeps.plan import Plan
from sweeps.spec import SweepSpec


@dataclass(frozen=True, kw_only=True)
class Found:
    """What lies in the folder of one state.

    Attributes:
        status: None where it was never started, or where it is damaged.
        base: The state it was trained from, by its own configuration.
        has_checkpoint: Whether an attempt left a checkpoint to resume from.
        damage: What is wrong with it, in words; such a folder is set aside and never trusted.
    """

    status: Status | None = None
    base: str | None = None
    has_checkpoint: bool = False
    damage: str | None = None

    def is_(self, word: StatusWord) -> bool:
        """Whether the status is this word."""
        return self.status is not None and self.status.status is word


def tree_of(spec: SweepSpec) -> ResultTree:
    """The result tree that a sweep writes to."""
    return ResultTree(Path(spec.storage).expanduser().resolve())


def find(plan: Plan, tree: ResultTree) -> dict[str, Found]:
    """What exists of every state of a plan."""
    return {name: _look(tree.state(name)) for name in plan.states}


def set_aside(state: StateDir) -> Path:
    """Moves a damaged folder out of the way, under a name that says so; nothing is deleted."""
    number = 1
    while (aside := state.path.with_name(f"{state.path.name}.damaged-{number}")).exists():
        number += 1
    return state.path.rename(aside)


def _look(state: StateDir) -> Found:
    if not state.path.is_dir():
        return Found()
    try:
        status = state.read_status()
        if status is None and not state.config.exists():
            return Found()
        config = parse(RunConfig, read_json(state.config))
    except (FileNotFoundError, ValueError) as error:
        return Found(damage=_reason(state, error))
    damage = _damage(state, status, config)
    if damage is not None:
        return Found(damage=damage)
    return Found(status=status, base=config.base, has_checkpoint=bool(state.marked_steps()))


def _reason(state: StateDir, error: FileNotFoundError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{error.filename} is missing"
    if isinstance(error, ConfigError):
        return f"{state.config} is no configuration: {error}"
    return str(error)


def _damage(state: StateDir, status: Status | None, config: RunConfig) -> str | None:
    """What a hand did to a folder that can be read; a kill leaves none of this behind."""
    if config.state_id != state.path.name:
        return f"{state.config} is that of {config.state_id}"
    if status is not None and status.status is StatusWord.COMPLETE:
        if status.step != config.end_step:
            return f"{state.status} says complete at step {status.step}, not {config.end_step}"
        if config.base is None and not state.eval_rows.exists():
            return f"{state.eval_rows} is missing"
        return state.checkpoint_fault(config.end_step)
    return next(filter(None, map(state.checkpoint_fault, state.marked_steps())), None)
