"""The paper's tables beside a miniature's: its numbers as printed, ours with their intervals."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from analysis.deciding.noise import Estimate
from analysis.measures import csv_table
from analysis.predicting.outlook import outlook
from benchmarks.lawful import draw_law, write_sweep
from benchmarks.reproduce import apart, effect, parts, written
from benchmarks.reproduction import paper
from benchmarks.reproduction.findings import half_less_union, removed_by_replay
from benchmarks.reproduction.further import without_the_spike
from benchmarks.reproduction.shift import confirmed, contrasts, gained
from benchmarks.reproduction.study import EARLY, Study
from benchmarks.reproduction.tables import domains, interval, signed, sizes, warmups_by_peak

ROOT = Path(__file__).parents[2]

# The rows AVG of tables 2 and 12, as the paper prints or rounds them.
AVERAGES = {
    ("REPLAY", "weak"): {0: 2.47, 0.005: 2.39, 0.01: 2.38, 0.05: 2.37, 0.1: 2.36, 0.5: 2.35},
    ("REPLAY", "strong"): {0: 2.34, 0.01: 1.97, 0.05: 1.85, 0.1: 1.80, 0.25: 1.75, 0.5: 1.73},
    ("PEAKS", "weak"): {"not re-warmed": 2.485, "0.5": 2.47, "1": 2.47, "2": 2.49},
    ("PEAKS", "strong"): {"not re-warmed": 2.215, "0.5": 2.30, "1": 2.335, "2": 2.37},
    ("REFERENCES", "weak"): {"D1 alone": 2.52, "union": 2.35},
    ("REFERENCES", "strong"): {"D1 alone": 2.57, "union": 1.75},
    ("REPLAY", "weak-larger"): {0: 1.99, 0.05: 1.89},
    ("REFERENCES", "weak-larger"): {"D1 alone": 2.07, "union": 1.87},
}


@pytest.mark.parametrize("table", AVERAGES)
def test_the_papers_losses_have_the_averages_that_it_prints(table: tuple[str, str]):
    name, shift = table
    found = getattr(paper, name)[shift]
    assert {key: sum(pair) / 2 for key, pair in found.items()} == pytest.approx(
        AVERAGES[table], abs=0.0051
    )


def draw(folder: Path, name: str, /, **changes: Any) -> Study:
    """A study in two seeds and a tenth of the steps of a longer one, losses drawn from a law."""
    file = ROOT / f"specs/paper-mini-{name}.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8")) | changes
    del content["storage"]
    content["axes"]["seed"] = [0, 1]
    for stage in ("upstream", "downstream"):
        if content[stage]["token_budget"] >= 1_024_000:
            content[stage]["token_budget"] //= 10
    write_sweep(folder, draw_law(np.random.default_rng(1)), content)
    return Study(folder / "sweeps" / content["name"])


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weak shift."""
    folder = tmp_path_factory.mktemp("results")
    draw(folder, "weak")
    return folder


def test_a_row_is_the_difference_of_two_settings_paired_by_seed(storage: Path):
    study = Study(storage / "sweeps/paper-mini-weak")
    found = parts({"weak": study})
    (row,) = [line for line in found["replay-weak"].splitlines() if line.startswith("| 5.0%")]
    _, _, told, ours, *_ = (cell.strip() for cell in row.split("|"))
    trials = study.trials.set_index(["replay_fraction", "seed"])
    plain = trials[(trials["baseline"] == "") & (trials["max_lr"] == 3e-3)]
    plain = plain[(plain["warmup_fraction"] == 0.01) & (plain["schedule"] == "cosine")]
    each = plain.loc[0.05, "d0_loss"] - plain.loc[0, "d0_loss"]
    assert told == "\N{MINUS SIGN}0.21"
    assert ours.split(" ")[0] == signed(each.mean(), 3)


