"""Grids of settings that follow a law."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from analysis.predicting.courses import Course
from tests.analysis.predicting.known import PEAKS, REFERENCE, SHARES, measured


@pytest.fixture(scope="session")
def lawful() -> Callable[..., list[Course]]:
    """A grid of settings that follow `LAWS`; `noise` in nats on the final losses."""

    def make(
        peaks: Sequence[float] = PEAKS, shares: Sequence[float] = SHARES, noise: float = 0.0
    ) -> list[Course]:
        drawn = np.random.default_rng(0)
        return [
            measured(REFERENCE.course(peak, share), noise * drawn.normal())
            for peak in peaks
            for share in shares
        ]

    return make
