"""Learning rates: every schedule is a tuple of pieces, and `lr(pieces, step)` reads it.

`step` is the number of optimizer updates completed; `lr(step)` drives the update from `step` to
`step + 1`. So the first update uses `lr(0)`, the last `lr(total_steps - 1)`, and
`lr(total_steps) == min_lr` is never used by an update. Boundaries may be fractional steps, as in
the code the paper was run with (GPT-NeoX: 1% of 132,366 steps is 1,323.66). Where two pieces meet
they have the same value; past the last piece its final value holds.

Formulas: arXiv 2403.08763, equations 1 and 2 and section 7 (infinite schedules). WSD: Hägele et
al., arXiv 2405.18392. All rates are absolute, all lengths in steps.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

Shape = Literal["constant", "linear", "cosine", "inverse_sqrt", "exponential", "one_minus_sqrt"]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One named piece of a curve, from (`start`, `start_lr`) to (`end`, `end_lr`).

    With x = (step - start) / (end - start) in [0, 1], the rate is

        constant        start_lr
        linear          start_lr + (end_lr - start_lr) * x
        cosine          end_lr + (start_lr - end_lr) / 2 * (cos(pi x) + 1)
        inverse_sqrt    start_lr + (end_lr - start_lr) * h(x) / h(1),
                        h(x) = 1 / sqrt(1 + timescale x) - 1
        exponential     start_lr * (end_lr / start_lr) ** x
        one_minus_sqrt  end_lr + (start_lr - end_lr) * (1 - sqrt(x))

    Attributes:
        phase: What the field calls it: warmup, cooldown, constant, anneal, stable, decay.
        shape: Which of the formulas above.
        start: First step, may be fractional.
        end: Step at which `end_lr` is reached; the next piece begins there.
        start_lr: Rate at `start`.
        end_lr: Rate at `end`.
        timescale: alpha of the inverse square root; 0 for the other shapes.
    """

    phase: str
    shape: Shape
    start: float
    end: float
    start_lr: float
    end_lr: float
    timescale: float = 0.0

    def at(self, step: float) -> float:
        """The rate at `step`, which must lie in [start, end]; exact at both ends."""
        if step >= self.end:
            return self.end_lr
        if step <= self.start or self.shape == "constant":
            return self.start_lr
        x = (step - self.start) / (self.end - self.start)
        change = self.end_lr - self.start_lr
        match self.shape:
            case "linear":
                return self.start_lr + change * x
            case "cosine":
                return self.end_lr - change / 2 * (math.cos(math.pi * x) + 1)
            case "inverse_sqrt":
                return self.start_lr + change * self._h(x) / self._h(1.0)
            case "exponential":
                return self.start_lr * math.pow(self.end_lr / self.start_lr, x)
            case "one_minus_sqrt":
                return self.end_lr - change * (1 - math.sqrt(x))

    def _h(self, x: float) -> float:
        return 1 / math.sqrt(1 + self.timescale * x) - 1


Pieces = tuple[Piece, ...]


def lr(pieces: Pieces, step: float) -> float:
    """The rate used by the update from `step` to `step + 1`.

    At a boundary the later piece speaks: a stage without warm-up starts at its peak.

    Args:
        pieces: As returned by a schedule below: in order, the first starting at 0, without gaps.
        step: At least 0; past the end the last value holds.
    """
    for piece in pieces:
        if step < piece.end:
            return piece.at(step)
    return pieces[-1].end_lr


def restricted(pieces: Pieces, steps: int) -> Pieces:
    """The pieces that drive the first `steps` updates: two curves that agree on them give the same.

    A rate that is held when the last of these updates is made counts as held up to `steps`, however
    long the whole curve holds it; every other piece stays as it is, since its values depend on
    where it ends.

    Args:
        pieces: A whole curve.
        steps: Number of updates, at least 1.
    """
    kept: list[Piece] = []
    for piece in pieces:
        kept.append(piece)
        if steps - 1 < piece.end:
            break
    if kept[-1].shape == "constant":
        kept[-1] = replace(kept[-1], end=float(steps))
    return tuple(kept)


def shared_steps(one: Pieces, other: Pieces) -> float:
    """How many first updates of two curves use the same rates; infinity where all do.

    Only what is written alike counts: a linear piece that happens to cross a cosine does not.
    """
    for mine, theirs in zip(one, other, strict=False):
        if _formula(mine) == _formula(theirs):
            continue
        holds = mine.shape == theirs.shape == "constant"
        if holds and (mine.start, mine.start_lr) == (theirs.start, theirs.start_lr):
            return math.ceil(min(mine.end, theirs.end))
        return math.ceil(max(mine.start, theirs.start))
    if len(one) == len(other):
        return math.inf
    return math.ceil(min(one[-1].end, other[-1].end))


def constant(
    total_steps: float, *, max_lr: float, warmup_steps: float = 0.0, start_lr: float = 0.0
) -> Pieces:
    """Linear warm-up, then `max_lr` for ever: re-warming without re-decaying.

    lr(0) = start_lr, lr(warmup_steps) = max_lr = lr(total_steps). With `warmup_steps` 0 it is
    `max_lr` from the first update on; with `max_lr` the floor of the stage before, that is the
    paper's baseline without re-warming.

    Args:
        total_steps: Length of the stage.
        max_lr: The rate that is held.
        warmup_steps: In [0, total_steps].
        start_lr: Rate at step 0, only where there is a warm-up.
    """
    return _joined(
        _warmup(warmup_steps, start_lr, max_lr),
        _hold("constant", warmup_steps, total_steps, max_lr),
    )


