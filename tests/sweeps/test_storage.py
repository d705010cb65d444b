"""Sweeps on object storage: every command reads there what it reads in a directory."""

from pathlib import Path

import pytest
import torch
from tenacity import stop_after_attempt, wait_fixed
from typer.testing import CliRunner, Result

from cpt import retries
from cpt.files import read_json
from cpt.mirror import Mirror
from cpt.object_store import ObjectStore
from cpt.parsing import ConfigError
from cpt.records import ResultTree, Status, StatusWord
from cpt.token_store import StoreError
from cpt.train import train
from sweeps import following
from sweeps.__main__ import app
from sweeps.prepare import prepare, write_plan
from sweeps.store import tree_of
from sweeps.sweep_file import load
from sweeps.targets import state_at, sweep_at, target_of


def rewarm(*arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    if isinstance(result.exception, ConfigError):
        raise result.exception
    return result


def send(folder: Path, store: ObjectStore) -> None:
    """Copies a result tree there as a person would."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "tokens" not in path.parts:
            store.send(path, path.relative_to(folder).as_posix())


@pytest.fixture
def near(folder, sweep, monkeypatch) -> ResultTree:
    """A finished sweep in a directory."""
    monkeypatch.chdir(folder)
    spec, submitted = load(Path(sweep()))
    tree = tree_of(spec)
    plan = prepare(spec, tree, lambda text: None)
    write_plan(plan, submitted, tree)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for state in plan.states.values():
        train(state.config, tree)
    torch.set_num_threads(threads)
    return tree


@pytest.fixture
def uri(s3, near) -> str:
    """The same on object storage."""
    uri = str(s3.uri("bucket", "some/results"))
    send(near.storage, ObjectStore(uri))
    return uri


def inside(uri: str, name: str) -> str:
    path, _, options = uri.partition("?")
    return f"{path}/{name}?{options}"


def last_state(tree: ResultTree) -> str:
    return str(read_json(tree.sweep("tiny").plan)["trials"][0]["states"][-1])


@pytest.mark.slow
def test_all_that_reads_says_the_same(uri, s3, near, sweep, folder) -> None:
    sweep(storage=uri)
    there = inside(uri, "sweeps/tiny")
    status = rewarm("status", str(near.sweep("tiny").path)).stdout
    assert "2 complete" in status
    assert rewarm("status", there).stdout == rewarm("status", "sweep.yaml").stdout == status
    assert s3.read("__0_0.distcp") == []
    told = rewarm("plan", "sweep.yaml")
    assert "nothing is left to train" in told.stdout

    rewarm("report", str(near.sweep("tiny").path))
    reported = rewarm("report", there)
    assert reported.exit_code == 0
    store = ObjectStore(uri)
    assert store.read("sweeps/tiny/trials.csv") == near.sweep("tiny").trials.read_bytes()
    assert store.read("sweeps/tiny/report.html") == near.sweep("tiny").report.read_bytes()

    name = last_state(near)
    assert rewarm("export", str(near.state(name).path), "near-model").exit_code == 0
    assert rewarm("export", inside(uri, f"states/{name}"), "far-model").exit_code == 0
    models = [
        (folder / f"{one}-model" / "model.safetensors").read_bytes() for one in ("near", "far")
    ]
    assert models[0] == models[1]


@pytest.mark.slow
def test_what_changed_there_is_seen(uri, near) -> None:
    name = last_state(near)
    place = sweep_at(inside(uri, "sweeps/tiny"))
    state = place.tree.state(name)
    assert state.read_status() == Status(status=StatusWord.COMPLETE, step=6)
    store = ObjectStore(uri)
    store.remove_folder(f"states/{name}/checkpoints")
    sweep_at(inside(uri, "sweeps/tiny"))
    assert state.marked_steps() == []
    shown = " ".join(rewarm("status", inside(uri, "sweeps/tiny")).stdout.split())
    assert "1 complete, 1 damaged" in shown


@pytest.mark.long
def test_a_driver_waits_out_what_passes_and_nothing_else(s3, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(retries.patiently, "stop", stop_after_attempt(1))
    monkeypatch.setattr(following.patiently, "wait", wait_fixed(0))
    tree = ResultTree(tmp_path / "here", remote=s3.uri("bucket", "some/results"))
    s3.failures = 14  # pyarrow's client gives up after eleven
    following.patiently(Mirror.of(tree).fetch_states, ["a"])
    assert s3.failures == 0
    nowhere = ResultTree(tmp_path / "nowhere", remote=s3.uri("nowhere", "results"))
    with pytest.raises(StoreError, match="NO_SUCH_BUCKET"):
        following.patiently(Mirror.of(nowhere).fetch_states, ["a"])


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        (
            "s3://bucket/some/results",
            "'s3://bucket/some/results': must end in sweeps/NAME or states/ID, below the storage "
            "of a sweep.",
        ),
        ("s5://bucket/sweeps/a", "'s5://bucket/sweeps/a': must be a directory, or a URI of a"),
    ],
)
def test_what_is_no_place_is_refused(target: str, fault: str) -> None:
    for command in (target_of, sweep_at, state_at):
        with pytest.raises(ConfigError) as refusal:
            command(target)
        assert refusal.value.faults[0].startswith(fault)


def test_a_sweep_or_state_that_is_not_there_is_refused(s3) -> None:
    uri = s3.uri("bucket", "some/results")
    with pytest.raises(
        ConfigError, match=r"^s3://bucket/some/results/sweeps/a/plan.json\S+ does not"
    ):
        sweep_at(inside(uri, "sweeps/a"))
    with pytest.raises(ConfigError, match=r"^s3://\S+results/states/a\S+ is no state; rewarm"):
        state_at(inside(uri, "states/a"))
    with pytest.raises(ConfigError, match="must end in states/ID, below the storage of a sweep"):
        state_at(inside(uri, "sweeps/a"))
