"""Reads a sweep file: YAML, `--set` overrides, and a sentence for each fault.

What depends on the data (lengths, vocabulary, domains) is checked by `sweeps.plan`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from cpt.parsing import ConfigError, parse
from cpt.yaml_text import load_yaml, read_yaml
from sweeps.faults import spec_faults
from sweeps.spec import SweepSpec


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
    content = read_yaml(path)
    for override in overrides:
        _apply(content, override)
    spec = parse(SweepSpec, content)
    faults = list(spec_faults(spec))
    if faults:
        raise ConfigError(faults)
    return spec, yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _apply(content: dict[str, Any], override: str) -> None:
    field, separator, text = override.partition("=")
    if not separator or not field:
        raise ConfigError([f"--set {override}: must be dotted.field=value."])
    *parents, last = field.split(".")
    inside: Any = content
    for depth, parent in enumerate(parents):
        if isinstance(inside, list) and parent.isdecimal() and int(parent) < len(inside):
            inside = inside[int(parent)]
        elif isinstance(inside, dict):
            inside = inside.setdefault(parent, {})
        if not isinstance(inside, dict | list):
            raise ConfigError(
                [f"--set {override}: {'.'.join(parents[: depth + 1])} is not a mapping."]
            )
    if isinstance(inside, list):
        raise ConfigError(
            [f"--set {override}: {'.'.join(parents)} is a list; name an item, from 0, and a field."]
        )
    inside[last] = load_yaml(f"value: {text}", f"--set {override}")["value"]
