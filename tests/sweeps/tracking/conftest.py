"""A server of MLflow, started as a person would, and rows as a training writes them."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from cpt.records import StateDir, Status, StatusWord
from cpt.rows import DataRow, EvalRow, TrainRow, append_rows


class MlflowServer:
    """`mlflow server` over a database in a folder, at an address that it keeps.

    Attributes:
        uri: Its address.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        """Starts it, and returns at once."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
                    *("--host", "127.0.0.1", "--port", str(self._port)),
                    *("--backend-store-uri", f"sqlite:///{self._folder / 'mlflow.db'}"),
                ],
                cwd=self._folder,
                # The jobs that it could run need a package of their own.
                env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Waits until it answers."""
        until = time.monotonic() + 240
        while time.monotonic() < until and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError((self._folder / "log").read_text())

    def kill(self) -> None:
        """Ends all its processes at once; once more is no fault."""
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One for all tests of a module; whoever needs it first waits for it."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    yield server
    server.kill()


@pytest.fixture
def dying_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One that a test may kill, and start again."""
    server = MlflowServer(tmp_path_factory.mktemp("dying"))
    try:
        server.wait()
        yield server
    finally:
        server.kill()


class Writer:
    """Writes a state's rows as its training does: an evaluation of a step after its update."""

    def __init__(self, state: StateDir, evaluated: tuple[int, ...] = (0, 4)) -> None:
        self.state, self._evaluated = state, evaluated
        state.path.mkdir(parents=True, exist_ok=True)

    def train(self, first: int, last: int, attempt: int = 1) -> None:
        """Updates from `first` to `last`, both included; 0 evaluates before the first."""
        for step in range(first, last + 1):
            if step > 0:
                row = TrainRow(
                    step=step,
                    tokens=64 * step,
                    lr=0.5,
                    loss=3.0 + attempt / 8 + step / 1024,
                    grad_norm=1.5,
                    tokens_per_second=100.0 * attempt,
                    mfu=None,
                    elapsed_seconds=step / 4,
                )
                append_rows(self.state.train_rows, [row])
            if step in self._evaluated:
                self.evaluate(step, attempt)

    def evaluate(self, step: int, attempt: int = 1) -> None:
        """One data set with one domain, and what was read of a source."""
        rows = [
            EvalRow(
                step=step,
                tokens=64 * step,
                dataset="wiki",
                domain=domain,
                loss=4.0 + attempt / 8 + step / 1024,
                bits_per_byte=2.0,
                num_tokens=60,
            )
            for domain in (None, "law")
        ]
        append_rows(self.state.eval_rows, rows)
        read = DataRow(
            step=step, since=0, source="wiki", domain=None, tokens=60 * step, samples=4 * step,
            first_sample=0, epoch=0.25,
        )  # fmt: skip
        append_rows(self.state.data_rows, [read])

    def end(self, step: int, word: StatusWord = StatusWord.COMPLETE) -> None:
        """Its status."""
        self.state.write_status(Status(status=word, step=step))
