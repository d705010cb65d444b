"""The learning rate at every boundary, and each curve against the paper's own formulas."""

import math
from itertools import pairwise

import pytest

from cpt import schedule
from cpt.schedule import Piece, Pieces, lr

PAPER_STEPS = 132_366
PAPER_WARMUP = 1323.66  # 1% of the steps, not rounded


def values(pieces: Pieces, *steps: float) -> list[float]:
    return [lr(pieces, step) for step in steps]


def near(expected: list[float]) -> object:
    return pytest.approx(expected, rel=1e-12, abs=1e-18)


def example(name: str, warmup_steps: float = 10) -> Pieces:
    """Each schedule over 100 steps: warm-up, then boundaries at 70 and 90 where it has them."""
    rates = {"max_lr": 1.0, "start_lr": 0.0, "warmup_steps": warmup_steps}
    match name:
        case "constant":
            return schedule.constant(100, **rates)
        case "cosine":
            return schedule.cosine(100, min_lr=0.1, **rates)
        case "infinite_cosine" | "infinite_inverse_sqrt":
            return schedule.infinite(
                100,
                cooldown="cosine" if name == "infinite_cosine" else "inverse_sqrt",
                constant_lr=0.4,
                min_lr=0.1,
                cooldown_steps=70 - warmup_steps,
                constant_steps=20,
                **rates,
            )
        case _:
            return schedule.wsd(100, min_lr=0.1, decay_steps=30, **rates)


NAMES = ["constant", "cosine", "infinite_cosine", "infinite_inverse_sqrt", "wsd"]


# What GPT-NeoX computes (AnnealingLR.get_lr; PAPER.md, 2.2), with its own names.


def neox_cosine(n: float, total: float, w: float, start: float, low: float) -> float:
    if w > 0 and n <= w:
        return start * n / w
    return max(low + (start - low) / 2 * (math.cos(math.pi * (n - w) / (total - w)) + 1), low)


def neox_infinite(
    n: float, total: float, w: float, start: float, const: float, low: float, style: str
) -> float:
    if w > 0 and n <= w:
        return start * n / w
    m, c, k = n - w, 0.6 * total, 0.25 * total
    if m <= c:
        if style == "cosine":
            return const + (start - const) / 2 * (math.cos(math.pi * m / c) + 1)
        g = [1 / math.sqrt(1 + 10.0 * u) - 1 for u in (m / c, 1.0)]
        return start + (const - start) / g[1] * g[0]
    if m <= c + k:
        return const
    e = total - w - c - k
    return max(const * math.exp(math.log(low / const) / e * (m - c - k)), low)


# Values typed by hand.


def test_constant_holds_its_peak_after_the_warmup():
    assert values(example("constant"), 0, 5, 10, 11, 99, 100) == near([0.0, 0.5, 1, 1, 1, 1])


def test_cosine_at_every_boundary_and_halfway():
    assert values(example("cosine"), 0, 1, 10, 55, 100) == near([0.0, 0.1, 1.0, 0.55, 0.1])


def test_cosine_at_thirds_of_the_decay():
    # cos 60 degrees = 1/2, cos 120 degrees = -1/2
    assert values(example("cosine"), 40, 70) == near([0.775, 0.325])


def test_infinite_cosine_at_every_boundary_and_halfway():
    steps = (0, 10, 40, 70, 80, 90, 95, 100)
    expected = [0.0, 1.0, 0.7, 0.4, 0.4, 0.4, 0.2, 0.1]  # 0.2 = geometric mean of 0.4 and 0.1
    assert values(example("infinite_cosine"), *steps) == near(expected)


def test_infinite_inverse_sqrt_at_every_boundary():
    steps = (0, 10, 70, 80, 90, 95, 100)
    expected = [0.0, 1.0, 0.4, 0.4, 0.4, 0.2, 0.1]
    assert values(example("infinite_inverse_sqrt"), *steps) == near(expected)


def test_inverse_sqrt_halfway_with_a_timescale_whose_roots_are_whole():
    # 1 + 8 * 3/8 = 4 and 1 + 8 = 9: h(3/8) = -1/2, h(1) = -2/3
    pieces = schedule.infinite(
        80,
        cooldown="inverse_sqrt",
        max_lr=1.0,
        constant_lr=0.4,
        min_lr=0.1,
        warmup_steps=0,
        cooldown_steps=80,
        constant_steps=0,
        timescale=8.0,
    )
    assert lr(pieces, 30) == pytest.approx(1.0 - 0.6 * 3 / 4, rel=1e-12)


