"""Ray Tune's ASHA, one for each cohort, and what is written down about what it ends.

A state is known to ASHA by its id, not by Tune's name for this attempt: so what an earlier run
recorded counts like what this one reports, and no state is compared with itself.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from cpt.config import RunConfig
from cpt.files import write_sealed
from cpt.mirror import Mirror
from cpt.parsing import parse
from cpt.records import ResultTree, Status, StatusWord
from sweeps.answers import Answers
from sweeps.following import patiently
from sweeps.stopping import AshaStopping, Place, reason


@dataclass(frozen=True)
class _Name:
    """All that ASHA wants of a trial."""

    trial_id: str


class NoPreference(FIFOScheduler):
    """Trials start in the order in which their processes are there.

    Tune's FIFO gives a process that becomes free to the first trial that waits for one of its own,
    and kills that one while it starts: where states are shorter than that takes, there would never
    be a second process.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:
        """None: what waits is started as it is."""
        return None


class CohortScheduler(NoPreference):
    """Compares each state with its cohort alone; ends those that may be ended.

    A training waits at a rung for what is decided here, so a state that is ended has ended: its
    status is written at once.

    Args:
        stopping: The rule.
        places: Each compared state's cohort, and whether it may be ended.
        tokens_per_step: Tokens of one update.
        tree: Where the status of an ended state is written.
        answers: What groups of workers wait for; None where trainings wait inside Tune's report.
    """

    def __init__(
        self,
        stopping: AshaStopping,
        places: Mapping[str, Place],
        tokens_per_step: int,
        tree: ResultTree,
        answers: Answers | None = None,
    ) -> None:
        super().__init__()
        self._stopping, self._places = stopping, places
        self._tokens_per_step = tokens_per_step
        self._tree, self._answers = tree, answers
        # Untyped: ASHA declares a controller and Tune's trials, and reads `trial_id` alone.
        self._cohorts: dict[tuple[int, int], Any] = {}
        self._came_by: dict[tuple[tuple[int, int], int], set[str]] = {}
        self._known: set[str] = set()

    def on_trial_result(
        self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]
    ) -> str:
        """Called by Tune; only results with `tokens` come from a rung."""
        state, rung = result["state"], result.get("tokens")
        if rung is None:
            return str(TrialScheduler.CONTINUE)
        value = result[self._stopping.metric]
        decision = self.compare(state, rung, value)
        if decision == TrialScheduler.CONTINUE or not self._places[state].may_stop:
            if self._answers is not None:
                self._answers.go_on(state, rung)
            return str(TrialScheduler.CONTINUE)
        compared = len(self._came_by[self._places[state].cohort, rung])
        why = reason(self._stopping, value, rung, compared)
        status = Status(
            status=StatusWord.STOPPED,
            step=result["step"],
            reason=why,
            rule=self._stopping.model_dump(mode="json"),
        )
        self._record_end(trial.config["run"], status)
        return str(TrialScheduler.STOP)

    def compare(self, state: str, rung: int, value: float) -> str:
        """What ASHA decides of a state that came by a rung, remembered for those after it."""
        cohort = self._places[state].cohort
        if cohort not in self._cohorts:
            self._cohorts[cohort] = ASHAScheduler(
                time_attr="tokens",
                metric=self._stopping.metric,
                mode="min",
                # The budget: ASHA ends nothing for having got there.
                max_t=cohort[1] * self._tokens_per_step,
                grace_period=self._stopping.grace_tokens,
                reduction_factor=self._stopping.reduction_factor,
            )
        asha, name = self._cohorts[cohort], _Name(state)
        if state not in self._known:
            self._known.add(state)
            asha.on_trial_add(None, name)
        self._came_by.setdefault((cohort, rung), set()).add(state)
        result = {"tokens": rung, self._stopping.metric: value}
        return str(asha.on_trial_result(None, name, result))

    def _record_end(self, run: str, status: Status) -> None:
        """Writes what became of a state, and what it is where it was ended before it began."""
        config = parse(RunConfig, json.loads(run))
        mirror, place = Mirror.of(self._tree), self._tree.state(config.state_id)
        patiently(mirror.fetch_states, [config.state_id])
        if not place.config.exists():
            write_sealed(place.config, config.model_dump(mode="json"))
            patiently(mirror.send, place.config)
        patiently(mirror.write_status, place, status)
