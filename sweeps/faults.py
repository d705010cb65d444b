"""What the fields of a sweep file get wrong together; each field by itself is `sweeps.spec`'s.

What depends on the data (lengths, vocabulary, domains) is checked by `sweeps.plan`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from cpt.dataset_config import source_field
from cpt.parsing import nearest, shown
from cpt.tokenizer_config import TrainedTokenizerConfig
from sweeps.factors import FACTORS, HOLDING, Range, StageAxes, plain
from sweeps.spec import SweepSpec, TakenUpstream, Upstream

MOST_TRIALS = 100_000
MOST_EVALUATIONS = 100_000
"""Of one stage."""


def spec_faults(spec: SweepSpec) -> Iterator[str]:
    """A sentence for each fault."""
    yield from _model_faults(spec)
    yield from _dataset_faults(spec)
    yield from _tokenizer_faults(spec)
    yield from _budget_faults(spec)
    yield from _size_faults(spec)
    yield from _resource_faults(spec)
    yield from _design_faults(spec)
    yield from _axis_faults(spec, "axes", spec.axes)
    for number, stage in enumerate(spec.stages):
        yield from _axis_faults(spec, f"{spec.stage_field(number)}.axes", stage.axes)
    yield from _center_faults(spec)
    for baseline in _repeated(spec.baselines):
        yield f"baselines: got {shown(baseline)} twice; name it once."


def _model_faults(spec: SweepSpec) -> Iterator[str]:
    """A sweep trains a model or takes one; some of what it may ask needs to know how it began."""
    if not isinstance(spec.upstream, TakenUpstream):
        if spec.model is None:
            yield "model is missing; name a preset or its fields, or take an upstream.checkpoint."
        return
    if spec.model is not None:
        yield "model: must be left out: upstream.checkpoint has one."
    if spec.upstream.token_budget is None:
        why = None
        if "union" in spec.baselines:
            why = "the baseline union trains on as many tokens of the old data"
        elif len(spec.stages) > 1:
            why = "later stages share replay between data sets in proportion to it"
        if why is not None:
            yield f"upstream.token_budget is missing; {why}: say how many the checkpoint saw."


def _resource_faults(spec: SweepSpec) -> Iterator[str]:
    resources, batch = spec.resources, spec.global_batch_size
    gpus = resources.gpus_per_worker
    if gpus > 1:
        yield (
            f"resources.gpus_per_worker: got {gpus:g}; must be at most 1, since a worker trains on "
            "one GPU; raise resources.workers instead."
        )
    if 0 < gpus < 1 and resources.most_workers > 1:
        yield (
            f"resources.gpus_per_worker: got {gpus:g}; must be 1 (or 0) where resources.workers is "
            "above 1, since NCCL refuses two workers of a state on one GPU; a share is for states "
            "of one worker."
        )
    if isinstance(resources.workers, tuple):
        # Shares of a batch that differ by one sequence are exact, but leave workers waiting.
        if batch < resources.most_workers:
            yield (
                f"global_batch_size: got {batch}; must be at least {resources.most_workers}, the "
                "most that resources.workers allows: a worker trains on whole sequences."
            )
        if resources.replicas > 1:
            yield (
                f"resources.replicas: got {resources.replicas}; must be 1 where resources.workers "
                "is a range, which it may not divide; name one number of workers."
            )
        return
    if batch % resources.workers:
        yield (
            f"global_batch_size: got {batch}; must be a multiple of resources.workers, "
            f"{resources.workers}."
        )
    if resources.workers % resources.replicas:
        yield (
            f"resources.replicas: got {resources.replicas}; must divide resources.workers, "
            f"{resources.workers}."
        )


def _dataset_faults(spec: SweepSpec) -> Iterator[str]:
    for name, dataset in spec.datasets.items():
        for source_name, source in dataset.sources.items():
            field = source_field(f"datasets.{name}", source_name)
            for shared in sorted(set(source.train).intersection(source.validation)):
                yield (
                    f"{field}.validation: got {shown(shared)}, which train names too; must be "
                    "held out of training; name other data."
                )
        if "." in name or name in FACTORS:
            yield (
                f"datasets.{name}: must be a name without dots that is no factor, since axes of "
                "one stage are called <data set>.<factor>; rename it."
            )
    fields = ["upstream", *(spec.stage_field(number) for number in range(len(spec.stages)))]
    first: dict[str, str] = {}
    for field, chosen in zip(fields, spec.stage_datasets, strict=True):
        if chosen not in spec.datasets:
            yield (
                f"{field}.dataset: got {shown(chosen)}; must be a name below datasets"
                f"{nearest(chosen, spec.datasets)}"
            )
        elif chosen in first:
            yield (
                f"{field}.dataset: got {shown(chosen)}, which is also {first[chosen]}.dataset; "
                "must be other data, since stages do not return to earlier ones; to train on the "
                "same files again, list them under a second name."
            )
        first.setdefault(chosen, field)


def _tokenizer_faults(spec: SweepSpec) -> Iterator[str]:
    if not isinstance(spec.tokenizer, TrainedTokenizerConfig):
        return
    for name in _repeated(spec.tokenizer.train_on):
        yield f"tokenizer.train_on: got {shown(name)} twice; name it once."
    for name in spec.tokenizer.train_on:
        if name not in spec.datasets:
            yield (
                f"tokenizer.train_on: got {shown(name)}; must be names below datasets"
                f"{nearest(name, spec.datasets)}"
            )
    if spec.checkpoint is not None:
        yield (
            "tokenizer: must not be trained for upstream.checkpoint, whose weights know the tokens "
            "of their own; leave it out."
        )


def _budget_faults(spec: SweepSpec) -> Iterator[str]:
    wanted = {}
    if isinstance(spec.upstream, Upstream):
        wanted["upstream.token_budget"] = spec.upstream.token_budget
    for number, stage in enumerate(spec.stages):
        field = spec.stage_field(number)
        wanted[f"{field}.token_budget"] = stage.token_budget
        for index, budget in enumerate(stage.budgets or ()):
            wanted[f"{field}.budgets[{index}]"] = budget
        yield from _branching_faults(spec, number)
    for field, budget in wanted.items():
        steps = spec.steps(budget)
        if steps < 1:
            yield (
                f"{field}: got {budget}; must be at least one step, global_batch_size * "
                f"sequence_length = {spec.tokens_per_step} tokens."
            )
        elif spec.evaluation.final_window_steps >= steps:
            yield (
                f"evaluation.final_window_steps: got {spec.evaluation.final_window_steps}; must "
                f"be below the {steps} steps of {field}; lower it or raise that."
            )
        for name, length in (
            ("interval_steps", steps),
            ("final_window_interval_steps", min(spec.evaluation.final_window_steps, steps)),
        ):
            interval = getattr(spec.evaluation, name)
            if length // interval > MOST_EVALUATIONS:
                yield (
                    f"evaluation.{name}: got {interval}, which makes {length // interval:,} "
                    f"evaluations of {field}; must make at most {MOST_EVALUATIONS:,}; raise it."
                )


def _branching_faults(spec: SweepSpec, number: int) -> Iterator[str]:
    """What forbids several budgets on one trunk."""
    stage, field = spec.stages[number], f"{spec.stage_field(number)}.budgets"
    if stage.budgets is None:
        return
    if not stage.budgets:
        yield f"{field}: got []; must name at least one budget, or be left out."
    if number + 1 < len(spec.stages):
        yield (
            f"{field}: must be left out of all stages but the last; for converged models after an "
            "earlier stage make a sweep that ends there: it shares every state with this one."
        )
    by_steps: dict[int, int] = {}
    for index, budget in enumerate(stage.budgets):
        if spec.steps(budget) in by_steps:
            yield (
                f"{field}[{index}]: got {budget}, which is as many whole steps as "
                f"{by_steps[spec.steps(budget)]}; leave one out."
            )
        by_steps.setdefault(spec.steps(budget), budget)
    for where, schedule in _schedules(spec, number):
        if schedule not in HOLDING:
            yield (
                f"{where}: got '{schedule}', which {field} asks to branch; must be one of "
                f"{', '.join(HOLDING)}, which hold a rate that budgets can share; leave "
                f"'{schedule}' out, or give each budget a sweep of its own."
            )


def _size_faults(spec: SweepSpec) -> Iterator[str]:
    """More than anyone trains; to lay so much out would take hours and all memory."""
    lists = [spec.axes, *(stage.axes for stage in spec.stages)]
    lengths = [
        len(values)
        for axes in lists
        for name, values in axes.given().items()
        if name != "seed" and not isinstance(values, Range)
    ]
    settings, field = {
        "grid": (math.prod(lengths), "axes"),
        "one_at_a_time": (1 + sum(lengths), "axes"),
        "random": (spec.points or 0, "points"),
        "list": (len(spec.trials or ()), "trials"),
    }[spec.design]
    trials = settings * len(spec.stages[-1].budgets or (0,)) * len(spec.seeds)
    if trials > MOST_TRIALS:
        yield (
            f"{field}: make {trials:,} trials with all seeds and budgets; must be at most "
            f"{MOST_TRIALS:,}; name fewer values, or draw some with design: random."
        )


def _schedules(spec: SweepSpec, number: int) -> Iterator[tuple[str, str]]:
    """Every schedule that a trial of this stage may have, and the field that says so."""
    stage, field = spec.stages[number], spec.stage_field(number)
    for where, values in (
        (f"{field}.axes.schedule", stage.axes.schedule),
        (f"{field}.center.schedule", stage.center.schedule and (stage.center.schedule,)),
        ("axes.schedule", spec.axes.schedule),
        ("center.schedule", spec.center.schedule and (spec.center.schedule,)),
    ):
        for value in values or ():
            yield where, value.type
    for index, trial in enumerate(spec.trials or ()):
        if trial.schedule is not None:
            yield f"trials[{index}].schedule", trial.schedule.type


def _design_faults(spec: SweepSpec) -> Iterator[str]:
    for field, design in (("points", "random"), ("trials", "list")):
        value = getattr(spec, field)
        if spec.design == design and not value:
            yield f"{field} is missing; design {design} needs it."
        if spec.design != design and value is not None:
            yield f"{field}: must be left out: design {spec.design} does not read it."
    if spec.design == "list":
        swept = [f"axes.{name}" for name in spec.axes.given() if name != "seed"]
        for number, stage in enumerate(spec.stages):
            swept += [f"{spec.stage_field(number)}.axes.{name}" for name in stage.axes.given()]
        for field in swept:
            yield f"{field}: must be left out: design list takes its values from trials."
    names = [trial.name for trial in spec.trials or () if trial.name is not None]
    for name in sorted({*names}.intersection(spec.baselines)):
        yield f"trials: got the name {shown(name)}, which is that of a baseline; rename the trial."
    for name in _repeated(names):
        yield f"trials: got the name {shown(name)} twice; the labels must differ."
    seen: set[tuple[Any, ...]] = set()
    for index, trial in enumerate(spec.trials or ()):
        content = tuple(trial.given().items())
        if content in seen:
            yield f"trials[{index}]: got the same values as an earlier trial; leave one out."
        seen.add(content)


def _axis_faults(spec: SweepSpec, field: str, axes: StageAxes) -> Iterator[str]:
    for name, values in axes.given().items():
        if isinstance(values, Range):
            if spec.design != "random":
                yield (
                    f"{field}.{name}: got a range; must be a list of values in design "
                    f"{spec.design}; only design random draws from ranges."
                )
            continue
        if not values:
            yield f"{field}.{name}: got []; must name at least one value, or be left out."
        seen: set[Any] = set()
        for index, value in enumerate(map(plain, values)):
            if value in seen:
                yield (
                    f"{field}.{name}[{index}]: got {shown(value)} a second time; the two trials "
                    "would be equal; leave one out."
                )
            seen.add(value)


def _center_faults(spec: SweepSpec) -> Iterator[str]:
    """Factors that some stage of some trial would have no value for."""
    axes, center = spec.axes.given(), spec.center.given()
    varied = {"grid", "random"}
    for name in FACTORS:
        own = [
            name in stage.center.given() or (name in stage.axes.given() and spec.design in varied)
            for stage in spec.stages
        ]
        if name in center or all(own) or (name in axes and spec.design in varied):
            continue
        if spec.trials and all(name in trial.given() for trial in spec.trials):
            continue
        if spec.design == "list":
            why = "not every trial of the list gives it"
        elif name in axes:
            why = "one_at_a_time varies each axis around it"
        else:
            why = "no axis gives it"
        yield f"center.{name} is missing; {why}."


def _repeated(names: Iterable[str]) -> list[str]:
    return sorted(name for name, times in Counter(names).items() if times > 1)
