"""Names are shown, never obeyed: markup, scripts, links and templates in whatever a sweep names."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.report import write_report
from cpt.files import read_json, write_json
from cpt.records import ResultTree
from cpt.rows import TaskRow, append_rows

SCRIPT = "</script><script>window.pwned=1</script>"
IMAGE = "\"><img src=x onerror=window.pwned=1 class='injected'>"
LINK = "<a href=\"javascript:window.pwned=1\" class='injected'>{{7*7}} ${7*7} %{x}</a>"
LINES = "one\u2028two\u2029<b>three</b>"
FORMULA = '=HYPERLINK("http://example.invalid","x")'
TURNED = "\u202e\u0627\u0644\u0639\u0631\u0628\u064a\u0629 'single' \"double\" `back` \\u003c"
"""Written from right to left, with every quotation mark and an escape that is none."""
LONG = "very_long_" * 60
NAMES = {"prose": SCRIPT, "code": IMAGE, "stdlib": LINES, "center": LINK, "constant": FORMULA}
AXIS = f"{IMAGE}.max_lr"


def renamed(content: Any) -> Any:
    """The content with every name that is a text of its own replaced."""
    if isinstance(content, dict):
        return {NAMES.get(key, key): renamed(value) for key, value in content.items()}
    if isinstance(content, list):
        return [renamed(value) for value in content]
    return NAMES.get(content, content) if isinstance(content, str) else content


@pytest.fixture
def hostile(quickstart: Callable[..., Path], tmp_path: Path) -> Path:
    """A finished sweep but for one failed trial, whose names are all meant to do harm."""
    sweep_dir = quickstart(steps=150, unfinished={"schedule=wsd": "failed"})
    plan = read_json(sweep_dir / "plan.json")
    states = [state["state"] for state in plan["states"]]
    kept = {"role", "stage", "center", "name"}
    plan = {key: value if key in kept else renamed(value) for key, value in plan.items()}
    plan["tokenizer"], plan["model"]["name"] = IMAGE, LINES
    plan["environment"]["platform"] = SCRIPT
    plan["name"] = f"{SCRIPT} {IMAGE} {TURNED}"
    plan["axes"][AXIS] = [1e-3, 2e-3]
    for number, trial in enumerate(plan["trials"]):
        trial["trial"] += f" {SCRIPT} {number}"
        trial["center"] = number == 0
        trial["factors"][AXIS] = 1e-3 if number else 2e-3
    plan["trials"][1]["trial"] = FORMULA
    plan["trials"][2]["trial"] = TURNED
    plan["trials"][3]["trial"] = LONG
    plan["center"][AXIS] = 2e-3
    # States are found by their folders' names, which cannot hold a path.
    for state, name in zip(plan["states"], states, strict=True):
        state |= {"state": name, "label": f"{LINK} {IMAGE}"}
    for trial in plan["trials"]:
        back = {new: old for old, new in NAMES.items()}
        trial["states"] = [back.get(name, name) for name in trial["states"]]
        trial["stage_ends"] = [back.get(name, name) for name in trial["stage_ends"]]
    write_json(sweep_dir / "plan.json", plan)
    tree = ResultTree(tmp_path)
    for name in states:
        place = tree.state(name)
        for rows in (place.eval_rows, place.train_rows):
            lines = [renamed(json.loads(line)) for line in rows.read_text().splitlines()]
            rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
        config = read_json(place.config)
        config["evaluation"], config["stream"] = map(
            renamed, (config["evaluation"], config["stream"])
        )
        write_json(place.config, config)
        status = read_json(place.status)
        write_json(place.status, status | {"reason": SCRIPT if status["reason"] else ""})
    append_rows(
        tree.state(states[1]).task_rows,
        [
            TaskRow(
                step=150, task=IMAGE, metric=SCRIPT, filter=LINK, value=0.5, stderr=None,
                higher_is_better=True, num_fewshot=0, num_samples=10, limit=None, group=None,
                task_version=SCRIPT, harness=IMAGE,
            )
        ],
    )  # fmt: skip
    return sweep_dir


def test_no_cell_of_trials_csv_is_a_formula(hostile):
    write_report(hostile)
    with (hostile / "trials.csv").open(newline="", encoding="utf-8") as file:
        headings, *rows = list(csv.reader(file))
    names = headings.index("trial"), headings.index("schedule")
    told = [row[column] for row in rows for column in names]
    assert f"'{FORMULA}" in told
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in [*headings, *told])
    # Measures are numbers, and stay what they are.
    adaptation = headings.index("adaptation")
    assert any(float(row[adaptation]) for row in rows if row[adaptation])


@pytest.mark.browser
def test_names_are_shown_word_for_word_and_do_nothing(hostile, browser):
    report = write_report(hostile)
    context = browser.new_context(viewport={"width": 1200, "height": 900}, offline=True)
    page = context.new_page()
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-drawn=yes]", timeout=60_000)
    page.evaluate("Figures.drawAll()")
    hovered = page.evaluate(
        """() => [...document.querySelectorAll(".plot")].map((plot) => {
          Plotly.Fx.hover(plot, plot.data.map((_, n) => ({curveNumber: n, pointNumber: 1})));
          return [...plot.querySelectorAll(".hoverlayer text")].map((it) => it.textContent).join();
        }).join()"""
    )
    for key in page.locator(".legend button").all()[:12]:
        key.click()

    assert page.evaluate("typeof window.pwned") == "undefined"
    injected = ".injected, img, iframe, a:not([href^='#']), svg a, .plot b"
    assert page.locator(injected).count() == 0
    # What is drawn is taken from what stands in the page.
    assert page.locator("script").count() == page.locator("script:not([type])").count() + (
        page.locator(".plot").count()
    )
    assert requests == [report.as_uri()]
    assert complaints == []

    text = page.evaluate("document.body.textContent")
    for name in (SCRIPT, IMAGE, LINES, FORMULA, TURNED, LONG, "{{7*7}} ${7*7} %{x}"):
        assert name in text, name
    assert SCRIPT in hovered
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200
    assert "<b>three</b>" in hovered
    assert "</b>" not in hovered.replace("<b>three</b>", "")
    context.close()
