"""Requests to object storage: which failures pass by themselves, and what to say of the others.

pyarrow tells everything but "does not exist" as an `OSError` without a number; what went wrong
stands in its text. Those that pass are tried again here, after each file system's own attempts:
some seconds each.
"""

import contextlib
import re
from collections.abc import Iterator

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from cpt.room import NO_ROOM
from cpt.token_store import StoreError

PASSING = re.compile(
    r"NETWORK_CONNECTION|SLOW_DOWN|THROTTLING|SERVICE_UNAVAILABLE|INTERNAL_FAILURE"
    r"|REQUEST_TIMEOUT|HTTP status (5\d\d|429)"  # the AWS client
    r"|Status\((UNAVAILABLE|DEADLINE_EXCEEDED|INTERNAL|RESOURCE_EXHAUSTED)"  # Google's
)
"""Refused and missing things stay so: NO_SUCH_BUCKET, ACCESS_DENIED, HTTP status 403 ..."""


def passes(error: BaseException | None) -> bool:
    """Whether a failure, or what a sentence was made of, may be gone the next time."""
    if isinstance(error, StoreError):
        error = error.__cause__
    return isinstance(error, OSError) and error.errno is None and bool(PASSING.search(str(error)))


patiently = Retrying(
    retry=retry_if_exception(passes),
    stop=stop_after_attempt(3),
    wait=wait_random_exponential(max=8),
    reraise=True,
)


@contextlib.contextmanager
def told(what: str, done: str) -> Iterator[None]:
    """Turns what pyarrow raises into a sentence.

    An OSError with a number is this machine's own, but for ENOENT.
    """
    try:
        yield
    except StoreError:
        raise
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise
        reason = " ".join(str(error).split())
        raise StoreError(
            f"{what} cannot be {done} ({reason}); check that the bucket exists, the network, "
            "and the credentials in the environment."
        ) from error
