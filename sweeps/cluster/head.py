"""The head of a cluster: found as Ray's launcher finds it, its job server reached through ssh.

The dashboard, which serves jobs, listens on the head's loopback alone. Whoever may log in there
with the launcher's key reaches it; the cluster opens no port but that of ssh.
"""

import contextlib
import io
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import click
import requests
from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]  # Cython's
from ray.autoscaler._private.commands import (
    _bootstrap_config,
    _get_node_provider,
    _get_running_head_node,
)
from ray.autoscaler._private.docker import with_docker_exec
from ray.autoscaler._private.updater import NodeUpdaterThread
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from cpt.parsing import ConfigError
from sweeps.cluster.launcher_file import ClusterFile, plain
from sweeps.cluster.tunnel import TunnelError, reason, tunnel

# What Ray does is told by whoever calls it.
for _name in (
    "autoscaler",
    "dashboard.modules.dashboard_sdk",
    "dashboard.modules.job.sdk",
    "_private.runtime_env.packaging",
):
    logging.getLogger(f"ray.{_name}").setLevel(logging.WARNING)

_ERRORS_OF_CLOUDS = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("googleapiclient.errors", "Error"),
    ("azure.core.exceptions", "AzureError"),
)
"""What the libraries raise that Ray's providers call."""
_ADDRESSES = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
"""Which cluster Ray's client would turn to, whatever it is told."""
_NO_SUCH_FILE = 66
"""EX_NOINPUT of sysexits.h: no status that ssh, docker or cat end with themselves."""


@dataclass(frozen=True)
class Head:
    """The machine that drives a cluster.

    Attributes:
        address: Its address, as this machine reaches it.
        ssh: The command that logs in there, up to and with the host.
        container: Of docker or podman, where Ray runs in one: the program and its name.
    """

    address: str
    ssh: tuple[str, ...]
    container: tuple[str, str] | None = None

    def read(self, path: Path) -> bytes | None:
        """A file as Ray's processes see it there; None where there is none.

        Raises:
            TunnelError: ssh does not get there, or the file cannot be read.
        """
        wanted = quote(str(path))
        command = f"test -e {wanted} || exit {_NO_SUCH_FILE}; cat {wanted}"
        if self.container is not None:
            program, name = self.container
            command = with_docker_exec([command], name, program)[0]
        run = subprocess.run((*self.ssh, command), stdin=subprocess.DEVNULL, capture_output=True)
        if run.returncode == _NO_SUCH_FILE:
            return None
        if run.returncode:
            raise TunnelError(reason(run.stderr.decode(errors="replace")))
        return run.stdout


def find_head(cluster: ClusterFile) -> Head:
    """Asks Ray's launcher where the head is, and how it logs in there.

    Raises:
        ConfigError: The launcher knows of no running head, or cannot ask its provider.
    """
    found, said = cluster.config, io.StringIO()
    try:
        # The launcher tells what it does; what comes of it is told here.
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            # Without what `_bootstrap_config` would first create for a cluster that is to be.
            provider = _get_node_provider(found["provider"], cluster.name)
            node = _get_running_head_node(found, str(cluster.path), None)
            filled = _bootstrap_config(found)
            # As Ray's own `exec_cluster` makes it: it knows user, key, proxy and which address.
            updater = NodeUpdaterThread(
                node_id=node,
                provider_config=filled["provider"],
                provider=provider,
                auth_config=filled["auth"],
                cluster_name=cluster.name,
                file_mounts={},
                initialization_commands=[],
                setup_commands=[],
                ray_start_commands=[],
                runtime_hash="",
                file_mounts_contents_hash="",
                is_head_node=True,
            )
            runner = updater.cmd_runner
            target = runner._get_ssh_target()
    except ImportError as error:
        kind = found["provider"]["type"]
        told = f"{cluster.path}: provider.type {kind} cannot be asked here: {plain(str(error))}"
        raise ConfigError([f"{told}; install what `ray up` had."]) from error
    except _errors_of_launcher() as error:
        raise ConfigError([_no_cluster(cluster, error, said.getvalue())]) from error
    options = runner.ssh_options.to_ssh_options_list(timeout=20)
    # The launcher's connections outlive it for others of its own; this one ends with its command.
    alone = ("-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "BatchMode=yes")
    docker = filled.get("docker") or {}
    return Head(
        address=target,
        ssh=("ssh", *alone, *options, f"{runner.ssh_user}@{target}"),
        container=(
            ("podman" if docker.get("use_podman") else "docker", docker["container_name"])
            if docker.get("container_name")
            else None
        ),
    )


@contextlib.contextmanager
def jobs(cluster: ClusterFile) -> Iterator[JobSubmissionClient]:
    """Connects to the job server of a cluster for as long as the block lasts.

    Raises:
        ConfigError: There is no such cluster, ssh or the token are refused, or nothing serves jobs.
    """
    head = find_head(cluster)
    try:
        with tunnel(head.ssh, cluster.dashboard_port) as port, _own_loopback():
            yield _client(cluster, f"http://127.0.0.1:{port}")
    except TunnelError as error:
        raise ConfigError([f"{cluster.path}: the head {head.address}: {error}"]) from error


def _client(cluster: ClusterFile, address: str) -> JobSubmissionClient:
    loader = AuthenticationTokenLoader.instance()
    token: dict[str, str] = {}
    try:
        if loader.has_token(ignore_auth_mode=True):
            # Ray sends it where RAY_AUTH_MODE says so alone; a cluster without tokens ignores it.
            token = loader.get_token_for_http_header(ignore_auth_mode=True)
        return JobSubmissionClient(address, headers=token)
    except AuthenticationError as error:
        had = "not the one this machine has" if token else "none was found here"
        raise ConfigError(
            [
                f"{cluster.path}: the cluster asks for a token, and {had}; give this machine the "
                "cluster's ~/.ray/auth_token, or name it by RAY_AUTH_TOKEN_PATH."
            ]
        ) from error
    except (ConnectionError, requests.ConnectionError) as error:
        raise TunnelError(
            f"nothing answers on its port {cluster.dashboard_port}, where Ray's dashboard serves "
            f"jobs; start Ray there: ray up {cluster.path}."
        ) from error


@contextlib.contextmanager
def _own_loopback() -> Iterator[None]:
    """Lets nothing in the environment turn requests away from this end of the tunnel."""
    proxies = ("NO_PROXY", "no_proxy")
    before = {name: os.environ.get(name) for name in (*_ADDRESSES, *proxies)}
    for name in _ADDRESSES:
        os.environ.pop(name, None)
    for name in proxies:
        os.environ[name] = ",".join(filter(None, (before[name], "127.0.0.1")))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _errors_of_launcher() -> tuple[type[Exception], ...]:
    """Ray's own, and those of the clouds' libraries that were imported."""
    of_clouds = (
        getattr(sys.modules[module], name)
        for module, name in _ERRORS_OF_CLOUDS
        if module in sys.modules
    )
    return (click.ClickException, RuntimeError, OSError, *of_clouds)


def _no_cluster(cluster: ClusterFile, error: Exception, said: str) -> str:
    state = re.search(r"Head node \(.*\) is in state .*", said)
    told = plain(state[0] if state else str(error)) or type(error).__name__
    if isinstance(error, RuntimeError):
        return (
            f"{cluster.path}: no cluster {cluster.name!r} is up, as far as Ray's launcher knows "
            f"here ({told}); start it: ray up {cluster.path}."
        )
    return (
        f"{cluster.path}: Ray's launcher cannot ask {cluster.config['provider']['type']} for the "
        f"cluster {cluster.name!r} ({told}); give this machine what `ray up` had."
    )
