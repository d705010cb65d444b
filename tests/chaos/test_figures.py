"""What is said of a disturbed sweep, told from rows and records typed in by hand."""

from tests.chaos.figures import Disturbance, StepBack, by_kind, faults_of, steps_back
from tests.chaos.observation import Position
from tests.chaos.schedule import DECK, Kind, disturbances


def disturbance(number: int, kind: Kind, *running: tuple[str, int, int, int]) -> Disturbance:
    """With (state, rows, step, checkpoint) of each state that ran."""
    positions = [
        Position(state=state, rows=rows, step=step, checkpoint=checkpoint)
        for state, rows, step, checkpoint in running
    ]
    return Disturbance(number=number, kind=kind, at=8.0 * number, victim="", running=positions)


def step_back(from_step: int, to_step: int, number: int | None, checkpoint: int) -> StepBack:
    return StepBack(
        state="a", row=5, from_step=from_step, to_step=to_step, disturbance=number,
        checkpoint=checkpoint,
    )  # fmt: skip


def test_a_step_back_is_due_to_what_ended_its_rows_and_counts_what_is_trained_again():
    done = [
        disturbance(1, Kind.KILL_TRAINING, ("a", 3, 3, 2), ("b", 1, 1, 0)),
        disturbance(2, Kind.KILL_NODE, ("a", 6, 5, 4), ("b", 3, 3, 2)),
    ]
    rows = {"a": [1, 2, 3, 4, 3, 4, 5, 5, 6], "b": [1, 2, 3, 4, 5]}
    assert steps_back(rows, done) == [
        StepBack(state="a", row=4, from_step=4, to_step=2, disturbance=1, checkpoint=2),
        StepBack(state="a", row=7, from_step=5, to_step=4, disturbance=2, checkpoint=4),
    ]


def test_of_two_between_which_a_state_wrote_nothing_the_first_is_the_cause():
    done = [
        disturbance(1, Kind.KILL_TRAINING, ("a", 3, 3, 2)),
        disturbance(2, Kind.KILL_DRIVER, ("a", 3, 3, 2)),
    ]
    (found,) = steps_back({"a": [1, 2, 3, 3, 4]}, done)
    assert found.disturbance == 1


def test_figures_of_a_kind_are_over_all_its_disturbances():
    done = [disturbance(number, Kind.KILL_NODE) for number in (1, 2)]
    found = [step_back(30, 20, 1, 20), step_back(35, 10, 1, 10)]
    figures = by_kind(done, found, 20)[Kind.KILL_NODE]
    assert (figures.number, figures.states_set_back, figures.most) == (2, 2, 25)
    assert (figures.mean, figures.in_writing) == (17.5, 1)


def test_lost_work_that_breaks_the_promise_is_named():
    done = [disturbance(1, Kind.KILL_NODE), disturbance(2, Kind.TERMINATE_TRAINING)]
    kept = [step_back(59, 20, 1, 20), step_back(21, 20, 2, 20)]
    assert faults_of(done, kept, 20) == []
    broken = [
        step_back(60, 20, 1, 20), step_back(45, 20, 1, 40), step_back(22, 20, 2, 20),
        step_back(9, 8, None, 0),
    ]  # fmt: skip
    assert [
        sentence[sentence.index("back from") :] for sentence in faults_of(done, broken, 20)
    ] == [
        "back from step 60 to 20 after disturbance 1 (SIGKILL to a whole node): 40 updates, not 39 "
        "at most",
        "back from step 45 to 20 after disturbance 1 (SIGKILL to a whole node), behind its "
        "checkpoint of step 40",
        "back from step 22 to 20 after disturbance 2 (SIGTERM to a training process): 2 updates, "
        "not 1 at most",
        "back from step 9 to 8 without a disturbance",
    ]


def test_one_seed_draws_one_schedule_in_which_each_kind_has_its_share():
    drawn = list(disturbances(2 * len(DECK), 5, (6.0, 10.0)))
    assert drawn == list(disturbances(2 * len(DECK), 5, (6.0, 10.0)))
    assert drawn != list(disturbances(2 * len(DECK), 6, (6.0, 10.0)))
    kinds = [one.kind for one in drawn]
    assert {kind: kinds.count(kind) for kind in Kind} == {
        kind: 2 * DECK.count(kind) for kind in Kind
    }
    assert all(6.0 <= one.pause <= 10.0 and 0 <= one.choice < 1 for one in drawn)
