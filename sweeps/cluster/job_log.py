"""The log of a job, followed as it is written; each line once, whatever breaks in between."""

import asyncio
import time
from collections.abc import Callable

from ray.job_submission import JobDetails, JobSubmissionClient

from sweeps.cluster.connection import Connection

_POLL_SECONDS = 1.0
_LAST_OF_RAY = "Running entrypoint for job "
"""How the line begins that Ray writes last, before what the job writes itself."""


def follow(connection: Connection, job: str, write: Callable[[str], None]) -> JobDetails:
    """Writes the log of a job from its beginning until the job has ended.

    Args:
        connection: To the job server.
        job: Its submission id.
        write: Called with pieces of the log as they come.

    Returns:
        How the job ended.

    Raises:
        LostError: The head, or its job, is not there any more.
    """
    log = Log(write)
    while True:
        connection.ask(lambda client: asyncio.run(_tail(client, job, log)))
        details = connection.job(job)
        if details.status.is_terminal():
            return details
        time.sleep(_POLL_SECONDS)


def wait(connection: Connection, job: str, *, running: bool = False) -> JobDetails:
    """Waits without the log until a job has ended, or until it runs.

    Raises:
        LostError: The head, or its job, is not there any more.
    """
    while True:
        details = connection.job(job)
        if details.status.is_terminal() or (running and details.status == "RUNNING"):
            return details
        time.sleep(_POLL_SECONDS)


async def _tail(client: JobSubmissionClient, job: str, log: "Log") -> None:
    log.begin()
    async for piece in client.tail_job_logs(job):
        log.take(piece)


class Log:
    """What of a log was written already: each connection tells it from its beginning."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._written = 0
        self._told = 0
        self._before: str | None = ""

    def begin(self) -> None:
        """A new connection tells the log."""
        self._told = 0

    def take(self, piece: str) -> None:
        """The next piece of what a connection tells."""
        new = piece[max(0, self._written - self._told) :]
        self._told += len(piece)
        self._written = max(self._written, self._told)
        if self._before is not None:
            # What Ray does before it starts the job is no line of the run.
            self._before += new
            _, begun, rest = self._before.partition(_LAST_OF_RAY)
            _, ended, new = rest.partition("\n")
            if not begun or not ended:
                return
            self._before = None
        if new:
            self._write(new)
