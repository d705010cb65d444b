"""`rewarm status`: what stands where, in words, and short however many states there are."""

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cpt.checkpoint_marker import Marker
from cpt.files import read_json, write_json, write_sealed
from cpt.parsing import ConfigError, parse
from cpt.records import ResultTree, Status, StatusWord, SweepDir
from sweeps import show
from sweeps.cost import Tariff, costs
from sweeps.declared import declared_plan
from sweeps.ownership import owned
from sweeps.plan import Plan
from sweeps.plan_json import plan_json
from sweeps.spec import SweepSpec
from sweeps.store import check_plan
from tests.cpt.damage import OF_A_FILE

CONTENT: dict[str, Any] = {
    "name": "tiny",
    "model": {"num_layers": 1, "hidden_size": 16, "num_heads": 2, "vocab_size": 320},
    "sequence_length": 1,
    "global_batch_size": 100,
    "datasets": {
        name: {"path": "json", "train": name, "validation": f"{name}v", "tokens": 10_000}
        for name in ("wiki", "german")
    },
    "upstream": {
        "dataset": "wiki",
        "token_budget": 400,
        "schedule": {"type": "cosine", "max_lr": 2e-3},
    },
    "downstream": {"dataset": "german", "token_budget": 1000},
    "evaluation": {"final_window_steps": 1},
    "shortest_shared_steps": 2,
    "design": "one_at_a_time",
    "axes": {"schedule": ["cosine", "constant"]},
    "center": {
        "max_lr": 3e-3,
        "warmup_fraction": 0.2,
        "replay_fraction": 0.25,
        "schedule": "cosine",
    },
}


