"""The head of a cluster that has no other machine: this one, entered through an sshd of its own.

Everything lies in one folder and listens on free ports of the loopback, so that many can run beside
each other. Ray's launcher is told that it started the head, which `ray up` would write down.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.providers import _clear_provider_cache

REPOSITORY = Path(__file__).parents[3]
SSHD = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
PROXY = """\
import os, socket, sys, threading
there = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def send():
    while some := os.read(0, 65536):
        there.sendall(some)
    there.shutdown(socket.SHUT_WR)
threading.Thread(target=send, daemon=True).start()
while some := there.recv(65536):
    os.write(1, some)
"""
"""Ray's launcher knows no port of ssh, and ssh reads its configuration in the home that /etc/passwd
names, not in that of a test: so the way to another port is a proxy."""


class LoneHead:
    """Ray, sshd, keys and a token in one folder.

    Attributes:
        folder: Short, since Ray's sockets allow about a hundred characters.
        environment: Of whoever may use the cluster.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ssh_port, self._dashboard_port, client_port = _free_ports(3)
        self.home = folder / "home"
        (self.home / ".ray").mkdir(parents=True)
        (self.home / ".ray/auth_token").write_text(secrets.token_hex(16))
        python = Path(sys.executable).parent
        self.environment = _environment() | {
            "HOME": str(self.home),
            "PATH": f"{python}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "COLUMNS": "200",
            # Where Ray's launcher writes down which machines it started.
            "RAY_TMPDIR": str(folder),
        }
        self._ray = (
            *(str(python / "ray"), "start", "--head", "--block", "--disable-usage-stats"),
            *("--port=0", "--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1"),
            *(f"--dashboard-port={self._dashboard_port}", "--dashboard-agent-listen-port=0"),
            *("--dashboard-agent-grpc-port=0", "--runtime-env-agent-port=0"),
            *("--metrics-export-port=0", f"--ray-client-server-port={client_port}"),
            *("--num-cpus=2", "--resources", '{"driver": 4}', f"--temp-dir={folder / 'ray'}"),
            "--object-store-memory=100000000",
        )
        self._running: list[subprocess.Popen[bytes]] = []

    def start_sshd(self) -> None:
        """Lets in whoever has the key `user`."""
        assert SSHD is not None
        for key in ("host", "user", "other"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / key)]
            subprocess.run(command, check=True)
        (self.folder / "proxy.py").write_text(PROXY)
        options = {
            "ListenAddress": f"127.0.0.1:{self._ssh_port}",
            "HostKey": self.folder / "host",
            "AuthorizedKeysFile": self.folder / "user.pub",
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            # Of what ssh runs: a `docker` of the tests lies there.
            "SetEnv": f"PATH={self.folder / 'bin'}:/usr/bin:/bin",
        }
        config = self.folder / "sshd_config"
        config.write_text("".join(f"{name} {value}\n" for name, value in options.items()))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # it will not start without
        self._start([SSHD, "-D", "-e", "-f", str(config)], "sshd.log")

    def start_ray(self) -> None:
        """Starts Ray; returns once it has started."""
        self._start(self._ray, "ray.log")
        deadline = time.monotonic() + 100
        while "will now block forever" not in (said := (self.folder / "ray.log").read_text()):
            assert self._running[-1].poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.2)

    def cluster_file(self, name: str = "cluster.yaml", **changes: Any) -> Path:
        """A launcher file that names this head, with fields of `auth` or others replaced."""
        proxy = f"{sys.executable} {self.folder / 'proxy.py'} {self._ssh_port}"
        content = {
            "cluster_name": "lone",
            "provider": {"type": "local", "head_ip": "127.0.0.1", "worker_ips": []},
            "auth": {
                "ssh_user": subprocess.check_output(["id", "-un"], text=True).strip(),
                "ssh_private_key": str(self.folder / "user"),
                "ssh_proxy_command": proxy,
            },
            "head_start_ray_commands": [
                f"ray start --head --dashboard-port={self._dashboard_port}"
            ],
        }
        content["auth"] |= {
            key: changes.pop(key) for key in list(changes) if key in content["auth"]
        }
        path = self.folder / name
        path.write_text(yaml.safe_dump(content | changes))
        return path

    def write_down(self, cluster: Path, state: str = "up-to-date") -> None:
        """What `ray up` writes down of the head that it started."""
        program = (
            "import sys, yaml\n"
            "from ray.autoscaler._private.providers import _get_node_provider\n"
            "from ray.autoscaler import tags\n"
            "config = yaml.safe_load(open(sys.argv[1]))\n"
            "provider = _get_node_provider(config['provider'], config['cluster_name'])\n"
            "told = {tags.TAG_RAY_NODE_KIND: tags.NODE_KIND_HEAD}\n"
            "provider.create_node({}, told | {tags.TAG_RAY_NODE_STATUS: sys.argv[2]}, 1)\n"
        )
        command = [sys.executable, "-c", program, str(cluster), state]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)

    def kill_ray(self) -> None:
        """As a machine does that is gone."""
        self._kill(self._running.pop())

    def stop(self) -> None:
        """Ends what was started, nothing else."""
        while self._running:
            self._kill(self._running.pop())

    def _start(self, command: Any, log: str) -> None:
        with (self.folder / log).open("wb") as said:
            self._running.append(
                subprocess.Popen(
                    command, cwd=self.home, env=self.environment, stdin=subprocess.DEVNULL,
                    stdout=said, stderr=said, start_new_session=True,
                )
            )  # fmt: skip

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        """Kills a process and its group: Ray's own processes are in it, and jobs end with them."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def lone_head() -> Iterator[LoneHead]:
    """A head, its sshd running; Ray is not started yet."""
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("needs openssh-server and openssh-client, which are not installed here")
    with tempfile.TemporaryDirectory(prefix="rw", dir="/tmp", ignore_cleanup_errors=True) as name:
        head = LoneHead(Path(name))
        # In this process Ray would ask the folder of an earlier head of the same name.
        _clear_provider_cache()
        try:
            head.start_sshd()
            yield head
        finally:
            head.stop()


def _environment() -> dict[str, str]:
    """This process's, without what names another cluster or this machine's own token."""
    return {name: one for name, one in os.environ.items() if not name.startswith("RAY_")}


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        bound = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in bound:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in bound]
