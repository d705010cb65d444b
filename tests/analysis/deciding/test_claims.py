"""Each finding of the paper on typed sweeps: supported, contradicted, undecided, not testable.

Losses start at 2 (D0) and 3 (D1). Two settings in two seeds whose difference is c -/+ e have the
interval c -/+ t e with Student's t for one degree of freedom: 12.7062 for one comparison, 25.4517
for two, 38.1885 for three. Elsewhere nothing wavers and intervals are points.
"""

import json
import math

import pytest

from analysis.deciding.claims import comparisons, paper_claims
from analysis.deciding.lacking import SEEDS, UNFINISHED
from analysis.deciding.verdicts import Verdict, claims_table
from analysis.load import load_sweep
from analysis.measures import trial_table
from analysis.settings import anchor, settings_table

SCRATCH = ("downstream_only", "union")
TWO = (-1, 1)
"""By how many wavers each seed lies off a value."""


class Typed:
    """A sweep around a centre; every setting has a forgetting and an adaptation."""

    def __init__(self, tree, axes, center):
        self.tree = tree
        tree.axes = {**axes, "seed": [0, 1]}
        tree.center = center
        self.center = center

    def add(self, forgetting, adaptation, *, d0=0.0, d1=0.0, seeds=(0, 1), **more):
        """Adds a setting in all seeds; `d0` and `d1` are what its losses waver by."""
        baseline = more.pop("baseline", None)
        status = more.pop("status", "complete")
        early = more.pop("early", 2.0)
        factors = {**self.center, **more}
        for seed in seeds:
            losses = {
                "prose": [(0, 2.0), (10, early), (100, 2.0 + forgetting + TWO[seed] * d0)],
                "code": [(0, 3.0), (100, 3.0 - adaptation + TWO[seed] * d1)],
            }
            name = f"{baseline or factors}-{seed}"
            self.tree.add(
                name,
                seed=seed,
                losses=losses,
                baseline=baseline,
                scratch=baseline in SCRATCH,
                status=status,
            )
            trial = self.tree.trials[-1]
            trial["factors"] = {**factors, "seed": seed}
            trial["center"] = baseline is None and factors == self.center
            if baseline in SCRATCH:
                self.tree.states[f"state-{name}"]["tokens"] = 2000
        return self

    def claims(self, design="one_at_a_time", unchanged=False):
        path = self.tree.write(design)
        if unchanged:
            plan = json.loads((path / "plan.json").read_text())
            plan["datasets"]["code"]["validation"] = plan["datasets"]["prose"]["validation"]
            (path / "plan.json").write_text(json.dumps(plan))
        sweep = load_sweep(path)
        trials, center = trial_table(sweep), anchor(sweep)
        settings = settings_table(sweep, trials, center)
        return {claim.name: claim for claim in paper_claims(sweep, trials, settings, center)}


@pytest.fixture
def around(typed):
    """A sweep over one axis: its name, its values, and the centre's."""
    return lambda axis, values, middle: Typed(typed, {axis: values}, {axis: middle})


@pytest.fixture
def rates(around):
    return around("max_lr", [1e-3, 2e-3], 1e-3)


@pytest.fixture
def warmups(around):
    return around("warmup_fraction", [0.01, 0.02], 0.01)


@pytest.fixture
def schedules(around):
    return around("schedule", ["cosine", "infinite_cosine"], "cosine")


@pytest.fixture
def replays(around):
    return around("replay_fraction", [0, 0.05, 0.5], 0.05)


def numbers(effect):
    return effect.value, effect.low, effect.high


@pytest.mark.parametrize(
    ("name", "baseline"), [("re-warming", "no_rewarm"), ("re-decaying", "no_redecay")]
)
@pytest.mark.parametrize(
    ("adaptation", "waver", "verdict"),
    [
        (0.7, 0.01, Verdict.SUPPORTED),
        (0.98, 0.001, Verdict.CONTRADICTED),
        (0.9, 0.01, Verdict.UNDECIDED),
    ],
)
def test_what_costs_adaptation_when_left_out_is_needed(
    rates, name, baseline, adaptation, waver, verdict
):
    rates.add(0.3, 1.0).add(0.3, adaptation, d1=waver, baseline=baseline, max_lr=1e-4)
    claim = rates.claims()[name]
    (effect,) = claim.effects
    assert claim.verdict == verdict
    assert numbers(effect) == pytest.approx(
        (1 - adaptation, 1 - adaptation - 12.7062 * waver, 1 - adaptation + 12.7062 * waver),
        abs=1e-5,
    )
    assert effect.at_least == pytest.approx(0.05)


