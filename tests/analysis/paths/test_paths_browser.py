"""Pages of paths, budgets and other designs in a real browser, without a network."""

import pytest

from analysis.report import write_report

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("three_stages", "dark"),
        ("budgets", "light"),
        ("random_design", "dark"),
        ("stopped", "light"),
    ],
)
def test_the_page_draws_without_complaint_and_fits_a_narrow_window(request, browser, name, scheme):
    report = write_report(request.getfixturevalue(name))
    context = browser.new_context(
        viewport={"width": 700, "height": 900}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-drawn=yes]", timeout=60_000)
    page.evaluate("Figures.drawAll()")
    assert complaints == []
    plots = page.locator(".plot").count()
    assert plots > 3
    assert page.locator(".plot:has(svg.main-svg)").count() == plots
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    context.close()


def test_more_forgotten_is_a_stronger_colour(three_stages, browser):
    page = browser.new_page(color_scheme="dark")
    page.goto(write_report(three_stages).as_uri())
    page.wait_for_selector("html[data-drawn=yes]", timeout=60_000)
    colors = page.locator(".heat td.rise").evaluate_all(
        "cells => cells.map(cell => [cell.style.getPropertyValue('--share'),"
        " getComputedStyle(cell).backgroundColor])"
    )
    assert len({color for _, color in colors}) == len({share for share, _ in colors}) > 1
    page.close()
