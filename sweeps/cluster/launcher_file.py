"""The file of Ray's cluster launcher, `cluster.yaml`, as Ray itself reads it."""

import contextlib
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import jsonschema
import ray.autoscaler
import yaml
from ray._private.ray_constants import DEFAULT_DASHBOARD_PORT
from ray.autoscaler._private.providers import _DEFAULT_CONFIGS
from ray.autoscaler._private.util import prepare_config, validate_config

from cpt.parsing import ConfigError, dotted, nearest, shown

PROVIDERS = (*_DEFAULT_CONFIGS, "external")
"""Where Ray's launcher starts machines."""
SCHEMA = Path(ray.autoscaler.__file__).parent / "ray-schema.json"


@dataclass(frozen=True)
class ClusterFile:
    """A launcher file that Ray accepts.

    Attributes:
        path: Of the file.
        name: Of the cluster, by which the launcher finds its machines.
        config: Its content, without what Ray fills in.
    """

    path: Path
    name: str
    config: dict[str, Any]

    @property
    def dashboard_port(self) -> int:
        """Where Ray's dashboard, which serves jobs, listens on the head."""
        for command in self.config.get("head_start_ray_commands", ()):
            if given := re.search(r"--dashboard-port[= ](\d+)", command):
                return int(given[1])
        return DEFAULT_DASHBOARD_PORT


def read_cluster(path: Path) -> ClusterFile:
    """Reads a launcher file and lets Ray check it.

    Args:
        path: Of the file.

    Raises:
        ConfigError: It is missing, no YAML, names no provider that Ray knows, or Ray refuses it.
    """
    if not path.is_file():
        raise ConfigError(
            [
                f"--cluster: got {shown(str(path), 300)}, which is not a file; name the one that "
                "`ray up` was given."
            ]
        )
    config = _read(path)
    provider = config.get("provider")
    if not isinstance(provider, dict) or "type" not in provider:
        raise ConfigError(
            [
                f"{path}: provider: got {shown(provider)}; must be a mapping with a type: it says "
                "where Ray's launcher starts machines" + _of_kubernetes(config)
            ]
        )
    if provider["type"] not in PROVIDERS:
        raise ConfigError(
            [
                f"{path}: provider.type: got {shown(provider['type'])}; must be one that Ray's "
                f"launcher knows{nearest(str(provider['type']), PROVIDERS)}"
            ]
        )
    name = config.get("cluster_name")
    if not isinstance(name, str) or not name:
        raise ConfigError(
            [
                f"{path}: cluster_name: got {shown(name)}; must be text: the launcher finds the "
                "machines of the cluster by it."
            ]
        )
    _let_ray_check(path, config)
    return ClusterFile(path, name, config)


def _read(path: Path) -> dict[str, Any]:
    """As Ray reads it: with PyYAML's own rules for numbers, dates and tags."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(
            [f"{path} is not UTF-8 text; it must be a file of Ray's cluster launcher."]
        ) from error
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ConfigError(
            [f"{path} is not valid YAML: {plain(problem or str(error))}{where}."]
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(
            [f"{path} holds {shown(content)}; must be the fields of Ray's cluster launcher."]
        )
    return content


def _of_kubernetes(config: dict[str, Any]) -> str:
    if "apiVersion" not in config:
        return "."
    return (
        "; this is a manifest of Kubernetes, which KubeRay and not the launcher starts "
        "(docs/cluster.md)."
    )


def _let_ray_check(path: Path, config: dict[str, Any]) -> None:
    try:
        # It prints what it aborts for, and raises the same.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            filled = prepare_config(config)
            validate_config(filled)
        if "ssh_user" not in filled["auth"]:
            raise ValueError("auth.ssh_user is missing; name the user whom ssh logs in as")
    except jsonschema.ValidationError as error:
        raise ConfigError([_refused(path, error)]) from error
    except (click.ClickException, AssertionError, RuntimeError, ValueError) as error:
        told = error.message if isinstance(error, click.ClickException) else str(error)
        raise ConfigError([f"{path}: Ray refuses it: {plain(told)}."]) from error
    except (AttributeError, KeyError, TypeError) as error:
        # Ray fills in what is missing before it looks at what is there.
        schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
        fault = next(jsonschema.Draft7Validator(schema).iter_errors(config), None)
        told = f"{path}: Ray cannot read it: {error!r}." if fault is None else _refused(path, fault)
        raise ConfigError([told]) from error


def _refused(path: Path, error: jsonschema.ValidationError) -> str:
    field = dotted(tuple(error.absolute_path))
    return f"{path}: {f'{field}: ' if field else ''}Ray refuses it: {plain(error.message)}."


def plain(text: str) -> str:
    """What Ray says as part of a sentence: one line, no colours, cut where it is long."""
    line = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split()).rstrip(".!")
    return line if len(line) <= 300 else f"{line[:297]}..."
