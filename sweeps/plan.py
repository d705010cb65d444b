"""From a sweep to its trials and the states they need; numbers in, numbers out.

A trial is a path of stages: pre-training on D0, then continuing on D1, D2 ... `sweeps.runs` lays
out each path, `sweeps.tree` cuts what they share into states, and what is here joins both. The plan
needs no cluster, and stands on disk as `plan.json` before anything is trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cpt.model_config import PRESETS, ModelConfig, padded_vocab_size
from cpt.parsing import ConfigError
from sweeps.data_json import dataset_json, readings_json
from sweeps.design import TOKEN_BUDGET, Setting, axes, center, names, reference, settings, with_seed
from sweeps.factors import FACTORS, Range, plain
from sweeps.facts import DatasetFacts, TakenModel, data_faults
from sweeps.runs import RunBuilder, StageRun
from sweeps.spec import Baseline, SweepSpec
from sweeps.stopping import AshaStopping, rungs
from sweeps.stopping import faults as stopping_faults
from sweeps.tree import State, cut, path_to

PLAN_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One setting of the sweep with one seed.

    Attributes:
        label: Readable, unique in the sweep.
        factors: A plain value for each factor and the seed; None where it has no meaning. A factor
            that this trial does not read stands at the centre.
        baseline: Its name, or None.
        is_center: The setting all others are compared with.
        states: Ids along its path, shared beginnings included; the last is the trial's own.
        stage_ends: Those of them that end a stage.
    """

    label: str
    factors: dict[str, Any]
    baseline: Baseline | None
    is_center: bool
    states: tuple[str, ...]
    stage_ends: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All trials, and each state once."""

    spec: SweepSpec
    model: ModelConfig
    datasets: Mapping[str, DatasetFacts]
    trials: tuple[Trial, ...]
    states: dict[str, State]
    taken: TakenModel | None = None

    def tokens(self) -> dict[str, int]:
        """Training tokens three ways.

        `alone`: every trial from random weights, as a plain grid would. `pretrained_once`: each
        pre-training once, every trial alone after it. `planned`: each state once.
        """
        whole = {name: state.config.token_budget for name, state in self.states.items()}
        ends = [name for trial in self.trials for name in trial.stage_ends]
        pretraining = {name for name in ends if self.states[name].stage == "upstream"}
        return {
            "alone": sum(whole[name] for name in ends),
            "pretrained_once": sum(whole[name] for name in pretraining)
            + sum(whole[name] for name in ends if name not in pretraining),
            "planned": sum(state.tokens for state in self.states.values()),
        }

    def to_json(self) -> dict[str, Any]:
        """The content of `plan.json`, but for costs and the environment."""
        spec = self.spec
        middle = {name: plain(value) for name, value in center(spec).items()}
        return {
            "version": PLAN_VERSION,
            "name": spec.name,
            "design": spec.design,
            "axes": self._axes_json(),
            "center": middle if set(names(spec)) <= set(middle) else None,
            "datasets": {
                name: dataset_json(spec, name, f"d{number}", self.datasets[name])
                for number, name in enumerate(spec.stage_datasets)
            },
            "stages": [
                {"role": f"d{number}", "dataset": name, "steps": steps}
                | {"tokens": steps * spec.tokens_per_step}
                for number, (name, steps) in enumerate(
                    zip(spec.stage_datasets, self._stage_steps(), strict=True)
                )
            ],
            "model": {
                "name": _preset_name(spec),
                "parameters": self.model.num_parameters,
                **self.model.model_dump(mode="json"),
            },
            "tokenizer": spec.tokenizer_name,
            "upstream": self._upstream_json(),
            "sequence_length": spec.sequence_length,
            "global_batch_size": spec.global_batch_size,
            "precision": spec.precision,
            "mask_documents": spec.mask_documents,
            "replay": spec.replay.model_dump(mode="json"),
            "stopping": self._stopping_json(),
            "trials": [
                {
                    "trial": trial.label,
                    "factors": trial.factors,
                    "baseline": trial.baseline,
                    "center": trial.is_center,
                    "states": list(trial.states),
                    "stage_ends": list(trial.stage_ends),
                }
                for trial in self.trials
            ],
            "states": [self._state_json(state) for state in self.states.values()],
            "tokens": self.tokens(),
        }

    def _stage_steps(self) -> list[int]:
        spec = self.spec
        trained = spec.upstream.token_budget if spec.checkpoint is None else 0
        budgets = [trained or 0, *(stage.token_budget for stage in spec.stages)]
        return [spec.steps(budget) for budget in budgets]

    def _upstream_json(self) -> dict[str, Any]:
        """Where the pre-trained model comes from: null where the sweep trains it."""
        return {
            "checkpoint": self.spec.checkpoint,
            "stand_in": self.spec.stand_in,
            "weights": None if self.taken is None else self.taken.weights,
        }

    def _stopping_json(self) -> dict[str, Any]:
        """The rule, with the rungs of the longest last stage up to its final window."""
        stopping = self.spec.stopping
        content = stopping.model_dump(mode="json")
        if isinstance(stopping, AshaStopping):
            longest = max(
                self.states[trial.states[-1]].config.total_steps
                for trial in self.trials
                if trial.baseline is None
            )
            window_start = longest - self.spec.evaluation.final_window_steps
            content["rungs"] = list(rungs(stopping, window_start * self.spec.tokens_per_step))
        return content

    def _axes_json(self) -> dict[str, list[Any]]:
        """Every value that a trial takes, the centre's where an axis does not list it."""
        spec, middle = self.spec, center(self.spec)
        values: dict[str, list[Any]] = {}
        for name, given in axes(spec).items():
            if spec.design in ("random", "list") or isinstance(given, Range):
                values[name] = self._taken(name)
                continue
            listed, central = [plain(value) for value in given], plain(middle.get(name))
            if spec.design == "one_at_a_time" and central not in listed:
                textual = isinstance(central, str)
                listed = [central, *listed] if textual else sorted([central, *listed])
            values[name] = listed
        if spec.design == "list":
            for name in FACTORS:
                if name not in values and len(self._taken(name)) > 1:
                    values[name] = self._taken(name)
        if TOKEN_BUDGET in names(spec):
            values[TOKEN_BUDGET] = self._taken(TOKEN_BUDGET)
        if spec.axes.seed is not None:
            values["seed"] = list(spec.axes.seed)
        return values

    def _taken(self, name: str) -> list[Any]:
        """The values that trials take, sorted where they are numbers."""
        trials = [trial for trial in self.trials if trial.baseline is None]
        values = list(dict.fromkeys(trial.factors[name] for trial in trials))
        return values if any(isinstance(value, str) for value in values) else sorted(values)

    def _state_json(self, state: State) -> dict[str, Any]:
        config = state.config
        sources = readings_json(self.spec, self.datasets, state)
        return {
            "state": state.id,
            "label": config.label,
            "parent": config.parent,
            "base": config.base,
            "stage": state.stage,
            "role": state.role,
            "first_step": state.first_step,
            "steps": config.end_step,
            "horizon_steps": config.total_steps,
            "ends_stage": state.ends_stage,
            "annealed": state.is_annealed,
            "tokens": state.tokens,
            "stage_tokens": config.token_budget,
            "flops": state.tokens * self.flops_per_token,
            "source_tokens": {source["source"]: source["tokens"] for source in sources},
            "sources": sources,
        }

    @property
    def flops_per_token(self) -> int:
        """Training FLOPs, forward and backward, by `ModelConfig.flops_per_token`."""
        return self.model.flops_per_token(self.spec.sequence_length)


