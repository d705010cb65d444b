"""Ray Tune's ASHA, one for each cohort, and what is written down about what it ends.

A state is known to ASHA by its id, not by Tune's name for this attempt: so what an earlier run
recorded counts like what this one reports, and no state is compared with itself.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.util.state import get_actor
from ray.util.state.exception import RayStateApiException

from cpt.config import RunConfig
from cpt.parsing import parse
from cpt.records import ResultTree, Status, StatusWord, write_json
from sweeps.stopping import AshaStopping, Place, reason


@dataclass(frozen=True, kw_only=True)
class Stop:
    """A decision to end a state.

    Attributes:
        run: Its configuration, as JSON text.
        status: What will stand in its `status.json`.
        writer: Id of the Ray actor that writes its rows and may do so until it is gone; None where
            the training waits inside its report, and never goes on from there.
    """

    run: str
    status: Status
    writer: str | None

    @property
    def has_ceased(self) -> bool:
        """Whether nothing can be written to the state any more."""
        if self.writer is None:
            return True
        try:
            # By default it takes any Ray on this machine, and raises where there are two.
            actor = get_actor(self.writer, address=ray.get_runtime_context().gcs_address)
        except RayStateApiException:  # the dashboard, which knows, did not answer
            return False
        return actor is None or actor.state == "DEAD"


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

    Attributes:
        stops: Decisions that are not yet written down, by state.
    """

    def __init__(
        self, stopping: AshaStopping, places: Mapping[str, Place], tokens_per_step: int
    ) -> None:
        super().__init__()
        self._stopping, self._places = stopping, places
        self._tokens_per_step = tokens_per_step
        # Untyped: ASHA declares a controller and Tune's trials, and reads `trial_id` alone.
        self._cohorts: dict[tuple[int, int], Any] = {}
        self._came_by: dict[tuple[tuple[int, int], int], set[str]] = {}
        self._known: set[str] = set()
        self.stops: dict[str, Stop] = {}

    def on_trial_result(
        self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]
    ) -> str:
        """Called by Tune; only results with `tokens` come from a rung."""
        state, rung = result["state"], result.get("tokens")
        if rung is None:
            return str(TrialScheduler.CONTINUE)
        value = result[self._stopping.metric]
        decision = self.compare(state, rung, value)
        place = self._places[state]
        if decision == TrialScheduler.CONTINUE or not place.may_stop:
            return str(TrialScheduler.CONTINUE)
        compared = len(self._came_by[place.cohort, rung])
        self.stops[state] = Stop(
            run=trial.config["run"],
            status=Status(
                status=StatusWord.STOPPED,
                step=result["step"],
                reason=reason(self._stopping, value, rung, compared),
            ),
            writer=result["writer"],
        )
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


class StopRecorder(tune.Callback):
    """Writes `stopped` once a state's training has ceased.

    Attributes:
        scheduler: Whose decisions it writes down.
    """

    def __init__(self, scheduler: CohortScheduler, tree: ResultTree) -> None:
        self.scheduler, self._tree = scheduler, tree

    def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        """Called by Tune in the driver, after each event."""
        self.write_down()

    def write_down(self) -> None:
        """Writes what has ceased."""
        for name, stop in list(self.scheduler.stops.items()):
            if not stop.has_ceased:
                continue
            del self.scheduler.stops[name]
            place = self._tree.state(name)
            before = place.read_status()
            # Its workers may have come to the end before they could be stopped.
            if before is None or before.status is not StatusWord.COMPLETE:
                if not place.config.exists():
                    config = parse(RunConfig, json.loads(stop.run))
                    write_json(place.config, config.model_dump(mode="json"))
                place.write_status(stop.status)
