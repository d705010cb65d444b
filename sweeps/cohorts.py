"""Which states of a plan are compared with which, and by what: a plan seen by its stopping rule."""

from dataclasses import dataclass

from sweeps.plan import Plan
from sweeps.rungs import Comparison
from sweeps.stopping import AshaStopping, Entrant, Place, looks, metric_roles, places


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A state that takes part.

    Attributes:
        place: With which others, and whether it may be ended.
        comparison: By what, and when.
    """

    place: Place
    comparison: Comparison


def cohorts(plan: Plan, stopping: AshaStopping) -> dict[str, Compared]:
    """Where each compared state stands, and what it is compared by."""
    return {
        name: Compared(place=place, comparison=_comparison(plan, stopping, name))
        for name, place in places(_entrants(plan)).items()
    }


def stoppable(plan: Plan) -> frozenset[str]:
    """States that the sweep's rule may end; none where it has no rule."""
    if not isinstance(plan.spec.stopping, AshaStopping):
        return frozenset()
    return frozenset(name for name, place in places(_entrants(plan)).items() if place.may_stop)


def _entrants(plan: Plan) -> list[Entrant]:
    shared = {name for trial in plan.trials for name in trial.states[:-1]}
    return [
        Entrant(
            state=trial.states[-1],
            seed=trial.factors["seed"],
            steps=plan.states[trial.states[-1]].config.total_steps,
            is_baseline=trial.baseline is not None,
            is_center=trial.is_center,
            is_shared=trial.states[-1] in shared,
        )
        for trial in plan.trials
    ]


def _comparison(plan: Plan, stopping: AshaStopping, name: str) -> Comparison:
    config = plan.states[name].config
    roles = {f"d{number}": name for number, name in enumerate(plan.spec.stage_datasets)}
    compared = {roles[role] for role in metric_roles(stopping.metric, roles)}
    window = config.total_steps - config.evaluation.final_window_steps
    found = looks(
        stopping,
        window * config.tokens_per_step,
        config.evaluation_steps(),
        config.tokens_per_step,
    )
    return Comparison(
        metric=stopping.metric,
        corpora=tuple(
            held_out.corpus for held_out in config.evaluation.datasets if held_out.name in compared
        ),
        looks=tuple(found.items()),
    )
