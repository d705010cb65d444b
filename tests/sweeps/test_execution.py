"""What Ray is handed, in which order and how much at once, and what its ASHA may end."""

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cpt.files import write_json
from cpt.leaving import Leave
from cpt.parsing import parse
from cpt.records import ResultTree, Status, StatusWord
from cpt.rows import EvalRow, append_rows, read_rows
from sweeps import launch
from sweeps.agenda import Agenda, agenda
from sweeps.attempts import Attempts
from sweeps.capacity import room
from sweeps.cohorts import cohorts
from sweeps.failures import Failure, Kind
from sweeps.plan import Plan
from sweeps.prepare import prepare
from sweeps.rungs import Comparison, passed
from sweeps.scaling import Room
from sweeps.scheduler import CohortScheduler
from sweeps.searcher import StateSearcher
from sweeps.spec import Resources, SweepSpec
from sweeps.stopping import AshaStopping, Place
from sweeps.store import find

CONTINUE, STOP = "CONTINUE", "STOP"


@pytest.fixture
def tree(tmp_path: Path) -> ResultTree:
    return ResultTree(tmp_path / "results")


@pytest.fixture
def own_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ray's files of this test alone."""
    path = tempfile.mkdtemp(prefix="rw-", dir="/tmp")
    monkeypatch.setenv("RAY_TMPDIR", path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    yield
    shutil.rmtree(path, ignore_errors=True)


# Rungs that recorded rows have passed.


def evaluated(tree: ResultTree, name: str, losses: dict[int, float]) -> None:
    tree.state(name).path.mkdir(parents=True, exist_ok=True)
    rows = [
        EvalRow(
            step=step, tokens=step * 10, dataset=dataset, domain=domain, loss=loss + shift,
            bits_per_byte=1.0, num_tokens=1,
        )
        for step, loss in losses.items()
        for dataset, domain, shift in (("german", None, 0), ("wiki", None, 1), ("wiki", "x", 9))
    ]  # fmt: skip
    append_rows(tree.state(name).eval_rows, rows)


def test_a_state_has_passed_the_rungs_of_its_base_and_its_own(
    tree: ResultTree, plan_of: Callable[..., Plan]
) -> None:
    plan = plan_of(axes={"schedule": ["constant", "wsd"]})
    (trial,) = (trial for trial in plan.trials if trial.label == "schedule=wsd")
    base, state = (plan.states[name].config for name in trial.states[-2:])
    assert (base.end_step, state.end_step, state.base) == (800, 1000, base.state_id)
    german, wiki = (held_out.corpus for held_out in reversed(state.evaluation.datasets))
    comparison = Comparison(
        metric="mean_loss", corpora=(german, wiki), looks=((1000, 100), (3000, 300), (9000, 900))
    )
    assert passed(state.model_copy(update={"base": None}), tree, comparison) == {}
    write_json(tree.state(base.state_id).config, base.model_dump(mode="json"))
    evaluated(tree, base.state_id, {100: 3.0, 300: 2.0, 800: 9.0})
    assert passed(state, tree, comparison) == {1000: 3.5, 3000: 2.5}
    # What an attempt without the base left before it does not count.
    evaluated(tree, state.state_id, {100: 7.0, 900: 1.0})
    assert passed(state, tree, comparison) == {1000: 3.5, 3000: 2.5, 9000: 1.5}


# Cohorts.


RULE = AshaStopping(type="asha", metric="d1_loss", grace_tokens=10, reduction_factor=2)


def scheduler(*fixed: str) -> CohortScheduler:
    """States a, b, c, d of one cohort and other of another; those named may not be ended."""
    places = {name: Place(seed=0, steps=100, may_stop=name not in fixed) for name in "abcd"}
    places["other"] = Place(seed=1, steps=100, may_stop=True)
    return CohortScheduler(RULE, places, 1, ResultTree(Path("nowhere")))


def test_a_worse_state_is_ended_and_a_better_one_is_not() -> None:
    asha = scheduler()
    came_by = {"a": 3.0, "b": 2.0, "c": 4.0, "d": 1.0}
    decided = [asha.compare(name, 10, loss) for name, loss in came_by.items()]
    assert decided == [CONTINUE, CONTINUE, STOP, CONTINUE]


def test_another_cohort_is_not_compared() -> None:
    asha = scheduler()
    asha.compare("a", 10, 1.0)
    assert asha.compare("other", 10, 9.0) == CONTINUE


def test_a_state_is_compared_once_at_a_rung_whoever_reports_it_again() -> None:
    asha = scheduler()
    asha.compare("a", 10, 9.0)
    asha.compare("b", 10, 1.0)
    assert asha.compare("a", 10, 9.0) == CONTINUE


def test_rungs_that_were_passed_are_compared_each_at_its_own() -> None:
    asha = scheduler()
    asha.compare("a", 10, 2.0)
    asha.compare("a", 20, 1.0)
    assert asha.compare("b", 10, 1.9) == CONTINUE
    assert asha.compare("b", 20, 1.8) == STOP


def test_centre_shared_states_and_baselines_of_a_plan(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(axes={"max_lr": [1e-3], "seed": [0, 1]}, baselines=["no_rewarm"])
    rule = RULE.model_copy(update={"grace_tokens": 20_000, "reduction_factor": 3})
    compared = cohorts(plan, rule)
    own = {trial.label: trial.states[-1] for trial in plan.trials}
    assert {label for label, name in own.items() if name in compared} == {
        "center,seed=0", "center,seed=1", "max_lr=0.001,seed=0", "max_lr=0.001,seed=1",
    }  # fmt: skip
    assert not compared[own["center,seed=0"]].place.may_stop
    one = compared[own["max_lr=0.001,seed=1"]]
    assert (one.place.may_stop, one.place.cohort) == (True, (1, 1000))
    german = plan.states[own["center,seed=0"]].config.evaluation.datasets[-1].corpus
    assert one.comparison.corpora == (german,)
    assert one.comparison.looks == ((20_000, 200), (60_000, 600))


# What is handed out.


def planned(plan: Plan, tree: ResultTree) -> Agenda:
    return agenda(plan, find(plan, tree))


def quiet(text: str) -> None:
    """Says nothing."""


def searcher(plan: Plan, tree: ResultTree, capacity: int, workers: Any = 1) -> StateSearcher:
    resources = Resources(workers=workers)
    attempts = Attempts(1, tree, plan, quiet)
    found = StateSearcher(planned(plan, tree).todo, tree, resources, "", {}, attempts, Leave())
    # As if the cluster had been asked just now.
    found._room, found._looked = Room(capacity, capacity), time.monotonic() + 60
    return found


def test_no_more_is_handed_out_than_fits(tree, plan_of) -> None:
    waiting = searcher(plan_of(axes={"seed": [0, 1, 2]}), tree, capacity=2)
    handed_out = [waiting.suggest(str(number)) for number in range(4)]
    assert [bool(one) for one in handed_out] == [True, True, False, False]


def test_what_waits_for_a_state_that_ended_early_is_given_up(tree, plan_of) -> None:
    waiting = searcher(plan_of(), tree, capacity=2)
    waiting.suggest("upstream")
    assert waiting.suggest("center") is None
    waiting.on_trial_complete("upstream")
    assert waiting.suggest("center") == "FINISHED"


def test_a_state_whose_process_died_is_handed_out_again_in_its_place(tree, plan_of) -> None:
    waiting = searcher(plan_of(axes={"seed": [0, 1, 2]}), tree, capacity=2)
    first, second = (waiting.suggest(str(number)) for number in range(2))
    waiting.on_trial_complete("0", error=True)
    assert waiting.suggest("2")["state"] not in (first["state"], second["state"]), "undecided yet"
    waiting.on_trial_complete("1", error=True)
    waiting._attempts.ended(first["state"], Failure(Kind.DIED, "its process died"))
    assert waiting.suggest("3")["state"] == first["state"]


def test_a_state_is_given_up_with_what_comes_after_it_and_the_rest_goes_on(tree, plan_of) -> None:
    plan = plan_of(axes={"seed": [0, 1]})
    waiting = searcher(plan, tree, capacity=1)
    first = waiting.suggest("0")["state"]
    for number in range(2):
        waiting.on_trial_complete(str(number), error=True)
        waiting._attempts.ended(first, Failure(Kind.DIED, "its process died"))
        if number == 0:
            assert waiting.suggest("1")["state"] == first
    other = waiting.suggest("2")["state"]
    assert other != first
    assert plan.states[other].config.parent is None
    tree.state(other).write_status(Status(status=StatusWord.COMPLETE, step=1))
    waiting.on_trial_complete("2")
    assert plan.states[waiting.suggest("3")["state"]].config.parent == other
    waiting.on_trial_complete("3")
    assert waiting.suggest("4") == "FINISHED"
    status = tree.state(first).read_status()
    assert status.status is StatusWord.FAILED
    assert status.reason == "2 attempts in a row without a first checkpoint: its process died"


def test_nothing_is_handed_out_once_the_run_leaves(tree, plan_of) -> None:
    waiting = searcher(plan_of(axes={"seed": [0, 1]}), tree, capacity=2)
    assert waiting.suggest("0")
    waiting._leave.ask("SIGTERM")
    assert waiting.suggest("1") == "FINISHED"


def test_a_second_state_gets_what_the_first_left(tree, plan_of) -> None:
    waiting = searcher(plan_of(axes={"seed": [0, 1, 2]}), tree, capacity=7, workers=(2, 4))
    assert [waiting.suggest(str(number))["workers"] for number in range(3)] == [2, 2, 3]
    assert waiting.suggest("3") is None


# On a real Ray.


def note(trial: dict[str, Any]) -> None:
    """Stands for the training of a state."""
    import ray

    place = ResultTree(Path(trial["storage"])).state(trial["state"])
    place.path.mkdir(parents=True)  # raises where a state is trained twice
    began = time.time()
    time.sleep(0.02)
    entry = {"began": began, "ended": time.time(), "node": ray.get_runtime_context().get_node_id()}
    write_json(place.path / "note.json", entry)
    place.write_status(Status(status=StatusWord.COMPLETE, step=1))


class Spy:
    """Records what a searcher hands out and hears of, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[tuple[str, str]] = []
        self.running: list[int] = []
        self.ended, self.due = 0, -1
        suggest, completed = StateSearcher.suggest, StateSearcher.on_trial_complete

        def spying_suggest(searcher: StateSearcher, trial_id: str) -> Any:
            found = suggest(searcher, trial_id)
            if isinstance(found, dict):
                self.events.append(("out", found["state"]))
                self.running.append(len(searcher._running))
            return found

        def spying_completed(searcher: StateSearcher, trial_id: str, **about: Any) -> None:
            self.events.append(("in", searcher._running[trial_id].task.state.id))
            completed(searcher, trial_id, **about)
            self.ended += 1
            if self.ended == self.due:
                self.act()

        monkeypatch.setattr(StateSearcher, "suggest", spying_suggest)
        monkeypatch.setattr(StateSearcher, "on_trial_complete", spying_completed)

    def after(self, ended: int, act: Callable[[], object]) -> None:
        """Acts once so many states have ended."""
        self.due, self.act = ended, act


def statuses(plan: Plan, tree: ResultTree) -> dict[str, tuple[StatusWord, int, str]]:
    found = {
        state.config.label: tree.state(name).read_status() for name, state in plan.states.items()
    }
    return {label: (one.status, one.step, one.reason) for label, one in found.items() if one}


@pytest.mark.ray
@pytest.mark.long
@pytest.mark.timeout(240)
def test_asha_ends_what_is_worse_and_goes_on_deciding_in_a_second_run(
    own_ray, folder, content, monkeypatch
) -> None:
    monkeypatch.chdir(folder)
    tree = ResultTree(folder / "results")
    for dataset in content["datasets"].values():
        dataset["repeat"] = True
    content["downstream"]["token_budget"] = 64 * 60
    content["center"]["warmup_fraction"] = 0.1
    content["evaluation"]["interval_steps"] = 5
    # One state at a time: the centre is the first to come by each rung. Its threads do not spin
    # while they wait for a core that another test has.
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    content["resources"] = {"cpus_per_worker": os.cpu_count()}
    rule = {"type": "asha", "metric": "d1_loss", "grace_tokens": 64 * 13, "reduction_factor": 2}

    def run(max_lr: list[float]) -> Plan:
        changes = {"axes": {"max_lr": max_lr}, "stopping": rule, "baselines": ["no_rewarm"]}
        plan = prepare(parse(SweepSpec, content | changes), tree, lambda text: None)
        with launch.cluster(None, plan.spec.resources, quiet):
            assert launch.run(plan, planned(plan, tree), tree, quiet) == launch.Outcome()
        return plan

    plan = run([1e-9, 1e-8])
    found = statuses(plan, tree)
    complete = {label for label, (word, _, _) in found.items() if word is StatusWord.COMPLETE}
    assert complete == {"pre-training on old", "center", "no_rewarm"}
    for label, compared in (("max_lr=1e-09", 2), ("max_lr=1e-08", 3)):
        word, step, why = found[label]
        assert (word, step) == (StatusWord.STOPPED, 15)
        assert re.fullmatch(
            rf"asha: d1_loss \d\.\d+ at 832 tokens is not among the best 1/2 of {compared}", why
        )
    for state in plan.states.values():
        text = tree.state(state.id).train_rows.read_text()
        _, step, _ = found[state.config.label]
        assert [row["step"] for row in read_rows(tree.state(state.id).train_rows)] == [
            *range(1, step + 1)
        ]
        assert text.endswith("\n")

    # A hopeless rate again: what the first run recorded is what it is compared with.
    second = run([1e-9, 1e-8, 1e-10])
    assert statuses(second, tree).items() >= found.items()
    word, step, why = statuses(second, tree)["max_lr=1e-10"]
    assert word is StatusWord.STOPPED
    assert (step, why[-4:]) in {(15, "of 4"), (30, "of 2")}


@pytest.mark.ray
@pytest.mark.slow
def test_a_ray_of_ones_own_on_a_head_does_not_grow_as_the_cluster_does(
    own_ray, tmp_path, monkeypatch
) -> None:
    file = tmp_path / "ray_bootstrap_config.yaml"
    file.write_text(
        "{max_workers: 9, head_node_type: head, "
        "available_node_types: {worker: {resources: {CPU: 8}}}}"
    )
    monkeypatch.setattr("sweeps.capacity.BOOTSTRAP", file)
    resources = Resources()
    with launch.cluster(None, resources, quiet) as found:
        assert found.now(resources) >= 1
        assert found.workers_at_most == found.workers


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_three_hundred_states_on_a_cluster_that_grows(own_ray, tree, plan_of, monkeypatch) -> None:
    from ray.cluster_utils import Cluster

    two_stages = [{"dataset": name, "token_budget": 100_000} for name in ("german", "code")]
    plan = plan_of(
        downstream=two_stages,
        design="grid",
        axes={
            "max_lr": [1e-3, 2e-3, 3e-3, 4e-3, 5e-3, 6e-3],
            "replay_fraction": [0, 0.1, 0.25, 0.3, 0.5],
            "seed": [0, 1, 2, 3, 4],
        },
    )
    todo = planned(plan, tree)
    assert len(todo.todo) == 305
    spy = Spy(monkeypatch)
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        spy.after(60, lambda: cluster.add_node(num_cpus=2))
        with launch.cluster(cluster.address, plan.spec.resources, quiet) as found:
            assert found.now(plan.spec.resources) == 3
            outcome = launch.run(plan, todo, tree, quiet, note)
            assert room(plan.spec.resources) == Room(5, 5)
    finally:
        cluster.shutdown()

    assert outcome == launch.Outcome()
    after = {task.state.id: task.after for task in todo.todo}
    remaining = {task.state.id: task.remaining for task in todo.todo}
    assert sorted(name for what, name in spy.events if what == "out") == sorted(after)
    waiting, done = set(after), {None}
    for what, name in spy.events:
        if what == "in":
            done.add(name)
            continue
        ready = {one for one in waiting if after[one] in done}
        assert name in ready
        assert remaining[name] == max(remaining[one] for one in ready)
        waiting.remove(name)
    notes = [json.loads((tree.state(name).path / "note.json").read_text()) for name in after]
    assert max(spy.running[:60]) == 3
    assert max(spy.running) == 5
    # Which of them had a process in time is Ray's affair.
    assert len({one["node"] for one in notes}) > 1
