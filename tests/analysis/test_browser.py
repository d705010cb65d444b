"""The page in a real browser, without a network."""

import pytest

from analysis.report import write_report

pytestmark = pytest.mark.browser


def test_the_page_draws_everything_offline_and_fits_a_narrow_window(quickstart, browser):
    report = write_report(quickstart(unfinished={"schedule=wsd": "running"}))
    context = browser.new_context(viewport={"width": 700, "height": 900}, offline=True)
    page = context.new_page()
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-drawn=yes]", timeout=60_000)

    assert complaints == []
    assert all(url.startswith("file://") for url in requests)
    plots = page.locator(".plot").count()
    assert plots > 15
    assert page.locator(".plot:has(svg.main-svg)").count() == plots
    assert page.evaluate("document.documentElement.scrollWidth") <= 700

    heading = page.locator("#trials th button", has_text="adaptation")
    column = page.locator("#trials tbody td.strong:nth-last-child(2)")
    heading.click()
    shown = [text for text in column.all_inner_texts() if text[0].isdigit()]
    assert shown == sorted(shown)

    key = page.locator("#axis-1 .legend button").first
    lines = page.locator("#axis-1 .scatterlayer path.js-line")
    before = lines.count()
    key.click()
    page.wait_for_function(
        "n => document.querySelectorAll('#axis-1 .scatterlayer path.js-line').length < n",
        arg=before,
    )
    context.close()
