"""What clouds say before they take a spot machine away, as they say it. Pure.

AWS puts a document at `spot/instance-action` about two minutes ahead. GCP turns `preempted` from
FALSE to TRUE and ends the machine 30 seconds later.
"""

import json
from dataclasses import dataclass
from datetime import datetime

GCP_SECONDS = 30.0
"""From the notice of a GCP spot machine to its end."""
AWS_ACTIONS = ("terminate", "stop", "hibernate")


class OddAnswerError(ValueError):
    """A metadata service said what it does not say by its documentation."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """The machine will be taken away.

    Attributes:
        deadline: When, in seconds since 1970.
        said: The cloud's own words, for people.
    """

    deadline: float
    said: str

    def seconds_left(self, now: float) -> int:
        """Whole seconds until the deadline, at least 1: to Ray, 0 is no deadline at all."""
        return max(1, int(self.deadline - now))


def aws_notice(document: str) -> Notice:
    """Reads `spot/instance-action`, which does not exist before the notice.

    Raises:
        OddAnswerError: It is not `{"action": ..., "time": "2017-09-18T08:22:00Z"}`.
    """
    try:
        content = json.loads(document)
        action, when = content["action"], datetime.fromisoformat(content["time"])
    except (ValueError, KeyError, TypeError) as error:
        raise OddAnswerError(f"spot/instance-action is {document[:200]!r} ({error!r})") from error
    if action not in AWS_ACTIONS or when.tzinfo is None:
        raise OddAnswerError(
            f"spot/instance-action is {document[:200]!r}; the action must be one of "
            f"{', '.join(AWS_ACTIONS)} and the time must have a time zone"
        )
    return Notice(deadline=when.timestamp(), said=f"AWS: {action} at {content['time']}")


def gcp_notice(answer: str, silent_since: float) -> Notice | None:
    """Reads `instance/preempted`; None: no notice.

    Args:
        answer: The body.
        silent_since: When it was last seen to be FALSE, in seconds since 1970: the notice may be
            as old as that.

    Raises:
        OddAnswerError: It is neither TRUE nor FALSE.
    """
    word = answer.strip()
    if word == "FALSE":
        return None
    if word != "TRUE":
        raise OddAnswerError(f"instance/preempted is {answer[:200]!r}, neither TRUE nor FALSE")
    return Notice(deadline=silent_since + GCP_SECONDS, said="GCP: preempted")
