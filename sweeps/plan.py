"""From a sweep to its trials and the states they need; numbers in, numbers out.

A trial is a path of states: pre-training on D0, then continuing on D1. States are named by their
content (`RunConfig.state_id`), so equal ones are one, planned once and trained once; above all
the pre-training that every trial of a seed starts from. The plan needs no cluster, and stands on
disk as `plan.json` before anything is trained.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from cpt.config import (
    PRESETS,
    DatasetConfig,
    EvaluationConfig,
    HeldOut,
    ModelConfig,
    RunConfig,
    ScheduleConfig,
    Source,
    padded_vocab_size,
)
from cpt.parsing import ConfigError, parse
from sweeps.spec import FACTORS, Baseline, ScheduleShape, SweepSpec, plain

PLAN_VERSION = 1
Stage = Literal["upstream", "downstream", "from_scratch"]


@dataclass(frozen=True, kw_only=True)
class SplitFacts:
    """What is known of one packed split.

    Attributes:
        corpus: Id of its token store.
        documents: Number of documents.
        tokens: Number of tokens, end-of-text included.
        bytes: UTF-8 bytes of text.
        domain_tokens: Tokens of each domain; empty where the set has none.
    """

    corpus: str
    documents: int
    tokens: int
    bytes: int
    domain_tokens: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """What the plan must know of a data set."""

    train: SplitFacts
    validation: SplitFacts


@dataclass(frozen=True, kw_only=True)
class State:
    """A wanted training state."""

    stage: Stage
    config: RunConfig

    @property
    def id(self) -> str:
        """Its name, made from its content."""
        return self.config.state_id


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
    builder = _Builder(spec, model, datasets)
    states: dict[str, State] = {}
    trials: list[Trial] = []
    for label, factors, baseline in _settings(spec):
        for seed in spec.seeds:
            try:
                path = builder.path(_with_seed(spec, label, seed), factors, baseline, seed)
            except ConfigError as error:
                faults += [f"trial '{label}': {fault}" for fault in error.faults]
                continue
            for state in path:
                states.setdefault(state.id, state)
            trials.append(_trial(spec, label, factors, baseline, seed, path))
    faults += _data_faults(spec, datasets, states.values())
    if faults:
        raise ConfigError(dict.fromkeys(faults))
    return Plan(spec=spec, model=model, datasets=datasets, trials=tuple(trials), states=states)


def _settings(spec: SweepSpec) -> Iterator[tuple[str, dict[str, Any], Baseline | None]]:
    """Every setting but the seed: its label, its factors, and which baseline it is."""
    axes = {name: values for name, values in spec.axes.given().items() if name in FACTORS}
    center = spec.center.given()
    if spec.design == "grid":
        names = [name for name in FACTORS if name in axes]
        for values in itertools.product(*(axes[name] for name in names)):
            chosen = dict(zip(names, values, strict=True))
            label = ",".join(f"{name}={_shown(value)}" for name, value in chosen.items())
            yield label or "center", center | chosen, None
    else:
        yield "center", center, None
        for name in FACTORS:
            for value in axes.get(name, ()):
                if value != center[name]:
                    yield f"{name}={_shown(value)}", center | {name: value}, None
    first = {name: center.get(name, axes[name][0] if name in axes else None) for name in FACTORS}
    for baseline in spec.baselines:
        yield baseline, first, baseline


def _with_seed(spec: SweepSpec, label: str, seed: int) -> str:
    return f"{label},seed={seed}" if len(spec.seeds) > 1 else label


def _shown(value: object) -> str:
    """As short as it can be without two values looking alike: 0.05, 3e-05, 1/3, cosine."""
    shown = plain(value)
    if not isinstance(shown, float):
        return str(shown)
    short = f"{shown:g}"
    if isinstance(value, Fraction):
        return short if Fraction(short) == value else str(value)
    return short if float(short) == shown else repr(shown)


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
        shape = _baseline_shape(spec, factors, baseline)
        plain_factors |= {
            "max_lr": last.schedule.max_lr,
            "warmup_fraction": last.schedule.warmup_fraction,
            "schedule": shape.label,
        }
        if last.parent is None:
            plain_factors["replay_fraction"] = None
    return Trial(
        label=_with_seed(spec, label, seed),
        factors=plain_factors | {"seed": seed},
        baseline=baseline,
        is_center=baseline is None and factors == spec.center.given(),
        states=tuple(state.id for state in path),
    )


def _baseline_shape(
    spec: SweepSpec, factors: Mapping[str, Any], baseline: Baseline
) -> ScheduleShape:
    if baseline in ("no_rewarm", "no_redecay"):
        return ScheduleShape(type="constant")
    shape: ScheduleShape = spec.upstream.schedule
    return shape


class _Builder:
    """Run configurations of one sweep."""

    def __init__(
        self, spec: SweepSpec, model: ModelConfig, datasets: Mapping[str, DatasetFacts]
    ) -> None:
        self.spec, self.model, self.datasets = spec, model, datasets
        self.d0, self.d1 = spec.upstream.dataset, spec.downstream.dataset

    def path(
        self, label: str, factors: Mapping[str, Any], baseline: Baseline | None, seed: int
    ) -> tuple[State, ...]:
        """The states of one trial, in the order they are trained."""
        spec = self.spec
        both = spec.upstream_steps + spec.downstream_steps
        if baseline == "downstream_only":
            return (self._scratch(seed, label, {self.d1: Fraction(1)},
                                  spec.downstream_steps),)  # fmt: skip
        if baseline == "union":
            weights = {
                self.d0: Fraction(spec.upstream_steps, both),
                self.d1: Fraction(spec.downstream_steps, both),
            }
            return (self._scratch(seed, label, weights, both),)
        upstream = State(
            stage="upstream",
            config=self._run(
                label=_with_seed(spec, f"pre-training on {self.d0}", seed),
                steps=spec.upstream_steps,
                schedule=self._upstream_schedule(),
                weights={self.d0: Fraction(1)},
                held_out=(self.d0,),
                seed=seed,
            ),
        )
        replay = factors["replay_fraction"]
        weights = {self.d0: replay} if replay else {}
        downstream = State(
            stage="downstream",
            config=self._run(
                label=label,
                steps=spec.downstream_steps,
                schedule=self._downstream_schedule(factors, baseline),
                weights=weights | {self.d1: 1 - replay},
                held_out=(self.d0, self.d1),
                seed=seed,
                parent=upstream.id,
            ),
        )
        return upstream, downstream

    def _scratch(self, seed: int, label: str, weights: Mapping[str, Fraction], steps: int) -> State:
        """From random weights; the rates are those of pre-training."""
        config = self._run(
            label=label,
            steps=steps,
            schedule=self._upstream_schedule(),
            weights=weights,
            held_out=(self.d0, self.d1),
            seed=seed,
        )
        return State(stage="from_scratch", config=config)

    def _upstream_schedule(self) -> ScheduleConfig:
        schedule = self.spec.upstream.schedule
        return _schedule(
            schedule,
            max_lr=schedule.max_lr,
            min_lr=schedule.max_lr * schedule.min_lr_fraction,
            warmup_fraction=schedule.warmup_fraction,
        )

    def _downstream_schedule(
        self, factors: Mapping[str, Any], baseline: Baseline | None
    ) -> ScheduleConfig:
        max_lr = factors["max_lr"]
        if baseline == "no_rewarm":
            # Stays where pre-training ended: its floor, from the first update on.
            floor = self._upstream_schedule()
            return ScheduleConfig(type="constant", max_lr=_final_lr(floor))
        constant = ScheduleShape(type="constant")
        return _schedule(
            constant if baseline == "no_redecay" else factors["schedule"],
            max_lr=max_lr,
            min_lr=max_lr * self.spec.downstream.min_lr_fraction,
            warmup_fraction=factors["warmup_fraction"],
            start_lr=self.spec.downstream.start_lr,
        )

    def _run(
        self,
        *,
        label: str,
        steps: int,
        schedule: ScheduleConfig,
        weights: Mapping[str, Fraction],
        held_out: Iterable[str],
        seed: int,
        parent: str | None = None,
    ) -> RunConfig:
        spec, evaluation = self.spec, self.spec.evaluation
        return RunConfig(
            label=label,
            model=self.model,
            sequence_length=spec.sequence_length,
            global_batch_size=spec.global_batch_size,
            total_steps=steps,
            schedule=schedule,
            stream=tuple(
                Source(name=name, corpus=self.datasets[name].train.corpus, weight=weight)
                for name, weight in weights.items()
            ),
            evaluation=EvaluationConfig(
                datasets=tuple(
                    HeldOut(name=name, corpus=self.datasets[name].validation.corpus)
                    for name in held_out
                ),
                interval_steps=evaluation.interval_steps,
                final_window_steps=evaluation.final_window_steps,
                final_window_interval_steps=evaluation.final_window_interval_steps,
                tokens_per_dataset=evaluation.tokens_per_dataset,
            ),
            parent=parent,
            optimizer=spec.optimizer,
            seed=seed,
            precision=spec.precision,
            micro_batch_size=spec.micro_batch_size,
            checkpoint_interval_steps=spec.checkpoint_interval_steps,
            log_interval_steps=spec.log_interval_steps,
        )


def _schedule(
    shape: ScheduleShape,
    *,
    max_lr: float,
    min_lr: float,
    warmup_fraction: float,
    start_lr: float = 0.0,
) -> ScheduleConfig:
    """A shape with its rates.

    Raises:
        ConfigError: Its phases do not fit into the stage.
    """
    return parse(
        ScheduleConfig,
        {
            "type": shape.type,
            "cooldown_fraction": shape.cooldown_fraction,
            "constant_fraction": shape.constant_fraction,
            "timescale": shape.timescale,
            "decay_fraction": shape.decay_fraction,
            "max_lr": max_lr,
            "min_lr": min_lr,
            "warmup_fraction": warmup_fraction,
            "start_lr": start_lr,
        },
    )


def _final_lr(schedule: ScheduleConfig) -> float:
    """Where a schedule ends, whatever its length."""
    return schedule.pieces(1)[-1].end_lr


def _preset_name(spec: SweepSpec) -> str:
    return next((name for name, preset in PRESETS.items() if preset == spec.model), "custom")


def _data_faults(
    spec: SweepSpec, datasets: Mapping[str, DatasetFacts], states: Iterable[State]
) -> Iterator[str]:
    length = spec.sequence_length
    needed: dict[str, tuple[int, State]] = {}
    for state in states:
        for source, samples in zip(state.config.stream, state.config.source_samples(), strict=True):
            if samples > needed.get(source.name, (0, state))[0]:
                needed[source.name] = samples, state
    for name, (samples, state) in needed.items():
        facts, dataset = datasets[name], spec.datasets[name]
        yield from _too_short(name, dataset, facts, samples, length, state)
        domains = facts.validation.domain_tokens or {"": facts.validation.tokens}
        for domain, tokens in domains.items():
            if tokens < length + 1:
                where = f"domain '{domain}'" if domain else "the set"
                yield (
                    f"datasets.{name}.validation: {where} holds {tokens} tokens; must hold at "
                    f"least one sequence, {length + 1}; add documents or shorten sequence_length."
                )


def _too_short(
    name: str,
    dataset: DatasetConfig,
    facts: DatasetFacts,
    samples: int,
    length: int,
    state: State,
) -> Iterator[str]:
    available = (facts.train.tokens - 1) // length
    if available < 1:
        yield (
            f"datasets.{name}.train: holds {facts.train.tokens} tokens; must hold at least one "
            f"sequence, {length + 1}."
        )
    elif samples > available and not dataset.repeat:
        yield (
            f"datasets.{name}: holds {available * length} training tokens, but "
            f"'{state.config.label}' reads {samples * length} of it; lower the token_budget, or "
            f"allow more than one epoch with datasets.{name}.repeat: true."
        )
