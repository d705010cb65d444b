"""The page of several sweeps, and what its tables say."""

import re

import pandas as pd
import pytest

import analysis
from analysis import output
from analysis.asked import Asked
from analysis.comparing.charts import plane_charts
from analysis.comparing.costs import cost_table
from analysis.comparing.entries import entries
from analysis.comparing.facts import fact_table
from analysis.comparing.highlights import keys_of, told_keys
from analysis.comparing.matching import matched_settings
from analysis.comparing.overlays import center_losses, center_rates
from analysis.comparing.planes import plane_points
from analysis.comparing.recommendations import recommendation_table
from analysis.output import write
from analysis.units import Unit
from cpt.parsing import ConfigError
from tests.analysis.comparing.conftest import set_text


def both(folders):
    return entries([analysis.load(folder) for folder in folders], Unit.NATS)


def keyed(folders):
    """Both sweeps, and the keys of their settings."""
    one, other = both(folders)
    matched = {other.name: matched_settings(one, other, ["forgetting"])}
    return [one, other], keys_of([one, other], matched)


def test_facts_that_differ_are_told_from_those_that_do_not(pair):
    pair.trial("one", 0, 0.2, 0.5)
    pair.trial("other", 0, 0.2, 0.5)
    changes = {"other": {"sequence_length": 256, "tokenizer": "words.json"}}
    facts = fact_table(both(pair.write({"one": [0], "other": [0, 1]}, changes=changes)))
    facts = facts.set_index("fact")
    assert list(facts.columns) == ["one", "other", "differs"]
    assert facts.loc["sequence length"].to_list() == ["128", "256", True]
    assert facts.loc["values of seed"].to_list() == ["0", "0, 1", True]
    assert facts.loc["D0 data set"].to_list() == ["prose", "prose", False]
    assert set(facts.index[facts["differs"]]) == {"sequence length", "tokenizer", "values of seed"}


def test_a_fact_that_one_plan_does_not_record_differs(three_seeds):
    set_text(three_seeds[0], "text")
    facts = fact_table(both(three_seeds)).set_index("fact")
    assert facts.loc["D0 held-out text"].to_list() == ["text of prose", "\N{EN DASH}", True]


def test_each_sweep_recommends_by_itself_and_under_the_cap_of_the_first(pair):
    for sweep, more in (("one", 0.0), ("other", 0.2)):
        for seed in (0, 1, 2):
            pair.trial(sweep, seed, 0.30 + more, 1.00, replay=0.0)
            pair.trial(sweep, seed, 0.10 + more, 0.98, replay=0.05)
            pair.trial(sweep, seed, 0.01, 0.50, replay=0.5)
    seeds = {"one": [0, 1, 2], "other": [0, 1, 2]}
    table = recommendation_table(both(pair.write(seeds, replay=(0, 0.05, 0.5))))
    one, other = table.to_dict("records")
    assert (one["setting"], other["setting"]) == ("centre", "centre")
    assert (one["forgetting"], other["forgetting"]) == pytest.approx((0.1, 0.3))
    assert other["cap"] == pytest.approx(0.1)
    assert (one["under_cap"], other["under_cap"]) == ("centre", "replay 50%")
    assert other["under_cap_adaptation"] == pytest.approx(0.5)
    assert one["told"]


def test_curves_of_the_centres_bear_the_names_of_their_sweeps(three_seeds):
    curves = center_losses(*keyed(three_seeds))
    assert list(dict.fromkeys(curves["curve"])) == ["one", "other"]
    assert curves["color"].nunique() == 2
    last = curves[(curves["role"] == "d0") & (curves["step"] == 100)]
    assert list(last["loss"]) == pytest.approx([2.2, 2.5, 2.3, 2.3, 2.62, 2.44])
    assert center_rates(*keyed(three_seeds)).empty


def test_a_shared_run_has_one_mark(pair):
    for sweep in ("one", "other"):
        pair.trial(sweep, 0, 0.2, 0.5, name="shared")
        pair.trial(sweep, 0, 0.1, 0.4, replay=0.5)
    points = plane_points(*keyed(pair.write({"one": [0], "other": [0]}, replay=(0.05, 0.5))))
    assert list(points["sweep"]) == ["one", "one", "other", "other"]
    assert list(points["repeated"]) == [False, False, True, False]


