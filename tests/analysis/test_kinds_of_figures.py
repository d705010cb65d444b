"""The tables behind the figures of compute, pairs of factors, domains, all factors and time."""

import json

import pandas as pd
import pytest

from analysis.domains import domain_changes
from analysis.drawing import alternative, compute, domain_dots, ends, parallel, throughput, two_way
from analysis.drawing.gallery import SECTIONS, measured, section
from analysis.load import load_sweep
from cpt.records import ResultTree
from cpt.rows import TrainRow, append_rows


@pytest.fixture
def tables(typed):
    """Replay 0, 5% and 50%, one of them failed, and a baseline from random weights."""
    ends = {"none": (0, 2.9, 1.6), "center": (0.05, 2.5, 1.7)}
    for trial, (replay, d0, d1) in ends.items():
        losses = {"prose": [(0, 2.0), (100, d0)], "code": [(0, 3.0), (100, d1)]}
        typed.add(trial, replay, losses=losses)
    typed.add("half", 0.5, losses={"prose": [(0, 2.0)], "code": [(0, 3.0)]}, status="failed")
    far = {"prose": [(0, 6.0), (100, 5.0)], "code": [(0, 6.0), (100, 1.8)]}
    typed.add("only", None, losses=far, baseline="downstream_only", scratch=True)
    return measured(load_sweep(typed.write()))


def test_a_continuation_is_charged_with_and_without_its_pre_training(tables):
    points = compute.compute_points(*tables).set_index("name")
    # Every state trains 1000 tokens for one FLOP.
    assert points["flops"].to_dict() == {"replay 0%": 2, "centre": 2, "D1 only, from scratch": 1}
    assert points["own_flops"].tolist() == [1, 1, 1]
    assert points["tokens"].tolist() == [2000, 2000, 1000]
    assert points["kind"].tolist() == [
        compute.NO_REPLAY, compute.REPLAYED, "D1 only, from scratch",
    ]  # fmt: skip
    assert points["symbol"].nunique() == 3


@pytest.fixture
def grid(typed):
    """Two peaks by two shares of replay; one trial failed, one is not in the sweep."""
    typed.axes = {"max_lr": [1e-3, 2e-3], "replay_fraction": [0, 0.05], "seed": [0]}
    typed.center = {"max_lr": 1e-3, "replay_fraction": 0.05}
    for trial, replay, status in (
        ("a", 0.05, "complete"),
        ("b", 0, "complete"),
        ("c", 0, "failed"),
    ):
        losses = {"prose": [(0, 2.0), (100, 2.5)], "code": [(0, 3.0), (100, 1.5)]}
        typed.add(trial, replay, losses=losses, status=status)
    for trial, peak in zip(typed.trials, (1e-3, 1e-3, 2e-3), strict=True):
        trial["factors"]["max_lr"] = peak
        trial["center"] = trial["trial"] == "a"
    return measured(load_sweep(typed.write("grid")))


def test_a_pair_of_factors_has_a_cell_for_every_pair_of_values(grid):
    assert two_way.pairs(grid.sweep, grid.trials, grid.center) == [("max_lr", "replay_fraction")]
    cells = two_way.cells(*grid, ("max_lr", "replay_fraction"))
    assert list(zip(cells["across"], cells["down"], cells["status"], strict=True)) == [
        ("0.001", "0%", "complete"),
        ("0.002", "0%", "failed"),
        ("0.001", "5%", "complete"),
        ("0.002", "5%", two_way.ABSENT),
    ]
    assert cells["forgetting"].tolist() == pytest.approx([0.5, float("nan")] * 2, nan_ok=True)
    assert (cells["setting"] != "").tolist() == [True, True, True, False]


def test_one_factor_at_a_time_makes_no_pairs(tables):
    assert two_way.pairs(tables.sweep, tables.trials, tables.center) == []


def add_domains(typed, state, domains):
    """Writes a state's evaluations anew, with rows of domains: set to domain to (step, loss)."""
    path = typed.eval_file(state)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for dataset, losses in domains.items():
        rows += [
            {**rows[0], "step": step, "dataset": dataset, "domain": domain, "loss": loss}
            for domain, points in losses.items()
            for step, loss in points
        ]
    rows.sort(key=lambda row: row["step"])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_domains_change_from_the_pre_trained_model_to_the_final_window(typed):
    losses = {"prose": [(0, 2.0), (100, 2.5)], "code": [(0, 3.0), (100, 1.7)]}
    for seed, later in ((0, 0.0), (1, 0.1)):
        state = typed.add(f"center {seed}", 0.05, seed=seed, losses=losses)
        prose = {
            "news": [(0, 2.0), (100, 1.9 + later)],
            "poems": [(0, 2.2), (90, 2.6), (100, 2.8 + later)],
        }
        code = {"c": [(0, 3.1), (50, 9.0), (100, 1.1 + later)]}
        add_domains(typed, state, {"prose": prose, "code": code})
    tables = measured(load_sweep(typed.write()))
    found = domain_changes(tables.sweep, tables.trials).set_index("domain")
    # The window is the last 20 steps: of poems 90 and 100; the second seed ends 0.1 higher.
    assert found["change"].to_dict() == pytest.approx(
        {"poems": 2.7 - 2.2 + 0.025, "news": -0.1 + 0.05, "c": 3.1 - 1.1 - 0.05}
    )
    assert found["seeds"].tolist() == [2, 2, 2]
    dots = domain_dots.domain_dots(*tables)
    assert dots.loc[dots["role"] == "d0", "domain"].tolist() == ["poems", "news"]


