"""Budgets, random designs, lists, factors of one stage, and several pre-trainings."""

from dataclasses import replace

import pytest

from analysis import labels
from analysis.deciding.claims import paper_claims
from analysis.drawing import curves, endpoints, pretraining, scatter, slices
from analysis.load import load_sweep
from analysis.measures import trial_table
from analysis.page.question import question
from analysis.page.tables import states_table
from analysis.report import write_report
from analysis.settings import anchor, around, settings_table


def measure(sweep_dir):
    sweep = load_sweep(sweep_dir)
    return sweep, trial_table(sweep), anchor(sweep)


def test_curves_of_all_budgets_begin_at_the_beginning(budgets):
    sweep, trials, center = measure(budgets)
    chosen = curves.along_axis(sweep, trials, "token_budget", center)
    drawn = curves.loss_curves(sweep, chosen)
    ends = drawn.groupby("curve", sort=False)["tokens"].agg(["min", "max"])
    assert ends.to_dict("index") == {
        "1k": {"min": 0, "max": 1000},
        "2k": {"min": 0, "max": 2000},
        "4k": {"min": 0, "max": 4000},
    }
    assert trials["tokens"].tolist() == [1000, 2000, 4000]


def test_final_losses_stand_against_budgets(budgets):
    sweep, trials, center = measure(budgets)
    points = endpoints.end_points(sweep, slices.slices(sweep, trials, center)["token_budget"])
    assert points["curve"].tolist() == ["1k", "2k", "4k"]
    assert points["d1_loss"].is_monotonic_decreasing
    (chart,) = slices.axis_charts(sweep, trials, center)
    assert chart.title == "Budget"
    assert "share one beginning" in chart.caption


def test_states_say_what_they_go_on_from_and_which_are_shared(budgets):
    rows = states_table(load_sweep(budgets)).rows
    notes = {cells[0].text: (cells[0].note, cells[1].note) for _, cells in rows}
    assert notes["trunk-100"] == ("from up", "downstream, shared beginning")
    assert notes["end-200"] == ("goes on from trunk-200 at step 160", "downstream")


def test_the_question_names_every_stage_and_budget(budgets, three_stages):
    assert "go on from wiki (D0) to code (D1) with 2k more tokens, then to german (D2) with 2k" in (
        question(load_sweep(three_stages))
    )


def test_the_question_names_a_model_or_says_how_large_it_is(three_stages):
    sweep = load_sweep(three_stages)

    def asked(name: str) -> str:
        model = sweep.plan["model"] | {"name": name, "parameters": 420_480}
        return question(replace(sweep, plan=dict(sweep.plan) | {"model": model}))

    assert asked("gpt-1m").startswith("How should gpt-1m (420k parameters) go on from wiki")
    assert asked("custom").startswith("How should a model of 420k parameters go on from wiki")


def test_a_random_design_is_held_against_its_first_trial(random_design):
    sweep, trials, center = measure(random_design)
    assert center == {axis: trials.iloc[0][axis] for axis in sweep.setting_axes}
    assert around(trials, "", center)["trial"].tolist() == ["random-0"]
    assert slices.slices(sweep, trials, center) == {}


def test_a_random_design_scatters_each_measure_against_each_factor(random_design):
    sweep, trials, center = measure(random_design)
    settings = settings_table(sweep, trials, center)
    charts = scatter.scatter_charts(sweep, trials, settings, center)
    assert [len(chart.panels) for chart in charts] == [3, 3]
    assert '"type":"log"' in charts[0].panels[0].spec
    page = write_report(random_design).read_text(encoding="utf-8")
    assert "there is no axis along which all else stays the same" in page
    assert "its reference is its first trial" in page
    assert "Every trial" in page
    assert "No update has been made yet" not in page


def test_a_list_becomes_a_page_whatever_its_trials_share(tree):
    tree.state("up", 0)
    for index, (peak, kind) in enumerate([(None, "wsd"), (1e-3, "cosine"), (2e-3, "cosine")]):
        losses = {
            "wiki": [(0, 2.0), (100, 2.1 + index)],
            "code": [(0, 3.0), (100, 2.0)],
            "german": [(0, 3.0), (100, 2.5)],
        }
        tree.state(f"s{index}", 1, losses, parent="up")
        tree.trial(f"t{index}", ["up", f"s{index}"], **{"code.max_lr": peak, "schedule": kind})
    axes = {"code.max_lr": [1e-3, 2e-3], "schedule": ["wsd", "cosine"]}
    page = write_report(tree.write(axes, None, "list")).read_text(encoding="utf-8")
    assert "3 of 3 trials complete." in page


