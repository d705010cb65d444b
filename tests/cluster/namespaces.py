"""Linux's namespaces, by util-linux: whether there can be any here, and how a host boots in one."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

HOME = "/srv/home"
SEARCHED = f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"
NEEDED = {
    "ip": "iproute2",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "rsync": "rsync",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}
"""Programs, and Debian's packages that have them."""
NAMESPACES = ("--net", "--mount", "--pid", "--uts", "--ipc")
# With the process that asks for it, and with its parent, a namespace's first process dies.
UNSHARE = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    *("unshare", *NAMESPACES, "--fork", "--kill-child=KILL", "--mount-proc"),
)

BOOT = """
set -eu
mount -t tmpfs -o mode=755 tmpfs /srv
mkdir -p {home}/.ssh /srv/etc
cp -r "$BOOT_FOLDER"/. /srv/etc
cp /srv/etc/authorized_keys {home}/.ssh/
# A password that none matches, where a locked account would be refused its key too.
sed 's#^root:.*#root:*:0:0:root:{home}:/bin/bash#' /etc/passwd > /srv/etc/passwd
for name in passwd hosts resolv.conf; do mount --bind "/srv/etc/$name" "/etc/$name"; done
while read -r name folder options; do
    mkdir "/srv/$name"
    mount --bind "$folder" "/srv/$name"
    mount -o "remount,bind,$options" "/srv/$name"
done < /srv/etc/shared
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/sshd
echo "$BOOT_NAME" > /proc/sys/kernel/hostname
mount -o remount,bind,ro /
echo booted
# As a machine's first process it takes in orphans, too.
exec "$BOOT_SSHD" -D -q -f /srv/etc/sshd_config < /dev/null > /dev/null 2>&1
"""
SSHD = f"""
HostKey /srv/etc/host_key
AuthorizedKeysFile {HOME}/.ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PidFile none
MaxStartups 100
"""


def obstacle() -> str | None:
    """Why this machine cannot have hosts of its own, in words; None: it can."""
    if sys.platform != "linux":
        return f"namespaces are Linux's, and this is {sys.platform}"
    for program, package in NEEDED.items():
        if shutil.which(program, path=SEARCHED) is None:
            return f"{program} is not there (Debian: {package})"
    if os.geteuid() != 0:
        return "namespaces need root"
    if Path(sys.prefix).resolve().is_relative_to("/tmp"):
        return f"the environment {sys.prefix} is in /tmp, of which each host has its own"
    tried = subprocess.run(
        [*UNSHARE, "sh", "-c", "mount -t tmpfs tmpfs /srv && ip link add br0 type bridge"],
        env={"PATH": SEARCHED}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return f"no namespaces: {tried.stderr.strip()}" if tried.returncode else None


def boot(script: str, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Starts a namespace with a script as its first process, which says when it has booted."""
    process = subprocess.Popen(
        [*UNSHARE, "sh", "-c", script],
        env={"PATH": SEARCHED} | dict(environment),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        assert process.stdout.readline() == "booted\n", process.stderr.read()
    return process


def end(process: subprocess.Popen[str]) -> None:
    """Kills all processes of a namespace at once."""
    for child in psutil.Process(process.pid).children():
        child.kill()
    process.kill()
    process.wait()


def listens(pid: int, port: int) -> bool:
    """Whether a port is open in the network of a process."""
    table = Path(f"/proc/{pid}/net/tcp").read_text()
    return any(f":{port:04X} 00000000:0000 0A" in line for line in table.splitlines())


def run(command: Sequence[str]) -> str:
    """What a command prints.

    Raises:
        AssertionError: It failed; with what it printed.
    """
    done = subprocess.run(
        command, env=os.environ | {"PATH": SEARCHED}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{shlex.join(command)}: exit {done.returncode}\n{done.stdout}"
    return done.stdout
