"""Cut, hash, dedupe: from whole stages to the states that train each shared beginning once.

Two stages share their first steps as far as their rates and evaluations agree, given the same
model, data, seed and parent. Where their curves part, a state is cut off that both go on from. A
state's name comes from the steps up to it alone (`RunConfig.state_id`), so neither cuts nor other
trials change any name; they only decide which states exist and from where each is trained.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cpt.config import RunConfig
from cpt.schedule import Pieces, restricted, shared_steps
from sweeps.factors import HOLDING
from sweeps.runs import Stage, StageRun


@dataclass(frozen=True, kw_only=True)
class State:
    """A wanted training state.

    Attributes:
        id: Its name, made from its content.
        stage: Which kind of stage it belongs to.
        role: That of the stage's new data, d0, d1, ...; None from scratch.
        config: How to train it; `config.base` is where the plan goes on from.
        first_step: The step of its base; 0 without one.
        is_wanted: Whether a trial or a later stage or budget needs it; else it is there only to be
            shared, and may be passed over where nothing is left to share.
    """

    id: str
    stage: Stage
    role: str | None
    config: RunConfig
    first_step: int = 0
    is_wanted: bool = True

    @property
    def before(self) -> str | None:
        """The state it starts from: its base, else the end of the stage before."""
        return self.config.base or self.config.parent

    @property
    def ends_stage(self) -> bool:
        """Whether it is the end of a stage, rather than a beginning that others share."""
        return not self.config.is_beginning

    @property
    def is_annealed(self) -> bool:
        """Whether the rate has come down, rather than being held for what goes on from here."""
        schedule = self.config.schedule
        return self.ends_stage and (schedule.anneal or schedule.type not in HOLDING)

    @property
    def tokens(self) -> int:
        """Training tokens from its base to its step."""
        return (self.config.end_step - self.first_step) * self.config.tokens_per_step


def cut(runs: Iterable[StageRun], shortest_shared_steps: int) -> dict[str, State]:
    """The states of whole stages and of the beginnings they share; bases before what uses them.

    Args:
        runs: Each stage once, with distinct ids.
        shortest_shared_steps: A shared beginning of fewer steps is not cut off: a restart costs
            more than to train it again. Where `keep` asks for a state it is cut all the same.
    """
    groups: dict[Any, list[_Curve]] = {}
    for run in runs:
        for curve in _curves(run):
            groups.setdefault(_same_but_for_rates(curve.config), []).append(curve)
    states: dict[str, State] = {}
    for curves in groups.values():
        _grow(curves, None, 0, shortest_shared_steps, states)
    return states


def path_to(states: Mapping[str, State], end: str) -> list[str]:
    """A state and the bases before it, in the order they are trained."""
    path = [end]
    while (base := states[path[-1]].config.base) is not None:
        path.append(base)
    return path[::-1]


@dataclass(frozen=True)
class _Curve:
    """A state that is wanted, whole stage or kept beginning, and what its steps do."""

    id: str
    run: StageRun
    config: RunConfig
    pieces: Pieces

    @property
    def window_start(self) -> int:
        return self.config.total_steps - self.config.evaluation.final_window_steps

    def shares_with(self, other: "_Curve") -> int:
        """How many first updates and evaluations are the same; never into a final window."""
        ends = min(self.config.end_step, other.config.end_step)
        windows = min(self.window_start, other.window_start)
        return int(min(shared_steps(self.pieces, other.pieces), ends, windows))

    def next_after(self, step: int) -> tuple[object, ...]:
        """What tells curves apart in the update and evaluation after `step`."""
        if step >= self.window_start:
            return (self.id,)
        return tuple(
            (piece.shape, piece.start, piece.end, piece.start_lr, piece.end_lr, piece.timescale)
            for piece in restricted(self.pieces, step + 1)
        )


def _curves(run: StageRun) -> Iterable[_Curve]:
    pieces = run.config.pieces()
    yield _Curve(run.id, run, run.config, pieces)
    if run.keep is not None:
        kept = run.config.model_copy(
            update={
                "stop_step": run.keep,
                "label": f"{run.config.label}, to step {run.keep:,}",
            }
        )
        yield _Curve(kept.state_id, run, kept, pieces)


def _same_but_for_rates(config: RunConfig) -> tuple[object, ...]:
    """Equal for two stages of one sweep that might share steps."""
    fields = ("corpus", "weight", "order", "offset", "seen")
    sources = [tuple(getattr(source, name) for name in fields) for source in config.stream]
    stream = tuple(sources), tuple(map(len, config.shares))
    held_out = tuple(sorted(held.corpus for held in config.evaluation.datasets))
    return config.parent, config.seed, stream, held_out


def _grow(
    curves: Sequence[_Curve],
    base: str | None,
    base_step: int,
    shortest: int,
    states: dict[str, State],
) -> None:
    """Adds the states of curves that agree up to `base_step`, and may agree for longer."""
    first, *others = curves
    if not others:
        _add(first, base, base_step, states)
        return
    step = min(first.shares_with(other) for other in others)
    ended = [curve for curve in curves if curve.config.end_step == step]
    if ended:
        for curve in ended:
            _add(curve, base, base_step, states)
        base, base_step = ended[0].id, step
    parts: dict[object, list[_Curve]] = {}
    for curve in curves:
        if curve.config.end_step > step:
            parts.setdefault(curve.next_after(step), []).append(curve)
    if not ended and step - base_step >= shortest:
        shared = first.config.model_copy(
            update={
                "stop_step": step,
                "label": f"{first.run.config.label}, first {step:,} steps",
                "base": base,
            }
        )
        name = shared.state_id
        states[name] = State(
            id=name,
            stage=first.run.stage,
            role=first.run.role,
            config=shared,
            first_step=base_step,
            is_wanted=False,
        )
        base, base_step = name, step
    for part in parts.values():
        _grow(part, base, base_step, shortest, states)


def _add(curve: _Curve, base: str | None, base_step: int, states: dict[str, State]) -> None:
    if curve.id not in states:
        states[curve.id] = State(
            id=curve.id,
            stage=curve.run.stage,
            role=curve.run.role,
            config=curve.config.model_copy(update={"base": base}),
            first_step=base_step,
        )