def test_a_constant_schedule_stands_for_no_redecay(around):
    sweep = around("schedule", ["cosine", "constant"], "cosine")
    claim = sweep.add(0.3, 1.0).add(0.3, 0.6, schedule="constant").claims()["re-decaying"]
    assert claim.verdict == Verdict.SUPPORTED
    assert claim.effects[0].value == pytest.approx(0.4)


def test_a_baseline_that_is_not_planned_is_asked_for(rates):
    claim = rates.add(0.3, 1.0).claims()["re-warming"]
    assert claim.verdict == Verdict.NOT_TESTABLE
    assert (claim.remedy, claim.comparisons) == ("baselines: [no_rewarm]", 0)


def test_a_baseline_that_is_not_complete_is_waited_for(rates):
    claim = (
        rates.add(0.3, 1.0)
        .add(0.3, 0.5, baseline="no_rewarm", status="running")
        .claims()["re-warming"]
    )
    assert (claim.verdict, claim.why, claim.remedy) == (Verdict.NOT_TESTABLE, UNFINISHED, "")


def test_one_seed_decides_nothing_and_asks_for_more(rates):
    rates.add(0.3, 1.0, seeds=(0,)).add(0.3, 0.2, baseline="no_rewarm", seeds=(0,))
    claim = rates.claims()["re-warming"]
    assert (claim.verdict, claim.remedy) == (Verdict.UNDECIDED, SEEDS)
    assert claim.effects[0].value == pytest.approx(0.8)
    assert math.isnan(claim.effects[0].low)


@pytest.mark.parametrize(
    ("d0_change", "waver", "verdict"),
    [
        (0.01, 0.001, Verdict.SUPPORTED),
        (0.09, 0.001, Verdict.CONTRADICTED),
        (0.04, 0.001, Verdict.UNDECIDED),
    ],
)
def test_warmups_are_equal_where_every_interval_lies_inside_the_margin(
    warmups, d0_change, waver, verdict
):
    warmups.add(0.3, 1.0).add(0.3 + d0_change, 1.0, d0=waver, warmup_fraction=0.02)
    claim = warmups.claims()["warm-up"]
    d0, d1 = claim.effects
    assert claim.verdict == verdict
    assert numbers(d0) == pytest.approx(
        (d0_change, d0_change - 25.4517 * waver, d0_change + 25.4517 * waver), abs=1e-5
    )
    assert numbers(d1) == pytest.approx((0, 0, 0), abs=1e-9)
    assert (d0.at_least, d0.at_most) == pytest.approx((-0.05, 0.05))
    assert claim.decisive == (d0,)


def test_one_warmup_cannot_be_compared(warmups):
    claim = warmups.add(0.3, 1.0).claims()["warm-up"]
    assert claim.verdict == Verdict.NOT_TESTABLE
    assert claim.remedy == "axes:\n  warmup_fraction: [0, 0.005, 0.01, 0.02]"


@pytest.mark.parametrize(
    ("d1_change", "waver", "verdict"),
    [
        (-0.01, 0.001, Verdict.SUPPORTED),
        (-0.09, 0.001, Verdict.CONTRADICTED),
        (-0.04, 0.001, Verdict.UNDECIDED),
    ],
)
def test_infinite_schedules_are_held_against_the_cosine(schedules, d1_change, waver, verdict):
    schedules.add(0.3, 1.0).add(0.3, 1.0 - d1_change, d1=waver, schedule="infinite_cosine")
    claim = schedules.claims()["infinite schedules"]
    _, d1 = claim.effects
    margin = 0.05 * (1.0 - d1_change)
    assert claim.verdict == verdict
    assert numbers(d1) == pytest.approx(
        (d1_change, d1_change - 25.4517 * waver, d1_change + 25.4517 * waver), abs=1e-5
    )
    assert d1.at_most == pytest.approx(margin)


def test_without_an_infinite_schedule_there_is_nothing_to_match(around):
    sweep = around("schedule", ["cosine", "wsd"], "cosine")
    claim = sweep.add(0.3, 1.0).add(0.3, 1.0, schedule="wsd").claims()["infinite schedules"]
    assert claim.verdict == Verdict.NOT_TESTABLE
    assert "infinite_cosine" in claim.remedy


