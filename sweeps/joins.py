"""The learning rate on both sides of every join of the tree of states.

Between stages it may jump: from where the stage before ended to where re-warming begins. Inside a
stage it never does; a state goes on at the rate where its base left off.
"""

from collections.abc import Mapping

from cpt.schedule import lr, restricted
from sweeps.tree import State


def lr_first(state: State) -> float:
    """The rate of the state's own first update."""
    return state.config.lr(state.first_step)


def lr_last(state: State) -> float:
    """The rate at the step the state ends at, that of the curve it belongs to.

    Where curves part at that step, the last one they share: it is held, or reached, there.
    """
    end = state.config.end_step
    return lr(restricted(state.config.pieces(), end), end)


def lr_peak(state: State) -> float:
    """The largest rate of the state's own updates."""
    first, end = state.first_step, state.config.end_step
    tops = [
        rate
        for piece in restricted(state.config.pieces(), end)
        for step, rate in ((piece.start, piece.start_lr), (piece.end, piece.end_lr))
        if first <= step <= end
    ]
    return max([lr_first(state), lr_last(state), *tops])


def lr_before(state: State, states: Mapping[str, State]) -> float | None:
    """The rate at which the state that this one starts from ended; None from random weights."""
    return None if state.before is None else lr_last(states[state.before])
