"""A second opinion on final losses: a quadratic surface over log peak and log replay.

With p = log(peak) and q = log(replay + offset), each centred and divided by its spread,

    loss = b0 + b1 p + b2 q + b3 p^2 + b4 q^2 + b5 p q

by ordinary least squares (the response surface of Box and Wilson, 1951). A term that the settings
cannot tell from those before it is dropped. The offset lets replay of none stand on a log scale:
about the share at which replay has done much of its work. It knows nothing of schedules and of
training longer, so it speaks for settings that differ from the sweep's reference in these two.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.predicting.areas import Array
from analysis.predicting.courses import Course

OFFSET = 0.1


@dataclass(frozen=True, eq=False)
class Surface:
    """A fitted surface of one held-out set.

    Attributes:
        middle: Means of log peak and log replay.
        scale: Their standard deviations; 1 where there is none.
        kept: Which of the six terms were fitted.
        weights: One for each of those, nats per token.
        inverse: Of X'X, for intervals.
        freedom: Settings less terms.
        residual: Standard deviation of a setting around the surface; NaN without freedom.
    """

    middle: Array
    scale: Array
    kept: NDArray[np.bool_]
    weights: Array
    inverse: Array
    freedom: int
    residual: float

    @property
    def parameters(self) -> int:
        """How many were fitted."""
        return int(self.kept.sum())

    @property
    def converged(self) -> bool:
        """Linear least squares always do."""
        return True

    def finals(self, courses: Sequence[Course]) -> Array:
        """The final loss of each setting, nats per token."""
        return np.asarray(self._terms(courses) @ self.weights)

    def spread(self, courses: Sequence[Course]) -> Array:
        """Standard deviation of `finals` itself: grows outside of what was tried."""
        rows = self._terms(courses)
        return np.asarray(self.residual * np.sqrt(((rows @ self.inverse) * rows).sum(axis=1)))

    def _terms(self, courses: Sequence[Course]) -> Array:
        return _terms((_place(courses) - self.middle) / self.scale)[:, self.kept]


def fit(courses: Sequence[Course], role: str) -> Surface:
    """Fits the surface of one held-out set to the final losses of settings.

    Args:
        courses: `usual` ones, at least one.
        role: d0 or d1.
    """
    place = _place(courses)
    middle, scale = place.mean(axis=0), place.std(axis=0)
    scale[scale < 1e-9] = 1.0
    terms = _terms((place - middle) / scale)
    kept = _told_apart(terms)
    losses = np.array([course.finals[role] for course in courses])
    weights, _, _, _ = np.linalg.lstsq(terms[:, kept], losses, rcond=None)
    freedom = len(courses) - int(kept.sum())
    off = losses - terms[:, kept] @ weights
    return Surface(
        middle=middle,
        scale=scale,
        kept=kept,
        weights=weights,
        inverse=np.asarray(np.linalg.inv(terms[:, kept].T @ terms[:, kept]), dtype=np.float64),
        freedom=freedom,
        residual=float(np.sqrt(off @ off / freedom)) if freedom > 0 else float("nan"),
    )


def _place(courses: Sequence[Course]) -> Array:
    """Log peak and log replay, shape (settings, 2)."""
    return np.array([[np.log(one.peak), np.log(one.replay + OFFSET)] for one in courses])


def _terms(place: Array) -> Array:
    peak, replay = place.T
    return np.column_stack([np.ones(len(place)), peak, replay, peak**2, replay**2, peak * replay])


def _told_apart(terms: Array) -> NDArray[np.bool_]:
    """Which terms are no combination of those before them."""
    kept = np.zeros(terms.shape[1], dtype=bool)
    for number in range(terms.shape[1]):
        kept[number] = True
        if np.linalg.matrix_rank(terms[:, kept], tol=1e-6) < kept.sum():
            kept[number] = False
    return kept
