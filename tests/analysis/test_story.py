"""The words follow from the numbers."""

import pytest

from analysis.load import load_sweep
from analysis.measures import trial_table
from analysis.page import story
from analysis.page.answer import answer
from analysis.settings import anchor, settings_table


def told(sweep_dir):
    sweep = load_sweep(sweep_dir)
    trials, center = trial_table(sweep), anchor(sweep)
    settings = settings_table(sweep, trials, center)
    findings = {
        finding.title: finding for finding in story.findings(sweep, trials, settings, center)
    }
    return findings, answer(sweep, trials, settings, center)


def shown(found):
    """The card that the page opens with."""
    return found.cards[found.default]


def add(typed, trial, replay, forgetting, adaptation, **more):
    losses = {
        "prose": [(0, 2.0), (100, 2.0 + forgetting)],
        "code": [(0, 3.0), (100, 3.0 - adaptation)],
    }
    typed.add(trial, replay, losses=losses, **more)


@pytest.fixture
def three(typed):
    """No replay adapts most; 5% keeps 98% of that, 50% keeps 90%; no re-warming wins the mean."""
    add(typed, "r0", 0, 0.9, 1.0)
    add(typed, "r5", 0.05, 0.4, 0.98)
    add(typed, "r50", 0.5, 0.1, 0.9)
    add(typed, "no_rewarm", 0.05, 0.0, 0.85, baseline="no_rewarm")
    return typed


def test_each_question_gets_its_setting(three):
    findings, found = told(three.write())
    assert findings["Adapts most"].subject == "replay 0%"
    assert findings["Forgets least of the re-warmed"].subject == "replay 50%"
    assert shown(found).name == "centre"


def test_a_recommendation_comes_with_its_factors_numbers_and_rule(three):
    _, found = told(three.write())
    card = shown(found)
    assert card.factors == [("replay", "5%")]
    assert [figure.value for figure in card.figures[:2]] == ["+0.400", "0.980"]
    assert card.figures[1].notes == ["one seed: no interval", "98% of the largest"]
    assert card.cap == pytest.approx(0.4)
    assert found.rule == (
        "The default cap is +0.400: the forgetting of the setting that forgets least among those "
        "that keep 95% of the largest adaptation (1.000)."
    )


def test_there_is_a_card_for_every_cap_that_changes_the_choice(three):
    _, found = told(three.write())
    assert [card.name for card in found.cards] == [
        "no re-warming",
        "replay 50%",
        "centre",
        "replay 0%",
    ]
    assert [card.cap for card in found.cards] == pytest.approx([0, 0.1, 0.4, 0.9])


def test_where_all_forget_the_smallest_cap_recommends_nothing(typed):
    add(typed, "r0", 0, 0.9, 1.0)
    add(typed, "r5", 0.05, 0.4, 0.98)
    _, found = told(typed.write())
    card = found.cards[0]
    assert (card.best, card.heading) == ("", "Nothing stays under this cap")
    assert "measured to forget more" in card.sure


def test_the_mean_loss_is_exposed_where_it_rewards_not_adapting(three):
    _, found = told(three.write())
    assert found.average.name == "no re-warming"
    assert "gains 85% of the largest adaptation" in found.caution


def test_one_seed_cannot_tell_anything_apart(three):
    _, found = told(three.write())
    card = shown(found)
    assert card.heading == "The best seen, with one seed"
    assert card.sure.startswith(
        "With one seed nothing can be told apart: another seed might choose any of 4"
    )
    assert card.reach == []
    assert found.counted == "4 settings compared, with one seed"


def test_ties_are_named_with_their_reach_and_price(typed):
    typed.axes["seed"] = [0, 1, 2]
    for seed, wobble in ((0, 0.1), (1, -0.1), (2, 0.0)):
        add(typed, f"c{seed}", 0.05, 0.4 + wobble, 0.98, seed=seed)
        add(typed, f"r{seed}", 0.5, 0.41 - wobble, 0.97, seed=seed)
        add(typed, f"n{seed}", 0, 2.4, 0.99, seed=seed)
    _, found = told(typed.write())
    card = shown(found)
    assert card.heading == "Recommended"
    assert card.sure == (
        "Tied with 1 of the 2 other settings: replay 50% (measured above the cap). All cost the "
        "same tokens. At 95%, with 4 comparisons counted, the seeds exclude the rest as the one "
        "that forgets least and keeps 95% of the largest adaptation."
    )
    assert card.reach == [("replay", "5% to 50%")]
    assert found.counted == "3 settings compared, over 3 seeds"


def test_the_cheapest_of_the_tied_is_named(typed):
    for seed, wobble in ((0, 0.1), (1, -0.1)):
        add(typed, f"c{seed}", 0.05, 0.4, 0.98 + wobble, seed=seed)
        add(typed, f"r{seed}", 0.5, 0.39, 0.97, seed=seed)
        typed.states[f"state-c{seed}"]["tokens"] = 400
    _, found = told(typed.write())
    assert shown(found).name == "replay 50%"
    assert "The cheapest of them is centre, at 40% of the tokens." in shown(found).sure


def test_one_complete_setting_was_no_choice(typed):
    for seed in range(2):
        add(typed, f"c{seed}", 0.05, 0.4 + 0.1 * seed, 0.98, seed=seed)
        add(typed, f"r{seed}", 0.5, 0.4, 0.98, seed=seed, status="running")
    _, found = told(typed.write())
    assert shown(found).heading == "The best seen"
    assert shown(found).sure.startswith("It is the only setting with complete trials")


def test_seeds_that_agree_exclude_the_others(typed):
    for seed, wobble in ((0, 0.0), (1, 0.0001)):
        add(typed, f"c{seed}", 0.05, 0.4, 0.98, seed=seed)
        add(typed, f"r{seed}", 0.5, 0.1 + wobble, 0.98 + wobble, seed=seed)
    _, found = told(typed.write())
    assert shown(found).sure == (
        "At 95%, with 2 comparisons counted, the seeds exclude the other setting as the one that "
        "forgets least and keeps 95% of the largest adaptation."
    )


def test_without_a_union_run_its_tokens_are_computed(three):
    _, found = told(three.write())
    cost = shown(found).figures[2]
    # 1000 tokens of the stage, 409,600 of pre-training in the plan
    assert cost.value == "0.244%"
    assert cost.notes == [
        "1k against 411k tokens",
        "computed from the budgets: no union run was trained",
    ]


def test_a_setting_at_the_end_of_an_axis_says_so(three):
    _, found = told(three.write())
    edges = {card.name: card.edge for card in found.cards}
    largest = "It has the largest replay of this sweep: better values may lie beyond."
    # Nothing lies below no replay, 5% is inside, and a baseline lies on no axis.
    assert edges == {"no re-warming": "", "replay 50%": largest, "centre": "", "replay 0%": ""}


def test_where_nothing_adapts_the_card_says_so(typed):
    add(typed, "r0", 0, 0.9, -0.5)
    add(typed, "r5", 0.05, 0.4, -0.2)
    _, found = told(typed.write())
    assert shown(found).heading == "Nothing adapts; this loses least"
    assert found.rule.startswith("No setting adapts at all")


def test_nothing_complete_is_said_plainly(typed):
    typed.add("a", status="running", losses={"prose": [(0, 2.0)], "code": [(0, 3.0)]})
    findings, found = told(typed.write())
    assert list(findings) == ["Nothing to compare yet"]
    assert found is None
