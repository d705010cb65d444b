"""Reads a sweep file: YAML, `--set` overrides, and a sentence for each fault.

What depends on the data (lengths, vocabulary, domains) is checked by `sweeps.plan`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from cpt.parsing import ConfigError, load_yaml, nearest, parse, shown
from sweeps.spec import FACTORS, Downstream, SweepSpec, Upstream, plain


def load(path: Path, overrides: Sequence[str] = ()) -> tuple[SweepSpec, str]:
    """Reads a sweep file.

    Args:
        path: The YAML file.
        overrides: `dotted.field=value`, the value in YAML.

    Returns:
        The sweep, and the file's content with the overrides applied, as YAML.

    Raises:
        ConfigError: With a sentence for each fault.
    """
    if not path.is_file():
        raise ConfigError([f"{path} is not a file; name a sweep file, or write one: rewarm init."])
    content = load_yaml(path.read_text(encoding="utf-8"), str(path))
    for override in overrides:
        _apply(content, override)
    spec = parse(SweepSpec, content)
    faults = list(_faults(spec))
    if faults:
        raise ConfigError(faults)
    return spec, yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _apply(content: dict[str, Any], override: str) -> None:
    field, separator, text = override.partition("=")
    if not separator or not field:
        raise ConfigError([f"--set {override}: must be dotted.field=value."])
    *parents, last = field.split(".")
    inside = content
    for depth, parent in enumerate(parents):
        inside = inside.setdefault(parent, {})
        if not isinstance(inside, dict):
            raise ConfigError(
                [f"--set {override}: {'.'.join(parents[: depth + 1])} is not a mapping."]
            )
    inside[last] = load_yaml(f"value: {text}", f"--set {override}")["value"]


def _faults(spec: SweepSpec) -> Iterable[str]:
    """What two fields get wrong together."""
    for name, dataset in spec.datasets.items():
        for shared in sorted(set(dataset.train).intersection(dataset.validation)):
            yield (
                f"datasets.{name}.validation: got {shown(shared)}, which train names too; must be "
                "held out of training; name other data."
            )
    for side in ("upstream", "downstream"):
        stage: Upstream | Downstream = getattr(spec, side)
        if stage.dataset not in spec.datasets:
            yield (
                f"{side}.dataset: got {shown(stage.dataset)}; must be a name below datasets"
                f"{nearest(stage.dataset, spec.datasets)}"
            )
        steps = stage.token_budget // spec.tokens_per_step
        if steps < 1:
            yield (
                f"{side}.token_budget: got {stage.token_budget}; must be at least one step, "
                f"global_batch_size * sequence_length = {spec.tokens_per_step} tokens."
            )
        elif spec.evaluation.final_window_steps >= steps:
            yield (
                f"evaluation.final_window_steps: got {spec.evaluation.final_window_steps}; must "
                f"be below the {steps} steps of {side}; lower it or raise {side}.token_budget."
            )
    if spec.upstream.dataset == spec.downstream.dataset:
        yield (
            f"downstream.dataset: got {shown(spec.downstream.dataset)}, which is also "
            "upstream.dataset; must be other data; to re-warm on unchanged data, list the same "
            "files under a second name."
        )
    if spec.global_batch_size % spec.resources.workers:
        yield (
            f"global_batch_size: got {spec.global_batch_size}; must be a multiple of "
            f"resources.workers, {spec.resources.workers}."
        )
    yield from _axis_faults(spec)


def _axis_faults(spec: SweepSpec) -> Iterable[str]:
    axes, center = spec.axes.given(), spec.center.given()
    for name, values in axes.items():
        if not values:
            yield f"axes.{name}: got []; must name at least one value, or be left out."
        shown_values = [plain(value) for value in values]
        for index, value in enumerate(shown_values):
            if value in shown_values[:index]:
                yield (
                    f"axes.{name}[{index}]: got {shown(value)} a second time; the two trials "
                    "would be equal; leave one out."
                )
    for name in FACTORS:
        if name not in center and (spec.design == "one_at_a_time" or name not in axes):
            why = "one_at_a_time varies each axis around it" if name in axes else "no axis gives it"
            yield f"center.{name} is missing; {why}."
    repeated = {name for name in spec.baselines if spec.baselines.count(name) > 1}
    for baseline in sorted(repeated):
        yield f"baselines: got {shown(baseline)} twice; name it once."
