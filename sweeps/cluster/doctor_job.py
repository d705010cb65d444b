"""Looks at a cluster from afar: a job on its head looks at every node, this machine is compared."""

import datetime
import json
import os
import secrets
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

from cpt.parsing import ConfigError, parse
from sweeps.cluster import sending
from sweeps.cluster.checks import Findings, Row, Verdict, agreement_rows, token_rows, version_rows
from sweeps.cluster.connection import BROKEN, Connection, LostError
from sweeps.cluster.doctor import HERE
from sweeps.cluster.job_log import wait
from sweeps.cluster.launcher_file import ClusterFile
from sweeps.cluster.machine import look
from sweeps.cluster.machine_facts import Machine
from sweeps.cluster.submission import environment, submission_id
from sweeps.cluster.versions import differences
from sweeps.spec import SweepSpec

HEAD = "head"
_REFUSED = "refused: "


def examine_from_afar(
    cluster: ClusterFile, file: Path | None, spec: SweepSpec | None, say: Callable[[str], None]
) -> Findings:
    """Looks at this machine as one that submits, and at a cluster as one that trains.

    Args:
        cluster: That `ray up` started.
        file: The sweep file; None: the machines alone are looked at.
        spec: What it says.
        say: Told where the connection breaks.

    Raises:
        ConfigError: There is no such cluster, it cannot be entered, or the head refuses the sweep.
    """
    machine = look({})
    rows = [
        *version_rows(HERE, machine, trains=False),
        *token_rows(HERE, machine.token, in_cluster=False),
    ]
    command, sent = ["python", "-m", "sweeps", "doctor", "--address", "auto", "--json"], {}
    if file is not None and spec is not None:
        folder = Path.cwd()
        named, left_out = os.path.relpath(file, folder), sending.excludes(folder)
        sending.check(spec, named, folder, left_out)
        command.append(named)
        sent = environment(folder, left_out)
    found = _of_the_head(cluster, shlex.join(command), sent, say)
    rows += found.rows
    if HEAD in found.machines:
        rows += compared(machine, found.machines[HEAD])
    return Findings(rows=tuple(rows), machines={HERE: machine} | found.machines)


def compared(here: Machine, head: Machine) -> Iterator[Row]:
    """Where this machine and the head differ in what they must have alike; none where they do not.

    Args:
        here: This machine, which submits.
        head: Whose versions and token all nodes have.
    """
    for told in differences(here.versions, head.versions, "the head"):
        yield Row(check="versions", where=HERE, verdict=Verdict.FAULT, told=told)
    yield from agreement_rows("the head", head.token, HERE, here.token)


def _of_the_head(
    cluster: ClusterFile, command: str, sent: dict[str, object], say: Callable[[str], None]
) -> Findings:
    job = submission_id("doctor", datetime.datetime.now(datetime.UTC), secrets.token_hex(2))
    try:
        with Connection(cluster, say) as connection:
            connection.client.submit_job(submission_id=job, entrypoint=command, runtime_env=sent)
            wait(connection, job)
            log = connection.ask(lambda client: client.get_job_logs(job))
            connection.ask(lambda client: client.delete_job(job))
    except (LostError, *BROKEN) as error:
        told = " ".join(str(error).split())
        raise ConfigError([f"{cluster.path}: the head was lost ({told}); look again."]) from error
    return read_log(log)


def read_log(log: str) -> Findings:
    """What the doctor said on the head, between what Ray says in the same log.

    Args:
        log: Of the job, from its beginning.

    Raises:
        ConfigError: It refused the sweep.
    """
    lines = log.splitlines()
    if "{" in lines and "}" in lines:
        text = "\n".join(lines[lines.index("{") : lines.index("}") + 1])
        return parse(Findings, json.loads(text))
    refused = [line.removeprefix(_REFUSED) for line in lines if line.startswith(_REFUSED)]
    if refused:
        raise ConfigError(f"on the head: {one}" for one in refused)
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    told = (
        f"rewarm doctor did not run there ({last}); install the same rewarm in setup_commands of "
        "the cluster file, and type ray up again."
    )
    row = Row(check="node", where=HEAD, verdict=Verdict.FAULT, told=told)
    return Findings(rows=(row,), machines={})
