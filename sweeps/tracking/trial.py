"""A state as Ray's callbacks see a trial of Tune's: what TensorBoard's, MLflow's and W&B's read.

Tune's own trials are attempts, and a state may have several; a tracker has one run a state.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sweeps.plan import Plan
from sweeps.tracking.rows import part
from sweeps.tree import State

if TYPE_CHECKING:
    from ray.tune.experiment import Trial


@dataclass(frozen=True, eq=False)
class TrackedTrial:
    """One state; the attributes are called as they are in `ray.tune.experiment.Trial`.

    Attributes:
        trial_id: The state's id.
        label: What people read.
        config: Parameters of the tracker's run, see `parameters`.
        experiment_dir_name: The sweep's name.
        local_path: A folder for files of this state; made when it is asked to.
    """

    trial_id: str
    label: str
    config: dict[str, Any]
    experiment_dir_name: str
    local_path: str

    @property
    def as_tune(self) -> "Trial":
        """Under the type that callbacks ask for; they read nothing but what is here."""
        return cast("Trial", self)

    def __str__(self) -> str:
        return self.label

    @property
    def evaluated_params(self) -> dict[str, Any]:
        """What TensorBoard shows as hyperparameters."""
        return self.config

    def init_local_path(self) -> None:
        """Makes the folder."""
        Path(self.local_path).mkdir(parents=True, exist_ok=True)


def parameters(plan: Plan, state: State) -> dict[str, Any]:
    """What a tracker's run is filtered and compared by: plain values, none of them missing.

    Of the factors those on which all trials agree that have this state on their path; then what the
    state is and comes from. Everything else stands in its `config.json`.
    """
    config = state.config
    # Pre-training comes before what trials vary.
    is_varied = state.stage != "upstream"
    trials = [trial.factors for trial in plan.trials if is_varied and state.id in trial.states]
    shared = {
        part(name): value
        for name, value in (trials[0] if trials else {}).items()
        if all(factors.get(name) == value for factors in trials)
    }
    own = {
        "seed": config.seed,
        "sweep": plan.spec.name,
        "state": state.id,
        "stage": state.stage,
        "schedule": config.schedule.type,
        "parent": config.parent,
        "base": config.base,
        "first_step": state.first_step,
        "end_step": config.end_step,
        "total_steps": config.total_steps,
        "tokens_per_step": config.tokens_per_step,
        "num_parameters": plan.model.num_parameters,
    }
    return {name: value for name, value in (own | shared).items() if value is not None}