def cosine(
    total_steps: float,
    *,
    max_lr: float,
    min_lr: float,
    warmup_steps: float = 0.0,
    start_lr: float = 0.0,
) -> Pieces:
    """Linear warm-up and cosine decay (equations 1 and 2); on a later stage: re-warm, re-decay.

    lr(0) = start_lr, lr(warmup_steps) = max_lr, lr(total_steps) = min_lr, and the floor holds
    past the end (GPT-NeoX let the cosine rise again there).

    Args:
        total_steps: T_end; the decay takes total_steps - warmup_steps.
        max_lr: eta_max.
        min_lr: eta_min, 0.1 eta_max in the paper.
        warmup_steps: T_warmup in [0, total_steps].
        start_lr: Rate at step 0; 0 in the paper, so that its first update moves no weights.
    """
    return _joined(
        _warmup(warmup_steps, start_lr, max_lr),
        Piece(
            phase="decay",
            shape="cosine",
            start=warmup_steps,
            end=total_steps,
            start_lr=max_lr,
            end_lr=min_lr,
        ),
    )


def infinite(
    total_steps: float,
    *,
    cooldown: Literal["cosine", "inverse_sqrt"],
    max_lr: float,
    constant_lr: float,
    min_lr: float,
    warmup_steps: float,
    cooldown_steps: float,
    constant_steps: float | None,
    start_lr: float = 0.0,
    timescale: float = 10.0,
) -> Pieces:
    """The infinite schedules: warm-up, cool-down, constant (as long as wished), anneal.

    With c = warmup_steps + cooldown_steps and a = c + constant_steps: lr(0) = start_lr,
    lr(warmup_steps) = max_lr, lr(c) = constant_lr = lr(a), lr(total_steps) = min_lr. The anneal is
    exponential, constant_lr (min_lr / constant_lr)^((t - a) / (T - a)), and takes what is left.

    Args:
        total_steps: T_end, the end of the anneal.
        cooldown: Shape of f_cd, from max_lr to constant_lr.
        max_lr: eta_max.
        constant_lr: eta_const; (max_lr + min_lr) / 2 in the paper.
        min_lr: eta_min, above 0 since the anneal is geometric.
        warmup_steps: T_cd in the paper's notation, where the cool-down begins.
        cooldown_steps: Length of f_cd.
        constant_steps: Length of the constant phase; None: to the end, without an anneal, which is
            the state that a later stage goes on from.
        start_lr: Rate at step 0.
        timescale: alpha of the inverse square root.
    """
    cooled = warmup_steps + cooldown_steps
    held = total_steps if constant_steps is None else cooled + constant_steps
    return _joined(
        _warmup(warmup_steps, start_lr, max_lr),
        Piece(
            phase="cooldown",
            shape=cooldown,
            start=warmup_steps,
            end=cooled,
            start_lr=max_lr,
            end_lr=constant_lr,
            timescale=timescale if cooldown == "inverse_sqrt" else 0.0,
        ),
        _hold("constant", cooled, held, constant_lr),
        Piece(
            phase="anneal",
            shape="exponential",
            start=held,
            end=total_steps,
            start_lr=constant_lr,
            end_lr=min_lr,
        ),
    )


def wsd(
    total_steps: float,
    *,
    max_lr: float,
    min_lr: float,
    warmup_steps: float,
    decay_steps: float,
    start_lr: float = 0.0,
) -> Pieces:
    """Warm-up, stable, decay, with the 1 - sqrt decay of arXiv 2405.18392.

    lr(0) = start_lr, lr(warmup_steps) = max_lr = lr(total_steps - decay_steps),
    lr(total_steps) = min_lr (0 is allowed).

    Args:
        total_steps: End of the decay.
        max_lr: The rate of the stable phase.
        min_lr: The rate the decay ends at.
        warmup_steps: In [0, total_steps - decay_steps].
        decay_steps: Length of the decay.
        start_lr: Rate at step 0.
    """
    decay_start = total_steps - decay_steps
    return _joined(
        _warmup(warmup_steps, start_lr, max_lr),
        _hold("stable", warmup_steps, decay_start, max_lr),
        Piece(
            phase="decay",
            shape="one_minus_sqrt",
            start=decay_start,
            end=total_steps,
            start_lr=max_lr,
            end_lr=min_lr,
        ),
    )


def _warmup(warmup_steps: float, start_lr: float, max_lr: float) -> Piece:
    return Piece(
        phase="warmup", shape="linear", start=0.0, end=warmup_steps, start_lr=start_lr,
        end_lr=max_lr,
    )  # fmt: skip


def _hold(phase: str, start: float, end: float, rate: float) -> Piece:
    return Piece(phase=phase, shape="constant", start=start, end=end, start_lr=rate, end_lr=rate)


def _formula(piece: Piece) -> tuple[object, ...]:
    """A piece without its name: two phases that are drawn alike are alike."""
    return (piece.shape, piece.start, piece.end, piece.start_lr, piece.end_lr, piece.timescale)


def _joined(*pieces: Piece) -> Pieces:
    """The pieces that last: a phase of no length has no place in the curve."""
    return tuple(piece for piece in pieces if piece.end > piece.start)
