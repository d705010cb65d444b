"""cluster.yaml as Ray reads it."""

from pathlib import Path

import pytest
import yaml

CLUSTER = Path(__file__).parents[1] / "cluster.yaml"


@pytest.fixture(scope="module")
def cluster() -> dict:
    return yaml.safe_load(CLUSTER.read_text())


def test_rays_own_schema_accepts_it(cluster: dict) -> None:
    util = pytest.importorskip("ray.autoscaler._private.util")
    util.validate_config(util.prepare_config(cluster))


def test_its_image_has_the_pinned_ray(cluster: dict) -> None:
    constraints = (CLUSTER.parent / "constraints.txt").read_text().splitlines()
    ray = next(line.removeprefix("ray==") for line in constraints if line.startswith("ray=="))
    assert cluster["docker"]["image"] == f"rayproject/ray:{ray}-py311-gpu"


def test_the_head_is_on_demand_and_the_workers_are_spot(cluster: dict) -> None:
    types = cluster["available_node_types"]
    assert "InstanceMarketOptions" not in types[cluster["head_node_type"]]["node_config"]
    spot = types["spot_gpu"]["node_config"]["InstanceMarketOptions"]
    assert spot == {"MarketType": "spot"}
    assert types["spot_gpu"]["min_workers"] == 0


def test_every_worker_watches_for_its_notice_and_the_head_does_not(cluster: dict) -> None:
    start, watch = cluster["worker_start_ray_commands"][-2:]
    assert "ray start" in start
    assert "; nohup python -m sweeps.spotwatch --address $RAY_HEAD_IP:6379 >> " in watch
    assert watch.endswith("2>&1 < /dev/null &")
    assert not any("spotwatch" in command for command in cluster["head_start_ray_commands"])


def test_every_node_asks_for_the_same_token(cluster: dict) -> None:
    assert "--env RAY_AUTH_MODE=token" in cluster["docker"]["run_options"]
    assert cluster["file_mounts"]["/home/ray/.ray/auth_token"] == "~/.ray/auth_token"