def test_trials_of_two_runs_are_compared_to_the_bit(storage: Path, tmp_path: Path):
    study = Study(storage / "sweeps/paper-mini-weak")
    file = tmp_path / "trials.csv"
    csv_table(study.sweep, study.trials).to_csv(file, index=False)
    earlier = pd.read_csv(file)
    assert apart(study, earlier) == ["weak", "38 of 38", "38", "0", "0"]
    # One of two seeds, of a setting that is not the centre.
    assert not earlier.loc[3, "trial"].startswith("center")
    earlier.loc[3, "d1_loss"] += 1e-6
    assert apart(study, earlier.drop(index=5)) == ["weak", "37 of 38", "36", "1e-06", "5e-07"]


def test_a_larger_model_stands_beside_the_papers_larger_one(tmp_path: Path):
    study = draw(tmp_path, "weak-larger")
    table = parts({"weak-larger": study})["larger"].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    rows = {label: values for label, *values in cells}
    assert list(rows)[2:] == ["pre-trained, D0 alone", "D1 alone", "union", "5% replay"]
    assert rows["5% replay"][:4:2] == ["\N{MINUS SIGN}0.19", "0.00"]
    means = study.trials.groupby(["baseline", "replay_fraction"])["d0_loss"].mean()
    assert rows["5% replay"][1].startswith(signed(means["", 0.05] - means["", 0.0], 3))
    forgetting = study.trials.groupby(["baseline", "replay_fraction"])["forgetting"].mean()
    assert rows["pre-trained, D0 alone"][1].startswith(signed(-forgetting["", 0.0], 3))


def test_two_sizes_are_told_apart_by_the_seeds_they_share(tmp_path: Path):
    larger, smaller = draw(tmp_path, "weak-larger"), draw(tmp_path, "weak-additive")
    # A seed that only one of them has says nothing of their difference.
    smaller.trials.loc[smaller.trials["seed"] == 1, "seed"] = 7
    # The law knows no size.
    smaller.trials[["forgetting", "adaptation", "d0_loss", "d1_loss"]] += [0.1, 0.2, 0.3, 0.4]
    gap = [
        study.trials.query("baseline == '' and replay_fraction == 0 and seed == 0")
        for study in (larger, smaller)
    ]
    rows = sizes(smaller, larger).splitlines()[2:]
    for row, measure in zip(rows, ("forgetting", "adaptation", "d0_loss", "d1_loss"), strict=True):
        one, other = (table[measure].item() for table in gap)
        assert row.startswith(f"| {measure.replace('_', ' ')} | {signed(one - other, 3)}")


def test_a_study_that_is_not_finished_is_refused(storage: Path):
    study = Study(storage / "sweeps/paper-mini-weak")
    status = storage / "states" / study.trials["state"].iloc[-1] / "status.json"
    whole = status.read_text(encoding="utf-8")
    status.unlink()
    with pytest.raises(ValueError, match=r"1 trials are not complete, e\.g\. union,seed=1"):
        Study(storage / "sweeps/paper-mini-weak")
    status.write_text(whole, encoding="utf-8")


def test_a_further_run_answers_with_the_effects_of_its_finding(tmp_path: Path):
    studies = {"weak-seeds": draw(tmp_path, "weak-seeds")}
    first, second, *rest = parts(studies)["further-weak-seeds"].splitlines()[2:]
    assert rest == []
    one, half = removed_by_replay(studies["weak-seeds"], 0.005), half_less_union
    assert effect(one) in first
    assert effect(half(studies["weak-seeds"])) in second
    assert [first[:4], second[:4]] == ["| 7 ", "| 8 "]


def test_warm_ups_are_compared_at_each_peak(tmp_path: Path):
    study = draw(tmp_path, "weak-warmup")
    table = warmups_by_peak(study).splitlines()[2:]
    rates = [3e-4, 7.5e-4, 1.5e-3, 3e-3]
    assert [float(row.split("|")[1]) for row in table] == rates
    sign = {"d0": 1, "d1": -1}
    for (role, direction), found in zip(sign.items(), without_the_spike(study), strict=True):
        course = [
            study.course(study.setting(max_lr=3e-4, warmup_fraction=share), role, EARLY).mean()
            for share in (0, 0.2)
        ]
        assert found.value == pytest.approx(direction * (course[0] - course[1]))
    with pytest.raises(ValueError, match="too many"):
        study.setting(max_lr=3e-4)


