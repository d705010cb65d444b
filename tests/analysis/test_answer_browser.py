"""The recommendation in a real browser: the slider, the keyboard, no script, print."""

import pytest

from analysis.report import write_report

pytestmark = pytest.mark.browser


def opened(browser, report, **more):
    page = browser.new_context(offline=True, **more).new_page()
    page.add_init_script(
        "window.chosen = []; document.addEventListener('rewarm:chosen', e => chosen.push(e.detail))"
    )
    page.goto(report.as_uri())
    return page


def test_the_keyboard_moves_the_cap_and_the_recommendation_follows(quickstart, browser):
    page = opened(browser, write_report(quickstart()))
    card = page.locator("#answer .choices .choice:visible")
    slider = page.get_by_role("slider", name="How much forgetting do you accept?")
    assert card.count() == 1
    before, spoken = card.inner_text(), slider.get_attribute("aria-valuetext")
    assert "replay\n25%" in before

    slider.focus()
    page.keyboard.press("Home")
    assert card.count() == 1
    assert "Nothing stays under this cap" in card.inner_text()
    assert page.evaluate("chosen.at(-1)") == {"settings": [], "rivals": [], "cap": 0}

    page.keyboard.press("ArrowRight")
    assert "replay\n50%" in card.inner_text()
    page.keyboard.press("End")
    assert "peak LR\n0.006" in card.inner_text()
    assert slider.get_attribute("aria-valuetext") != spoken
    assert "peak LR 0.006" in slider.get_attribute("aria-valuetext")
    last = page.evaluate("chosen.at(-1)")
    assert len(last["settings"]) == 1
    assert page.locator("output").inner_text() == f"forgetting at most +{last['cap']:.3f}"

    page.reload()
    assert "peak LR\n0.006" in card.inner_text()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert "replay\n25%" in card.inner_text()
    assert not slider.is_visible()
    page.context.close()


def test_without_script_the_page_shows_the_default(quickstart, browser):
    page = opened(browser, write_report(quickstart(seeds=(0, 1))), java_script_enabled=False)
    card = page.locator("#answer .choices .choice:visible")
    assert card.count() == 1
    assert "Recommended" in card.inner_text()
    assert not page.locator(".cap").is_visible()
    page.context.close()
