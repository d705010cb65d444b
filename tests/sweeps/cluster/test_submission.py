"""What is submitted to a cluster: which files go along, what the head runs, what its end means."""

import datetime
import json
import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ray._private.runtime_env.packaging import create_package

from cpt.parsing import ConfigError, parse
from sweeps.cluster import entry, sending
from sweeps.cluster.paths import Named, lying_here, named_paths, path_faults, size_fault
from sweeps.cluster.submission import Order, entrypoint, outcome, submission_id
from sweeps.cluster.versions import installed
from sweeps.console import Exit
from sweeps.spec import SweepSpec

REPOSITORY = Path(__file__).parents[3]
REMEDY = (
    "bring it to the head (file_mounts of the cluster file, or a directory that all machines see) "
    "and name it by its absolute path there."
)


def order(**changes: Any) -> Order:
    given = {"spec": "sweep.yaml", "overrides": (), "retry_failed": False, "versions": {}}
    return Order(**(given | changes))


@pytest.fixture
def empty_python(tmp_path: Path) -> dict[str, str]:
    """An environment whose `python` has no packages."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(sys._base_executable)
    return {"PATH": f"{programs}:/usr/bin:/bin"}


def run(command: str, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


# What the head runs.


def test_a_head_without_rewarm_says_so(tmp_path, empty_python):
    assert run(entrypoint(order()), tmp_path, empty_python) == (
        2,
        "refused: rewarm is not installed for the `python` of the head, nor in what was sent\n",
    )


def test_a_head_with_other_versions_refuses_in_a_sentence_each(tmp_path, empty_python):
    (tmp_path / "sweep.yaml").touch()
    command = entrypoint(order(versions={"ray": "2.60.0", "python": "3.10"}))
    status, said = run(command, tmp_path, empty_python | {"PYTHONPATH": str(REPOSITORY)})
    assert status == 2
    lines = said.splitlines()
    assert [line.split(":")[:2] for line in lines] == [["refused", " ray"], ["refused", " python"]]
    assert "on the head it is not installed" in lines[0]


def test_a_head_without_a_package_says_which(tmp_path, empty_python):
    (tmp_path / "sweep.yaml").touch()
    status, said = run(
        entrypoint(order()), tmp_path, empty_python | {"PYTHONPATH": str(REPOSITORY)}
    )
    assert status == 2
    assert said.startswith("refused: rewarm on the head needs ")
    assert said.count("\n") == 1


def test_code_that_was_sent_along_needs_no_installation(tmp_path):
    (tmp_path / "sweep.yaml").touch()
    spec = str(tmp_path / "sweep.yaml")
    here = {"rewarm": "0.1.0+1234", "ray": "2.60.0"}
    assert entry.faults(spec, here, {"ray": "2.60.0"}) == []
    assert len(entry.faults(spec, here, here | {"rewarm": "0.1.0+5678"})) == 1


def test_a_sweep_file_that_is_not_on_the_head_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert entry.faults("sweep.yaml", {}, installed()) == [
        f"SPEC: got 'sweep.yaml', which is not there on the head, in {tmp_path}; submit it again."
    ]


def test_what_was_asked_for_arrives_whatever_stands_in_it(tmp_path):
    asked = order(overrides=('name=it\'s "one"\n$HOME',), retry_failed=True)
    assert "\n" not in entrypoint(asked)
    told = shlex.split(entrypoint(asked))[-1]
    assert Order(**json.loads(told) | {"overrides": tuple(json.loads(told)["overrides"])}) == asked


def test_an_id_tells_which_sweep_and_when():
    then = datetime.datetime(2026, 11, 26, 7, 59, tzinfo=datetime.UTC)
    assert submission_id("wiki", then, "abcd") == "rewarm-wiki-20261126-0759-abcd"


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("SUCCEEDED", 0, Exit.DONE),
        ("FAILED", 1, Exit.FAILED),
        ("FAILED", 2, Exit.REFUSED),
        ("FAILED", 75, Exit.INTERRUPTED),
        ("STOPPED", None, Exit.INTERRUPTED),
    ],
)
def test_the_status_of_the_run_is_that_of_the_command(status, code, expected):
    assert outcome(status, code, None) == (expected, None)


@pytest.mark.parametrize(
    ("code", "message", "told"),
    [
        (-9, "failed", "the run on the head was ended from outside by SIGKILL; the same command"),
        (137, "failed", "the run on the head was ended from outside (137); the same command"),
        (None, "supervisor\ndied", "the job ended without its run: supervisor died; the same"),
    ],
)
def test_a_run_that_did_not_end_by_itself_failed_with_a_reason(code, message, told):
    status, sentence = outcome("FAILED", code, message)
    assert status is Exit.FAILED
    assert sentence is not None
    assert sentence.startswith(told)


# What is sent.


def test_every_relative_path_of_a_sweep_is_looked_for(content):
    content["datasets"] |= {
        "old": {
            "sources": {
                "a": {"path": "text", "train": "a.txt", "validation": "/v.txt", "weight": 1},
                "b": {"path": "owner/b", "train": "train", "validation": "test", "weight": 1},
                "c": {"path": "local:python-code", "weight": 1},
            }
        },
        "unused": {"path": "json", "train": "no.jsonl", "validation": "no.jsonl"},
    }
    content["upstream"] = {"checkpoint": "models/one", "dataset": "old", "max_lr": 1e-3}
    del content["model"]
    spec = parse(SweepSpec, content | {"tokenizer": "tokenizer.json"})
    assert named_paths(spec) == [
        Named("datasets.old.sources.a.train", "a.txt"),
        Named("datasets.old.sources.b.path", "owner/b", may_be_hub_id=True),
        Named("datasets.new.train", "new.jsonl"),
        Named("datasets.new.validation", "new_v.jsonl"),
        Named("tokenizer", "tokenizer.json"),
        Named("upstream.checkpoint", "models/one", may_be_hub_id=True),
    ]


def test_a_path_is_what_lies_there(tmp_path):
    for file in ("a.jsonl", "b.jsonl", "model/config.json", "model/deep/part"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    (tmp_path.parent / "beside.jsonl").touch()
    expected = {
        "a.jsonl": ["a.jsonl"],
        "*.jsonl": ["a.jsonl", "b.jsonl"],
        "model": ["model/config.json", "model/deep/part"],
        "./model/../a.jsonl": ["a.jsonl"],
        "../beside.jsonl": ["../beside.jsonl"],
        "no.jsonl": [],
    }
    assert {name: lying_here(Named("f", name), tmp_path) for name in expected} == expected


@pytest.mark.parametrize(
    ("pattern", "here", "told"),
    [
        ("no.jsonl", [], "there is no such file below the working directory."),
        ("*.txt", [], "matches no file below the working directory."),
        ("data/a", ["data/a"], f"it is left out of what is sent to the cluster; {REMEDY}"),
        ("*", ["a", "b"], f"1 of its 2 files are left out of what is sent; {REMEDY}"),
        (
            "../x",
            ["../x"],
            f"it lies outside of the working directory, all that is sent to the cluster; {REMEDY}",
        ),
    ],
)
def test_a_path_that_the_head_would_not_find_is_refused(pattern, here, told):
    named = Named("datasets.old.train", pattern)
    faults = path_faults([named], {named: here}, sent=["a"])
    assert faults == [f"datasets.old.train: got '{pattern}'; {told}"]


def test_what_is_sent_or_may_be_on_the_hub_is_not_refused():
    sent, hub = Named("datasets.old.train", "a"), Named("tokenizer", "owner/x", may_be_hub_id=True)
    assert path_faults([sent, hub], {sent: ["a"], hub: []}, sent=["a"]) == []


def test_too_much_to_send_names_the_largest_folders():
    sizes = {"a/x": 5_000_000, "a/y": 4_000_000, "b/x": 2_000_000, "c": 1_000_000, "d/x": 1}
    assert size_fault(Path("/w"), sizes, 12_000_001 + 1) is None
    sentence = size_fault(Path("/w"), sizes, 12_000_001)
    assert sentence is not None
    assert sentence.startswith(
        "the working directory /w would send 12 MB, and Ray takes less than 12 MB;"
    )
    assert "the largest: a/ (9 MB), b/ (2 MB), c (1 MB);" in sentence


def make(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(file)


@pytest.fixture
def working(tmp_path: Path) -> Path:
    """A working directory with all that no run reads."""
    make(
        tmp_path,
        *("sweep.yaml", "old.jsonl", "deep/data/kept.txt", "deep/results/kept.txt"),
        *("data/x", "results/states/x", "reports/x", ".git/config", "deep/__pycache__/x.pyc"),
        *(".env", "key.pem", ".mypy_cache/x", "rewarm.egg-info/x", "env-of-mine/pyvenv.cfg"),
        *("env-of-mine/lib/x", "outcome/states/s/x", "outcome/sweeps/n/plan.json", "conda/x"),
        *("conda/conda-meta/x", "deep/ignored", "deep/also/x", "kept"),
    )
    (tmp_path / ".gitignore").write_text("ignored\n")
    (tmp_path / "deep/.rayignore").write_text("also/\n")
    return tmp_path


def test_what_no_run_reads_stays_here(working):
    assert set(sending.sent(working, sending.excludes(working))) == {
        *("sweep.yaml", "old.jsonl", "deep/data/kept.txt", "deep/results/kept.txt", "kept"),
        *(".gitignore", "deep/.rayignore"),
    }


def test_what_is_said_to_be_sent_is_what_ray_packs(working, tmp_path_factory):
    left_out = sending.excludes(working)
    package = tmp_path_factory.mktemp("package") / "package.zip"
    create_package(str(working), package, include_gitignore=True, excludes=left_out)
    with zipfile.ZipFile(package) as packed:
        files = {one.filename: one.file_size for one in packed.infolist() if not one.is_dir()}
    assert sending.sent(working, left_out) == files


def test_a_sweep_that_the_head_would_not_find_is_refused_before_anything_is_sent(folder, content):
    make(folder, "data/sweep.yaml", "data/old.jsonl")
    content["datasets"]["old"]["train"] = "data/old.jsonl"
    spec = parse(SweepSpec, content | {"token_storage": "tokens"})
    with pytest.raises(ConfigError) as refused:
        sending.check(spec, "data/sweep.yaml", folder, sending.excludes(folder))
    fields = [fault.split(":")[0] for fault in refused.value.faults]
    assert fields == ["storage", "token_storage", "SPEC", "datasets.old.train"]


def test_a_sweep_whose_files_are_sent_is_not_refused(folder, content):
    make(folder, "sweep.yaml")
    spec = parse(SweepSpec, content | {"storage": "s3://bucket/folder", "token_storage": "/tokens"})
    sending.check(spec, "sweep.yaml", folder, sending.excludes(folder))


def test_a_folder_larger_than_ray_takes_is_refused(folder, content):
    make(folder, "sweep.yaml")
    (folder / "large").mkdir()
    (folder / "large/file").touch()
    os.truncate(folder / "large/file", sending.GCS_STORAGE_MAX_SIZE)
    spec = parse(SweepSpec, content | {"storage": "/results"})
    with pytest.raises(ConfigError, match=r"the largest: large/ \(537 MB\)"):
        sending.check(spec, "sweep.yaml", folder, sending.excludes(folder))
    (folder / ".rayignore").write_text("large\n")
    sending.check(spec, "sweep.yaml", folder, sending.excludes(folder))


@pytest.mark.parametrize("given", [("--wait", "--stop"), ("--no-follow", "--wait")])
def test_two_ways_to_wait_are_refused(rewarm, sweep, given):
    done = rewarm("submit", sweep(), *given)
    assert done.returncode == 2
    assert done.stderr == f"refused: {' and '.join(given)}: got 2 of them; name one.\n"


def test_a_bad_sweep_is_refused_before_the_cluster_is_looked_for(rewarm, sweep):
    done = rewarm("submit", sweep(upstream={"dataset": "none"}), "--cluster", "none.yaml")
    assert done.returncode == 2
    assert "refused: upstream" in done.stderr
    assert "--cluster" not in done.stderr
