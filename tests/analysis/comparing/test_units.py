"""Sweeps of different tokenizers, and of different held-out text."""

import math

import pandas as pd
import pytest

import analysis
from analysis.asked import Asked
from analysis.comparing.held_out import comparable_measures, same_tokenizer, unit_for
from analysis.measures import trial_table
from analysis.output import write
from analysis.units import Unit
from tests.analysis.comparing.conftest import other_tokenizer, set_text

REFUSAL = (
    "--unit nats: one (bytes) and other (words.json) have different tokenizers, and nats per token "
    "of one say nothing beside those of another; ask for --unit bits_per_byte."
)


@pytest.fixture
def two_tokenizers(three_seeds):
    set_text(three_seeds[0], "text")
    other_tokenizer(three_seeds[1])
    return three_seeds


def plans(folders):
    return [analysis.load(folder).plan for folder in folders]


def test_nats_are_the_unit_of_one_tokenizer(three_seeds):
    sweeps = [analysis.load(folder) for folder in three_seeds]
    assert unit_for(sweeps, None)[0] is Unit.NATS
    assert unit_for(sweeps, Unit.BITS_PER_BYTE) == (Unit.BITS_PER_BYTE, "as asked for")


def test_nats_of_two_tokenizers_are_refused_before_anything_is_written(two_tokenizers):
    with pytest.raises(ValueError, match="different tokenizers") as refused:
        write(two_tokenizers, Asked(unit=Unit.NATS))
    assert str(refused.value) == REFUSAL
    assert not (two_tokenizers[0] / "comparison.html").exists()


def test_two_tokenizers_are_compared_in_bits_per_byte_and_the_page_says_why(two_tokenizers):
    page = write(two_tokenizers, Asked()).read_text(encoding="utf-8")
    assert "losses in bits per byte" in page
    assert "one (bytes) and other (words.json) have different tokenizers" in page
    # 0.12 nats are 0.1731 bits; a byte is a token in these trees.
    assert "+0.173" in page
    assert "+0.120" not in page


def test_measures_in_bits_per_byte_are_those_of_the_rows(three_seeds):
    sweep = analysis.load(three_seeds[0])
    nats, bits = trial_table(sweep), trial_table(sweep.in_unit(Unit.BITS_PER_BYTE))
    for name in ("d0_loss", "forgetting", "adaptation", "adaptation_low"):
        assert list(bits[name]) == pytest.approx(list(nats[name] / math.log(2)))
    with pytest.raises(ValueError, match="not turned back"):
        sweep.in_unit(Unit.BITS_PER_BYTE).in_unit(Unit.NATS)


def test_trials_csv_keeps_nats(two_tokenizers):
    write(two_tokenizers, Asked())
    write(two_tokenizers[1:], Asked())
    trials = pd.read_csv(two_tokenizers[1] / "trials.csv")
    assert list(trials["forgetting"]) == pytest.approx([0.30, 0.62, 0.44])


def test_other_text_is_stated_and_not_subtracted(three_seeds):
    set_text(three_seeds[0], "text")
    other_tokenizer(three_seeds[1], same_text=False)
    assert comparable_measures(*plans(three_seeds)) == []
    page = write(three_seeds, Asked()).read_text(encoding="utf-8")
    assert "It is not the text that one holds out" in page
    assert "Sweeps whose held-out text differs have a plane each" in page
    assert 'id="plane-2"' in page
    assert 'id="differences"' not in page


def test_plans_that_do_not_record_their_text_cannot_be_told(three_seeds):
    other_tokenizer(three_seeds[1])
    assert comparable_measures(*plans(three_seeds)) == []
    assert "cannot be told" in write(three_seeds, Asked()).read_text(encoding="utf-8")


def test_one_set_in_common_compares_what_rests_on_it(three_seeds):
    first, second = plans(three_seeds)
    second["datasets"]["code"]["validation"] = "elsewhere"
    assert comparable_measures(first, second) == ["d0_loss", "forgetting"]


def test_tokenizers_are_known_by_what_they_packed(two_tokenizers):
    first, second = plans(two_tokenizers)
    assert not same_tokenizer(first, second)
    # One file under two names packs the same corpora; two files of one name do not.
    assert same_tokenizer(first, dict(first) | {"tokenizer": "copy.json"})
    assert not same_tokenizer(first, dict(second) | {"tokenizer": "bytes"})
