"""The way to a cluster's job server, taken again where it breaks while a job runs on."""

import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

import aiohttp
import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient

from cpt.parsing import ConfigError
from sweeps.cluster.head import jobs
from sweeps.cluster.launcher_file import ClusterFile

AnswerT = TypeVar("AnswerT")

PATIENCE_SECONDS = 180.0
"""How long a head that answered before may stay silent."""
_AGAIN_SECONDS = 3.0
_NO_SUCH_JOB = "status code 404"
BROKEN = (
    *(requests.RequestException, aiohttp.ClientError, OSError, RuntimeError),
    AuthenticationError,
)
"""What Ray's client raises where the way to the head, or the head itself, breaks."""


class LostError(RuntimeError):
    """The head, or its job, is not there any more; the message says what is known."""


class Connection:
    """A client of the job server; `with` opens and closes it.

    Attributes:
        client: Of the job server, over whatever way leads to it now.
    """

    def __init__(
        self,
        cluster: ClusterFile,
        say: Callable[[str], None],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._cluster, self._say, self._patience = cluster, say, patience_seconds
        self._open = contextlib.ExitStack()
        self.client: JobSubmissionClient

    def __enter__(self) -> "Connection":
        self.client = self._open.enter_context(jobs(self._cluster))
        return self

    def __exit__(self, *failure: object) -> None:
        self._open.close()

    def ask(self, question: Callable[[JobSubmissionClient], AnswerT]) -> AnswerT:
        """What the job server answers, asked anew where the way to it breaks meanwhile.

        Args:
            question: May be asked several times.

        Raises:
            LostError: The head was silent for too long, or has no such job.
        """
        broken_at: float | None = None
        while True:
            try:
                if broken_at is not None:
                    self._open.close()
                    self.client = self._open.enter_context(jobs(self._cluster))
                return question(self.client)
            except (*BROKEN, ConfigError) as error:
                if _NO_SUCH_JOB in str(error):
                    raise LostError(
                        "the head knows nothing of the job any more: it was started anew"
                    ) from error
                reason = _reason(error)
            if broken_at is None:
                broken_at = time.monotonic()
                self._say(f"the connection to the head broke ({reason}); trying again")
            elif time.monotonic() - broken_at > self._patience:
                raise LostError(f"the head has not answered for {self._patience:.0f} s: {reason}")
            time.sleep(_AGAIN_SECONDS)

    def job(self, submission_id: str) -> JobDetails:
        """What the head knows of a job.

        Raises:
            LostError: As `ask` has it.
        """
        return self.ask(lambda client: client.get_job_info(submission_id))


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")[:200]