def test_a_setting_lights_up_in_every_sweep_that_has_it(pair):
    for sweep, replay in (("one", 0.0), ("one", 0.05), ("other", 0.05), ("other", 0.5)):
        pair.trial(sweep, 0, 0.2, 0.5, replay=replay)
    compared, keys = keyed(pair.write({"one": [0], "other": [0]}, replay=(0, 0.05, 0.5)))
    first, second, third = "('', 0.0)", "('', 0.05)", "('', 0.5)"
    assert keys == {
        ("one", first): first,
        ("one", second): second,
        ("other", second): second,
        ("other", third): f"other: {third}",
    }
    name, line = told_keys(compared, keys)[second]
    assert name == "centre"
    assert line.count("forgetting +0.200") == 2


def test_costs_are_counted_state_by_state(quickstart, three_seeds):
    (row,) = cost_table(both([quickstart()])).to_dict("records")
    # 600 steps of pre-training; 16 trials of 300 steps and the union of 900, 4,096 tokens each.
    assert row["pretraining_tokens"] == 600 * 4096
    assert row["tokens"] == (600 + 17 * 300 + 900) * 4096
    # Rows say 0.1 s an update.
    assert row["hours"] == pytest.approx((600 + 17 * 300 + 900) * 0.1 / 3600)
    assert (row["complete"], row["trials"]) == (18, 18)


def test_one_page_of_three_sweeps(quickstart, three_seeds):
    first = quickstart()
    page = write([first, *three_seeds], Asked())
    assert page == first / "comparison.html"
    text = page.read_text(encoding="utf-8")
    assert "3 sweeps compared" in text
    assert len(re.findall(r"plotly\.js v\d", text)) == 1
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=[\"'](?!data:|#)", text)


def test_sweeps_that_have_not_begun_become_a_page(pair):
    pair.trial("one", 0, 0.2, 0.5, status=None)
    pair.trial("other", 0, 0.2, 0.5)
    folders = pair.write({"one": [0], "other": [0]})
    text = write(folders, Asked()).read_text(encoding="utf-8")
    assert "0 of 1 trials complete; 1 pending." in text
    assert "none can be named yet" in text
    compared, keys = keyed(folders)
    assert len(plane_charts(compared, recommendation_table(compared), keys)) == 1
    figures = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert figures
    assert "NaN" not in "".join(figures)


def test_names_of_sweeps_cannot_become_markup(pair):
    pair.trial("one", 0, 0.2, 0.5)
    pair.trial("other", 0, 0.2, 0.5)
    hostile = "</script><img src=x onerror=alert(1)>"
    changes = {"one": {"name": hostile}, "other": {"name": f"{hostile} %{{x}}"}}
    text = write(pair.write({"one": [0], "other": [0]}, changes=changes), Asked()).read_text(
        encoding="utf-8"
    )
    assert hostile not in text
    assert "<img" not in text.partition("plotly.js v")[0]


def test_a_plan_without_trials_is_refused(pair):
    pair.trial("one", 0, 0.2, 0.5)
    with pytest.raises(ConfigError, match=r"^other: its plan holds no trial, so there is nothing"):
        write(pair.write({"one": [0], "other": [0]}), Asked())


def test_figures_of_several_sweeps_lie_in_a_folder_each(three_seeds, tmp_path, monkeypatch):
    asked_for = []
    monkeypatch.setattr(output, "write_figures", lambda *given: asked_for.append(given))
    figures = tmp_path / "figures"
    write(three_seeds, Asked(figures=figures, formats=("png",)))
    write(three_seeds[:1], Asked(figures=figures))
    assert [(sweep.plan["name"], folder, formats) for sweep, folder, formats in asked_for] == [
        ("one", figures / "one", ("png",)),
        ("other", figures / "other", ("png",)),
        ("one", figures, ("svg",)),
    ]


def test_tables_of_several_sweeps_lie_in_a_folder_each_in_nats(three_seeds, tmp_path):
    write(three_seeds, Asked(tables=tmp_path / "tables", unit=Unit.BITS_PER_BYTE))
    for name in ("one", "other"):
        found = pd.read_parquet(tmp_path / "tables" / name / "trials.parquet")
        assert len(found) == 3
    assert list(found["forgetting"]) == pytest.approx([0.30, 0.62, 0.44])