@pytest.mark.parametrize(
    ("forgetting", "adaptation", "verdict", "why"),
    [
        (0.5, 1.1, Verdict.SUPPORTED, "A higher peak LR adapts more and forgets more."),
        (0.1, 1.1, Verdict.CONTRADICTED, "A higher peak LR adapts more and forgets less."),
        (
            0.35,
            1.1,
            Verdict.UNDECIDED,
            "A higher peak LR adapts more and it is open whether it forgets more.",
        ),
    ],
)
def test_a_peak_has_a_slope_for_each_doubling(rates, forgetting, adaptation, verdict, why):
    # One doubling: the slope is the difference.
    rates.add(0.3, 1.0).add(forgetting, adaptation, d0=0.005, max_lr=2e-3)
    claim = rates.claims()["peak"]
    assert (claim.verdict, claim.why) == (verdict, why)
    slopes = {effect.measure: numbers(effect) for effect in claim.effects}
    change = forgetting - 0.3
    assert slopes["adaptation"] == pytest.approx((0.1, 0.1, 0.1), abs=1e-9)
    assert slopes["forgetting"] == pytest.approx(
        (change, change - 25.4517 * 0.005, change + 25.4517 * 0.005), abs=1e-5
    )


def test_the_slope_over_three_peaks_is_that_of_least_squares(around):
    sweep = around("max_lr", [1e-3, 2e-3, 8e-3], 2e-3)
    for peak, adaptation in ((1e-3, 1.0), (2e-3, 1.3), (8e-3, 1.4)):
        sweep.add(0.3, adaptation, max_lr=peak)
    effect = sweep.claims()["peak"].effects[0]
    # At 0, 1 and 3 doublings: away from their mean -4/3, -1/3, 5/3; squares add up to 14/3.
    assert effect.value == pytest.approx((-4 / 3 * 1.0 - 1 / 3 * 1.3 + 5 / 3 * 1.4) / (14 / 3))


def test_one_peak_has_no_slope(rates):
    claim = rates.add(0.3, 1.0).claims()["peak"]
    assert claim.verdict == Verdict.NOT_TESTABLE
    assert claim.remedy == "axes:\n  max_lr: [0.0005, 0.001, 0.002]"


def test_replay_that_removes_most_forgetting_cheaply_supports_with_fiellers_interval(around):
    # Settings waver by -/+ e against each other: the variance of one is 4 e^2, of the mean of two
    # seeds 2 e^2. Kept 0.4 - 0.1 of 0.4; (0.16 - 2q) r^2 - 2 (0.12 - 2q) r + 0.09 - 4q = 0 with
    # q = (25.4517 x 0.001)^2 has the roots 0.65480 and 0.84112.
    sweep = around("replay_fraction", [0, 0.05], 0.05)
    sweep.add(0.4, 1.0, d0=0.001, replay_fraction=0).add(0.1, 0.99, d0=-0.001)
    claim = sweep.claims()["replay"]
    removed, cost = claim.effects
    assert claim.verdict == Verdict.SUPPORTED
    assert numbers(removed) == pytest.approx((0.75, 0.65480, 0.84112), abs=1e-5)
    assert numbers(cost) == pytest.approx((0.01, 0.01, 0.01))
    assert claim.comparisons == 2


@pytest.mark.parametrize(
    ("five", "fifty", "waver", "verdict"),
    [
        ((0.1, 0.99), (0.05, 0.6), 0.0, Verdict.SUPPORTED),
        ((0.3, 0.99), (0.05, 0.6), 0.0, Verdict.CONTRADICTED),
        ((0.19, 0.99), (0.05, 0.6), 0.02, Verdict.UNDECIDED),
    ],
)
def test_one_share_of_replay_that_does_both_is_enough(replays, five, fifty, waver, verdict):
    replays.add(0.4, 1.0, d0=waver, replay_fraction=0).add(*five, d0=-waver)
    replays.add(*fifty, replay_fraction=0.5)
    claim = replays.claims()["replay"]
    assert claim.verdict == verdict
    assert claim.comparisons == 4


def test_a_share_of_what_is_not_told_apart_from_nothing_is_not_bounded(around):
    sweep = around("replay_fraction", [0, 0.05], 0.05)
    sweep.add(0.01, 1.0, d0=0.1, replay_fraction=0).add(0.005, 1.0, d0=-0.1)
    claim = sweep.claims()["replay"]
    assert claim.verdict == Verdict.UNDECIDED
    assert numbers(claim.effects[0])[1:] == (-math.inf, math.inf)


