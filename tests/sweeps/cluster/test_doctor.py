"""`rewarm doctor` of one machine, as a person starts it."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cpt.parsing import ConfigError
from sweeps.__main__ import app
from sweeps.cluster.checks import Findings, Row, Verdict
from sweeps.cluster.doctor import examine_here
from sweeps.cluster.doctor_view import doctor_page
from sweeps.cluster.machine import look
from sweeps.cluster.machine_facts import Disk, Machine
from sweeps.sweep_file import load
from sweeps.words import counted, stored

REPOSITORY = Path(__file__).parents[3]
FAILED, REFUSED = 1, 2
CHECKPOINT = 12 * 13_552
"""Bytes, of the sweep's model."""


def shown(rows: list[Row], width: int, machines: dict[str, Machine] | None = None) -> list[str]:
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(doctor_page(Findings(rows=tuple(rows), machines=machines or {})))
    return [line.rstrip() for line in capture.get().splitlines()]


def row(verdict: Verdict, where: str, told: str) -> Row:
    return Row(check="storage", where=where, verdict=verdict, told=told)


def test_places_that_say_the_same_are_one_row_and_the_worst_comes_last():
    rows = [
        row(Verdict.FAULT, "10.0.0.1", "it does not exist there"),
        *(row(Verdict.OK, f"10.0.0.{n}", "written and read") for n in range(2, 7)),
        row(Verdict.WARNING, "head", "nearly full"),
    ]
    assert shown(rows, 80) == [
        "ok       storage  10.0.0.2    written and read",
        "                  10.0.0.3",
        "                  10.0.0.4",
        "                  and 2 more",
        "warning  storage  head        nearly full",
        "fault    storage  10.0.0.1    it does not exist there",
        "1 fault, 1 warning",
    ]


def test_what_all_machines_say_names_none():
    machine = Machine(versions={}, resources={}, cache=Disk(path="/", free=1, total=1))
    rows = tuple(row(Verdict.OK, f"10.0.0.{n}", "written and read") for n in (1, 2))
    machines = {"10.0.0.1": machine, "10.0.0.2": machine}
    assert shown(list(rows), 80, machines)[0] == "ok  storage  all 2  written and read"
    assert shown([rows[0]], 80, {"10.0.0.1": machine})[0].startswith("ok  storage  10.0.0.1  ")


def test_a_long_sentence_is_folded_into_its_column():
    told = "remove it: rm " + "/a/long/path" * 8
    lines = shown([row(Verdict.FAULT, "head", told)], 60)
    assert max(map(len, lines)) <= 60
    assert all(line.startswith(" " * 22) for line in lines[1:-1])
    assert "".join(line[22:] for line in lines[:-1]).replace(" ", "") == told.replace(" ", "")


def test_without_fault_or_warning_nothing_stands_in_the_way():
    assert shown([row(Verdict.OK, "head", "well")], 80)[-1] == "nothing stands in the way"


