"""How long a sweep still takes, told from what it trained and when."""

from sweeps.pace import LEAST_SECONDS, Pace


def pace(*notes: tuple[int, float], before: int = 0) -> Pace:
    made = Pace(before)
    for tokens, now in notes:
        made.note(tokens, now)
    return made


def test_the_time_before_the_first_tokens_is_not_counted():
    """Twenty seconds to start everything, then a hundred tokens a second."""
    found = pace((0, 100), (0, 120), (100, 121), (1100, 131))
    assert found.seconds(6_000) == 60


def test_what_an_earlier_run_trained_is_not_counted():
    found = pace((5_000, 0), (5_010, 1), (6_010, 21), before=5_000)
    assert found.seconds(100) == 2


def test_a_lull_between_states_is_counted():
    found = pace((10, 0), (1_010, 10), (1_010, 20))
    assert found.seconds(100) == 2


def test_nothing_is_told_too_early():
    assert pace().seconds(1) is None
    assert pace((0, 0), (0, 1000)).seconds(1) is None  # nothing trained
    assert pace((10, 0), (20, LEAST_SECONDS - 0.1)).seconds(1) is None
    assert pace((10, 0), (20, LEAST_SECONDS)).seconds(1) == LEAST_SECONDS / 10


def test_nothing_is_told_where_nothing_grows():
    """A machine was lost, and what it trained since its last checkpoint with it."""
    assert pace((500, 0), (400, 20)).seconds(1) is None