def test_where_nothing_is_forgotten_there_is_nothing_to_remove(around):
    sweep = around("replay_fraction", [0, 0.05], 0.05)
    claim = sweep.add(-0.1, 1.0, replay_fraction=0).add(-0.1, 1.0).claims()["replay"]
    assert claim.verdict == Verdict.NOT_TESTABLE
    assert "nothing is forgotten" in claim.why


def test_a_small_replay_does_a_share_of_what_the_largest_does(replays):
    # Off by 2e, -e, -e and back: squares add up to 12 e^2 over 2 degrees of freedom, so the
    # variance is 6 e^2, 3 e^2 of a mean. With q = (4.30265 x 0.005)^2 the roots of
    # (0.16 - 6q) r^2 - 2 (0.12 - 3q) r + 0.09 - 6q are 0.63454 and 0.87430.
    replays.add(0.5, 1.0, d0=0.01, replay_fraction=0).add(0.2, 1.0, d0=-0.005)
    replays.add(0.1, 1.0, d0=-0.005, replay_fraction=0.5)
    claim = replays.claims()["small replay"]
    (effect,) = claim.effects
    assert claim.verdict == Verdict.SUPPORTED
    assert numbers(effect) == pytest.approx((0.75, 0.63454, 0.87430), abs=1e-5)


@pytest.mark.parametrize(
    ("small", "waver", "verdict"),
    [(0.4, 0.001, Verdict.CONTRADICTED), (0.29, 0.01, Verdict.UNDECIDED)],
)
def test_a_small_replay_may_do_less_than_half_of_it(replays, small, waver, verdict):
    replays.add(0.5, 1.0, d0=waver, replay_fraction=0).add(small, 1.0, d0=-waver)
    replays.add(0.1, 1.0, replay_fraction=0.5)
    claim = replays.claims()["small replay"]
    assert claim.verdict == verdict
    assert claim.effects[0].value == pytest.approx((0.5 - small) / 0.4)


def test_replay_of_a_quarter_is_not_small(around):
    sweep = around("replay_fraction", [0, 0.25, 0.5], 0.25)
    sweep.add(0.4, 1.0, replay_fraction=0).add(0.2, 1.0).add(0.1, 1.0, replay_fraction=0.5)
    claim = sweep.claims()["small replay"]
    assert claim.verdict == Verdict.NOT_TESTABLE
    assert claim.remedy == "axes:\n  replay_fraction: [0, 0.01, 0.05, 0.25, 0.5]"


@pytest.mark.parametrize(
    ("forgetting", "waver", "verdict"),
    [
        (0.31, 0.0001, Verdict.SUPPORTED),
        (0.40, 0.0001, Verdict.CONTRADICTED),
        (0.35, 0.001, Verdict.UNDECIDED),
    ],
)
def test_replay_reaches_the_union_where_no_loss_is_worse_by_the_margin(
    around, forgetting, waver, verdict
):
    sweep = around("replay_fraction", [0.05], 0.05)
    sweep.add(forgetting, 1.0, d0=waver)
    sweep.add(0.3, 0.9, baseline="union", replay_fraction=None)
    claim = sweep.claims()["union"]
    mean, d0, d1 = claim.effects
    change, half = forgetting - 0.3, 38.1885 * waver
    assert claim.verdict == verdict
    assert numbers(d0) == pytest.approx((change, change - half, change + half), abs=1e-5)
    assert numbers(d1) == pytest.approx((-0.1, -0.1, -0.1))
    assert mean.value == pytest.approx((change - 0.1) / 2)
    assert "50% of the union's tokens" in claim.why


def test_a_continuation_that_costs_more_than_half_of_the_union_does_not_test_it(around):
    sweep = around("replay_fraction", [0.05], 0.05)
    sweep.add(0.3, 1.0).add(0.3, 0.9, baseline="union", replay_fraction=None)
    for state in sweep.tree.states.values():
        state["tokens"] = 1000
    claim = sweep.claims()["union"]
    assert claim.verdict == Verdict.NOT_TESTABLE
    assert "100% of them" in claim.why
    assert claim.remedy.startswith("downstream:\n  token_budget: ")


