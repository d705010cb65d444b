"""The files of Ray's launcher, as Ray reads them and as a shell reads their commands."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
AWS, GCP = ROOT / "cluster.yaml", ROOT / "clusters" / "gcp.yaml"
both = pytest.mark.parametrize("path", [AWS, GCP], ids=["aws", "gcp"])
COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def pinned(name: str) -> str:
    """The version of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{name}=="))


def workers(cluster: dict[str, Any]) -> dict[str, dict[str, Any]]:
    head = cluster["head_node_type"]
    return {name: one for name, one in cluster["available_node_types"].items() if name != head}


def commands(cluster: dict[str, Any]) -> list[str]:
    """Every shell command of a launcher file, as Ray sends it: `ray up` exports before it."""
    everywhere = [command for field in COMMANDS for command in cluster[field]]
    own = [
        command
        for one in cluster["available_node_types"].values()
        for command in one.get("initialization_commands", ())
    ]
    return [f"export RAY_HEAD_IP=10.0.0.1; {command}" for command in everywhere + own]


@both
def test_rays_own_schema_accepts_it(path: Path) -> None:
    util = pytest.importorskip("ray.autoscaler._private.util")
    util.validate_config(util.prepare_config(read(path)))


@both
def test_its_images_have_the_pinned_ray_and_python(path: Path) -> None:
    docker = read(path)["docker"]
    image = f"rayproject/ray:{pinned('ray')}-py311"
    assert (docker["head_image"], docker["worker_image"]) == (f"{image}-cpu", f"{image}-gpu")


@both
def test_the_head_trains_nothing_and_alone_has_room_for_drivers(path: Path) -> None:
    cluster = read(path)
    head = cluster["available_node_types"][cluster["head_node_type"]]
    assert head["resources"] == {"CPU": 0, "driver": 16}
    assert head["max_workers"] == 0
    assert not any("driver" in one["resources"] for one in workers(cluster).values())


@both
def test_it_starts_from_no_worker_and_says_what_each_kind_has(path: Path) -> None:
    for name, one in workers(read(path)).items():
        assert one["min_workers"] == 0, name
        assert set(one["resources"]) == {"CPU", "GPU"}, name
        assert min(one["resources"].values()) >= 1, name


@both
def test_every_worker_watches_for_its_notice_and_the_head_does_not(path: Path) -> None:
    cluster = read(path)
    start, watch = cluster["worker_start_ray_commands"][-2:]
    assert "ray start" in start
    assert "; nohup python -m sweeps.spotwatch --address $RAY_HEAD_IP:6379 >> " in watch
    assert watch.endswith("2>&1 < /dev/null &")
    assert not any("spotwatch" in command for command in cluster["head_start_ray_commands"])


@both
def test_every_node_asks_for_the_same_token_and_the_file_holds_none(path: Path) -> None:
    cluster = read(path)
    assert "--env RAY_AUTH_MODE=token" in cluster["docker"]["run_options"]
    assert cluster["file_mounts"]["/home/ray/.ray/auth_token"] == "~/.ray/auth_token"
    assert "RAY_AUTH_TOKEN" not in path.read_text()


@both
def test_the_token_becomes_its_users_alone(path: Path, tmp_path: Path) -> None:
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("a token")
    token.chmod(0o644)
    about_it = [one for one in read(path)["setup_commands"] if "auth_token" in one]
    for command in about_it:
        subprocess.run(["bash", "-c", command], check=True, env={"HOME": str(tmp_path)})
    assert token.stat().st_mode & 0o777 == 0o600


@both
def test_results_and_secrets_of_this_folder_stay_here(path: Path) -> None:
    cluster = read(path)
    kept = {".git", ".venv", "results", "reports", "data", ".env", "*.pem"}
    assert kept <= set(cluster["rsync_exclude"])
    assert cluster["rsync_filter"] == [".gitignore"]
    not_in_the_image = (ROOT / "clusters" / "Dockerfile.dockerignore").read_text().split()
    assert {one.replace("*.pem", "**/*.pem") for one in kept} <= set(not_in_the_image)


@both
def test_a_shell_reads_every_command(path: Path) -> None:
    for command in commands(read(path)):
        checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True)
        assert checked.returncode == 0, f"{command}\n{checked.stderr}"


@both
def test_ray_start_knows_the_options_it_is_given(path: Path) -> None:
    scripts = pytest.importorskip("ray.scripts.scripts")
    known = {option for parameter in scripts.start.params for option in parameter.opts}
    starts = [command for command in commands(read(path)) if "ray start" in command]
    assert len(starts) == 2
    for command in starts:
        given = set(re.findall(r"(?<=\s)--[a-z-]+", command.partition("ray start")[2]))
        assert given <= known


@both
def test_the_dashboard_listens_on_loopback_alone(path: Path) -> None:
    (start,) = (one for one in read(path)["head_start_ray_commands"] if "ray start" in one)
    assert "--dashboard-host=127.0.0.1" in start.split()


@both
def test_what_is_installed_is_pinned(path: Path) -> None:
    installs = [command for command in commands(read(path)) if "pip install" in command]
    assert installs
    for command in installs:
        assert "--constraint /home/ray/rewarm/constraints.txt" in command


def test_the_autoscaler_of_aws_is_the_one_that_can_be_told_what_it_prefers() -> None:
    """After what `ray up` itself exports, which asks for the other."""
    (start,) = (one for one in read(AWS)["head_start_ray_commands"] if "ray start" in one)
    shown = "export RAY_enable_autoscaler_v2=1; " + start.replace("ray start", "env; true")
    env = subprocess.run(
        ["bash", "-c", shown],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
    ).stdout.splitlines()
    constants = pytest.importorskip("ray.autoscaler._private.constants")
    assert "RAY_enable_autoscaler_v2=0" in env
    assert f"{constants.AUTOSCALER_UTILIZATION_SCORER_KEY}=sweeps.cluster.fallback.score" in env
