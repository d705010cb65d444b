"""A port of another machine, reached through OpenSSH for as long as a block lasts."""

import contextlib
import os
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import IO

STANDS = b"the tunnel stands"
PATIENCE_SECONDS = 30.0
"""How long ssh may take to log in."""


class TunnelError(RuntimeError):
    """The other machine could not be entered; the message is the second half of a sentence."""


@contextlib.contextmanager
def tunnel(ssh: Sequence[str], port: int) -> Iterator[int]:
    """Forwards a port of this machine's loopback to one of another machine's.

    Args:
        ssh: The command that logs in there, up to and with the host.
        port: On the other machine's loopback.

    Yields:
        The port on this machine.

    Raises:
        TunnelError: ssh does not get there.
    """
    here = _free_port()
    forward = ("-T", "-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{here}:127.0.0.1:{port}")
    program, *rest = ssh
    # What runs there ends when its input does, and with it ssh: also where this process is killed.
    command = [program, *forward, *rest, f"echo {STANDS.decode()}; exec cat"]
    with (
        tempfile.TemporaryFile() as said,
        # Of its own group: Ctrl-C is for whoever uses the tunnel.
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            process_group=0,
        ) as process,
    ):
        try:
            _await(process, said)
            yield here
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def _await(process: "subprocess.Popen[bytes]", said: IO[bytes]) -> None:
    """Waits for the line that the other side writes once ports are forwarded."""
    assert process.stdout is not None
    deadline, heard = time.monotonic() + PATIENCE_SECONDS, b""
    while STANDS not in heard:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TunnelError(f"ssh did not log in within {PATIENCE_SECONDS:.0f} s.")
        if select.select([process.stdout], [], [], left)[0]:
            more = os.read(process.stdout.fileno(), 4096)
            if not more:
                process.wait()
                said.seek(0)
                raise TunnelError(reason(said.read().decode(errors="replace")))
            heard += more


def reason(said: str) -> str:
    """What ssh says before it gives up, without its warnings, and what may help."""
    lines = [line.strip() for line in said.splitlines()]
    lines = [line for line in lines if line and not line.startswith("Warning: Permanently added")]
    last = lines[-1].rstrip(".") if lines else "ssh ended without a word"
    if "Permission denied" in last:
        return f"{last}; auth.ssh_user and auth.ssh_private_key must be those it lets in."
    return f"{last}; check that the cluster is up, and that this machine reaches it by ssh."