class World:
    """A sweep that was started, whose states stand where a test puts them."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.plan: Plan = declared_plan(parse(SweepSpec, CONTENT | changes))
        self.tree = ResultTree(folder)
        self.sweep: SweepDir = self.tree.sweep("tiny")
        content = plan_json(self.plan, costs(self.plan, Tariff()))
        write_json(self.sweep.plan, json.loads(json.dumps(content)))

    def put(
        self,
        number: int,
        word: StatusWord,
        step: int,
        reason: str = "",
        rule: dict[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        """Leaves a state of the plan behind as a run would; the last checkpoint is a marker."""
        config = list(self.plan.states.values())[number].config.model_copy(update=changes)
        state = self.tree.state(config.state_id)
        write_json(state.config, config.model_dump(mode="json"))
        if word is StatusWord.COMPLETE:
            state.eval_rows.write_text("")
            state.checkpoint(step).mkdir(parents=True)
            state.mark_checkpoint(
                Marker(
                    state=state.path.name,
                    step=step,
                    elapsed_seconds=1.0,
                    torch="2",
                    world_size=1,
                    files={},
                    rows={},
                )
            )
        state.write_status(Status(status=word, step=step, reason=reason, rule=rule))

    def shown(self, **options: Any) -> list[str]:
        """The lines, white space run together."""
        console = Console(width=120, file=io.StringIO(), highlight=False)
        console.print(show.status(self.tree, self.sweep, **options))
        assert isinstance(console.file, io.StringIO)
        return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


ASHA = {"type": "asha", "metric": "d1_loss", "grace_tokens": 300, "reduction_factor": 3}
# The states of `World`: pre-training, four steps; a shared beginning, two; then the two schedules,
# eight steps each.
PRETRAINING, SHARED, CENTER, CONSTANT = range(4)


def test_a_state_is_pending_until_it_is_started(tmp_path: Path):
    shown = World(tmp_path).shown()
    assert shown[1:] == [
        "pre-training on wiki pending 0/4",
        "center, first 2 steps (trunk) pending 0/2",
        "center pending 0/10",
        "schedule=constant pending 0/10",
        "tiny: 4 pending; 2,200 tokens left to train",
    ]


def test_words_steps_and_reasons_are_told(tmp_path: Path):
    world = World(tmp_path, stopping=ASHA)
    world.put(PRETRAINING, StatusWord.COMPLETE, 4)
    world.put(SHARED, StatusWord.COMPLETE, 2)
    world.put(CENTER, StatusWord.RUNNING, 7)
    world.put(CONSTANT, StatusWord.STOPPED, 5, "asha: not among the best third", ASHA)
    with owned(world.sweep, print, print) as owner:
        shown = world.shown()
    assert shown[1:] == [
        "pre-training on wiki complete 4/4",
        "center, first 2 steps (trunk) complete 2/2",
        "center running 7/10",
        "schedule=constant stopped 5/10 asha: not among the best third",
        f"owned by {owner.named}, running for 1 s",
        "tiny: 1 running, 2 complete, 1 stopped; 300 tokens left to train",
    ]


def test_a_running_state_that_nobody_drives_was_interrupted(tmp_path: Path):
    world = World(tmp_path)
    world.put(PRETRAINING, StatusWord.RUNNING, 3)
    interrupted = [
        "pre-training on wiki interrupted 3/4",
        "tiny: 1 interrupted, 3 pending; 1,900 tokens left to train; nobody runs it, and "
        "rewarm run goes on where it stopped",
    ]
    assert world.shown()[1:] == [interrupted[0], *world.shown()[2:5], interrupted[1]]
    with owned(world.sweep, print, print):
        assert world.shown()[1] == "pre-training on wiki running 3/4"
    assert world.shown()[-1] == interrupted[1]


def test_a_state_that_another_sweep_drives_is_running(tmp_path: Path):
    world = World(tmp_path)
    world.put(PRETRAINING, StatusWord.RUNNING, 3)
    with owned(world.tree.sweep("other"), print, print):
        assert world.shown()[1] == "pre-training on wiki interrupted 3/4"
        write_json(world.tree.sweep("other").plan, read_json(world.sweep.plan))
        assert world.shown()[1] == "pre-training on wiki running 3/4"
        assert not any(line.startswith("owned by") for line in world.shown())


@pytest.mark.parametrize("stopping", [{"type": "none"}, ASHA | {"metric": "d0_loss"}])
def test_a_state_that_another_rule_stopped_is_left_to_train(tmp_path: Path, stopping: Any):
    world = World(tmp_path, stopping=stopping)
    world.put(CONSTANT, StatusWord.STOPPED, 5, "asha", ASHA)
    assert world.shown()[-1] == "tiny: 1 stopped, 3 pending; 1,900 tokens left to train"


def test_a_damaged_state_is_named_with_what_is_wrong(tmp_path: Path):
    world = World(tmp_path)
    world.put(PRETRAINING, StatusWord.COMPLETE, 3)
    (line,) = [line for line in world.shown() if "damaged 3/4" in line]
    assert "says complete at step 3, not 4" in " ".join(world.shown())
    assert world.shown()[-1] == "tiny: 1 damaged, 3 pending; 1,900 tokens left to train"
    assert line.startswith("pre-training on wiki")


def test_a_beginning_that_nothing_is_left_to_share_is_not_needed(tmp_path: Path):
    world = World(tmp_path)
    world.put(PRETRAINING, StatusWord.COMPLETE, 4)
    world.put(CENTER, StatusWord.COMPLETE, 10, base=None)
    world.put(CONSTANT, StatusWord.COMPLETE, 10, base=None)
    assert world.shown()[2] == "center, first 2 steps (trunk) not needed 0/2"
    assert world.shown()[-1] == "tiny: 3 complete, 1 not needed; 0 tokens left to train"


def test_a_beginning_that_holds_the_first_rows_of_finished_states_is_needed(tmp_path: Path):
    world = World(tmp_path)
    world.put(PRETRAINING, StatusWord.COMPLETE, 4)
    world.put(CENTER, StatusWord.COMPLETE, 10)
    world.put(CONSTANT, StatusWord.COMPLETE, 10)
    assert world.shown()[-1] == "tiny: 3 complete, 1 pending; 200 tokens left to train"


@pytest.mark.parametrize("whole", [True, False])
def test_many_states_are_counted_unless_all_are_asked_for(tmp_path: Path, whole: bool):
    world = World(tmp_path, axes={"max_lr": [number / 1000 for number in range(1, 300)]})
    world.put(0, StatusWord.COMPLETE, 4)
    world.put(7, StatusWord.FAILED, 3, "the loss is nan")
    shown = world.shown(whole=whole)
    assert "max_lr=0.007 failed 3/10 the loss is nan" in shown
    summary = "tiny: 1 complete, 1 failed, 298 pending; 298,000 tokens left to train"
    if whole:
        assert len(shown) == 1 + 300 + 1
        assert shown[-1] == summary
    else:
        assert shown[-1] == f"{summary}; --all lists every state"
        assert len(shown) == 3


# What `plan` adds.


def test_a_plan_tells_nothing_of_a_tree_without_finished_states(tmp_path: Path):
    world = World(tmp_path)
    assert show.existing(world.plan, world.tree) == []


def test_a_plan_tells_what_is_left_to_train(tmp_path: Path):
    world = World(tmp_path)
    world.put(PRETRAINING, StatusWord.COMPLETE, 4)
    assert show.existing(world.plan, world.tree) == [
        "1 complete already; left to train: 3 states, 1,800 tokens"
    ]


def test_a_plan_does_not_call_complete_what_was_stopped(tmp_path: Path):
    world = World(tmp_path, stopping=ASHA)
    world.put(PRETRAINING, StatusWord.COMPLETE, 4)
    world.put(CONSTANT, StatusWord.STOPPED, 5, "asha", ASHA)
    (line,) = show.existing(world.plan, world.tree)
    assert line == ("1 complete and 1 stopped early already; left to train: 2 states, 1,000 tokens")


def test_a_plan_tells_of_failed_states_and_of_a_finished_tree(tmp_path: Path):
    world = World(tmp_path)
    for number, step in ((PRETRAINING, 4), (SHARED, 2), (CENTER, 10), (CONSTANT, 10)):
        world.put(number, StatusWord.COMPLETE, step)
    assert show.existing(world.plan, world.tree) == ["nothing is left to train"]
    world.put(CONSTANT, StatusWord.FAILED, 3, "the loss is nan")
    assert show.existing(world.plan, world.tree) == [
        "1 state failed before; rewarm run --retry-failed tries again"
    ]


def test_a_plan_tells_which_field_keeps_a_finished_state_from_serving(tmp_path: Path):
    world = World(tmp_path)
    world.put(PRETRAINING, StatusWord.COMPLETE, 4)
    other = World(tmp_path, evaluation={"final_window_steps": 1, "interval_steps": 50})
    told = show.existing(other.plan, other.tree)
    assert any(
        line.endswith("but for evaluation.interval_steps: wanted 50, finished with 100")
        for line in told
    ), told


# A damaged plan.


@pytest.mark.parametrize("seed", range(10))
def test_a_damaged_plan_is_told_in_a_sentence(tmp_path: Path, seed: int):
    world = World(tmp_path)
    write_sealed(world.sweep.plan, read_json(world.sweep.plan))
    check_plan(world.sweep)
    damage = [one for one in OF_A_FILE if one.__name__ != "delete"][seed % 4]
    damage(world.sweep.plan, random.Random(seed))
    with pytest.raises(ConfigError, match=r"plan\.json .*; rewarm run SPEC writes it anew"):
        check_plan(world.sweep)


def test_a_plan_of_another_shape_is_told_in_a_sentence(tmp_path: Path):
    world = World(tmp_path)
    write_json(world.sweep.plan, {"version": 2})
    with pytest.raises(ConfigError, match="is no plan: it has no states and trials"):
        check_plan(world.sweep)