def test_wsd_at_every_boundary():
    assert values(example("wsd"), 0, 10, 40, 70, 100) == near([0.0, 1.0, 1.0, 1.0, 0.1])


def test_wsd_decays_as_one_minus_the_root():
    pieces = schedule.wsd(200, max_lr=1.0, min_lr=0.0, warmup_steps=0, decay_steps=100)
    steps = (100, 101, 104, 109, 125, 136, 164, 181, 199, 200)
    expected = [1.0, 0.9, 0.8, 0.7, 0.5, 0.4, 0.2, 0.1, 1 - math.sqrt(0.99), 0.0]
    assert values(pieces, *steps) == near(expected)


@pytest.mark.parametrize(
    ("warmup_steps", "first_three"), [(0, [1.0, 1.0, 1.0]), (1, [0.0, 1.0, 1.0]), (2, [0, 0.5, 1])]
)
@pytest.mark.parametrize("name", ["constant", "wsd"])
def test_the_first_updates_with_a_warmup_of_zero_one_or_two_steps(name, warmup_steps, first_three):
    assert values(example(name, warmup_steps), 0, 1, 2) == first_three


@pytest.mark.parametrize("name", NAMES)
def test_without_warmup_the_first_update_uses_the_peak(name):
    assert lr(example(name, 0), 0) == 1.0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("warmup_steps", [1, 2, 10])
def test_with_warmup_the_first_update_moves_no_weights(name, warmup_steps):
    assert lr(example(name, warmup_steps), 0) == 0.0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("warmup_steps", [1, 2, 10])
def test_the_peak_is_reached_exactly_at_the_end_of_the_warmup(name, warmup_steps):
    assert lr(example(name, warmup_steps), warmup_steps) == 1.0


@pytest.mark.parametrize(("name", "floor"), [(name, 0.1) for name in NAMES[1:]] + [("constant", 1)])
@pytest.mark.parametrize("step", [100, 100.5, 101, 150, 10_000])
def test_the_floor_holds_from_the_last_step_on(name, floor, step):
    assert lr(example(name), step) == floor


def test_start_lr_is_where_the_warmup_begins():
    pieces = schedule.cosine(100, max_lr=1.0, min_lr=0.1, warmup_steps=4, start_lr=0.2)
    assert values(pieces, 0, 1, 2, 3, 4) == near([0.2, 0.4, 0.6, 0.8, 1.0])


def test_a_stage_without_warmup_ignores_start_lr():
    assert lr(schedule.constant(100, max_lr=1.0, start_lr=0.5), 0) == 1.0


def test_a_stage_that_is_all_warmup_ends_at_its_peak():
    pieces = schedule.cosine(4, max_lr=1.0, min_lr=0.1, warmup_steps=4)
    assert values(pieces, 0, 1, 2, 3, 4, 5) == near([0.0, 0.25, 0.5, 0.75, 1.0, 1.0])


def test_a_fractional_warmup_peaks_between_two_steps():
    pieces = schedule.cosine(10, max_lr=1.0, min_lr=0.0, warmup_steps=1.5)
    # 2 lies half a step into a decay of 8.5 steps: 1/17 of the way
    expected = [0.0, 2 / 3, 1.0, 0.5 * (math.cos(math.pi / 17) + 1)]
    assert values(pieces, 0, 1, 1.5, 2) == near(expected)


# The curve as a whole.


@pytest.mark.parametrize(
    "shape", ["constant", "linear", "cosine", "inverse_sqrt", "exponential", "one_minus_sqrt"]
)
@pytest.mark.parametrize(("start", "end"), [(0.1, 0.7), (0.37, 0.011), (3e-4, 1.65e-4)])
def test_a_piece_is_exact_at_both_ends(shape, start, end):
    end = start if shape == "constant" else end
    piece = Piece(
        phase="any", shape=shape, start=1.3, end=7.7, start_lr=start, end_lr=end, timescale=10.0
    )
    assert (piece.at(1.3), piece.at(7.7)) == (start, end)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("warmup_steps", [0, 1, 2, 10, 7.3])
