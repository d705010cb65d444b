"""Storage that only some machines of a cluster see, or may write: found before anything trains."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from cpt.records import ResultTree
from sweeps.cluster.checks import Findings, Verdict
from sweeps.spec import Resources
from sweeps.store import remote_tree

# Four nodes of Ray take a while to start beside other tests.
pytestmark = pytest.mark.timeout(300)

ONE_CPU = Resources(workers=1, cpus_per_worker=1)
REMEDY = (
    "mount one directory under that path on every machine, or name an object store, "
    "s3://BUCKET/FOLDER."
)


def may_mount() -> bool:
    """Whether a namespace of mounts can be had here."""
    if shutil.which("unshare") is None:
        return False
    mounts = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(mounts, capture_output=True, check=False).returncode == 0


# With Ray: a head without CPUs, 127.0.0.2 as it should be, 127.0.0.3 with another key of the object
# store and 127.0.0.4 with mounts of its own.


def start_node(
    folder: Path, address: str, own_address: str, *options: str, mounts: str = "true"
) -> subprocess.Popen[bytes]:
    """A node in a namespace of mounts of its own, into which `mounts` puts some first."""
    start = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--address={address}",
        f"--node-ip-address={own_address}", "--object-store-memory=80000000",
        "--min-worker-port=0", "--max-worker-port=0", *options,
    ]  # fmt: skip
    with (folder / "apart.log").open("a") as log:
        return subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh", *start],
            stdout=log,
            stderr=log,
        )


@pytest.fixture(scope="module")
def nodes() -> Iterator[SimpleNamespace]:
    import ray
    from ray.cluster_utils import Cluster

    if not may_mount():
        pytest.skip("this machine forbids mount namespaces")
    folder = Path(tempfile.mkdtemp(prefix="rw-", dir="/tmp"))
    for name in ("seen", "hidden", "replaced", "read_only"):
        (folder / name).mkdir()
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_TMPDIR", str(folder / "ray"))
    patch.delenv("RAY_ADDRESS", raising=False)
    patch.setenv("AWS_ACCESS_KEY_ID", "some-key-id")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "some-secret")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patch.setenv("REWARM_CACHE", str(folder / "cache"))
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    apart = None
    try:
        good = cluster.add_node(node_ip_address="127.0.0.2", wait=False)
        cluster.add_node(
            node_ip_address="127.0.0.3", env_vars={"AWS_ACCESS_KEY_ID": "another"}, wait=False
        )
        mounts = (
            f"mount -t tmpfs none {folder}/hidden && mount -t tmpfs none {folder}/replaced && "
            f"mount --bind {folder}/read_only {folder}/read_only && "
            f"mount -o remount,bind,ro {folder}/read_only"
        )
        apart = start_node(folder, cluster.address, "127.0.0.4", "--num-cpus=1", mounts=mounts)
        cluster.connect()
        until = time.monotonic() + 100
        while len([node for node in ray.nodes() if node["Alive"]]) < 4:
            assert time.monotonic() < until, (folder / "apart.log").read_text()
            time.sleep(0.05)
        yield SimpleNamespace(folder=folder, cluster=cluster, good=good)
    finally:
        if apart is not None:
            apart.terminate()
            apart.wait()
        ray.shutdown()
        cluster.shutdown()
        patch.undo()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.ray
@pytest.mark.slow
def test_a_directory_that_all_see_is_reached_and_left_as_it_was(nodes):
    from sweeps.cluster.reach import unreachable

    tree = ResultTree(nodes.folder / "seen")
    assert unreachable(tree, ONE_CPU) == []
    assert list(tree.storage.iterdir()) == []


@pytest.mark.ray
@pytest.mark.slow
def test_a_directory_that_one_node_does_not_see_is_told_with_its_address(nodes):
    from sweeps.cluster.reach import unreachable

    below, replaced = nodes.folder / "hidden" / "below", nodes.folder / "replaced"
    below.mkdir()
    assert unreachable(ResultTree(below), ONE_CPU) == [
        f"storage: got {below}, which 127.0.0.4 cannot use: it does not exist there; {REMEDY}"
    ]
    assert unreachable(ResultTree(replaced), ONE_CPU) == [
        f"storage: got {replaced}, which 127.0.0.4 cannot use: it is another storage there, "
        f"without what was just written; {REMEDY}"
    ]
    assert list(below.iterdir()) == list(replaced.iterdir()) == []


@pytest.mark.ray
@pytest.mark.slow
def test_a_directory_that_one_node_may_only_read_serves_for_tokens_alone(nodes):
    from sweeps.cluster.reach import unreachable

    seen, read_only = nodes.folder / "seen", nodes.folder / "read_only"
    assert unreachable(ResultTree(read_only), ONE_CPU) == [
        f"storage: got {read_only}, which 127.0.0.4 cannot use: it cannot be written there "
        "(Read-only file system); give it to the user that Ray runs as, and make room where it "
        "is full."
    ]
    assert unreachable(ResultTree(seen, str(read_only)), ONE_CPU) == []
    assert unreachable(ResultTree(seen, str(nodes.folder / "replaced")), ONE_CPU) == [
        f"token_storage: got {nodes.folder}/replaced, which 127.0.0.4 cannot use: it is another "
        f"storage there, without what was just written; {REMEDY}"
    ]
    assert list(read_only.iterdir()) == []


@pytest.mark.ray
@pytest.mark.slow
def test_an_object_store_that_refuses_the_key_of_one_node_is_told_with_its_address(nodes, s3):
    from sweeps.cluster.reach import unreachable

    tree = remote_tree(s3.uri("bucket", "results"))
    assert unreachable(tree, ONE_CPU) == []
    s3.key = "some-key-id"
    (sentence,) = unreachable(tree, ONE_CPU)
    assert sentence.startswith("storage: got s3://bucket/results?endpoint_override=127.0.0.1:")
    assert ", which 127.0.0.3 cannot use: s3://bucket/results/.reach-" in sentence
    assert "ACCESS_DENIED" in sentence
    assert sentence.endswith("the network, and the credentials in the environment.")
    s3.key = "a third one"
    (sentence,) = unreachable(tree, ONE_CPU)
    assert ", which this machine cannot use: s3://bucket/results/.reach-" in sentence


@pytest.mark.ray
@pytest.mark.slow
def test_a_node_that_hangs_is_told_and_holds_nobody_up_for_ever(nodes, monkeypatch):
    from sweeps.cluster import asking, reach

    # The others have a process by then.
    assert reach.unreachable(ResultTree(nodes.folder / "seen"), ONE_CPU) == []
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", 2.0)
    raylet = nodes.good.all_processes["raylet"][0].process
    raylet.send_signal(signal.SIGSTOP)
    try:
        (sentence,) = reach.unreachable(ResultTree(nodes.folder / "seen"), ONE_CPU)
    finally:
        raylet.send_signal(signal.SIGCONT)
    assert "which 127.0.0.2 cannot use: it gave no answer (none in 2 s); look" in sentence


@pytest.mark.ray
@pytest.mark.slow
def test_the_doctor_looks_at_every_node(nodes, folder, sweep, environment):
    below = nodes.folder / "hidden" / "below"
    below.mkdir(exist_ok=True)
    looked = subprocess.run(
        [sys.executable, "-m", "sweeps", "doctor", sweep(storage=str(below)), "--json",
         "--address", nodes.cluster.address],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (looked.returncode, looked.stderr) == (1, "")
    found = Findings.model_validate_json(looked.stdout)
    everywhere = {"head", "127.0.0.2", "127.0.0.3", "127.0.0.4"}
    assert set(found.machines) == everywhere
    for check in ("versions", "ray[default]", "shared memory"):
        assert {one.where for one in found.rows if one.check == check} == everywhere
    assert found.machines["127.0.0.3"].resources["CPU"] == 1
    assert [one.told for one in found.rows if one.verdict is Verdict.FAULT] == [
        f"storage: got {below}, which 127.0.0.4 cannot use: it does not exist there; {REMEDY}"
    ]
    told = {(one.check, one.where): one.told for one in found.rows}
    assert told["resources", "cluster"] == (
        "one state needs 1 worker with 1 CPU each; 3 states at once now"
    )
    assert told["disk", "storage"].startswith("checkpoints of 2 states come to 325 kB at most; ")


@pytest.mark.ray
@pytest.mark.slow
def test_a_cluster_of_another_ray_is_refused_in_a_sentence(nodes, folder, environment):
    from ray.experimental import internal_kv

    where = {"key": b"CLUSTER_METADATA", "namespace": b"cluster"}
    told = json.loads(internal_kv._internal_kv_get(**where))
    own = told["ray_version"]

    def put(version: str) -> None:
        value = json.dumps(told | {"ray_version": version}).encode()
        internal_kv._internal_kv_put(value=value, overwrite=True, **where)

    put("2.55.1")
    try:
        refused = subprocess.run(
            [sys.executable, "-m", "sweeps", "doctor", "--address", nodes.cluster.address],
            cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        put(own)
    assert refused.returncode == 2, refused.stderr
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"refused: --address: got {nodes.cluster.address}, which cannot be")
    assert "started with: Ray: 2.55.1" in line
    assert f"was started with: Ray: {own}" in line
    assert line.endswith("; install the cluster's versions here, or start it anew.")


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.slow
def test_the_first_node_that_holds_a_worker_is_waited_for(nodes):
    import ray

    from sweeps.cluster.reach import unreachable

    two = Resources(workers=1, cpus_per_worker=2)
    late = start_node(nodes.folder, nodes.cluster.address, "127.0.0.5", "--num-cpus=2")
    try:
        assert unreachable(ResultTree(nodes.folder / "seen"), two) == []
        assert "127.0.0.5" in {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
        below = nodes.folder / "hidden" / "below"
        assert unreachable(ResultTree(below), two) == []
    finally:
        late.terminate()
        late.wait()
