"""The response surface, against fits made by hand."""

import dataclasses
import math

import numpy as np
import pytest

from analysis.predicting import surface
from analysis.predicting.surface import OFFSET
from tests.analysis.predicting.known import REFERENCE


def setting(peak, replay, loss):
    return dataclasses.replace(REFERENCE.course(peak, replay), finals={"d0": loss})


def test_a_quadratic_in_the_logarithms_is_found_exactly():
    def loss(peak, replay):
        p, q = math.log(peak), math.log(replay + OFFSET)
        return 3 + 0.2 * p - 0.1 * q + 0.03 * p**2 + 0.02 * q**2 - 0.05 * p * q

    grid = [(peak, share) for peak in (1e-3, 2e-3, 8e-3) for share in (0, 0.1, 0.5)]
    fitted = surface.fit([setting(*point, loss(*point)) for point in grid], "d0")

    assert fitted.parameters == 6
    assert fitted.finals([setting(4e-3, 0.3, 0)])[0] == pytest.approx(loss(4e-3, 0.3))


def test_two_peaks_tell_a_line_and_nothing_of_replay():
    fitted = surface.fit([setting(1e-3, 0.1, 2.0), setting(4e-3, 0.1, 3.0)], "d0")

    assert list(fitted.kept) == [True, True, False, False, False, False]
    assert fitted.finals([setting(2e-3, 0.1, 0)])[0] == pytest.approx(2.5)


def test_the_spread_is_that_of_least_squares_and_grows_outside():
    # Settings at -1, -1, 1 and 1 of a line, each off it by 0.1: s^2 = 0.04 / 2, and the variance
    # of the line at x is s^2 (1 + x^2) / 4.
    losses = [(1e-3, 1.9), (1e-3, 2.1), (4e-3, 2.9), (4e-3, 3.1)]
    fitted = surface.fit([setting(peak, 0.1, loss) for peak, loss in losses], "d0")
    middle, end, outside = (setting(peak, 0.1, 0) for peak in (2e-3, 4e-3, 16e-3))

    assert fitted.residual == pytest.approx(math.sqrt(0.02))
    assert list(fitted.spread([middle, end, outside])) == pytest.approx(
        list(np.sqrt(0.02 * (1 + np.array([0, 1, 9])) / 4))
    )
