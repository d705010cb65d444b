"""A page that is written anew while its sweep runs."""

import os
import sys
import time

import pytest

from analysis.__main__ import main
from analysis.asked import Asked
from analysis.output import write
from analysis.watching import is_settled, seems_owned, sweep_stamp, watch
from cpt.records import ResultTree, Status, StatusWord


class Watched:
    """Looks that are typed, and what was written after each."""

    def __init__(self, looks: list[str], interrupt: bool = False) -> None:
        self.looks, self.interrupt = looks, interrupt
        self.at = 0
        self.written: list[tuple[str, float]] = []

    def wait(self, seconds: float) -> None:
        assert seconds == 3
        self.at += 1
        if self.interrupt and self.at == len(self.looks):
            raise KeyboardInterrupt

    def run(self) -> list[tuple[str, float]]:
        last = len(self.looks) - 1
        watch(
            look=lambda: self.looks[self.at],
            is_finished=lambda: not self.interrupt and self.at == last,
            write=lambda reload: self.written.append((self.looks[min(self.at, last)], reload)),
            every=3,
            wait=self.wait,
        )
        return self.written


@pytest.fixture
def running(typed):
    """Two seeds of three settings, the last of which is training still."""
    endings = {0: (0.6, 1.0, "complete"), 0.05: (0.5, 0.9, "complete"), 0.5: (0.1, 0.5, "running")}
    for seed in (0, 1):
        for replay, (forgetting, adaptation, status) in endings.items():
            losses = {
                "prose": [(0, 2.0), (100, 2.0 + forgetting)],
                "code": [(0, 3.0), (100, 3.0 - adaptation)],
            }
            typed.add(f"r{replay} {seed}", replay, seed, losses, status=status)
    return typed


def test_it_is_written_at_once_and_after_every_change_and_reloads_until_the_end():
    assert Watched(["a", "a", "b", "b", "c"]).run() == [("a", 3), ("b", 3), ("c", 0)]


def test_what_is_finished_is_written_once():
    assert Watched(["a"]).run() == [("a", 0)]


def test_the_end_is_written_though_nothing_changed_with_it():
    assert Watched(["a", "a"]).run() == [("a", 3), ("a", 0)]


def test_a_page_that_nobody_writes_any_more_does_not_reload():
    assert Watched(["a", "a"], interrupt=True).run() == [("a", 3), ("a", 0)]


def test_a_look_sees_rows_statuses_and_the_plan(typed):
    losses = {"prose": [(0, 2.0), (100, 2.1)], "code": [(0, 3.0), (100, 2.0)]}
    state = typed.add("a", losses=losses, status="running")
    folder = typed.write()
    seen = [sweep_stamp(folder)]
    typed.append(state, "\n")
    seen.append(sweep_stamp(folder))
    ResultTree(typed.storage).state(state).write_status(
        Status(status=StatusWord.COMPLETE, step=100)
    )
    seen.append(sweep_stamp(folder))
    typed.add("b", replay=0.5, status=None)
    typed.write()
    seen += [sweep_stamp(folder), sweep_stamp(folder)]
    assert len(set(seen[:4])) == 4
    assert seen[3] == seen[4]


def test_a_sweep_is_settled_once_no_trial_can_go_on(typed):
    typed.add("a", status="complete")
    typed.add("b", replay=0.5, status="failed")
    typed.add("c", replay=0, status="running")
    folder = typed.write()
    states = ResultTree(typed.storage)
    assert not is_settled(folder)
    states.state("state-c").write_status(Status(status=StatusWord.STOPPED, step=50, reason="x"))
    assert is_settled(folder)
    typed.add("d", seed=1, status=None)
    typed.write()
    assert not is_settled(folder)
    typed.fail("up-1", "no room")
    assert is_settled(folder)
    states.state("state-a").status.write_text("{")
    assert not is_settled(folder)


def test_a_sweep_is_owned_while_there_are_signs_of_life(tmp_path):
    assert not seems_owned(tmp_path)
    owner = tmp_path / "owner.json"
    owner.touch()
    assert seems_owned(tmp_path)
    os.utime(owner, (time.time() - 61, time.time() - 61))
    assert not seems_owned(tmp_path)


def test_a_finished_sweep_is_watched_for_one_page(quickstart, monkeypatch, capsys):
    sweep_dir = quickstart()
    monkeypatch.setattr(sys, "argv", ["analysis", str(sweep_dir), "--watch"])
    assert main() == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(f" {sweep_dir / 'report.html'}")
    text = (sweep_dir / "report.html").read_text(encoding="utf-8")
    assert "RELOAD_SECONDS = 0.0;" in text


def test_what_is_not_watched_does_not_know_of_reloading(running):
    assert "RELOAD_SECONDS" not in write([running.write()], Asked()).read_text(encoding="utf-8")


@pytest.mark.browser
def test_a_watched_page_shows_what_is_new_and_stays_where_it_was(running, browser):
    folder, cap = running.write(), "forgetting at most +0.500"
    file = write([folder], Asked(), 1.0)
    context = browser.new_context(viewport={"width": 1000, "height": 600}, offline=True)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-reloads]")
    # What is clicked comes into view at once, and not while the next thing is done.
    page.add_style_tag(content="html { scroll-behavior: auto !important; }")
    key = page.locator(".legend button").first
    key.click()
    heading = page.locator("#trials th").nth(2)
    for _ in range(2):
        heading.locator("button").click()
    page.locator("#trials details summary").click()
    slider = page.locator("#answer .cap input")
    chosen = [slider.get_attribute("max"), slider.get_attribute("data-default")]
    # The reader asks for less forgetting than the default: the second of three positions.
    assert chosen == ["2", "2"]
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#answer .cap output").inner_text() == cap
    where = "document.querySelector('#trials table').getBoundingClientRect().top"
    page.evaluate(f"scrollBy({{top: {where} - 200, behavior: 'instant'}})")

    for seed in (0, 1):
        state = ResultTree(running.storage).state(f"state-r0.5 {seed}")
        state.write_status(Status(status=StatusWord.COMPLETE, step=100))
    write([folder], Asked(), 1.0)
    news = "document.body.textContent.includes('6 of 6 trials complete')"
    page.wait_for_function(f"{news} && document.documentElement.dataset.reloads")

    def looks_as_it_did():
        # Figures that come into view are drawn, and what lies below is put back where it was.
        page.wait_for_function(f"Math.abs({where} - 200) <= 2")
        assert page.locator("#trials details").first.get_attribute("open") is not None
        assert key.get_attribute("aria-pressed") == "false"
        assert heading.get_attribute("aria-sort") == "descending"
        # One more position lies before the one that was chosen.
        assert slider.input_value() == "2"
        assert page.locator("#answer .cap output").inner_text() == cap

    looks_as_it_did()

    write([folder], Asked(), 0)
    page.wait_for_selector("html[data-drawn=yes]:not([data-reloads])")
    looks_as_it_did()
    page.evaluate("window.stays = true")
    page.wait_for_timeout(2500)
    assert page.evaluate("window.stays")
    assert complaints == []
    context.close()
