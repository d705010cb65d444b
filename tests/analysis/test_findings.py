"""The paper's findings on the page: words, shapes, numbers, and what would test the rest."""

import math

import pytest

from analysis.deciding.lacking import SEEDS, untestable
from analysis.deciding.verdicts import Claim, Effect, Verdict, of_all, of_any
from analysis.page.claims import claims_section
from analysis.report import write_report


def effect(low, high, least=-math.inf, most=math.inf, unit="nats per token", seeds=3):
    return Effect(
        text="a minus b",
        measure="d1_loss",
        unit=unit,
        value=(low + high) / 2,
        low=low,
        high=high,
        at_least=least,
        at_most=most,
        settings=("a", "b"),
        seeds=seeds,
    )


def claim(verdict, effects, remedy=""):
    return Claim(
        name="x",
        sentence="X holds.",
        verdict=verdict,
        why="So.",
        effects=tuple(effects),
        decisive=tuple(effects),
        remedy=remedy,
    )


INSIDE, OUTSIDE, OVER = (
    effect(low, high, -0.05, 0.05) for low, high in ((-0.01, 0.02), (0.06, 0.08), (0.04, 0.06))
)


def test_an_interval_inside_supports_outside_contradicts_and_over_an_end_leaves_open():
    assert INSIDE.verdict == Verdict.SUPPORTED
    assert OUTSIDE.verdict == Verdict.CONTRADICTED
    assert OVER.verdict == Verdict.UNDECIDED
    assert effect(math.nan, math.nan, -0.05, 0.05).verdict == Verdict.UNDECIDED


def test_a_claim_of_all_falls_with_one():
    assert of_all([INSIDE, OVER]) == (Verdict.UNDECIDED, (OVER,))
    assert of_all([INSIDE, OVER, OUTSIDE]) == (Verdict.CONTRADICTED, (OUTSIDE,))
    assert of_all([INSIDE, effect(0.0, 0.04, -0.05, 0.05)])[1] == (effect(0.0, 0.04, -0.05, 0.05),)


def test_a_claim_of_any_stands_with_one_group_that_is_whole():
    assert of_any([[INSIDE, OUTSIDE], [INSIDE, INSIDE]]) == (Verdict.SUPPORTED, (INSIDE, INSIDE))
    assert of_any([[INSIDE, OUTSIDE], [INSIDE, OVER]]) == (Verdict.UNDECIDED, (INSIDE, OVER))
    assert of_any([[INSIDE, OUTSIDE], [OUTSIDE, OVER]]) == (
        Verdict.CONTRADICTED,
        (OUTSIDE, OUTSIDE),
    )


def test_numbers_are_shown_with_their_intervals():
    share = effect(0.6, 0.9, least=0.5, unit="share")
    section = claims_section([claim(Verdict.SUPPORTED, [INSIDE, share])])
    (finding,) = section.tested
    assert [(line.value, line.interval) for line in finding.lines] == [
        ("+0.005", "−0.010 to +0.020"),
        ("75.0%", "60.0% to 90.0%"),
    ]
    needs = [cells[4].text for _, cells in section.table.rows]
    assert needs == ["−0.050 to +0.050", "more than 50.0%"]
    assert section.comparisons == 2


def test_a_long_list_of_effects_is_cut_and_counted():
    section = claims_section([claim(Verdict.UNDECIDED, [OVER] * 5)])
    assert (len(section.tested[0].lines), section.tested[0].more) == (3, 2)


def test_without_seeds_one_number_is_shown_and_seeds_are_asked_for():
    alone = effect(math.nan, math.nan, seeds=1)
    section = claims_section([claim(Verdict.UNDECIDED, [alone] * 3, SEEDS)])
    assert [line.interval for line in section.tested[0].lines] == ["no interval"]
    assert section.seeds == "axes:\n  seed: [0, 1, 2]"


def test_an_unbounded_share_says_so():
    open_ended = effect(-math.inf, math.inf, least=0.5, unit="share")
    section = claims_section([claim(Verdict.UNDECIDED, [open_ended])])
    assert section.tested[0].lines[0].interval.startswith("not bounded")


def test_untestable_claims_stand_apart_with_what_would_test_them():
    section = claims_section([untestable("x", "X holds.", "No Y.", "axes:\n  y: [1, 2]")])
    assert section.tested == []
    assert section.untestable[0].remedy == "axes:\n  y: [1, 2]"
    assert section.counts == "1 not testable here"


def test_the_page_names_the_paper_and_every_verdict(quickstart):
    page = write_report(quickstart(seeds=(0, 1, 2), steps=100)).read_text(encoding="utf-8")
    start = page.index('<section id="paper">')
    section = page[start : page.index("</section>", start)]
    assert "arXiv 2403.08763" in section
    assert 'href="#paper"' in page
    assert section.count('class="verdict"') == 9
    assert "Re-warming the learning rate is needed to adapt." in section
    assert "dataset: prose\nbaselines: [no_rewarm]" in section
    assert '<table class="sortable">' in page[page.index('<section id="dip">') :]


@pytest.mark.browser
def test_verdicts_have_shapes_and_fit_a_narrow_window(quickstart, browser):
    report = write_report(quickstart(seeds=(0, 1, 2), steps=100))
    page = browser.new_page(viewport={"width": 700, "height": 900})
    page.goto(report.as_uri())
    verdicts = page.locator("#paper .verdict:visible")
    shapes = {
        verdicts.nth(index).inner_text().strip(): verdicts.nth(index).locator("svg").inner_html()
        for index in range(verdicts.count())
    }
    assert len(shapes) > 1
    assert len(set(shapes.values())) == len(shapes)
    page.locator("#paper summary", has_text="not testable here").click()
    page.locator("#paper pre", has_text="no_rewarm").wait_for(state="visible")
    assert page.evaluate("document.querySelector('#paper').scrollWidth") <= 700
    page.close()
