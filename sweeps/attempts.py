"""Whether a state is tried again after an attempt at it ended early, and when.

A state has a budget of attempts that die. It is spent by deaths in a row without a new checkpoint
between them: a state that gets on may lose its machine for days, and one that does not is given up
and named. A machine that was taken away with notice spends nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cpt.mirror import Mirror
from cpt.records import ResultTree, Status, StatusWord
from sweeps.failures import Failure, Kind
from sweeps.following import patiently
from sweeps.plan import Plan
from sweeps.words import counted

FIRST_PAUSE_SECONDS = 2.0
"""Before a second try where the disk or the store was at fault; doubled each time."""
LONGEST_PAUSE_SECONDS = 60.0


@dataclass
class _Deaths:
    """Of attempts at one state, in a row without a new checkpoint between them.

    Attributes:
        number: How many.
        checkpoint: The step of its newest checkpoint at the last one; -1: none.
    """

    number: int = 0
    checkpoint: int = -1


@dataclass
class Attempts:
    """The attempts of one run of a sweep.

    Attributes:
        most: Deaths in a row that a state survives.
        tree: Where checkpoints are counted, and given-up states recorded.
        plan: Has the labels of states.
        say: Told of each attempt that ended early and is followed by another.
        decisions: State to when it may be tried again, by the monotonic clock; None: not in this
            run. Whoever acts on a decision takes it out.
        surroundings: Reason by state that the disk or the store did not let come to its end.
        damaged: Reason by state whose beginning has to be made anew first.
    """

    most: int
    tree: ResultTree
    plan: Plan
    say: Callable[[str], None]
    decisions: dict[str, float | None] = field(default_factory=dict)
    surroundings: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    _deaths: dict[str, _Deaths] = field(default_factory=dict)

    def ended(self, state: str, why: Failure) -> None:
        """Decides after an attempt that ended with an error."""
        self.decisions[state] = when = self._decide(state, why)
        if when is not None:
            newest = max(self.tree.state(state).marked_steps(), default=0)
            label = self.plan.states[state].config.label
            self.say(f"interrupted {label}: {why.reason}; goes on from step {newest:,}")

    def _decide(self, state: str, why: Failure) -> float | None:
        now = time.monotonic()
        if why.kind is Kind.LEFT:
            return now
        if why.kind is Kind.DAMAGE:
            self.damaged[state] = why.reason
            return None
        if why.kind is Kind.OWN:
            self._give_up(state, why.reason)
            return None
        deaths = self._one_more_death(state)
        if why.kind is Kind.SURROUNDINGS:
            if deaths.number > self.most:
                self.surroundings[state] = why.reason
                return None
            pause = FIRST_PAUSE_SECONDS * 2 ** (deaths.number - 1)
            return now + min(pause, LONGEST_PAUSE_SECONDS)
        if deaths.number > self.most:
            got_to = "a first" if deaths.checkpoint < 0 else "a new"
            times = counted(deaths.number, "attempt")
            self._give_up(state, f"{times} in a row without {got_to} checkpoint: {why.reason}")
            return None
        return now

    def _one_more_death(self, state: str) -> _Deaths:
        patiently(Mirror.of(self.tree).fetch_states, [state])
        newest = max(self.tree.state(state).marked_steps(), default=-1)
        before = self._deaths.get(state, _Deaths())
        number = before.number + 1 if newest <= before.checkpoint else 1
        self._deaths[state] = _Deaths(number, newest)
        return self._deaths[state]

    def _give_up(self, state: str, reason: str) -> None:
        mirror, place = Mirror.of(self.tree), self.tree.state(state)
        patiently(mirror.fetch_states, [state])
        before = place.read_status()
        step = before.step if before else 0
        failed = Status(status=StatusWord.FAILED, step=step, reason=reason)
        patiently(mirror.write_status, place, failed)