def make_plan(
    spec: SweepSpec,
    datasets: Mapping[str, DatasetFacts],
    vocab_size: int,
    taken: TakenModel | None = None,
    *,
    end_of_text: int | None = None,
) -> Plan:
    """Lays out a sweep.

    Args:
        spec: What was asked for.
        datasets: Facts of the data sets that the stages name.
        vocab_size: The tokenizer's.
        taken: The model that a sweep with a checkpoint starts from.
        end_of_text: The tokenizer's token after a document; needed where documents are masked.

    Raises:
        ConfigError: The data do not serve: too short without permission to repeat, a vocabulary
            larger than the model's, a validation domain shorter than one sequence; a schedule
            whose phases do not fit; an axis that no trial reads; one sentence for each fault.
    """
    model = spec.model if taken is None else taken.model
    assert model is not None, "a spec without a checkpoint has a model"
    assert end_of_text is not None or not spec.mask_documents
    faults = _model_faults(spec, model, vocab_size)
    if model.vocab_size is None:
        model = model.model_copy(update={"vocab_size": padded_vocab_size(vocab_size)})
    if faults:
        # What the model cannot take is told above; no run could be laid out with it.
        model, end_of_text = model.model_copy(update={"max_sequence_length": None}), None
    builder = RunBuilder(spec, model, datasets, taken, end_of_text)
    runs: dict[str, StageRun] = {}
    paths: list[tuple[Setting, int, tuple[StageRun, ...]]] = []
    unfit: dict[str, list[str]] = {}
    for setting in _distinct(spec, builder):
        for seed in spec.seeds:
            try:
                path = builder.path(setting, seed)
            except ConfigError as error:
                for fault in error.faults:
                    unfit.setdefault(fault, []).append(setting.label)
                continue
            for run in path:
                runs.setdefault(run.id, run)
            paths.append((setting, seed, path))
    faults += [_of_trials(labels, fault) for fault, labels in unfit.items()]
    faults += _idle_axes(spec, builder)
    faults += _stopping_faults(spec, paths)
    faults += data_faults(spec, datasets, [run.config for run in runs.values()])
    if faults:
        raise ConfigError(dict.fromkeys(faults))
    cut_off = cut(runs.values(), spec.shortest_shared_steps)
    states = {
        name: cut_off[name]
        for _, _, path in paths
        for run in path
        for name in path_to(cut_off, run.id)
    }
    return Plan(
        spec=spec,
        model=model,
        datasets=datasets,
        trials=tuple(_trial(spec, *laid_out, states) for laid_out in paths),
        states=states,
        taken=taken,
    )


