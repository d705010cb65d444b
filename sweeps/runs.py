"""From one setting to the stages that train it: its path, each stage whole.

Between stages weights carry over and the optimizer starts fresh; `sweeps.rates` says which rates
carry over.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from cpt.config import EvaluationConfig, HeldOut, RunConfig
from cpt.model_config import ModelConfig
from cpt.schedule_config import ScheduleConfig
from cpt.stream_config import Source
from sweeps.design import Setting, axes, reference, told_as, with_seed
from sweeps.factors import FACTORS, ScheduleShape, scoped
from sweeps.facts import DatasetFacts, TakenModel
from sweeps.rates import Rates
from sweeps.replay import Seen, replayed, seen_by, seen_elsewhere, sources
from sweeps.spec import AS_TRIAL, SweepSpec, Upstream

Stage = Literal["upstream", "downstream", "from_scratch"]


@dataclass(frozen=True, kw_only=True)
class StageRun:
    """One whole stage of a path.

    Attributes:
        id: Name of the state at its end.
        stage: Which kind.
        role: That of its new data, d0, d1, ...; None from scratch, where several are new.
        config: From its first step to its last.
        keep: A step before its end whose state is wanted too, since longer budgets go on from it.
    """

    id: str
    stage: Stage
    role: str | None
    config: RunConfig
    keep: int | None = None


class RunBuilder:
    """Stages of one sweep."""

    def __init__(
        self,
        spec: SweepSpec,
        model: ModelConfig,
        datasets: Mapping[str, DatasetFacts],
        taken: TakenModel | None = None,
        end_of_text: int | None = None,
    ) -> None:
        self.spec, self.model, self.datasets, self.taken = spec, model, datasets, taken
        self._document_end = end_of_text if spec.mask_documents else None
        self.rates = Rates(spec)
        self._middle = reference(spec)
        self._built: dict[Any, StageRun] = {}
        self._seen: dict[str, list[int]] = {}
        self._streams: dict[Any, tuple[Source, ...]] = {}

    def path(self, setting: Setting, seed: int) -> tuple[StageRun, ...]:
        """The stages of one trial, in the order they are trained.

        Raises:
            ConfigError: The phases of a schedule do not fit into a stage or a budget.
        """
        if setting.baseline in ("downstream_only", "union"):
            return (self._scratch(setting, seed),)
        goes_on = [*self.rates.goes_on(setting), False]
        runs: list[StageRun] = []
        schedule, upstream = None, self.spec.upstream
        d0 = upstream.dataset
        if isinstance(upstream, Upstream):
            shape = self.rates.upstream_shape(setting)
            runs = [self._upstream(upstream, seed, shape, anneal=not goes_on[0])]
            schedule = runs[0].config.schedule
            seen = {d0: self._seen_by(runs[0], d0)}
        else:
            budget, length = upstream.token_budget, self.spec.sequence_length
            seen = {d0: seen_elsewhere(self.datasets[d0], budget, length)}
        for number in range(len(self.spec.stages)):
            if number:
                before = self.spec.stages[number - 1].dataset
                seen = seen | {before: self._seen_by(runs[-1], before)}
            origin = schedule if goes_on[number] else None
            anneal = not goes_on[number + 1]
            schedule = self.rates.downstream(setting, number, origin, anneal=anneal)
            parent = runs[-1].id if runs else None
            runs.append(self._downstream(setting, seed, number, schedule, parent, seen))
        return tuple(runs)

    def _seen_by(self, run: StageRun, dataset: str) -> list[int]:
        """Samples that a stage read of its new data, by source; many trials ask of one stage."""
        if run.id not in self._seen:
            self._seen[run.id] = seen_by(run.config, dataset)
        return self._seen[run.id]

    def _upstream(
        self, upstream: Upstream, seed: int, shape: ScheduleShape, *, anneal: bool
    ) -> StageRun:
        key = ("upstream", seed, shape, anneal)
        if key not in self._built:
            d0, spec = upstream.dataset, self.spec
            label = f"pre-training on {d0}"
            label += f", {shape.label}" if upstream.schedule.type == AS_TRIAL else ""
            label += "" if anneal or not shape.holds else ", not annealed"
            self._built[key] = self._stage_run(
                "upstream",
                "d0",
                label=with_seed(spec, label, seed),
                steps=spec.steps(upstream.token_budget),
                schedule=self.rates.upstream(shape, anneal=anneal),
                stream=sources(d0, self.datasets[d0], Fraction(1)),
                held_out=[d0],
                seed=seed,
            )
        return self._built[key]

    def _downstream(
        self,
        setting: Setting,
        seed: int,
        number: int,
        schedule: ScheduleConfig,
        parent: str | None,
        seen: Seen,
    ) -> StageRun:
        steps = self.rates.steps(setting, number)
        replay = self.rates.factor(setting, number, "replay_fraction")
        key = (number, steps, schedule, replay, parent, seed)
        if key not in self._built:
            sets = self.spec.stage_datasets
            old, new, to_come = sets[: number + 1], sets[number + 1], sets[number + 2 :]
            self._built[key] = self._stage_run(
                "downstream",
                f"d{number + 1}",
                label=self._label(setting, number, seed),
                steps=steps,
                schedule=schedule,
                stream=self._stream(number, replay, seen),
                held_out=[*old, new],
                to_come=to_come,
                seed=seed,
                parent=parent,
                weights_from=None if parent or self.taken is None else self.taken.weights,
                branches=self.rates.branches(setting, number),
            )
        return self._built[key]

    def _label(self, setting: Setting, number: int, seed: int) -> str:
        """A trial's own label in its last stage; before, what was decided so far."""
        spec = self.spec
        if number + 1 == len(spec.stages):
            return with_seed(spec, setting.label, seed)
        later = {
            scoped(stage.dataset, name) for stage in spec.stages[number + 1 :] for name in FACTORS
        }
        told = {
            name: setting.factors[name]
            for name in axes(spec)
            if name not in later
            and (spec.design != "one_at_a_time" or setting.factors[name] != self._middle[name])
        }
        name = setting.baseline or told_as(told) or "center"
        return with_seed(spec, f"{name} on {spec.stages[number].dataset}", seed)

    def _stream(self, number: int, replay: Fraction, seen: Seen) -> tuple[Source, ...]:
        """What is replayed, then the new data; the same for trials that differ in their rates."""
        key = (number, replay, *((name, *samples) for name, samples in seen.items()))
        if key not in self._streams:
            new = self.spec.stage_datasets[number + 1]
            self._streams[key] = (
                *self._replayed(number, replay, seen),
                *sources(new, self.datasets[new], 1 - replay),
            )
        return self._streams[key]

    def _replayed(self, number: int, replay: Fraction, seen: Seen) -> list[Source]:
        """Earlier data share the replay in proportion to the tokens their stages trained on."""
        spec = self.spec
        # One set is all that was seen before the first stage: its share does not need a budget.
        budgets = [spec.upstream.token_budget or 1, *(stage.token_budget for stage in spec.stages)]
        spent = dict(zip(spec.stage_datasets, budgets[: number + 1], strict=False))
        whole = sum(spent.values())
        return [
            source
            for name, tokens in (spent if replay else {}).items()
            for source in replayed(
                name, self.datasets[name], replay * Fraction(tokens, whole), spec.replay, seen[name]
            )
        ]

    def _scratch(self, setting: Setting, seed: int) -> StageRun:
        """A baseline from random weights; its schedule is that of pre-training."""
        spec = self.spec
        trained = {
            stage.dataset: self.rates.new_steps(setting, number)
            for number, stage in enumerate(spec.stages)
        }
        if setting.baseline == "union":
            old = {spec.upstream.dataset: spec.steps(spec.upstream.token_budget or 0)}
            trained = old | trained
        steps = sum(trained.values())
        return self._stage_run(
            "from_scratch",
            None,
            label=with_seed(spec, setting.label, seed),
            steps=steps,
            schedule=self.rates.upstream(self.rates.upstream_shape(setting)),
            stream=[
                source
                for name, share in trained.items()
                for source in sources(name, self.datasets[name], Fraction(share, steps))
            ],
            held_out=spec.stage_datasets,
            seed=seed,
        )

    def _stage_run(
        self,
        stage: Stage,
        role: str | None,
        *,
        label: str,
        steps: int,
        schedule: ScheduleConfig,
        stream: Iterable[Source],
        held_out: Iterable[str],
        seed: int,
        to_come: Iterable[str] = (),
        parent: str | None = None,
        weights_from: str | None = None,
        branches: bool = False,
    ) -> StageRun:
        spec, evaluation = self.spec, self.spec.evaluation
        config = RunConfig(
            label=label,
            model=self.model,
            sequence_length=spec.sequence_length,
            global_batch_size=spec.global_batch_size,
            total_steps=steps,
            schedule=schedule,
            stream=tuple(stream),
            evaluation=EvaluationConfig(
                datasets=self._held_out(held_out),
                to_come=self._held_out(to_come),
                interval_steps=evaluation.interval_steps,
                final_window_steps=evaluation.final_window_steps,
                final_window_interval_steps=evaluation.final_window_interval_steps,
                tokens_per_dataset=evaluation.tokens_per_dataset,
            ),
            parent=parent,
            weights=weights_from,
            optimizer=spec.optimizer,
            seed=seed,
            precision=spec.precision,
            document_end=self._document_end,
            micro_batch_size=spec.micro_batch_size,
            checkpoint_interval_steps=spec.checkpoint_interval_steps,
            keep_checkpoints=spec.keep_checkpoints,
            log_interval_steps=spec.log_interval_steps,
            compile=spec.compile,
            activation_checkpointing=spec.activation_checkpointing,
            replicas=spec.resources.replicas,
        )
        keep = None
        if branches:
            latest = steps - evaluation.final_window_steps
            keep = min(math.ceil(schedule.anneal_start(steps)), latest)
        return StageRun(id=config.state_id, stage=stage, role=role, config=config, keep=keep)

    def _held_out(self, names: Iterable[str]) -> tuple[HeldOut, ...]:
        return tuple(
            HeldOut(name=name, corpus=self.datasets[name].validation.corpus) for name in names
        )