def test_a_sweep_of_a_random_design_that_has_not_begun_becomes_a_page(two_sets):
    two_sets.state("up", 0, status=None)
    for index in range(3):
        two_sets.state(f"s{index}", 1, parent="up", status=None)
        two_sets.trial(f"t{index}", ["up", f"s{index}"], max_lr=0.001 * index + 0.001)
    page = write_report(two_sets.write({"max_lr": [0.001, 0.002, 0.003]}, None, "random"))
    assert "0 of 3 trials complete; 3 pending." in page.read_text(encoding="utf-8")


def test_a_factor_without_meaning_keeps_no_trial_from_the_slice(three_stages):
    sweep, trials, center = measure(three_stages)
    chosen = curves.along_axis(sweep, trials, "schedule", center)
    assert chosen["curve"].tolist() == ["cosine", "infinite cosine", "WSD"]
    assert curves.along_axis(sweep, trials, "code.max_lr", center)["curve"].tolist() == [
        "0.0015",
        "0.003",
    ]


def test_curves_over_the_path_count_from_the_end_or_the_beginning_of_pretraining(three_stages):
    sweep, trials, center = measure(three_stages)
    chosen = curves.only_center(sweep, trials, center)
    after = curves.loss_curves(sweep, chosen)
    whole = curves.loss_curves(sweep, chosen, upstream=True)
    second = curves.loss_curves(sweep, chosen, stage=2)
    spans = [(rows["tokens"].min(), rows["tokens"].max()) for rows in (after, whole, second)]
    assert spans == [(0, 4000), (0, 6000), (0, 2000)]
    start = second[second["role"] == "d2"]["start"].unique()
    assert start == pytest.approx([3.3])


def test_pretrainings_of_one_seed_are_told_apart_by_their_schedule(three_stages):
    drawn = pretraining.pretraining_curves(load_sweep(three_stages))
    assert list(dict.fromkeys(drawn["curve"])) == ["cosine", "infinite cosine", "WSD"]
    assert set(drawn["panel"]) == {
        "training loss",
        "held-out D0, wiki",
        "held-out D1, code",
    }


@pytest.mark.parametrize(
    ("axis", "value", "name", "text"),
    [
        ("token_budget", 1_024_000, "budget", "1.02M"),
        ("code.max_lr", 3e-3, "peak LR on code", "0.003"),
        ("code.replay_fraction", 0.05, "replay on code", "5%"),
        ("max_lr", 0.00123456, "peak LR", "0.00123"),
        ("code.schedule", None, "schedule on code", "–"),
    ],
)
def test_axes_and_values_are_written_for_readers(axis, value, name, text):
    assert (labels.axis_label(axis), labels.value_label(axis, value)) == (name, text)


def test_what_replay_in_one_stage_buys_is_said_of_that_stage(two_sets):
    two_sets.state("up", 0)
    for index, replay in enumerate((0, 0.5)):
        losses = {"wiki": [(0, 2.0), (100, 2.5 - replay / 2)], "code": [(0, 3.0), (100, 2.0)]}
        two_sets.state(f"s{index}", 1, losses, parent="up")
        factors = {"code.replay_fraction": replay}
        two_sets.trial(f"t{index}", ["up", f"s{index}"], center=not index, **factors)
    axis = {"code.replay_fraction": [0, 0.5]}
    sweep, trials, center = measure(two_sets.write(axis, {"code.replay_fraction": 0}))
    found = paper_claims(sweep, trials, settings_table(sweep, trials, center), center)
    (replay,) = [claim for claim in found if claim.name == "replay"]
    forgetting, adaptation = replay.effects
    assert (forgetting.value, adaptation.value) == (pytest.approx(0.5), pytest.approx(0))
    assert forgetting.text == "share of the forgetting that 50% replay removes"


def test_a_list_of_names_with_commas_is_parted_by_semicolons():
    assert labels.listing(["a, b", "c"]) == "a, b; and c"


def test_the_page_of_three_stages_tells_what_rows_and_columns_are(three_stages):
    page = write_report(three_stages).read_text(encoding="utf-8")
    assert "Each row is the model at a boundary" in page
    assert "Un-annealed" in page
    assert "Whole paths" in page
    assert "mean of D1 and D2 losses" in page


def test_a_page_of_one_stage_has_no_matrix(budgets):
    page = write_report(budgets).read_text(encoding="utf-8")
    assert "Each row is the model at a boundary" not in page
    assert 'href="#matrix"' not in page