def _model_faults(spec: SweepSpec, model: ModelConfig, vocab_size: int) -> list[str]:
    """What the model cannot take: ids of the tokenizer, positions of a sequence."""
    faults = []
    if model.vocab_size is not None and model.vocab_size < vocab_size:
        what = f"the {vocab_size} tokens of tokenizer '{spec.tokenizer_name}'"
        faults.append(
            f"model.vocab_size: got {model.vocab_size}; must be at least {what}; raise it, or "
            "leave it out to fit the tokenizer."
            if spec.checkpoint is None
            else f"tokenizer: got '{spec.tokenizer_name}', of {vocab_size} tokens; must have at "
            f"most the {model.vocab_size} of upstream.checkpoint; name the one it was trained with."
        )
    longest = model.max_sequence_length
    if longest is not None and spec.sequence_length > longest:
        whose = "upstream.checkpoint" if spec.checkpoint else f"model '{_preset_name(spec)}'"
        faults.append(
            f"sequence_length: got {spec.sequence_length}; must be at most {longest}, the "
            f"positions that {whose} is made for (its rotary range, scaling included); shorten it."
        )
    return faults


def _of_trials(labels: list[str], fault: str) -> str:
    """A fault and the trials that have it, the first by name."""
    others = len(set(labels)) - 1
    more = "" if not others else f" and {others} more" if others > 1 else " and another"
    return f"trial '{labels[0]}'{more}: {fault}"


def _distinct(spec: SweepSpec, builder: RunBuilder) -> list[Setting]:
    """The settings, with factors that they do not read at the centre, each once."""
    middle = reference(spec)
    found: dict[Any, Setting] = {}
    for setting in settings(spec):
        factors = setting.factors
        if setting.baseline is None:
            reads = builder.rates.reads(setting)
            factors = {
                name: value if name in reads else middle[name]
                for name, value in setting.factors.items()
            }
        key = setting.baseline, tuple(factors.items())
        if key not in found:
            found[key] = Setting(label=setting.label, factors=factors, baseline=setting.baseline)
    return list(found.values())


def _idle_axes(spec: SweepSpec, builder: RunBuilder) -> list[str]:
    """A sentence for each axis of several values that no trial reads."""
    reads = {
        name
        for setting in settings(spec)
        if setting.baseline is None
        for name in builder.rates.reads(setting)
    }
    return [
        f"axes.{name}: got {len(values)} values that no trial reads; every schedule goes on at the "
        "rate it holds, without a peak or warm-up of its own; leave the axis out."
        for name, values in axes(spec).items()
        if name not in reads and isinstance(values, tuple) and len(values) > 1
    ]


def _stopping_faults(
    spec: SweepSpec, paths: list[tuple[Setting, int, tuple[StageRun, ...]]]
) -> list[str]:
    """What an early-stopping rule would get wrong about the last stages of these trials."""
    if not isinstance(spec.stopping, AshaStopping):
        return []
    longest: dict[int, float] = {}
    for setting, _, path in paths:
        if setting.baseline is None:
            last = path[-1].config
            warmup = last.schedule.warmup_steps(last.total_steps)
            longest[last.total_steps] = max(longest.get(last.total_steps, 0.0), warmup)
    if not longest:  # every trial was refused already
        return []
    return stopping_faults(
        spec.stopping,
        longest_warmup=longest,
        final_window_steps=spec.evaluation.final_window_steps,
        tokens_per_step=spec.tokens_per_step,
        roles=[f"d{number}" for number in range(len(spec.stage_datasets))],
    )


def _trial(
    spec: SweepSpec,
    setting: Setting,
    seed: int,
    path: tuple[StageRun, ...],
    states: Mapping[str, State],
) -> Trial:
    last = path[-1].config
    factors = {name: plain(value) for name, value in setting.factors.items()}
    if setting.baseline is not None:
        factors |= {
            "max_lr": last.schedule.max_lr,
            "warmup_fraction": last.schedule.warmup_fraction,
            "schedule": _baseline_schedule(spec, setting),
        }
        if setting.baseline in ("downstream_only", "union"):
            factors["replay_fraction"] = None
    return Trial(
        label=with_seed(spec, setting.label, seed),
        factors=factors | {"seed": seed},
        baseline=setting.baseline,
        is_center=setting.baseline is None and setting.factors == center(spec),
        states=tuple(name for run in path for name in path_to(states, run.id)),
        stage_ends=tuple(run.id for run in path),
    )


def _baseline_schedule(spec: SweepSpec, setting: Setting) -> str:
    """A baseline's curve: constant, or from scratch that of pre-training."""
    if setting.baseline in ("no_rewarm", "no_redecay"):
        return "constant"
    return spec.upstream.schedule.shape(setting.factors["schedule"]).label


def _preset_name(spec: SweepSpec) -> str:
    named = next((name for name, preset in PRESETS.items() if preset == spec.model), "custom")
    return spec.checkpoint or named
