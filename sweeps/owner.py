"""Who drives a sweep: what `owner.json` holds, and whether that process still lives.

On the machine of the owner its process decides. From elsewhere only its beats tell, a number that
grows while it lives; the time beside it was read off a clock that may differ from ours.
"""

import dataclasses
import getpass
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from sweeps.words import hours, listed

BEAT_SECONDS = 10.0
"""Between two signs of life."""
SILENT_SECONDS = 60.0
"""Without a sign of life for so long, an owner elsewhere counts as dead."""

_PROC = Path("/proc")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Owner:
    """One `rewarm run`.

    Attributes:
        id: Random, another for each run.
        user: Who started it.
        host: Name of the machine.
        machine: Tells machines and containers of one name apart, and a machine from itself before
            it was started anew; empty where the system does not say.
        pid: Of the driver.
        started: When that process began, as its system tells it: a reused pid has another.
        since: When the sweep was taken, seconds since 1970 by its clock.
        beats: Signs of life so far.
        beat_time: Of the last one, seconds since 1970 by its clock.
    """

    id: str
    user: str
    host: str
    machine: str
    pid: int
    started: str
    since: float
    beats: int
    beat_time: float

    @classmethod
    def myself(cls) -> Self:
        """This process, from now on."""
        now = time.time()
        return cls(
            id=secrets.token_hex(8),
            user=_user(),
            host=socket.gethostname(),
            machine=_machine(),
            pid=os.getpid(),
            started=_started(os.getpid()) or "",
            since=now,
            beats=0,
            beat_time=now,
        )

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """What `owner.json` says.

        Raises:
            ValueError: A field is missing, unknown, or of another kind.
        """
        kinds = {field.name: field.type for field in dataclasses.fields(cls)}
        if content.keys() != kinds.keys():
            raise ValueError(f"its fields are {listed(sorted(content))}")
        for name, value in content.items():
            if type(value) is not kinds[name]:
                raise ValueError(f"its {name} is {value!r}")
        return cls(**content)

    def beaten(self) -> Self:
        """The same with one more sign of life."""
        return dataclasses.replace(self, beats=self.beats + 1, beat_time=time.time())

    @property
    def process_lives(self) -> bool | None:
        """Whether its process is there, be it stopped; None: it cannot be seen from here."""
        if (self.host, self.machine) != (socket.gethostname(), _machine()):
            return None
        started = _started(self.pid)
        if started is None and _is_hidden(self.pid):
            return None
        return started == self.started

    @property
    def silent_seconds(self) -> float:
        """Since its last sign of life, by our clock; negative where its clock is ahead."""
        return time.time() - self.beat_time

    @property
    def seems_alive(self) -> bool:
        """What one look tells; of an owner elsewhere, wrong where clocks differ by a minute."""
        lives = self.process_lives
        return abs(self.silent_seconds) <= SILENT_SECONDS if lives is None else lives

    @property
    def named(self) -> str:
        """`anna on node-3 (pid 1234)`."""
        return f"{self.user} on {self.host} (pid {self.pid})"

    @property
    def age(self) -> str:
        """How long it has had the sweep: `2 h`."""
        return hours(max(time.time() - self.since, 1.0) / 3600)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"user {os.getuid()}"


def _machine() -> str:
    """The boot of the system and its table of processes; pids mean nothing outside of those."""
    boot = _PROC / "sys/kernel/random/boot_id"
    if not boot.exists():
        return ""
    return f"{boot.read_text().strip()} {(_PROC / 'self/ns/pid').readlink()}"


def _is_hidden(pid: int) -> bool:
    """Whether there is such a process of another user, which the system does not show."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return False


def _started(pid: int) -> str | None:
    """When a process of this machine began; None: there is none."""
    if not (_PROC / "self/stat").exists():
        shown = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return shown.stdout.strip() or None
    try:
        # After the command, which stands in brackets: state, then the third field, and so on.
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    is_ended = fields[0] in "ZX"  # its parent has not asked for its status yet
    return None if is_ended else fields[19]
