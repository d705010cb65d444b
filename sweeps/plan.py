"""From a sweep to its trials and the states they need; numbers in, numbers out.

A trial is a path of states: pre-training on D0, then continuing on D1. States are named by their
content (`RunConfig.state_id`), so equal ones are one, planned once and trained once; above all
the pre-training that every trial of a seed starts from. The plan needs no cluster, and stands on
disk as `plan.json` before anything is trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cpt.model_config import PRESETS, ModelConfig, padded_vocab_size
from cpt.parsing import ConfigError
from sweeps.design import settings, with_seed
from sweeps.facts import DatasetFacts, data_faults
from sweeps.runs import RunBuilder, State, baseline_shape
from sweeps.spec import FACTORS, Baseline, SweepSpec, plain

PLAN_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One setting of the sweep.

    Attributes:
        label: Readable, unique in the sweep.
        factors: A plain value for each of `FACTORS` and the seed; None where it has no meaning.
        baseline: Its name, or None.
        is_center: The setting all others are compared with.
        states: Ids along its path; the last is the trial's own.
    """

    label: str
    factors: dict[str, Any]
    baseline: Baseline | None
    is_center: bool
    states: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All trials, and each state once."""

    spec: SweepSpec
    model: ModelConfig
    datasets: Mapping[str, DatasetFacts]
    trials: tuple[Trial, ...]
    states: dict[str, State]

    def tokens(self) -> dict[str, int]:
        """Training tokens three ways.

        `alone`: every trial from random weights, as a plain grid would. `pretrained_once`: each
        pre-training once, every trial alone after it. `planned`: each state once.
        """
        budget = {name: state.config.token_budget for name, state in self.states.items()}
        shared = {name for trial in self.trials for name in trial.states[:-1]}
        return {
            "alone": sum(budget[name] for trial in self.trials for name in trial.states),
            "pretrained_once": sum(budget[name] for name in shared)
            + sum(budget[trial.states[-1]] for trial in self.trials),
            "planned": sum(budget.values()),
        }

    def to_json(self) -> dict[str, Any]:
        """The content of `plan.json`, but for the environment."""
        spec = self.spec
        center = {name: plain(value) for name, value in spec.center.given().items()}
        return {
            "version": PLAN_VERSION,
            "name": spec.name,
            "design": spec.design,
            "axes": {name: self._axis_values(name) for name in spec.axes.given()},
            "center": center if set(FACTORS) <= set(center) else None,
            "datasets": {
                name: self._dataset_json(name)
                for name in (spec.upstream.dataset, spec.downstream.dataset)
            },
            "model": {
                "name": _preset_name(spec),
                "parameters": self.model.num_parameters,
                **self.model.model_dump(mode="json"),
            },
            "tokenizer": spec.tokenizer,
            "sequence_length": spec.sequence_length,
            "global_batch_size": spec.global_batch_size,
            "precision": spec.precision,
            "trials": [
                {
                    "trial": trial.label,
                    "factors": trial.factors,
                    "baseline": trial.baseline,
                    "center": trial.is_center,
                    "states": list(trial.states),
                }
                for trial in self.trials
            ],
            "states": [self._state_json(state) for state in self.states.values()],
            "tokens": self.tokens(),
        }

    def _axis_values(self, name: str) -> list[Any]:
        """Every value that a trial takes, the centre's where the axis does not list it."""
        values = [plain(value) for value in self.spec.axes.given()[name]]
        center = plain(self.spec.center.given().get(name))
        if self.spec.design == "grid" or center is None or center in values:
            return values
        return [center, *values] if isinstance(center, str) else sorted([center, *values])

    def _dataset_json(self, name: str) -> dict[str, Any]:
        facts = self.datasets[name]
        return {
            "role": "d0" if name == self.spec.upstream.dataset else "d1",
            "path": self.spec.datasets[name].path,
            "train": facts.train.corpus,
            "validation": facts.validation.corpus,
            "documents": facts.train.documents,
            "tokens": facts.train.tokens,
            "bytes": facts.train.bytes,
            "validation_tokens": facts.validation.tokens,
            "domains": list(facts.validation.domain_tokens),
        }

    def _state_json(self, state: State) -> dict[str, Any]:
        config = state.config
        samples = config.source_samples()
        return {
            "state": state.id,
            "label": config.label,
            "parent": config.parent,
            "stage": state.stage,
            "steps": config.total_steps,
            "tokens": config.token_budget,
            "flops": config.token_budget * config.model.flops_per_token(config.sequence_length),
            "source_tokens": {
                source.name: count * config.sequence_length
                for source, count in zip(config.stream, samples, strict=True)
            },
        }


def make_plan(spec: SweepSpec, datasets: Mapping[str, DatasetFacts], vocab_size: int) -> Plan:
    """Lays out a sweep.

    Args:
        spec: What was asked for.
        datasets: Facts of the data sets that the stages name.
        vocab_size: The tokenizer's.

    Raises:
        ConfigError: The data do not serve: too short without permission to repeat, a vocabulary
            larger than the model's, a validation domain shorter than one sequence, a schedule
            whose phases do not fit; one sentence for each fault.
    """
    faults: list[str] = []
    model = spec.model
    if model.vocab_size is None:
        model = model.model_copy(update={"vocab_size": padded_vocab_size(vocab_size)})
    elif model.vocab_size < vocab_size:
        faults.append(
            f"model.vocab_size: got {model.vocab_size}; must be at least the {vocab_size} tokens "
            f"of tokenizer '{spec.tokenizer}'; raise it, or leave it out to fit the tokenizer."
        )
    builder = RunBuilder(spec, model, datasets)
    states: dict[str, State] = {}
    trials: list[Trial] = []
    for label, factors, baseline in settings(spec):
        for seed in spec.seeds:
            try:
                path = builder.path(with_seed(spec, label, seed), factors, baseline, seed)
            except ConfigError as error:
                faults += [f"trial '{label}': {fault}" for fault in error.faults]
                continue
            for state in path:
                states.setdefault(state.id, state)
            trials.append(_trial(spec, label, factors, baseline, seed, path))
    faults += data_faults(spec, datasets, [state.config for state in states.values()])
    if faults:
        raise ConfigError(dict.fromkeys(faults))
    return Plan(spec=spec, model=model, datasets=datasets, trials=tuple(trials), states=states)


def _trial(
    spec: SweepSpec,
    label: str,
    factors: dict[str, Any],
    baseline: Baseline | None,
    seed: int,
    path: tuple[State, ...],
) -> Trial:
    last = path[-1].config
    plain_factors = {name: plain(factors[name]) for name in FACTORS}
    if baseline is not None:
        shape = baseline_shape(spec, baseline)
        plain_factors |= {
            "max_lr": last.schedule.max_lr,
            "warmup_fraction": last.schedule.warmup_fraction,
            "schedule": shape.label,
        }
        if last.parent is None:
            plain_factors["replay_fraction"] = None
    return Trial(
        label=with_seed(spec, label, seed),
        factors=plain_factors | {"seed": seed},
        baseline=baseline,
        is_center=baseline is None and factors == spec.center.given(),
        states=tuple(state.id for state in path),
    )


def _preset_name(spec: SweepSpec) -> str:
    return next((name for name, preset in PRESETS.items() if preset == spec.model), "custom")
