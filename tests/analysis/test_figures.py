"""The tidy data that figures are drawn from."""

import pytest

from analysis import labels
from analysis.drawing import curves, endpoints, lines, plane, pretraining, theme
from analysis.load import load_sweep
from analysis.measures import trial_table
from analysis.settings import anchor, settings_table


@pytest.fixture
def measured(typed):
    """Replay 50% before 0%, a failed trial, and a baseline."""
    ends = {"half": (0.5, 2.1, 2.0), "none": (0, 2.9, 1.6), "center": (0.05, 2.5, 1.7)}
    for trial, (replay, d0, d1) in ends.items():
        losses = {"prose": [(0, 2.0), (100, d0)], "code": [(0, 3.0), (100, d1)]}
        typed.add(trial, replay, losses=losses)
    begun = {"prose": [(0, 2.0), (50, 2.4)], "code": [(0, 3.0), (50, 2.0)]}
    typed.add("again", 0.5, seed=1, losses=begun, status="failed")
    far = {"prose": [(0, 6.0), (100, 5.0)], "code": [(0, 6.0), (100, 1.8)]}
    typed.add("only", None, losses=far, baseline="downstream_only", scratch=True)
    sweep = load_sweep(typed.write())
    return sweep, trial_table(sweep), anchor(sweep)


def test_curves_stand_in_the_order_of_their_values(measured):
    chosen = curves.along_axis(*measured[:2], "replay_fraction", measured[2])
    assert chosen["curve"].tolist() == ["0%", "5%", "50%", "50%"]
    assert chosen["central"].tolist() == [False, True, False, False]


def test_a_value_has_one_colour_whatever_else_is_drawn():
    colors = theme.value_colors([0.5, 0, 0.05])
    assert list(colors) == [0, 0.05, 0.5]
    assert len(set(colors.values())) == 3


def test_loss_curves_carry_every_evaluation_and_the_loss_they_start_from(measured):
    sweep, trials, center = measured
    chosen = curves.along_axis(sweep, trials, "replay_fraction", center)
    drawn = curves.loss_curves(sweep, chosen)
    rows = drawn[(drawn["trial"] == "again") & (drawn["role"] == "d1")]
    assert list(zip(rows["step"], rows["loss"], rows["start"], strict=True)) == [
        (0, 3.0, 3.0),
        (50, 2.0, 3.0),
    ]


def test_an_unfinished_curve_is_dotted_and_the_centre_is_thick(measured):
    sweep, trials, center = measured
    chosen = curves.along_axis(sweep, trials, "replay_fraction", center)
    drawn = lines.loss_figure(curves.loss_curves(sweep, chosen), "d0")
    styles = {trace.name: (trace.line.dash, trace.line.width) for trace in drawn.data}
    assert styles == {
        "0%": ("solid", theme.WIDTH),
        "5%": ("solid", theme.WIDTH_OF_CENTER),
        "50%": ("solid", theme.WIDTH),
        "50%, failed": ("dot", theme.WIDTH),
    }


def test_end_points_are_means_over_complete_seeds(measured):
    chosen = curves.along_axis(*measured[:2], "replay_fraction", measured[2])
    points = endpoints.end_points(measured[0], chosen).set_index("curve")
    assert points["d0_loss"].to_dict() == {"0%": 2.9, "5%": 2.5, "50%": 2.1}


def test_a_far_baseline_does_not_shrink_the_others(measured):
    sweep, trials, center = measured
    points = plane.plane_points(sweep, settings_table(sweep, trials, center), center)
    # Forgetting of those that continue: 0.1 to 0.9; adaptation: 1.0 to 1.4; a fifth of air.
    assert plane.view(points)["forgetting"] == pytest.approx((0.1 - 0.16, 0.9 + 0.16))
    assert plane.view(points)["adaptation"] == pytest.approx((1.0 - 0.08, 1.4 + 0.08))
    assert plane.outside(points)["name"].tolist() == ["D1 only, from scratch"]
    assert points.set_index("name").loc["D1 only, from scratch", "label"] == ""


def test_long_training_is_thinned_but_keeps_both_ends(quickstart):
    sweep = load_sweep(quickstart(steps=300))
    drawn = pretraining.pretraining_curves(sweep)
    training = drawn[drawn["curve"] == "training loss"]
    assert len(training) <= curves.MAX_POINTS
    assert training["tokens"].iloc[0] == 4096
    assert training["tokens"].iloc[-1] == 600 * 4096


@pytest.mark.parametrize(
    ("axis", "value", "text"),
    [
        ("max_lr", 3e-4, "0.0003"),
        ("warmup_fraction", 0.005, "0.5%"),
        ("schedule", "infinite_cosine", "infinite cosine"),
        ("schedule", "wsd(decay_fraction=0.1)", "WSD(decay_fraction=0.1)"),
        ("replay_fraction", None, "–"),
    ],
)
def test_values_are_written_for_readers(axis, value, text):
    assert labels.value_label(axis, value) == text


def test_numbers_are_written_with_a_true_minus_and_a_sign():
    assert labels.change(-0.1234) == "−0.123"
    assert labels.change(0.00004) == "0.000"
    assert labels.change(float("nan")) == "–"
    assert labels.amount(1_228_800) == "1.23M"
    assert labels.duration(7_260) == "2 h 1 min"
    assert labels.listing(["a", "b", "c"]) == "a, b and c"
