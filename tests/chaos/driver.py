"""The command that a person types, and types again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DONE, INTERRUPTED = 0, 75


class Driver:
    """`rewarm run`, started as often as it takes.

    Attributes:
        starts: How often the command was typed.
        endings: The exit statuses so far; a signal that ended it as a negative number.
    """

    def __init__(self, spec: Path, address: str, log: Path) -> None:
        self._command = [sys.executable, "-m", "sweeps", "run", str(spec), "--address", address]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.endings: list[int] = []

    def type_command(self) -> None:
        """Starts it."""
        assert not self.is_running
        with self._log.open("a") as log:
            log.write(f"--- start {self.starts + 1}, {time.strftime('%H:%M:%S')}\n")
            log.flush()
            self._process = subprocess.Popen(
                self._command,
                env=os.environ | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.starts += 1

    @property
    def is_running(self) -> bool:
        """Whether it runs now; notes how it ended where it has just ended."""
        if self._process is None:
            return False
        status = self._process.poll()
        if status is None:
            return True
        self.endings.append(status)
        self._process = None
        return False

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        """A signal to the command alone."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float) -> int | None:
        """Its exit status; None: it still runs."""
        until = time.monotonic() + seconds
        while self.is_running:
            if time.monotonic() > until:
                return None
            time.sleep(0.05)
        return self.endings[-1]
