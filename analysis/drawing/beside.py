"""Names beside marks, each where it lies on no other name and on no mark."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

FONT, LETTER, INK = 11.5, 6.0, 11.0
"""Pixels: the size of names, what a letter is wide on the average, and a line with ink high."""
CORNERS = ("top left", "bottom right", "top right", "bottom left")
"""Where a name may stand, the best first: what is better than a mark lies above it to the left."""
_SIDE = {"left": -1, "right": 1, "top": -1, "bottom": 1}

Box = tuple[float, float, float, float]


def places_of_names(
    marks: NDArray[np.float64],
    radii: Sequence[float],
    names: Sequence[str],
    order: Iterable[int],
    size: tuple[float, float],
    line: Sequence[tuple[float, float]] = (),
) -> dict[int, str]:
    """Where each name is written, as plotly's `textposition`; those without room are left out.

    Args:
        marks: Pixels from the upper left corner of the plot, shape (marks, 2).
        radii: Of the marks, pixels.
        names: Of the marks.
        order: The marks that are to be named, by position; the earlier chooses first.
        size: Width and height of the plot, pixels.
        line: Corners of a line of level and upright pieces, pixels; a name crosses it only where
            it has no room elsewhere.

    Returns:
        Position of a mark to one of `CORNERS`.
    """
    discs = [
        (x - radius, y - radius, x + radius, y + radius)
        for (x, y), radius in zip(marks, radii, strict=True)
    ]
    pieces = [
        (min(x, to_x), min(y, to_y), max(x, to_x), max(y, to_y))
        for (x, y), (to_x, to_y) in pairwise(line)
    ]
    written: list[Box] = []
    found: dict[int, str] = {}
    for at in order:
        others = [*discs[:at], *discs[at + 1 :], *written]
        x, y = marks[at]
        boxes = {corner: _box(x, y, radii[at], names[at], corner) for corner in CORNERS}
        free = {
            corner: box
            for corner, box in boxes.items()
            if _within(box, size) and not any(_overlap(box, other) for other in others)
        }
        if free:
            best = min(free, key=lambda corner: sum(_overlap(free[corner], one) for one in pieces))
            found[at] = best
            written.append(free[best])
    return found


def _box(x: float, y: float, radius: float, name: str, corner: str) -> Box:
    """The rectangle of a name; plotly keeps a quarter more than the radius and a pixel free."""
    vertical, horizontal = (_SIDE[word] for word in corner.split())
    away, width = radius / 0.8 + 1, LETTER * len(name)
    left = x + horizontal * away - (width if horizontal < 0 else 0)
    middle = y + vertical * (away + FONT / 2)
    return left, middle - INK / 2, left + width, middle + INK / 2


def _within(box: Box, size: tuple[float, float]) -> bool:
    return box[0] >= 0 and box[1] >= 0 and box[2] <= size[0] and box[3] <= size[1]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
