"""What is read from a result tree, and what is left out."""

import json

import pytest

from analysis.load import load_sweep


def test_rows_that_a_resume_superseded_do_not_count(typed):
    state = typed.add("a", losses={"prose": [(0, 2.0), (50, 2.5), (100, 2.6)]})
    # Resumed from step 40: the old rows of 50 and 100 belong to lost work.
    typed.append(state, _row(50, "prose", 2.1), _row(90, "prose", 2.2))
    evals = load_sweep(typed.write()).evals
    assert list(zip(evals["step"], evals["loss"], strict=True)) == [(0, 2.0), (50, 2.1), (90, 2.2)]


def test_a_line_cut_off_by_a_kill_is_left_out(typed):
    state = typed.add("a", losses={"prose": [(0, 2.0), (50, 2.5)]})
    typed.append(state, '{"step": 100, "loss": 9')
    assert load_sweep(typed.write()).evals["step"].tolist() == [0, 50]


def test_a_renamed_data_set_is_known_by_its_held_out_corpus(typed):
    typed.add("a", losses={"prose": [(0, 2.0)], "code": [(0, 3.0)]}, names={"prose": "wiki"})
    evals = load_sweep(typed.write()).evals
    assert evals["dataset"].tolist() == ["prose", "code"]
    assert evals["role"].tolist() == ["d0", "d1"]


def test_swapped_names_are_not_taken_at_their_word(typed):
    names = {"prose": "code", "code": "prose"}
    typed.add("a", losses={"prose": [(0, 2.0)], "code": [(0, 3.0)]}, names=names)
    evals = load_sweep(typed.write()).evals.set_index("role")
    assert evals["loss"].to_dict() == {"d0": 2.0, "d1": 3.0}


def test_a_sweep_that_goes_on_with_its_only_data_set_has_it_as_d0_and_d1(typed):
    typed.add("a", losses={"prose": [(0, 2.0)], "code": [(0, 3.0)]})
    sweep_dir = typed.write()
    plan = json.loads((sweep_dir / "plan.json").read_text())
    del plan["datasets"]["code"]
    plan["datasets"]["prose"]["role"] = "d1"
    plan["stages"][1]["dataset"] = "prose"
    (sweep_dir / "plan.json").write_text(json.dumps(plan))
    sweep = load_sweep(sweep_dir)
    assert sweep.dataset("d1") == "prose"
    assert sorted(zip(sweep.evals["role"], sweep.evals["loss"], strict=True)) == [
        ("d0", 2.0),
        ("d1", 2.0),
    ]


def test_a_state_without_a_folder_is_pending(typed):
    typed.add("a", status=None)
    (trial,) = load_sweep(typed.write()).trials.to_dict("records")
    assert (trial["status"], trial["reason"], trial["step"], trial["tokens"]) == (
        "pending",
        "",
        0,
        1000,
    )


def test_a_failed_trial_says_why(typed):
    typed.add("a", status="failed", reason="the loss became NaN at step 7")
    (trial,) = load_sweep(typed.write()).trials.to_dict("records")
    assert (trial["status"], trial["reason"]) == ("failed", "the loss became NaN at step 7")


def test_a_trial_that_waits_for_a_failed_state_names_it(typed):
    typed.add("a", status=None)
    typed.fail("up-0", "out of memory")
    (trial,) = load_sweep(typed.write()).trials.to_dict("records")
    assert (trial["status"], trial["reason"]) == (
        "pending",
        "waits for up-0, which failed: out of memory",
    )


def test_factors_stay_plain_json_values(typed):
    typed.add("a", replay=0.05, seed=1)
    typed.add("b", replay=None, baseline="union", scratch=True)
    trials = load_sweep(typed.write()).trials
    assert trials["replay_fraction"].tolist() == [0.05, None]
    assert trials["seed"].tolist() == [1, 0]


def test_a_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        load_sweep(tmp_path / "nowhere")


def test_a_folder_without_a_plan_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no plan\.json"):
        load_sweep(tmp_path)


def test_a_plan_of_another_version_is_refused(typed):
    typed.add("a")
    sweep_dir = typed.write()
    plan = (sweep_dir / "plan.json").read_text()
    (sweep_dir / "plan.json").write_text(plan.replace('"version": 2', '"version": 1'))
    with pytest.raises(ValueError, match="version 1; this program reads version 2"):
        load_sweep(sweep_dir)


def _row(step, dataset, loss):
    return {
        "step": step,
        "tokens": 10 * step,
        "dataset": dataset,
        "domain": None,
        "loss": loss,
        "bits_per_byte": loss,
        "num_tokens": 1,
    }
