"""The paper's tables beside a miniature's: its numbers as printed, ours with their intervals."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from analysis.deciding.noise import Estimate
from analysis.measures import csv_table
from benchmarks.lawful import draw_law, write_sweep
from benchmarks.reproduce import apart, parts, written
from benchmarks.reproduction import paper
from benchmarks.reproduction.study import Study
from benchmarks.reproduction.tables import interval, signed

ROOT = Path(__file__).parents[2]

# The rows AVG of tables 2 and 12, as the paper prints or rounds them.
AVERAGES = {
    ("REPLAY", "weak"): {0: 2.47, 0.005: 2.39, 0.01: 2.38, 0.05: 2.37, 0.1: 2.36, 0.5: 2.35},
    ("REPLAY", "strong"): {0: 2.34, 0.01: 1.97, 0.05: 1.85, 0.1: 1.80, 0.25: 1.75, 0.5: 1.73},
    ("PEAKS", "weak"): {"not re-warmed": 2.485, "0.5": 2.47, "1": 2.47, "2": 2.49},
    ("PEAKS", "strong"): {"not re-warmed": 2.215, "0.5": 2.30, "1": 2.335, "2": 2.37},
    ("REFERENCES", "weak"): {"D1 alone": 2.52, "union": 2.35},
    ("REFERENCES", "strong"): {"D1 alone": 2.57, "union": 1.75},
}


@pytest.mark.parametrize("table", AVERAGES)
def test_the_papers_losses_have_the_averages_that_it_prints(table: tuple[str, str]):
    name, shift = table
    found = getattr(paper, name)[shift]
    assert {key: sum(pair) / 2 for key, pair in found.items()} == pytest.approx(
        AVERAGES[table], abs=0.0051
    )


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weak shift in two seeds and a tenth of the steps, its losses drawn from a law."""
    folder = tmp_path_factory.mktemp("results")
    content = yaml.safe_load((ROOT / "specs/paper-mini-weak.yaml").read_text(encoding="utf-8"))
    del content["storage"]
    content["axes"]["seed"] = [0, 1]
    content["upstream"]["token_budget"] //= 10
    content["downstream"]["token_budget"] //= 10
    write_sweep(folder, draw_law(np.random.default_rng(1)), content)
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
    assert apart(study, earlier) == ["weak", "38 of 38", "38", "0"]
    earlier.loc[3, "d1_loss"] += 1e-9
    assert apart(study, earlier.drop(index=5)) == ["weak", "37 of 38", "36", "1e-09"]


def test_a_study_that_is_not_finished_is_refused(storage: Path):
    study = Study(storage / "sweeps/paper-mini-weak")
    status = storage / "states" / study.trials["state"].iloc[-1] / "status.json"
    whole = status.read_text(encoding="utf-8")
    status.unlink()
    with pytest.raises(ValueError, match=r"1 trials are not complete, e\.g\. union,seed=1"):
        Study(storage / "sweeps/paper-mini-weak")
    status.write_text(whole, encoding="utf-8")


def test_tables_are_put_between_their_marks_and_nowhere_else():
    document = "before\n<!-- a -->\nold\n<!-- /a -->\nafter <!-- b --><!-- /b -->"
    assert written(document, {"a": "| new |"}) == (
        "before\n<!-- a -->\n| new |\n<!-- /a -->\nafter <!-- b --><!-- /b -->"
    )
    with pytest.raises(ValueError, match="has no <!-- c -->"):
        written(document, {"c": ""})


def test_numbers_have_their_sign_and_nothing_has_none():
    assert [signed(value, 3) for value in (0.0124, -0.0126, -0.0001)] == [
        "+0.012",
        "\N{MINUS SIGN}0.013",
        "0.000",
    ]
    assert (
        interval(Estimate(-0.1, -0.14, -0.06, 3)) == "\N{MINUS SIGN}0.100 \N{PLUS-MINUS SIGN} 0.040"
    )