@pytest.fixture
def machine(environment, tmp_path) -> dict[str, str]:
    """The environment of a user and a Ray of this test alone."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
        environment.pop(name, None)
    home = tmp_path / "home"
    home.mkdir()
    return environment | {"HOME": str(home), "RAY_TMPDIR": str(tmp_path / "ray")}


@pytest.mark.slow
def test_a_machine_with_a_stale_file_of_ray_and_an_open_token_is_told_so(machine, folder, sweep):
    home, temporary = Path(machine["HOME"]), Path(machine["RAY_TMPDIR"]) / "ray"
    (home / ".ray").mkdir()
    token = home / ".ray" / "auth_token"
    token.write_text("a" * 64)
    token.chmod(0o644)
    temporary.mkdir(parents=True)
    stale = temporary / "ray_current_cluster"
    stale.write_text("127.0.0.1:1")
    before = sorted(folder.rglob("*"))

    looked = subprocess.run(
        [sys.executable, "-m", "sweeps", "doctor", sweep(), "--json"],
        cwd=folder, env=machine, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (looked.returncode, looked.stderr) == (FAILED, "")
    found = Findings.model_validate_json(looked.stdout)
    (fault,) = (one for one in found.rows if one.verdict is Verdict.FAULT)
    assert fault.check == "leftovers"
    assert fault.told.endswith(f"not answer, 127.0.0.1:1, which Ray asks all the same: rm {stale}")
    told = {(one.check, one.where): one.told for one in found.rows}
    assert told["storage", "this machine"] == f"storage {folder}/results: written and read"
    assert told["resources", "this machine"].startswith("one state needs 1 worker with 1 CPU each")
    assert told["disk", "storage"].startswith("checkpoints of 2 states come to 325 kB at most")
    # Whether others can enter the folders above is this machine's affair.
    machine_token = found.machines["this machine"].token
    is_enterable = all(path.stat().st_mode & 0o001 for path in token.parents)
    assert machine_token.is_open == is_enterable
    assert machine_token.source == str(token)
    assert "a" * 64 not in looked.stdout
    assert sorted(folder.rglob("*")) == [*sorted([*before, folder / "sweep.yaml"])]


@pytest.fixture
def without_ray(machine, tmp_path) -> dict[str, str]:
    """An installation of everything but Ray and torch: links to what is installed here."""
    packages, installed = tmp_path / "packages", Path(sysconfig.get_paths()["purelib"])
    packages.mkdir()
    for path in installed.iterdir():
        if not path.name.startswith(("ray", "torch")):
            (packages / path.name).symlink_to(path)
    return machine | {"PYTHONPATH": os.pathsep.join((str(REPOSITORY), str(packages)))}


def test_an_installation_without_ray_is_told_what_is_missing(without_ray, folder):
    looked = subprocess.run(
        [sys.executable, "-S", "-m", "sweeps", "doctor", "--json"],
        cwd=folder, env=without_ray, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (looked.returncode, looked.stderr) == (FAILED, "")
    assert [(one["verdict"], one["told"]) for one in json.loads(looked.stdout)["rows"]] == [
        ("fault", "ray and torch are not installed: pip install 'rewarm[sweep]'.")
    ]
    entering = subprocess.run(
        [sys.executable, "-S", "-m", "sweeps", "doctor", "--address", "auto"],
        cwd=folder, env=without_ray, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (entering.returncode, entering.stderr) == (
        REFUSED,
        "refused: this command needs ray, which is not installed: pip install 'rewarm[sweep]'.\n",
    )


def test_a_cluster_is_named_in_one_way():
    words = ("doctor", "--cluster", "cluster.yaml", "--address", "auto")
    refused = CliRunner().invoke(app, words).exception
    assert isinstance(refused, ConfigError)
    assert refused.faults == ("--cluster and --address: got both; name one.",)


def test_an_object_store_is_tried_and_the_copies_need_room(s3, sweep, folder, monkeypatch):
    monkeypatch.chdir(folder)
    file = Path(sweep(storage=s3.uri("bucket", "results"), checkpoint_interval_steps=2))

    def told() -> dict[tuple[str, str], tuple[str, str]]:
        rows = examine_here(load(file, ())[0]).rows
        return {(one.check, one.told.split()[0]): (one.verdict.value, one.told) for one in rows}

    found = told()
    verdict, sentence = found["storage", "storage"]
    assert verdict == "ok"
    assert sentence.startswith("storage s3://bucket/results?endpoint_override=127.0.0.1:")
    assert sentence.endswith(": written and read")
    # Pre-training, which the other state starts from, and 2 + 1 of each that runs on a core here.
    states = int(look().resources["CPU"])
    size = stored((1 + 3 * states) * CHECKPOINT)
    cache = os.environ["REWARM_CACHE"]
    assert found["disk", "copies"] == (
        "ok",
        f"copies for {counted(states, 'state')} at once come to {size} at most; "
        f"there is room in {cache}",
    )
    s3.key = "another"
    verdict, sentence = told()["storage", "storage:"]
    assert verdict == "fault"
    assert "which cannot be used: s3://bucket/results/.reach-" in sentence
    assert "ACCESS_DENIED" in sentence
