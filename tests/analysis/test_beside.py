"""Names beside marks: none on another, none on a mark, none cut off."""

import numpy as np
import pytest

from analysis.drawing.beside import places_of_names
from analysis.report import write_report

SIZE = (400.0, 300.0)


def placed(marks, names, order=None, line=()):
    order = range(len(marks)) if order is None else order
    return places_of_names(np.array(marks, float), [5.5] * len(marks), names, order, SIZE, line)


def test_a_name_goes_to_the_best_corner_that_is_inside():
    marks = [(200, 150), (10, 150), (200, 5), (390, 150)]
    assert placed(marks, ["long name"] * 4) == {
        0: "top left",
        1: "bottom right",
        2: "bottom right",
        3: "top left",
    }


def test_a_name_lies_on_no_mark():
    # The other mark stands where the first one's name would begin.
    assert placed([(200, 150), (180, 136)], ["name", ""], order=[0]) == {0: "bottom right"}


def test_the_earlier_name_chooses_first_and_the_later_one_keeps_off_it():
    marks, names = [(200, 150), (240, 150)], ["a long name", "a long name"]
    assert placed(marks, names) == {0: "top left", 1: "bottom right"}
    assert placed(marks, names, order=[1, 0]) == {1: "top left", 0: "bottom right"}


def test_a_name_without_room_is_left_out():
    crowd = [(200 + x, 150 + y) for x in (-30, -12, 0, 12, 30) for y in (-13, 0, 13)]
    (center,) = (at for at, mark in enumerate(crowd) if mark == (200, 150))
    assert placed(crowd, ["a name"] * len(crowd), order=[center]) == {}


def test_a_name_crosses_a_line_only_where_it_must():
    # Level at the height of the name above, from edge to edge.
    above, below = [(0, 136), (400, 136)], [(0, 164), (400, 164)]
    assert placed([(200, 150)], ["name"], line=above) == {0: "bottom right"}
    assert placed([(200, 150)], ["name"], line=[*above, (400, 164), (0, 164)]) == {0: "top left"}
    assert placed([(200, 150)], ["name"], line=below) == {0: "top left"}


SHOWN = """() => {
  const plot = document.querySelector("[data-spec=trade-off-1]");
  const names = [...plot.querySelectorAll(".textpoint text")];
  return names.filter((each) => getComputedStyle(each).visibility === "visible");
}"""
# The figure takes the width of its window some time after that has changed. A line's box is some
# pixels higher than its letters.
CLEAR = """() => {
  const plot = document.querySelector("[data-spec=trade-off-1]");
  const drawn = plot.querySelector("svg.main-svg");
  if (!drawn || Math.abs(drawn.clientWidth - plot.clientWidth) > 2) return false;
  const area = plot.querySelector(".nsewdrag").getBoundingClientRect();
  const boxes = (SHOWN)().map((each) => each.getBoundingClientRect());
  const inside = boxes.every((box) => area.left <= box.left && box.right <= area.right);
  const apart = (one, other) =>
    one.right <= other.left || other.right <= one.left
    || one.bottom <= other.top + 3 || other.bottom <= one.top + 3;
  const alone = (one, at) => boxes.slice(at + 1).every((other) => apart(one, other));
  return inside && boxes.every(alone);
}""".replace("SHOWN", SHOWN)


@pytest.mark.browser
def test_no_name_of_a_page_is_cut_off_or_lies_on_another(quickstart, browser):
    page = browser.new_context(offline=True).new_page()
    page.goto(write_report(quickstart()).as_uri())
    counts = []
    for width in (1400, 420):
        page.set_viewport_size({"width": width, "height": 900})
        page.locator("[data-spec=trade-off-1]").scroll_into_view_if_needed()
        page.wait_for_function(CLEAR, timeout=20_000)
        counts.append(page.evaluate(f"({SHOWN})().length"))
    wide, narrow = counts
    assert wide == 9 > narrow >= 3
