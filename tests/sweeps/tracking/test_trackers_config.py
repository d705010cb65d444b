"""What a sweep file may ask of trackers, what is refused, and that no state depends on it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cpt.parsing import ConfigError, parse
from sweeps.running import run_sweep
from sweeps.spec import SweepSpec
from sweeps.trackers_config import Trackers
from sweeps.tracking.possible import tracker_faults

REFUSED = 2
ALL = {
    "tensorboard": {},
    "mlflow": {"tracking_uri": "http://localhost:5000", "experiment": "some"},
    "wandb": {"project": "some", "mode": "offline"},
}


def faults_of(content: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        parse(Trackers, content)
    return refused.value.faults


@pytest.mark.parametrize(
    "uri",
    [
        "http://localhost:5000",
        "https://mlflow.example.org/team",
        "sqlite:////data/mlflow.db",
        "postgresql+psycopg2://user@host/db",
        "databricks",
        "databricks://profile",
    ],
)
def test_what_mlflow_opens_may_be_asked_for(uri):
    mlflow = parse(Trackers, {"mlflow": {"tracking_uri": uri}}).mlflow
    assert mlflow is not None
    assert mlflow.tracking_uri == uri


@pytest.mark.parametrize("uri", ["mlruns", "ftp://host", "localhost:5000", "http", "file:///runs"])
def test_what_mlflow_does_not_open_is_refused(uri):
    (fault,) = faults_of({"mlflow": {"tracking_uri": uri}})
    assert fault.startswith(f"mlflow.tracking_uri: got {uri!r}; must be the URI of an MLflow")


def test_an_unknown_tracker_a_missing_field_and_a_wrong_word_are_refused():
    assert faults_of({"mlfow": {}})[0].startswith("mlfow")
    assert faults_of({"mlflow": {}})[0].startswith("mlflow.tracking_uri is missing")
    assert "wandb.mode: got 'ofline'" in faults_of({"wandb": {"project": "x", "mode": "ofline"}})[0]
    (fault,) = faults_of({"tensorboard": {"dir": "s3://bucket/runs"}})
    assert fault == (
        "tensorboard.dir: got 's3://bucket/runs'; must be a directory: what trackers write to it "
        "is appended."
    )


@pytest.mark.parametrize(
    "uri",
    [
        "https://user:hush@host/team",
        "https://hush@host",
        "postgresql://me:hush@host/db",
        "https://host/?token=hush",
        "ftp://user:hush@host",
    ],
)
def test_a_secret_in_a_tracking_uri_is_refused_and_not_shown(rewarm, sweep, uri):
    refused = rewarm("plan", sweep(trackers={"mlflow": {"tracking_uri": uri}}))
    assert refused.returncode == REFUSED
    assert "trackers.mlflow.tracking_uri: got " in refused.stderr
    assert "MLFLOW_TRACKING_TOKEN" in refused.stderr
    assert "hush" not in refused.stderr + refused.stdout


def test_trackers_enter_no_name(plan_of):
    with_trackers = plan_of(trackers=ALL)
    assert with_trackers.spec.trackers.wanted == ("tensorboard", "mlflow", "wandb")
    assert list(with_trackers.states) == list(plan_of().states)
    assert with_trackers.to_json() == plan_of().to_json()


# before anything starts.


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that alone is searched for packages, beside what is imported already."""
    for name in ("mlflow", "wandb", "tensorboardX"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return tmp_path


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("tensorboard", "tensorboardX", "sweep"), *[(name,) * 3 for name in ("mlflow", "wandb")]],
)
def test_a_package_that_is_not_installed_is_refused(
    content, only, monkeypatch, name, package, extra
):
    monkeypatch.chdir(only)
    spec = parse(SweepSpec, content | {"trackers": {name: ALL[name]}})
    with pytest.raises(ConfigError) as refused:
        run_sweep(spec, "", None, retry_failed=False)
    assert refused.value.faults == (
        f"trackers.{name}: needs {package}, which is not installed: pip install "
        f"'rewarm[{extra}]', or leave it out.",
    )
    assert list(only.iterdir()) == []


def test_a_folder_that_is_called_like_a_package_is_none(only):
    # W&B makes a folder of its name wherever it is run.
    (only / "wandb").mkdir()
    (fault,) = tracker_faults(parse(Trackers, {"wandb": ALL["wandb"]}))
    assert "needs wandb, which is not installed" in fault


def test_an_online_run_of_wandb_needs_its_key_in_the_environment(monkeypatch):
    online = parse(Trackers, {"wandb": {"project": "some"}})
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert list(tracker_faults(online)) == []
    monkeypatch.delenv("WANDB_API_KEY")
    assert list(tracker_faults(online)) == [
        "trackers.wandb: got mode online, but WANDB_API_KEY is not set; set it in the environment "
        "of this command, or choose mode: offline."
    ]
    assert list(tracker_faults(parse(Trackers, ALL))) == []


def test_whoever_asks_for_no_tracker_imports_none():
    code = (
        "import sys, sweeps.__main__, sweeps.running\n"
        "print(sorted({'mlflow', 'wandb', 'tensorboardX', 'ray', 'torch'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "[]\n"