def test_only_the_largest_changes_of_domains_are_drawn_and_the_rest_counted(typed, monkeypatch):
    monkeypatch.setattr(domain_dots, "MOST_DOMAINS", 1)
    losses = {"prose": [(0, 2.0), (100, 2.5)], "code": [(0, 3.0), (100, 1.7)]}
    lasts = {"still": 2.0, "fallen": 1.5, "risen": 2.1}
    domains = {domain: [(0, 2.0), (100, last)] for domain, last in lasts.items()}
    add_domains(typed, typed.add("center", losses=losses), {"prose": domains})
    chart = domain_dots.domain_chart(*measured(load_sweep(typed.write())))
    assert list(chart.panels[0].figure.data[0].y) == ["fallen"]
    assert "left out: 2 of 3 domains of D0" in chart.caption


def test_lines_through_all_factors_end_at_their_outcomes(quickstart):
    tables = measured(load_sweep(quickstart(steps=100)))
    lines, ticks = parallel.parallel_lines(tables.sweep, tables.settings, tables.center)
    # Four swept axes and two outcomes for each of 14 settings; baselines are left out.
    assert len(lines) == 14 * 6
    last = lines[lines["axis"] == 5].set_index("setting")["height"]
    assert last.idxmax() == tables.settings.loc[last.index, "adaptation"].idxmax()
    assert (last.min(), last.max()) == (0, 1)
    thirds = lines.drop_duplicates("setting").set_index("setting")["third"]
    assert thirds.value_counts().to_dict() == {
        parallel.THIRDS[0]: 4, parallel.THIRDS[1]: 5, parallel.THIRDS[2]: 5,
    }  # fmt: skip
    assert thirds[last.idxmax()] == parallel.THIRDS[2]
    assert ticks.loc[ticks["axis"] == 0, "text"].tolist() == ["0.0015", "0.003", "0.006"]
    drawn = parallel.parallel_figure(lines, ticks)
    first = drawn.data[0]
    # One run of points for each setting, with a gap after each.
    assert list(first.meta["starts"]) == [0, 7, 14, 21]
    assert len(first.x) == 4 * 7


def test_throughput_is_the_median_of_a_states_own_updates(typed, tmp_path):
    losses = {"prose": [(0, 2.0), (100, 2.5)], "code": [(0, 3.0), (100, 1.7)]}
    state = typed.add("center", losses=losses)
    rows = [
        TrainRow(
            step=step, tokens=10 * step, lr=1e-3, loss=2.0, grad_norm=1.0, mfu=None,
            tokens_per_second=speed, elapsed_seconds=step * 36.0,
        )
        for step, speed in ((1, 1.0), (2, 100.0), (3, 120.0), (100, 110.0))
    ]  # fmt: skip
    append_rows(ResultTree(tmp_path).state(state).train_rows, rows)
    tables = measured(load_sweep(typed.write()))
    (speed,) = throughput.speeds(tables.sweep, tables.trials).to_dict("records")
    assert speed["tokens_per_second"] == 105
    assert speed["setting"] == tables.trials["setting"][0]
    (long,) = throughput.hours(*tables).to_dict("records")
    assert long["hours"] == pytest.approx(1.0)


def test_the_whole_path_of_one_stage_marks_where_it_begins(quickstart):
    tables = measured(load_sweep(quickstart(steps=100)))
    (chart,) = section("path", tables)
    lines = [
        [shape.x0 for shape in panel.figure.layout.shapes if shape.x0 == shape.x1]
        for panel in chart.panels
    ]
    assert lines == [[200 * 4096]] * 3


def test_every_chart_says_in_words_and_numbers_what_it_shows(quickstart):
    tables = measured(load_sweep(quickstart(steps=100)))
    for name in SECTIONS:
        for chart in section(name, tables):
            assert chart.alternative.sentence, (name, chart.title)
            assert chart.alternative.rows, (name, chart.title)
    (plane,) = section("plane", tables)
    assert plane.alternative.sentence.startswith("18 settings. Forgetting: from ")
    assert "Not beaten on both: " in plane.alternative.sentence


def test_a_long_table_is_told_by_its_extremes_alone():
    table = pd.DataFrame({"name": [f"s{at}" for at in range(61)], "loss": range(61)})
    numbers = {"loss": ("loss", str)}
    told = alternative.alternative(table, "settings", "name", numbers)
    assert told.rows == []
    assert told.sentence.startswith("61 settings. Loss: from 0 (s0) to 60 (s60).")
    assert len(alternative.alternative(table[:60], "settings", "name", numbers).rows) == 60


def test_names_at_the_ends_of_curves_keep_apart_and_close():
    assert ends.apart([10.0, 12.0, 100.0], 200.0) == pytest.approx([4.5, 17.5, 100.0])
    assert ends.apart([0.0, 0.0], 200.0) == pytest.approx([0.0, 13.0])
    assert ends.apart([199.0, 200.0], 200.0) == pytest.approx([187.0, 200.0])
