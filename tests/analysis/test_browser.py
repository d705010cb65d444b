"""The page in a real browser, without a network: one page, and what a reader does to it."""

import pytest

from analysis.report import write_report

pytestmark = pytest.mark.browser


def opened(browser, sweep_dir, **options):
    """A page without a network, what it complains of and what it asks for."""
    report = write_report(sweep_dir)
    context = browser.new_context(viewport={"width": 700, "height": 900}, offline=True, **options)
    page = context.new_page()
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-drawn=yes]", timeout=60_000)
    return page, complaints, requests


def opacities(page, spec):
    """Opacity of each trace of a figure, by the setting that owns it."""
    return page.evaluate(
        "spec => document.querySelector(`[data-spec='${spec}']`).data"
        ".map(trace => [trace.meta.settings[0], trace.opacity])",
        spec,
    )


def test_a_reader_highlights_sorts_and_changes_the_theme(quickstart, browser):
    page, complaints, requests = opened(browser, quickstart(unfinished={"schedule=wsd": "running"}))
    plots = page.locator(".plot")
    drawn = page.locator(".plot:has(svg.main-svg)")

    # Figures far below the window wait; near ones are drawn.
    page.locator("[data-spec=trade-off-1]").scroll_into_view_if_needed()
    page.wait_for_selector("[data-spec=trade-off-1] svg.main-svg")
    assert 0 < drawn.count() < plots.count()
    page.evaluate("Figures.drawAll()")
    assert drawn.count() == plots.count() > 15
    assert all(url.startswith("file://") for url in requests)
    assert page.evaluate("document.documentElement.scrollWidth") <= 700

    # A row of a table highlights its setting in figures and tables, a second click ends that.
    row = page.locator("#trials tbody tr", has_text="replay_fraction=0.5").first
    setting = row.get_attribute("data-setting")
    row.click()
    page.evaluate("Figures.drawAll()")
    assert page.locator("#highlight").inner_text().startswith("Highlighted: replay 50%")
    assert row.get_attribute("aria-current") == "true"
    seen = opacities(page, "axis-3-1")
    assert {opacity for name, opacity in seen if name == setting} == {1}
    assert {opacity for name, opacity in seen if name != setting} == {0.15}
    chosen = page.evaluate(
        "document.querySelector('[data-spec=trade-off-1]').data.flatMap(trace => "
        "(trace.selectedpoints ?? []).map(point => trace.meta.settings[point]))"
    )
    assert chosen == [setting]
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    row.click()
    page.evaluate("Figures.drawAll()")
    assert page.locator("#highlight").inner_text() == ""
    assert {opacity for _, opacity in opacities(page, "axis-3-1")} == {1}
    assert page.locator("tr.lit").count() == 0

    # A click on a mark does the same, and Escape ends it.
    plane = page.locator('[data-spec="trade-off-1"]')
    plane.scroll_into_view_if_needed()
    plane.locator(".scatterlayer .trace path.point").first.click(force=True)
    page.wait_for_selector("tr.lit", state="attached")
    page.keyboard.press("Escape")
    assert page.locator("tr.lit").count() == 0

    # By keyboard: an arrow tells of a setting, Enter highlights it.
    plane.focus()
    page.keyboard.press("ArrowRight")
    first = page.locator("#spoken").inner_text()
    page.keyboard.press("ArrowRight")
    told = page.locator("#spoken").inner_text()
    assert "adaptation" in told
    assert told != first
    assert plane.locator(".hoverlayer text").count() > 0
    page.keyboard.press("Enter")
    assert page.locator("#highlight strong").inner_text() == (
        f"Highlighted: {told.partition('. ')[0]}"
    )
    assert page.locator("tr.lit").count() > 0
    page.keyboard.press("Escape")

    # In a table arrows go from row to row.
    page.locator("#trials tbody tr[tabindex='0']").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    second = page.locator("#trials tbody tr").nth(1)
    assert second.get_attribute("aria-current") == "true"
    assert page.evaluate("document.activeElement.ariaCurrent") == "true"
    page.keyboard.press("Escape")

    # What is recommended under the reader's cap is ringed, and the cap is drawn.
    page.evaluate(
        "setting => document.dispatchEvent(new CustomEvent('rewarm:chosen', "
        "{ detail: { settings: [setting], cap: 0.1 } }))",
        setting,
    )
    page.wait_for_function(
        "document.querySelector('[data-spec=trade-off-1]').layout.shapes?.length"
    )
    ring = page.evaluate("document.querySelector('[data-spec=trade-off-1]').data.at(-1)")
    assert ring["marker"]["symbol"] == "circle-open"
    assert len(ring["x"]) == 1

    # The theme button goes round, and figures follow.
    light, dark = "#1b1f24", "#e6e9ed"
    for name, ink in (("light", light), ("dark", dark), ("auto", light)):
        page.locator("#theme").click()
        assert page.locator("#theme").inner_text() == f"Theme: {name}"
        plane.scroll_into_view_if_needed()
        page.wait_for_function(
            "ink => document.querySelector('[data-spec=trade-off-1]').layout.font.color === ink",
            arg=ink,
        )

    heading = page.locator("#trials th button", has_text="adaptation")
    column = page.locator("#trials tbody td.strong:nth-last-child(2)")
    heading.click()
    shown = [text for text in column.all_inner_texts() if text[0].isdigit()]
    assert shown == sorted(shown)
    assert len(set(shown)) > 2
    heading.click()
    again = [text for text in column.all_inner_texts() if text[0].isdigit()]
    assert again == sorted(shown, reverse=True)

    page.locator("#axis-1").scroll_into_view_if_needed()
    lines = page.locator("#axis-1 .scatterlayer path.js-line")
    before = lines.count()
    page.locator("#axis-1 .legend button").first.click()
    page.wait_for_function(
        "n => document.querySelectorAll('#axis-1 .scatterlayer path.js-line').length < n",
        arg=before,
    )

    # Printing draws all of it, light.
    page.locator("#theme").click()
    page.locator("#theme").click()
    page.evaluate(
        """() => addEventListener("beforeprint", () => {
          const plots = [...document.querySelectorAll(".plot")];
          window.printed = plots.map((plot) => plot.layout.font.color);
        })"""
    )
    page.pdf()
    assert page.evaluate("window.printed") == [light] * plots.count()
    assert page.locator("#theme").inner_text() == "Theme: dark"
    assert complaints == []
    page.context.close()
