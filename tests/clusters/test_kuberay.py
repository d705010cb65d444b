"""clusters/kuberay.yaml, by Ray's own reading of what KubeRay is given."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "clusters" / "kuberay.yaml"


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text())


def containers(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    spec = cluster["spec"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    return [one for group in groups for one in group["template"]["spec"]["containers"]]


def test_rays_autoscaler_reads_it_and_starts_from_no_worker(cluster: dict[str, Any]) -> None:
    module = pytest.importorskip("ray.autoscaler._private.kuberay.autoscaling_config")
    config = module._derive_autoscaling_config_from_ray_cr(cluster)
    types = config["available_node_types"]
    head = types.pop(config["head_node_type"])["resources"]
    assert (head["CPU"], head["driver"]) == (0, 16)
    found = {name: (one["min_workers"], one["resources"]["GPU"]) for name, one in types.items()}
    assert found == {"spot-l4": (0, 1), "on-demand-l4": (0, 1)}
    assert not any("driver" in one["resources"] for one in types.values())
    assert types["spot-l4"]["priority"] > types["on-demand-l4"]["priority"]


def test_its_ray_is_the_pinned_one_and_all_containers_have_one_image(
    cluster: dict[str, Any],
) -> None:
    constraints = (ROOT / "constraints.txt").read_text()
    (ray,) = re.findall(r"^ray==(.+)$", constraints, re.MULTILINE)
    assert cluster["spec"]["rayVersion"] == ray
    assert len({one["image"] for one in containers(cluster)}) == 1
    dockerfile = (ROOT / "clusters" / "Dockerfile").read_text()
    assert f"FROM rayproject/ray:{ray}-py311-gpu\n" in dockerfile
    assert "--constraint /home/ray/rewarm/constraints.txt" in dockerfile


def test_its_token_comes_from_a_secret(cluster: dict[str, Any]) -> None:
    told = {"mode": "token", "secretName": "rewarm-token"}
    assert cluster["spec"]["authOptions"] == told
    assert "RAY_AUTH_TOKEN" not in FILE.read_text()
    assert "create secret generic rewarm-token" in FILE.read_text()


def test_a_pod_that_ends_drains_its_node_within_its_grace(cluster: dict[str, Any]) -> None:
    for group in cluster["spec"]["workerGroupSpecs"]:
        pod = group["template"]["spec"]
        command = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        (seconds,) = re.findall(r"--at-once (\d+)$", command[-1])
        assert command[:2] == ["bash", "-c"]
        assert int(seconds) < pod["terminationGracePeriodSeconds"]
