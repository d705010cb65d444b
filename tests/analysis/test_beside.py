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


@pytest.mark.browser
@pytest.mark.parametrize("width", [1400, 420])
def test_no_name_of_a_page_is_cut_off_or_lies_on_another(quickstart, browser, width):
    page = browser.new_context(viewport={"width": width, "height": 900}, offline=True).new_page()
    page.goto(write_report(quickstart()).as_uri())
    page.locator("[data-spec=trade-off-1]").scroll_into_view_if_needed()
    page.wait_for_selector("[data-spec=trade-off-1] .textpoint text", state="attached")
    page.wait_for_selector("html[data-drawn=yes]", timeout=60_000)
    area, names = page.evaluate(
        """() => {
          const box = (each) => {
            const { left, top, right, bottom } = each.getBoundingClientRect();
            return [left, top, right, bottom];
          };
          const plot = document.querySelector("[data-spec=trade-off-1]");
          const shown = [...plot.querySelectorAll(".textpoint text")]
            .filter((each) => getComputedStyle(each).visibility === "visible" && each.textContent);
          return [box(plot.querySelector(".nsewdrag")), shown.map(box)];
        }"""
    )
    assert len(names) >= 3
    for at, (left, top, right, bottom) in enumerate(names):
        assert area[0] <= left < right <= area[2]
        for other in names[:at]:
            apart = right <= other[0] or other[2] <= left
            assert apart or bottom <= other[1] + 3 or other[3] <= top + 3
