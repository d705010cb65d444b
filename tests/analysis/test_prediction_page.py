"""The section on prediction: what it says where fits hold, where they do not, and in a browser."""

import json
import re
import shutil

import numpy as np
import pytest
import yaml

from analysis.load import load_sweep
from analysis.measures import trial_table
from analysis.page.environment import environment
from analysis.page.prediction import prediction_section
from analysis.predicting import tables
from analysis.predicting.held_out import LAW, SURFACE
from analysis.predicting.outlook import outlook
from analysis.report import write_report
from analysis.settings import anchor, settings_table
from benchmarks.lawful import draw_law, sweep_content, write_sweep


@pytest.fixture(scope="module")
def lawful(tmp_path_factory):
    """A finished sweep whose losses follow a law: four peaks, four shares, two seeds."""
    axes = {
        "max_lr": [1.5e-3, 3e-3, 6e-3, 1.2e-2],
        "replay_fraction": [0, 0.05, 0.25, 0.5],
        "seed": [0, 1],
    }
    law = draw_law(np.random.default_rng(0))
    content = sweep_content(axes=axes, baselines=[])
    return write_sweep(tmp_path_factory.mktemp("lawful"), law, content)[0]


def section_of(folder):
    sweep = load_sweep(folder)
    trials, center = trial_table(sweep), anchor(sweep)
    return prediction_section(sweep, trials, settings_table(sweep, trials, center), center)


def section_text(folder):
    template = environment().get_template("sections/prediction.html.j2")
    return template.render(prediction=section_of(folder))


def test_fits_that_hold_are_drawn_and_lead_to_a_sweep_file(lawful):
    folder = lawful
    section = section_of(folder)
    text = section_text(folder)
    file = re.search(r'<pre id="next-sweep"[^>]*>(.*?)</pre>', text, re.DOTALL)[1]

    assert [chart.title for chart in section.charts] == [
        "Predicted against measured final losses",
        "Predicted between and beyond the settings tried",
        "With a longer budget",
    ]
    assert len(section.judgements.rows) == 4
    assert len(section.proposals.rows) == 3
    assert yaml.safe_load(file)["name"] == "lawful-next"
    assert len(yaml.safe_load(file)["trials"]) == 3
    assert text.count("does not hold:") == len(section.troubles)


def test_without_the_sweep_file_proposals_stay_and_the_page_says_why(lawful, tmp_path):
    shutil.copytree(lawful.parent.parent, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "sweeps" / "lawful"
    (folder / "sweep.yaml").unlink()
    section = section_of(folder)

    assert section.unproposed == "the sweep file as submitted (sweep.yaml) is missing"
    assert section.file == ""
    assert len(section.proposals.rows) == 3


def test_a_fit_that_does_not_hold_is_named_and_not_drawn(typed):
    for number, replay in enumerate((0, 0.05, 0.5)):
        code = [(0, 3.0), (50, 2.5), (90, 2.0 + 0.1 * number), (100, 2.0 + 0.1 * number)]
        prose = [(0, 2.0), (50, 2.2), (90, 2.1), (100, 2.1)]
        typed.add(f"r{replay}", replay, losses={"prose": prose, "code": code})
    folder = typed.write()
    section = section_of(folder)
    text = section_text(folder)

    assert section.charts == []
    assert "The loss law of D0 does not hold: 3 settings cannot check" in text
    assert "Nothing is proposed: " in text
    assert 'class="plot"' not in text


def test_several_stages_and_an_empty_sweep_say_why_nothing_is_predicted(typed):
    typed.add("a", status=None)
    text = section_text(typed.write())

    assert "Nothing is predicted: no trial that continues is complete." in text


@pytest.fixture(scope="module")
def found(lawful):
    sweep = load_sweep(lawful)
    return outlook(sweep, trial_table(sweep))


def test_other_settings_lie_between_and_outside_and_have_longer_budgets(found):
    table = tables.elsewhere(found)
    law = table[table["model"] == LAW]

    assert list(law["times"]) == [1, 1, 1, 1, 2, 4]
    assert list(law["peak"]) == [7.5e-4, 4.24e-3, 2.4e-2, 3e-3, 3e-3, 3e-3]
    assert list(law["outside"]) == [True, False, True, False, False, False]
    assert not table.loc[table["model"] == SURFACE, "outside"].any()
    half = law["adaptation_high"] - law["adaptation"]
    assert half.iloc[2] > half.iloc[1]
    assert half.iloc[5] > half.iloc[1]


def test_parity_points_are_those_of_fits_that_hold(found):
    table = tables.parity(found)

    for (model, role), judged in found.judged.items():
        own = table[(table["model"] == model) & (table["role"] == role)]
        expected = list(judged.table["held_out"]) if judged.holds else []
        assert list(own["held_out"]) == expected


def test_a_trial_is_predicted_with_what_its_seed_does_to_other_settings(lawful, found):
    sweep = load_sweep(lawful)
    trials = trial_table(sweep)
    table = tables.by_trial(found, trials)
    one = trials.iloc[5]
    row = table[
        (table["model"] == LAW) & (table["role"] == "d0") & (table["trial"] == one["trial"])
    ].iloc[0]
    others = trials[(trials["setting"] != one["setting"]) & (trials["baseline"] == "")]
    off = others["d0_loss"] - others.groupby("setting")["d0_loss"].transform("mean")
    judged = found.judged[LAW, "d0"].table.set_index("setting")
    by_hand = judged["held_out"][one["setting"]] + off[others["seed"] == one["seed"]].mean()

    assert row["observed"] == one["d0_loss"]
    assert row["predicted"] == pytest.approx(by_hand)
    assert abs(by_hand - judged["held_out"][one["setting"]]) > 1e-4


def test_hostile_names_of_settings_stay_text_in_the_figures(lawful, tmp_path):
    shutil.copytree(lawful.parent.parent, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "sweeps" / "lawful"
    plan = json.loads((folder / "plan.json").read_text())
    plan["datasets"]["<img src=x onerror=alert(1)>"] = plan["datasets"].pop("new")
    plan["stages"][1]["dataset"] = "<img src=x onerror=alert(1)>"
    del plan["seal"]
    (folder / "plan.json").write_text(json.dumps(plan))
    text = section_text(folder)

    assert text.count("proposal-3") > 1
    assert "<img" not in text


@pytest.mark.browser
def test_the_file_is_copied_with_the_keyboard(lawful, browser):
    report = write_report(lawful)
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-drawn=yes]", timeout=60_000)
    button = page.locator("#prediction button.copy")
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('button.copy').textContent === 'Copied'")
    copied = page.evaluate("navigator.clipboard.readText()")

    assert copied.strip() == page.locator("#next-sweep").inner_text().strip()
    assert "proposal-3" in copied
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "next-sweep"
    context.close()