@pytest.mark.parametrize(
    ("early", "waver", "verdict"),
    [
        (2.4, 0.0, Verdict.SUPPORTED),
        (2.15, 0.0, Verdict.CONTRADICTED),
        (2.0, 0.01, Verdict.UNDECIDED),
    ],
)
def test_on_unchanged_data_the_dip_is_that_of_rewarming(rates, early, waver, verdict):
    # Without re-warming the largest rise is 0.2 in both seeds, at step 10.
    end = 0.2 if waver else 0.1
    rates.add(end, 0.0, d0=waver, early=early).add(0.1, 0.0, baseline="no_rewarm", early=2.2)
    claim = rates.claims(unchanged=True)["dip"]
    rise, half = max(early - 2, end) - 0.2, 12.7062 * waver
    assert claim.verdict == verdict
    assert numbers(claim.effects[0]) == pytest.approx((rise, rise - half, rise + half), abs=1e-5)


def test_on_new_data_no_dip_is_of_rewarming_alone(rates):
    claim = rates.add(0.3, 1.0).add(0.3, 0.7, baseline="no_rewarm").claims()["dip"]
    assert claim.verdict == Verdict.NOT_TESTABLE
    assert claim.remedy == "downstream:\n  dataset: prose\nbaselines: [no_rewarm]"


@pytest.fixture
def grid(typed):
    """Two warm-ups by three peaks."""
    axes = {"warmup_fraction": [0.01, 0.02], "max_lr": [1e-3, 2e-3, 4e-3]}
    return Typed(typed, axes, {"warmup_fraction": 0.01, "max_lr": 1e-3})


def test_a_grid_gives_the_mean_over_its_complete_combinations(grid):
    for peak, change, status in (
        (1e-3, 0.01, "complete"),
        (2e-3, 0.03, "complete"),
        (4e-3, 0.5, "running"),
    ):
        grid.add(0.3, 1.0, max_lr=peak)
        grid.add(0.3 + change, 1.0, max_lr=peak, warmup_fraction=0.02, status=status)
    claim = grid.claims("grid")["warm-up"]
    assert claim.effects[0].value == pytest.approx((0.01 + 0.03) / 2)
    assert len(claim.effects[0].settings) == 4
    assert claim.effects[0].seeds == 2


def test_one_at_a_time_takes_the_slice_through_the_centre(grid):
    for peak, change in ((1e-3, 0.01), (2e-3, 0.03)):
        grid.add(0.3, 1.0, max_lr=peak).add(0.3 + change, 1.0, max_lr=peak, warmup_fraction=0.02)
    claim = grid.claims("one_at_a_time")["warm-up"]
    assert claim.effects[0].value == pytest.approx(0.01)


def test_a_random_design_is_told_which_design_would_test(grid):
    grid.add(0.3, 1.0).add(0.4, 1.0, max_lr=2e-3, warmup_fraction=0.02)
    claim = grid.claims("random")["warm-up"]
    assert claim.verdict == Verdict.NOT_TESTABLE
    assert claim.remedy == (
        "design: one_at_a_time\n"
        "center: {warmup_fraction: 0.01, max_lr: 0.001}\n"
        "axes:\n  warmup_fraction: [0, 0.005, 0.01, 0.02]"
    )


def test_seeds_that_a_setting_lacks_leave_the_pair(warmups):
    warmups.add(0.3, 1.0).add(0.31, 1.0, warmup_fraction=0.02, seeds=(0,))
    claim = warmups.claims()["warm-up"]
    assert (claim.verdict, claim.effects[0].seeds) == (Verdict.UNDECIDED, 1)
    assert claim.remedy == SEEDS


def test_the_table_has_a_row_for_each_effect_and_each_untestable_claim(warmups):
    claims = warmups.add(0.3, 1.0).add(0.31, 1.0, warmup_fraction=0.02).claims()
    table = claims_table(list(claims.values()))
    assert comparisons(list(claims.values())) == 2
    assert len(table) == 2 + len(claims) - 1
    row = table[table["claim"] == "warm-up"].iloc[0]
    assert (row["verdict"], row["effect_verdict"], row["seeds"]) == ("supported", "supported", 2)
    assert row["value"] == pytest.approx(0.01)


def test_an_empty_sweep_tests_nothing(rates):
    rates.add(0.3, 1.0, status="running")
    assert {claim.verdict for claim in rates.claims().values()} == {Verdict.NOT_TESTABLE}
