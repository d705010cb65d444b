"""The job that runs a sweep on a cluster: what it is called, what it runs, what its end means."""

import datetime
import json
import shlex
import signal
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sweeps.console import Exit
from sweeps.spec import SweepSpec

NOT_INSTALLED = (
    "refused: rewarm is not installed for the `python` of the head, nor in what was sent"
)
STOP_PATIENCE_SECONDS = 300
"""How long a job that was asked to stop may save before Ray kills it; Ray's default is three."""
METADATA = {"sweep": "rewarm_sweep", "storage": "rewarm_storage"}
"""What a job says of itself: which sweep it runs."""


@dataclass(frozen=True)
class Order:
    """What the head is asked to run: `rewarm run` of a sweep.

    Attributes:
        spec: The sweep file, relative to the working directory.
        overrides: As `--set` has them.
        retry_failed: As `rewarm run` has it.
        versions: Of the machine that submits.
    """

    spec: str
    overrides: tuple[str, ...]
    retry_failed: bool
    versions: Mapping[str, str]


def entrypoint(order: Order) -> str:
    """The command of the job, one line.

    Whether rewarm is there at all is asked before it is called: else a stack would answer.
    """
    looked_for = "import importlib.util as u, sys; sys.exit(u.find_spec('sweeps.cluster') is None)"
    return (
        f"python -c {shlex.quote(looked_for)} 2>/dev/null "
        f"|| {{ echo {shlex.quote(NOT_INSTALLED)}; exit {Exit.REFUSED:d}; }}; "
        f"exec python -m sweeps.cluster.entry {shlex.quote(json.dumps(asdict(order)))}"
    )


def environment(folder: Path, excludes: Iterable[str]) -> dict[str, Any]:
    """Ray's runtime environment of the job.

    Args:
        folder: The working directory.
        excludes: What of it is not sent.
    """
    return {
        "working_dir": str(folder),
        "excludes": list(excludes),
        # Read by what watches the job; that the cluster asks for a token its drivers inherit.
        "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_PATIENCE_SECONDS)},
    }


def metadata(spec: SweepSpec) -> dict[str, str]:
    """How a job of this sweep is told from others."""
    return {METADATA["sweep"]: spec.name, METADATA["storage"]: spec.storage}


def submission_id(name: str, now: datetime.datetime, random: str) -> str:
    """`rewarm-NAME-20261126-0759-abcd`: what lists of jobs and logs show."""
    return f"rewarm-{name}-{now:%Y%m%d-%H%M}-{random}"


def outcome(status: str, exit_code: int | None, message: str | None) -> tuple[Exit, str | None]:
    """How the command ends after a job did, and what is to be said of it.

    Args:
        status: Ray's word for how the job ended.
        exit_code: Of what the job ran; None where Ray does not know it.
        message: Ray's own words on the job.
    """
    if status == "STOPPED":
        return Exit.INTERRUPTED, None
    if exit_code in set(Exit):
        return Exit(exit_code), None
    again = "the same command goes on where it stopped"
    if exit_code is not None:
        killed = f"by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"({exit_code})"
        return Exit.FAILED, f"the run on the head was ended from outside {killed}; {again}."
    told = " ".join((message or "no reason was given").split())
    return Exit.FAILED, f"the job ended without its run: {told[:300]}; {again}."
