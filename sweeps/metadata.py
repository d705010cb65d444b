"""The metadata services that spot machines ask about themselves: AWS (IMDSv2) and GCP.

Both answer plain HTTP at one link-local address, on the machine alone. A service has one method,
`notice()`, and says with `MetadataError` or `OddAnswerError` what kept it from answering.
"""

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Protocol

from sweeps.notices import Notice, aws_notice, gcp_notice

LINK_LOCAL = "http://169.254.169.254"
TIMEOUT_SECONDS = 2.0
TOKEN_SECONDS = 21_600
"""The longest life that AWS gives a token: six hours."""

# A proxy of the environment cannot reach a link-local address for us.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class MetadataError(RuntimeError):
    """The service does not answer, or refuses."""


class Metadata(Protocol):
    """One cloud's service."""

    def notice(self) -> Notice | None:
        """The notice that stands; None where there is none.

        Raises:
            MetadataError: The service does not answer, or refuses.
            OddAnswerError: Its answer is none that is documented.
        """


class Aws:
    """IMDSv2: a token by PUT, then documents by GET; a document that is not there is a 404."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._token: str | None = None

    def notice(self) -> Notice | None:
        """The document `spot/instance-action`; a token that is no longer taken is renewed."""
        had_token = self._token is not None
        status, body = self._document()
        if status == 401 and had_token:
            self._token = None
            status, body = self._document()
        if status == 404:
            return None
        if status != 200:
            raise MetadataError(f"{self._endpoint} answered {status} for spot/instance-action")
        return aws_notice(body)

    def _document(self) -> tuple[int, str]:
        if self._token is None:
            status, body, _ = _ask(
                f"{self._endpoint}/latest/api/token",
                {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)},
                "PUT",
            )
            if status != 200:
                raise MetadataError(f"{self._endpoint} answered {status} for a token")
            self._token = body
        status, body, _ = _ask(
            f"{self._endpoint}/latest/meta-data/spot/instance-action",
            {"X-aws-ec2-metadata-token": self._token},
        )
        return status, body


class Gcp:
    """`instance/preempted`, which remembers when it was last FALSE."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._silent_since = time.time()

    def notice(self) -> Notice | None:
        """TRUE or FALSE; a notice that stands keeps its first deadline."""
        asked = time.time()
        status, body, _ = _ask(
            f"{self._endpoint}/computeMetadata/v1/instance/preempted",
            {"Metadata-Flavor": "Google"},
        )
        if status != 200:
            raise MetadataError(f"{self._endpoint} answered {status} for instance/preempted")
        found = gcp_notice(body, self._silent_since)
        if found is None:
            self._silent_since = asked
        return found


def recognised(endpoint: str) -> Metadata:
    """The service that answers: GCP's marks each answer with a header, AWS's hands out tokens.

    Raises:
        MetadataError: Nothing answers, or neither of the two.
        OddAnswerError: As of `Metadata.notice`.
    """
    _, _, flavor = _ask(f"{endpoint}/", {"Metadata-Flavor": "Google"})
    if flavor == "Google":
        return Gcp(endpoint)
    found = Aws(endpoint)
    found.notice()
    return found


def service(cloud: str, endpoint: str) -> Metadata:
    """The service of a cloud: `aws`, `gcp`, or `auto` for the one that answers.

    Raises:
        MetadataError: `auto`, and nothing answers.
        OddAnswerError: As of `Metadata.notice`.
    """
    kinds: dict[str, Callable[[str], Metadata]] = {"aws": Aws, "gcp": Gcp, "auto": recognised}
    return kinds[cloud](endpoint)


def _ask(url: str, headers: dict[str, str], method: str = "GET") -> tuple[int, str, str | None]:
    """Status, body and the header `Metadata-Flavor` of an answer."""
    request = urllib.request.Request(url, headers=headers, method=method)
    try:
        with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
            body = answer.read().decode("utf-8", "replace")
            return answer.status, body, answer.headers.get("Metadata-Flavor")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, "", error.headers.get("Metadata-Flavor")
    except (OSError, http.client.HTTPException) as error:
        raise MetadataError(f"{url} does not answer ({error})") from error
