"""clusters/local.yaml as Ray reads it."""

import copy
import os
import subprocess
from pathlib import Path

import pytest

from tests.cluster.launched import FILE, read

pytest.importorskip("ray.autoscaler", reason="Ray, which reads it, is not there")


@pytest.fixture(scope="module")
def cluster() -> dict:
    return read()


def started(cluster: dict, kind: str) -> str:
    """The command that starts Ray on the head, or on a worker."""
    (line,) = [line for line in cluster[f"{kind}_start_ray_commands"] if "ray start" in line]
    return line


def test_rays_own_schema_accepts_it_and_changes_nothing(cluster: dict):
    from ray.autoscaler._private import util

    prepared = util.prepare_config(copy.deepcopy(cluster))
    util.validate_config(prepared)
    kinds = prepared["available_node_types"]
    assert kinds == cluster["available_node_types"]
    number = len(cluster["provider"]["worker_ips"])
    (worker,) = [kind for name, kind in kinds.items() if name != cluster["head_node_type"]]
    assert worker["min_workers"] == worker["max_workers"] == cluster["max_workers"] == number


def test_nothing_trains_on_the_head_and_drivers_stay_there(cluster: dict):
    assert "--num-cpus=0 --num-gpus=0 --resources='{\"driver\":16}'" in started(cluster, "head")
    assert cluster["available_node_types"]["head"]["resources"] == {"CPU": 0, "driver": 16}
    assert "driver" not in started(cluster, "worker")


def test_every_machine_asks_for_the_same_token_and_the_dashboard_is_on_the_loopback(cluster: dict):
    assert cluster["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    for kind in ("head", "worker"):
        before, _, _ = started(cluster, kind).partition("ray start")
        assert "export RAY_AUTH_MODE=token" in before
    assert "--dashboard-host=127.0.0.1" in started(cluster, "head")


# Ray leaves to Python to close the file.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_rays_provider_finds_the_head_in_what_it_writes_down_and_no_worker(
    cluster: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As its autoscaler does on the head: 2.60 gives up workers where it does not find it."""
    from ray.autoscaler._private.local.node_provider import LocalNodeProvider

    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (note,) = [line for line in cluster["head_start_ray_commands"] if ".state" in line]
    head = cluster["provider"]["head_ip"]
    subprocess.run(
        ["bash", "-c", note.replace("/tmp/ray", f"{tmp_path}/ray")],
        env=os.environ | {"RAY_CLOUD_INSTANCE_ID": head}, check=True,
    )  # fmt: skip
    provider = LocalNodeProvider(cluster["provider"], cluster["cluster_name"])
    assert provider.non_terminated_nodes({}) == [head]
    assert provider.node_tags(head)["ray-user-node-type"] == cluster["head_node_type"]


def test_packages_come_in_the_versions_of_the_constraints(cluster: dict):
    assert cluster["head_setup_commands"] == cluster["worker_setup_commands"]
    (install,) = [line for line in cluster["head_setup_commands"] if " pip install " in line]
    assert "--constraint ~/rewarm/constraints.txt" in install
    assert install.endswith('"$HOME/rewarm[sweep]"')
    assert (FILE.parents[1] / "constraints.txt").exists()
