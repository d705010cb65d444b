"""The page of two sweeps in a real browser, without a network."""

import pytest

from analysis.asked import Asked
from analysis.output import write


@pytest.mark.browser
def test_a_setting_is_highlighted_in_both_sweeps_by_the_keyboard(pair, browser):
    for sweep, off in (("one", 0.0), ("other", 0.1)):
        for seed in (0, 1):
            pair.trial(sweep, seed, 0.2 + off, 0.5)
            pair.trial(sweep, seed, 0.1 + off, 0.4, replay=0.5)
    file = write(pair.write({"one": [0, 1], "other": [0, 1]}, replay=(0.05, 0.5)), Asked())
    context = browser.new_context(viewport={"width": 700, "height": 900}, offline=True)
    page = context.new_page()
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-drawn=yes]")
    page.evaluate("Figures.drawAll()")
    page.wait_for_function(
        "[...document.querySelectorAll('.plot')].every((plot) => plot.querySelector('svg'))"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 700

    page.locator("#matched .sortable tr[data-setting]").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#matched .sortable tr.lit")
    told = page.locator("#highlight").inner_text()
    assert "Highlighted: centre" in told
    assert "one: forgetting +0.200" in told
    assert "other: forgetting +0.300" in told
    chosen = (
        "document.querySelector('#plane-1 .plot').data.map((one) => one.selectedpoints?.length)"
    )
    page.wait_for_function(f"{chosen}.filter((count) => count === 1).length === 2")
    assert complaints == []
    assert all(url.startswith("file://") for url in requests)
    context.close()
