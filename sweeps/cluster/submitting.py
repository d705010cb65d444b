"""`rewarm submit`: one job a sweep, submitted or found again, followed, stopped, and its report."""

import datetime
import os
import secrets
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.job_submission import JobDetails, JobSubmissionClient

from cpt.parsing import ConfigError
from sweeps.cluster import sending
from sweeps.cluster.bringing_home import NotHomeError, bring_home
from sweeps.cluster.connection import Connection, LostError
from sweeps.cluster.job_log import follow, wait
from sweeps.cluster.launcher_file import ClusterFile, read_cluster
from sweeps.cluster.submission import (
    Order,
    entrypoint,
    environment,
    metadata,
    outcome,
    submission_id,
)
from sweeps.cluster.versions import installed
from sweeps.console import Exit, err, say
from sweeps.declared import rehearse
from sweeps.spec import SweepSpec
from sweeps.sweep_file import load
from sweeps.words import listed

LAST_LINES = 10
"""Of the log of a run that failed and was not followed."""


@dataclass(frozen=True)
class Asked:
    """What a person asked for.

    Attributes:
        spec: The sweep file.
        overrides: As `--set` has them.
        cluster: The file of Ray's launcher.
        to: Where the report goes; None: `reports/NAME`.
        retry_failed: As `rewarm run` has it.
        follows: Whether the log is shown until the job ends.
        waits: Whether its end is waited for without the log.
        stops: Whether the running job is asked to save and leave.
    """

    spec: Path
    overrides: Sequence[str]
    cluster: Path
    to: Path | None
    retry_failed: bool
    follows: bool
    waits: bool
    stops: bool


def submit(asked: Asked) -> Exit:
    """Runs a sweep on a cluster; the exit status is that of its run there.

    Raises:
        ConfigError: The sweep or the cluster cannot be used, or no such job is to be stopped.
    """
    given = {"--no-follow": not asked.follows, "--wait": asked.waits, "--stop": asked.stops}
    named = [name for name, is_given in given.items() if is_given]
    if len(named) > 1:
        raise ConfigError([f"{listed(named)}: got {len(named)} of them; name one."])
    spec, _ = load(asked.spec, asked.overrides)
    if spec.checkpoint is None:
        rehearse(spec)
    folder = Path.cwd()
    file, left_out = os.path.relpath(asked.spec, folder), sending.excludes(folder)
    if not asked.stops:
        sending.check(spec, file, folder, left_out)
    cluster = read_cluster(asked.cluster)
    job: str | None = None
    with Connection(cluster, _warn) as connection:
        try:
            job = _running(connection, spec)
            if asked.stops:
                job = _stopped(connection, job, spec, cluster)
            elif job is not None:
                say(f"{job} runs this sweep already; this is its log")
            else:
                order = Order(file, tuple(asked.overrides), asked.retry_failed, installed())
                job = _sent(connection, order, spec, environment(folder, left_out))
            ended = _attended(connection, job, asked)
        except LostError as error:
            _warn(f"failed: {error}; once the cluster is up, the same command goes on")
            return Exit.FAILED
        except KeyboardInterrupt:
            if job is None:
                raise
            _warn(f"detached; {_afterwards(job, asked)}")
            return Exit.INTERRUPTED
    if ended is None:
        say(_afterwards(job, asked))
        return Exit.DONE
    status, sentence = outcome(ended.status.value, ended.driver_exit_code, ended.message)
    if sentence is not None:
        _warn(f"failed: {sentence}")
    if status is not Exit.REFUSED:
        _bring_home(cluster, spec, asked.to or Path("reports") / spec.name)
    return status


def _running(connection: Connection, spec: SweepSpec) -> str | None:
    """The job that runs this sweep at this moment."""
    told = metadata(spec).items()
    for details in connection.ask(lambda client: client.list_jobs()):
        is_ours = told <= (details.metadata or {}).items()
        if is_ours and not details.status.is_terminal() and details.submission_id is not None:
            return str(details.submission_id)
    return None


def _sent(
    connection: Connection, order: Order, spec: SweepSpec, environment: dict[str, Any]
) -> str:
    """Submits a job; its id."""
    now = datetime.datetime.now(datetime.UTC)
    job = submission_id(spec.name, now, secrets.token_hex(2))

    def submit(client: JobSubmissionClient) -> None:
        try:
            client.submit_job(
                submission_id=job,
                entrypoint=entrypoint(order),
                runtime_env=environment,
                metadata=metadata(spec),
            )
        except RuntimeError as error:
            # It had arrived, and the answer had not.
            if f"submission_id {job} already exists" not in str(error):
                raise

    connection.ask(submit)
    say(f"submitted as {job}")
    return job


def _stopped(connection: Connection, job: str | None, spec: SweepSpec, cluster: ClusterFile) -> str:
    """Asks the running job to save and leave; its id."""
    if job is None:
        raise ConfigError(
            [f"--stop: no job of the sweep {spec.name!r} runs on the cluster {cluster.name!r}."]
        )
    connection.ask(lambda client: client.stop_job(job))
    say(f"{job} was asked to leave; waiting until what is being trained is saved")
    return job


def _attended(connection: Connection, job: str, asked: Asked) -> JobDetails | None:
    """How the job ended; None where its end is not waited for."""
    if asked.follows and not (asked.stops or asked.waits):
        return follow(connection, job, _write)
    details = wait(connection, job, running=not asked.follows)
    if not details.status.is_terminal():
        return None
    if details.status == "FAILED":  # and nobody has seen why
        pieces: list[str] = []
        follow(connection, job, pieces.append)
        _warn("\n".join("".join(pieces).splitlines()[-LAST_LINES:]))
    return details


def _afterwards(job: str, asked: Asked) -> str:
    command = ["rewarm", "submit", str(asked.spec), "--cluster", str(asked.cluster)]
    for override in asked.overrides:
        command += ["--set", override]
    again = shlex.join(command)
    return (
        f"{job} goes on on the cluster. Its log again, and the report at its end: {again}\n"
        f"To let it save and leave: {again} --stop"
    )


def _bring_home(cluster: ClusterFile, spec: SweepSpec, folder: Path) -> None:
    try:
        page = bring_home(cluster, spec, folder)
    except (NotHomeError, ConfigError) as error:
        _warn(f"the report stayed where it is: {error}")
        return
    say("there is no report yet" if page is None else f"report, here: {page}")


def _write(piece: str) -> None:
    """The console of the run, as it is."""
    sys.stdout.write(piece)
    sys.stdout.flush()


def _warn(text: str) -> None:
    err.print(text, soft_wrap=True)
