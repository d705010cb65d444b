"""`rewarm submit` against a head of Ray behind a real sshd: followed, left, stopped, gone on."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray._raylet import AuthenticationTokenLoader

from cpt.parsing import ConfigError
from sweeps.cluster.connection import Connection, LostError
from sweeps.cluster.launcher_file import read_cluster
from tests.sweeps.cluster.lone_head import LoneHead

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    # Ray's launcher leaves it to the collector to close what it reads.
    pytest.mark.filterwarnings("ignore:Exception ignored:pytest.PytestUnraisableExceptionWarning"),
]

Submit = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def laptop(cluster: LoneHead, folder: Path, content: dict[str, Any]) -> Path:
    """The working directory of whoever submits: data, a short sweep, and one without an end."""
    content["storage"] = str(cluster.folder / "results")
    (folder / "sweep.yaml").write_text(yaml.safe_dump(content))
    for name in ("old", "new"):
        content["datasets"][name]["repeat"] = True
    content["upstream"]["token_budget"] = 64_000_000
    content["evaluation"]["interval_steps"] = 10_000
    (folder / "endless.yaml").write_text(yaml.safe_dump(content | {"name": "endless"}))
    return folder


@pytest.fixture
def begin(cluster: LoneHead, laptop: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `rewarm submit` in the working directory."""
    begun: list[subprocess.Popen[str]] = []
    file = cluster.folder / "cluster.yaml"

    def start(*arguments: str, **changes: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "sweeps", "submit", *arguments, "--cluster", str(file)],
            cwd=laptop, env=cluster.environment | changes, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


@pytest.fixture
def submit(begin: Callable[..., subprocess.Popen[str]]) -> Submit:
    """Runs `rewarm submit` to its end."""

    def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        process = begin(*arguments, **changes)
        said, complained = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, said, complained)

    return run


def read_until(process: subprocess.Popen[str], pattern: str) -> list[str]:
    """The lines of a process up to the one that holds a pattern."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if re.search(pattern, line):
            return lines
    raise AssertionError(f"ended without {pattern!r}: {''.join(lines)}")


def tunnels(process: subprocess.Popen[str]) -> list[int]:
    """The ssh of a command that forwards a port."""
    found = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(process.pid)], capture_output=True, text=True
    )
    return [int(line.split()[0]) for line in found.stdout.splitlines() if " -L " in line]


def test_a_sweep_runs_there_and_its_report_comes_home(cluster, laptop, submit):
    done = submit("sweep.yaml", "--set", "name=first", "--to", "home/first")
    assert done.returncode == 0, done.stdout + done.stderr
    first, *run, last = done.stdout.splitlines()
    assert re.fullmatch(r"submitted as rewarm-first-\d{8}-\d{4}-[0-9a-f]{4}", first)
    assert run[0] == "old train: 40 documents, 1,600 tokens"
    assert "2 states to train, 0 complete already" in run
    assert run[-1] == f"report: {cluster.folder}/results/sweeps/first/report.html"
    assert last == "report, here: home/first/report.html"
    there = cluster.folder / "results/sweeps/first"
    for name in ("report.html", "trials.csv"):
        assert (laptop / "home/first" / name).read_bytes() == (there / name).read_bytes()

    # What the head refuses the command refuses, also where nobody saw the log.
    missing = f"datasets.old.train={laptop}/no.jsonl"
    refused = submit("sweep.yaml", "--set", "name=second", "--set", missing, "--wait")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert refused.stderr.startswith(f"refused: datasets.old.train: got '{laptop}/no.jsonl'; there")
    assert not (laptop / "reports").exists()


@pytest.mark.long
def test_ctrl_c_detaches_the_same_command_goes_on_and_stop_saves(cluster, begin, submit):
    begun = submit("endless.yaml", "--no-follow")
    assert begun.returncode == 0, begun.stderr
    job = begun.stdout.splitlines()[0].split()[-1]
    assert f"{job} goes on on the cluster." in begun.stdout

    first = begin("endless.yaml")
    told = read_until(first, "began pre-training")
    assert told[0] == f"{job} runs this sweep already; this is its log\n"
    first.send_signal(signal.SIGINT)
    _, complained = first.communicate(timeout=60)
    assert first.returncode == 75, complained
    assert complained.startswith(f"detached; {job} goes on on the cluster.")
    assert "rewarm submit endless.yaml --cluster" in complained

    second = begin("endless.yaml")
    assert read_until(second, "began pre-training") == told
    # The way breaks; lines go on where they were.
    (ssh,) = tunnels(second)
    os.kill(ssh, signal.SIGKILL)
    stopped = submit("endless.yaml", "--stop")
    assert stopped.returncode == 75, stopped.stdout + stopped.stderr
    assert f"{job} was asked to leave" in stopped.stdout
    rest, complained = second.communicate(timeout=60)
    assert second.returncode == 75, complained
    assert "the connection to the head broke" in complained
    assert "began pre-training" not in rest
    assert re.search(r"interrupted pre-training on old: saved at step \d+ and left", rest)
    assert rest.splitlines()[-1] == "report, here: reports/endless/report.html"

    none = submit("endless.yaml", "--stop")
    assert none.returncode == 2
    assert none.stderr == (
        "refused: --stop: no job of the sweep 'endless' runs on the cluster 'lone'.\n"
    )


def test_who_has_not_the_token_is_told_and_a_head_that_vanishes_is_waited_for(
    cluster, tmp_path, monkeypatch
):
    file = read_cluster(cluster.folder / "cluster.yaml")
    monkeypatch.setenv("RAY_TMPDIR", str(cluster.folder))
    with token(monkeypatch, tmp_path), pytest.raises(ConfigError, match="none was found here;"):
        Connection(file, print).__enter__()
    with token(monkeypatch, tmp_path, "another" * 5), pytest.raises(ConfigError, match="not the"):
        Connection(file, print).__enter__()
    said: list[str] = []
    with (
        token(monkeypatch, cluster.home),
        Connection(file, said.append, patience_seconds=1) as connection,
    ):
        with pytest.raises(LostError, match="knows nothing of the job any more"):
            connection.job("no-such-job")
        assert said == []
        cluster.kill_ray()
        with pytest.raises(LostError, match=r"has not answered for 1 s: .*nothing answers"):
            connection.job("no-such-job")
    assert len(said) == 1
    assert said[0].startswith("the connection to the head broke")


@contextlib.contextmanager
def token(monkeypatch: pytest.MonkeyPatch, home: Path, value: str | None = None) -> Iterator[None]:
    """A home that has a token or none; Ray reads it once a process."""
    loader = AuthenticationTokenLoader.instance()
    monkeypatch.setenv("HOME", str(home))
    if value is not None:
        (home / ".ray").mkdir()
        (home / ".ray/auth_token").write_text(value)
    loader.reset_cache()
    try:
        yield
    finally:
        loader.reset_cache()
