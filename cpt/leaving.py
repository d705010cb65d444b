"""Asked to save and leave: by SIGTERM, or by whoever knows that the machine will be taken away.

A training looks after every update whether any of its workers was asked. It then saves, whatever
step it has come to, and ends with `LeavingError`: running it again goes on from there.
"""

import os
import signal
import threading
from types import FrameType

EXIT_INTERRUPTED = 75
"""The exit status of a process that left and can go on; EX_TEMPFAIL of sysexits.h."""


OTHER_ASKED = "another worker was asked to"


class LeavingError(RuntimeError):
    """The state was saved and left before its end.

    Attributes:
        step: Updates completed, all of them in its checkpoint.
    """

    def __init__(self, step: int, reason: str) -> None:
        super().__init__(step, reason)
        self.step, self.reason = step, reason

    def __str__(self) -> str:
        return f"saved at step {self.step} and left: {self.reason}"


class Leave:
    """Whether this process was asked to leave, and why; the first reason stays."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._reason = ""

    def ask(self, reason: str) -> None:
        """Asks; may be called from any thread, and from the handler of a signal."""
        if not self._asked.is_set():
            self._reason = reason
            self._asked.set()

    @property
    def is_asked(self) -> bool:
        """Costs nothing that shows in an update."""
        return self._asked.is_set()

    @property
    def reason(self) -> str:
        """Empty where only another worker was asked."""
        return self._reason

    def wait(self) -> str:
        """Returns the reason, once there is one."""
        self._asked.wait()
        return self._reason

    def on_sigterm(self) -> None:
        """Lets SIGTERM ask, and a second one end the process at once; main thread only."""
        signal.signal(signal.SIGTERM, self._signalled)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self.is_asked:
            os._exit(EXIT_INTERRUPTED)
        self.ask("SIGTERM")
