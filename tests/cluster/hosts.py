"""Machines of the tests' own: namespaces of Linux on a bridge, each with an sshd.

A host has its own processes, network, name, `/tmp`, `/dev/shm`, `/run` and home; the rest of the
file system is this machine's, which it cannot write. What all hosts share lies in `/srv`, as a file
server's folders would. The bridge is in a namespace too, so this machine's own network is left
alone, and all of it ends with the process that made it, even by SIGKILL.

`python -m tests.cluster` says whether this machine can have them.
"""

import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import psutil

from tests.cluster.namespaces import BOOT, HOME, NAMESPACES, SEARCHED, SSHD, boot, end, listens, run

NETWORK, ROUTER = "10.77.0", 254
PATIENCE_SECONDS = 20.0


class Network:
    """A bridge and the hosts on it; leaving it ends them all.

    Args:
        shared: Folders of this machine that every host sees as `/srv/<name>`: (path, "rw" or "ro").
    """

    def __init__(self, shared: Mapping[str, tuple[Path, str]] | None = None) -> None:
        self._shared = shared or {}
        self._made = 0

    def __enter__(self) -> "Network":
        self._folder = Path(tempfile.mkdtemp(prefix="rewarm-hosts-"))
        self.hosts: list[Host] = []
        self.key = self._new_key("id_ed25519")
        self._switch = boot("echo booted; exec sleep infinity", {})
        router = f"{NETWORK}.{ROUTER}/24"
        self._in_switch("ip link set lo up")
        self._in_switch("ip link add br0 type bridge")
        self._in_switch(f"ip address add {router} dev br0")
        self._in_switch("ip link set br0 up")
        # Whoever looks for a network beyond is told at once that there is none.
        self._in_switch("sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for host in list(self.hosts):
            host.end()
        end(self._switch)
        shutil.rmtree(self._folder)

    def host(self, name: str, number: int | None = None, *, has_key: bool = False) -> "Host":
        """A new machine, once its sshd answers.

        Args:
            name: Its host name.
            number: Last part of its address, as of the machine it replaces; None: one never used.
            has_key: Whether its user can log in to the others.
        """
        self._made += 1
        folder = self._folder / f"boot-{self._made}"
        folder.mkdir()
        address = f"{NETWORK}.{number or self._made}"
        (folder / "sshd_config").write_text(SSHD)
        shutil.copy(self.key.with_suffix(".pub"), folder / "authorized_keys")
        # As Debian's installer writes it: a host's name is an address of its loopback.
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n")
        (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        lines = (f"{to} {path} {how}\n" for to, (path, how) in self._shared.items())
        (folder / "shared").write_text("".join(lines))
        shutil.copy(self._new_key(f"host-{self._made}"), folder / "host_key")
        sshd = shutil.which("sshd", path=SEARCHED)
        environment = {"BOOT_NAME": name, "BOOT_FOLDER": str(folder), "BOOT_SSHD": str(sshd)}
        host = Host(self, name, address, f"cable{self._made}", environment)
        self.hosts.append(host)
        host.plug()
        if has_key:
            shutil.copy(self.key, host.home / ".ssh" / "id_ed25519")
        return host

    def _new_key(self, name: str) -> Path:
        key = self._folder / name
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
        return key

    def _in_switch(self, command: str) -> None:
        run(["nsenter", "--target", str(self._switch.pid), "--net", "--", *shlex.split(command)])


class Host:
    """A machine of a `Network`.

    Attributes:
        name: Its host name.
        address: On the network.
        init: Its first process, by its number here.
        root: Its file system, as seen from here.
        home: Its user's home in it.
    """

    def __init__(
        self, network: Network, name: str, address: str, cable: str, environment: Mapping[str, str]
    ) -> None:
        self.name, self.address = name, address
        self._network, self._cable = network, cable
        self._started: list[subprocess.Popen[bytes]] = []
        self._outside = boot(BOOT.format(home=HOME), environment)
        (init,) = psutil.Process(self._outside.pid).children()
        self.init = init.pid
        self.root = Path(f"/proc/{self.init}/root")
        self.home = self.root / HOME.lstrip("/")

    def plug(self) -> None:
        """Connects it to the network."""
        number = int(self.address.rpartition(".")[2])
        # The hardware's address follows from the other, for who knew the machine it replaces.
        self._network._in_switch(
            f"ip link add {self._cable} type veth peer name eth0 "
            f"address 02:00:00:00:00:{number:02x} netns {self.init}"
        )
        self._network._in_switch(f"ip link set {self._cable} master br0 up")
        for command in (
            "ip link set lo up",
            f"ip address add {self.address}/24 dev eth0",
            "ip link set eth0 up",
            f"ip route add default via {NETWORK}.{ROUTER}",
        ):
            self.run(*command.split())
        until = time.monotonic() + PATIENCE_SECONDS
        while not listens(self.init, port=22):
            assert time.monotonic() < until, f"the sshd of {self.name} does not start"
            time.sleep(0.02)

    def words(self, *command: str) -> list[str]:
        """A command line that runs a command there, in its user's home."""
        python = Path(sys.executable).parent
        return [
            *("nsenter", "--target", str(self.init), *NAMESPACES, f"--wdns={HOME}", "--"),
            *("env", "-i", f"HOME={HOME}", "USER=root", "LOGNAME=root", "SHELL=/bin/bash"),
            *("LANG=C.UTF-8", "COLUMNS=200", f"PATH={python}:{SEARCHED}", *command),
        ]

    def run(self, *command: str, seconds: float = 60.0) -> str:
        """What a command prints there.

        Raises:
            AssertionError: It failed, or had not ended in time; with what it printed.
        """
        return run(self.words("timeout", "--kill-after=5", str(seconds), *command))

    def shell(self, script: str, seconds: float = 60.0) -> str:
        """What a script prints there; see `run`."""
        return self.run("bash", "-c", script, seconds=seconds)

    def start(self, script: str, log: Path) -> subprocess.Popen[bytes]:
        """Starts a script there, which goes on; what it prints goes to a file here."""
        with log.open("ab") as file:
            words = self.words("bash", "-c", script)
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        self._started.append(process)
        return process

    def end(self) -> None:
        """The machine is lost: first its cable, so nobody hears of its end, then its processes."""
        self._network._in_switch(f"ip link delete {self._cable}")
        end(self._outside)
        for process in self._started:
            process.wait()
        self._network.hosts.remove(self)