def test_forgetting_is_told_by_domain_of_the_old_data(tmp_path: Path):
    study = draw(tmp_path, "weak-domains")
    # The law has no domains: one that forgets twice as much as the whole set, one that does half.
    whole = study.sweep.evals
    parts_of_it = [
        whole.assign(domain=name, loss=factor * whole["loss"])
        for name, factor in (("code", 2.0), ("wiki", 0.5))
    ]
    study.sweep = replace(study.sweep, evals=pd.concat([whole, *parts_of_it]))
    heading, _, *rows = domains(study).splitlines()
    assert heading == "| replay | forgetting of code | forgetting of wiki |"
    forgotten = study.trials.groupby("replay_fraction")["forgetting"].mean()
    assert rows == [
        f"| {share:.1%} | {signed(2 * mean, 3)} | {signed(mean / 2, 3)} |"
        for share, mean in forgotten.items()
    ]


def test_what_a_shift_predicts_stands_beside_what_was_measured(tmp_path: Path):
    code = draw(tmp_path, "code")
    trials = [{"name": "one", "max_lr": 4.5e-3, "replay_fraction": 0.1}]
    following = draw(
        tmp_path,
        "code",
        name="paper-mini-code-next",
        design="list",
        trials=trials,
        axes={"seed": [0, 1]},
        center={"warmup_fraction": 0.01, "schedule": "cosine"},
        baselines=[],
    )
    (row,) = confirmed(code, following).splitlines()[2:]
    peak, replay, *cells = (cell.strip() for cell in row.strip("|").split("|"))
    assert (peak, replay) == ("0.0045", "10.0%")
    found = outlook(code.sweep, code.trials)
    assert found.unrun is not None
    (told,) = found.predict(found.holding()[0], [found.unrun.course(4.5e-3, 0.1)]).to_dict(
        "records"
    )
    for measure, predicted, measured in zip(
        ("adaptation", "forgetting"), cells[::2], cells[1::2], strict=True
    ):
        assert predicted.split(" ")[0] == signed(told[measure], 3)
        assert measured.split(" ")[0] == signed(following.trials[measure].mean(), 3)
    trials = code.trials[code.trials["baseline"] == ""]
    means = trials.groupby(["max_lr", "replay_fraction"])[["adaptation", "forgetting"]].mean()
    # The default of a report: the least forgetting of what keeps 95% of the largest adaptation.
    kept = means[means["adaptation"] >= 0.95 * code.trials["adaptation"].max()]
    (row,) = gained(code, following).splitlines()[2:]
    assert row.split("|")[3].split()[0] == signed(
        following.trials["adaptation"].mean() - kept.loc[kept["forgetting"].idxmin(), "adaptation"],
        3,
    )
    first, _, _, last = contrasts(code).splitlines()[2:]
    for told, one, other in (
        (first, (3e-3, 0.05), (3e-3, 0)),
        (last, (6e-3, 0.25), (3e-3, 0.25)),
    ):
        for cell, measure in zip(told.split("|")[2:4], ("adaptation", "forgetting"), strict=True):
            assert cell.split()[0] == signed(means.loc[one, measure] - means.loc[other, measure], 3)
    # Three peaks, three shares and one baseline.
    assert len(parts({"code": code})["code"].splitlines()) == 2 + 10


def test_tables_are_put_between_their_marks_and_nowhere_else():
    document = "before\n<!-- a -->\nold\n<!-- /a -->\nafter <!-- b --><!-- /b -->"
    assert written(document, {"a": "| new |"}) == (
        "before\n<!-- a -->\n| new |\n<!-- /a -->\nafter <!-- b --><!-- /b -->"
    )
    with pytest.raises(ValueError, match="has no <!-- c -->"):
        written(document, {"c": ""})


def test_numbers_have_their_sign_and_nothing_has_none():
    assert [signed(value, 3) for value in (0.0124, -0.0126, -0.0001, -math.inf)] == [
        "+0.012",
        "\N{MINUS SIGN}0.013",
        "0.000",
        "\N{MINUS SIGN}\N{INFINITY}",
    ]
    assert (
        interval(Estimate(-0.1, -0.14, -0.06, 3)) == "\N{MINUS SIGN}0.100 \N{PLUS-MINUS SIGN} 0.040"
    )