def test_each_piece_begins_where_and_at_what_the_one_before_ended(name, warmup_steps):
    pieces = example(name, warmup_steps)
    for before, after in pairwise(pieces):
        assert (before.end, before.end_lr) == (after.start, after.start_lr)
    assert (pieces[0].start, pieces[-1].end) == (0, 100)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("boundary", [10, 70, 90, 100])
def test_the_curve_does_not_jump_at_a_boundary(name, boundary):
    pieces = example(name)
    before, after = values(pieces, boundary - 1e-9, boundary + 1e-9)
    # The 1 - sqrt decay falls vertically at its start: sqrt(1e-9 / 30) = 6e-6.
    assert before == pytest.approx(after, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_rate_never_rises_again_after_the_warmup(name):
    curve = values(example(name), *range(10, 130))
    assert curve == sorted(curve, reverse=True)


def test_the_phases_bear_the_names_of_the_field():
    phases = {name: [piece.phase for piece in example(name)] for name in NAMES}
    assert phases == {
        "constant": ["warmup", "constant"],
        "cosine": ["warmup", "decay"],
        "infinite_cosine": ["warmup", "cooldown", "constant", "anneal"],
        "infinite_inverse_sqrt": ["warmup", "cooldown", "constant", "anneal"],
        "wsd": ["warmup", "stable", "decay"],
    }


def test_a_phase_of_no_length_is_no_piece():
    assert [piece.phase for piece in example("cosine", 0)] == ["decay"]


# The paper.


def test_the_cosine_of_the_paper_passes_its_three_rates():
    pieces = schedule.cosine(PAPER_STEPS, max_lr=3e-4, min_lr=3e-5, warmup_steps=PAPER_WARMUP)
    middle = (PAPER_WARMUP + PAPER_STEPS) / 2
    assert values(pieces, PAPER_WARMUP, middle, PAPER_STEPS) == near([3e-4, 1.65e-4, 3e-5])


@pytest.mark.parametrize("warmup", [0, 1, 2, 661.83, 1323.66, 2647.32])
def test_cosine_equals_what_neox_computes(warmup):
    pieces = schedule.cosine(PAPER_STEPS, max_lr=3e-4, min_lr=3e-5, warmup_steps=warmup)
    last = math.ceil(warmup) + 2
    for step in [*range(min(last, 50)), *range(max(last - 5, 0), last), *range(0, 132_367, 97)]:
        expected = neox_cosine(step, PAPER_STEPS, warmup, 3e-4, 3e-5)
        assert lr(pieces, step) == pytest.approx(expected, rel=1e-10), step


@pytest.mark.parametrize("style", ["cosine", "inverse_sqrt"])
@pytest.mark.parametrize("total", [44_229, 132_366])
def test_infinite_schedules_equal_what_neox_computes(style, total):
    warmup = 0.01 * total
    pieces = schedule.infinite(
        total,
        cooldown=style,
        max_lr=3e-4,
        constant_lr=1.65e-4,
        min_lr=3e-5,
        warmup_steps=warmup,
        cooldown_steps=0.6 * total,
        constant_steps=0.25 * total,
    )
    boundaries = [0, warmup, 0.61 * total, 0.86 * total, total]
    beside = [int(boundary) + side for boundary in boundaries for side in (-2, -1, 0, 1, 2)]
    for step in [*range(0, total, 53), *(step for step in beside if 0 <= step <= total)]:
        expected = neox_infinite(step, total, warmup, 3e-4, 1.65e-4, 3e-5, style)
        assert lr(pieces, step) == pytest.approx(expected, rel=1e-10), step


def test_the_last_update_is_a_little_above_the_floor():
    pieces = schedule.cosine(PAPER_STEPS, max_lr=3e-4, min_lr=3e-5, warmup_steps=PAPER_WARMUP)
    assert 3e-5 < lr(pieces, PAPER_STEPS - 1) < 3.0001e-5


def test_neox_let_the_cosine_rise_again_and_this_does_not():
    raw = 0.1 + 0.45 * (math.cos(math.pi * 110 / 90) + 1)  # lr(120) of the unclamped formula
    assert raw > 0.15
    assert lr(example("cosine"), 120) == 0.1
