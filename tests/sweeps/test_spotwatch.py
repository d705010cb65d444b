"""A notice becomes a drain: both clouds' services on loopback, and a real Ray cluster."""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sweeps.metadata import Aws, Gcp, MetadataError, service
from sweeps.notices import Notice, OddAnswerError, aws_notice, gcp_notice
from sweeps.spotwatch import LONGEST_WAIT_SECONDS, ClusterUnreachableError, Watch

REPOSITORY = Path(__file__).parents[2]
TAKEN_AT = "2030-09-18T08:22:00Z"
TAKEN_AT_SECONDS = 1_915_950_120


class Cloud:
    """The metadata services of AWS and GCP, one of them at a time.

    Attributes:
        document: What AWS answers for `spot/instance-action`; None: 404.
        preempted: What GCP answers.
        tokens: Those that AWS handed out and still takes.
        failure: A status that everything is answered with.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.document: str | None = None
        self.preempted = "FALSE"
        self.tokens: list[str] = []
        self.handed_out = 0
        self.failure: int | None = None
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(*cloud.get(self.path, self.headers))

            def do_PUT(self) -> None:
                self._answer(*cloud.put(self.path, self.headers))

            def _answer(self, status: int, text: str) -> None:
                self.send_response(status)
                if cloud.name == "gcp":
                    self.send_header("Metadata-Flavor", "Google")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def get(self, path: str, headers) -> tuple[int, str]:
        if self.failure:
            return self.failure, ""
        if self.name == "gcp":
            if headers["Metadata-Flavor"] != "Google":
                return 403, ""
            if path == "/computeMetadata/v1/instance/preempted":
                return 200, self.preempted
            return (200, "computeMetadata/") if path == "/" else (404, "")
        if headers["X-aws-ec2-metadata-token"] not in self.tokens:
            return 401, ""
        if path == "/latest/meta-data/spot/instance-action" and self.document is not None:
            return 200, self.document
        return 404, ""

    def put(self, path: str, headers) -> tuple[int, str]:
        if self.failure or self.name == "gcp" or path != "/latest/api/token":
            return self.failure or 405, ""
        if not 1 <= int(headers["X-aws-ec2-metadata-token-ttl-seconds"]) <= 21_600:
            return 400, ""
        self.handed_out += 1
        self.tokens.append(f"token-{self.handed_out}")
        return 200, self.tokens[-1]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def cloud() -> Iterator[Callable[[str], Cloud]]:
    started: list[Cloud] = []

    def start(name: str) -> Cloud:
        started.append(Cloud(name))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def action(what: str, when: str = TAKEN_AT) -> str:
    return json.dumps({"action": what, "time": when})


# What the clouds say.


def test_a_notice_of_aws_has_its_time_and_one_of_gcp_thirty_seconds():
    notice = aws_notice(action("terminate"))
    assert notice == Notice(
        deadline=TAKEN_AT_SECONDS, said="AWS: terminate at 2030-09-18T08:22:00Z"
    )
    assert gcp_notice("FALSE\n", 1000.0) is None
    assert gcp_notice("TRUE", 1000.0) == Notice(deadline=1030.0, said="GCP: preempted")


def test_a_deadline_that_has_passed_is_still_a_deadline():
    notice = Notice(deadline=1000.0, said="")
    assert [notice.seconds_left(now) for now in (900.5, 999.5, 1000.0, 2000.0)] == [99, 1, 1, 1]


@pytest.mark.parametrize(
    "document",
    ["", "<html>", "[]", "{}", '{"action": "stop"}', action("sell"), action("stop", "soon"),
     action("stop", "2030-09-18T08:22:00")],
)  # fmt: skip
def test_what_aws_does_not_say_is_no_notice(document: str):
    with pytest.raises(OddAnswerError, match="spot/instance-action is"):
        aws_notice(document)


def test_what_gcp_does_not_say_is_no_notice():
    with pytest.raises(OddAnswerError, match="'true', neither TRUE nor FALSE"):
        gcp_notice("true", 0.0)


# Their services.


def test_aws_says_nothing_before_its_notice(cloud):
    aws = cloud("aws")
    watched = Aws(aws.endpoint)
    assert [watched.notice(), watched.notice()] == [None, None]
    aws.document = action("hibernate")
    assert watched.notice().deadline == TAKEN_AT_SECONDS
    assert aws.handed_out == 1


def test_a_token_that_aws_no_longer_takes_is_renewed(cloud):
    aws = cloud("aws")
    watched = Aws(aws.endpoint)
    watched.notice()
    aws.tokens.clear()
    assert watched.notice() is None
    assert aws.handed_out == 2


def test_gcp_counts_from_its_last_no(cloud):
    gcp = cloud("gcp")
    watched = Gcp(gcp.endpoint)
    began = time.time()
    assert watched.notice() is None
    said_no = time.time()
    time.sleep(0.2)
    gcp.preempted = "TRUE"
    first = watched.notice()
    assert began + 30 <= first.deadline <= said_no + 30
    assert watched.notice() == first


@pytest.mark.parametrize(("name", "kind"), [("aws", Aws), ("gcp", Gcp)])
def test_auto_finds_the_cloud_that_answers(cloud, name: str, kind: type):
    assert type(service("auto", cloud(name).endpoint)) is kind


def test_no_service_and_one_that_refuses_are_trouble_in_words(cloud):
    aws = cloud("aws")
    aws.failure = 503
    for name in ("auto", "aws"):
        with pytest.raises(MetadataError, match="answered 503 for a token"):
            service(name, aws.endpoint).notice()
    gone = cloud("gcp")
    gone.stop()
    with pytest.raises(MetadataError, match="/computeMetadata/v1/instance/preempted does not answ"):
        service("gcp", gone.endpoint).notice()


# What the watcher does.


class Recorded:
    """A cluster of one node here, which may be out of reach; remembers what it drained."""

    def __init__(self) -> None:
        self.reachable, self.nodes, self.drained = True, {"n1"}, []

    def __call__(self, notice: Notice, already: frozenset[str]) -> frozenset[str]:
        if not self.reachable:
            raise ClusterUnreachableError("head does not answer")
        self.drained += sorted(self.nodes - already)
        return frozenset(self.nodes - already)


def test_a_node_is_drained_once_and_a_later_one_too(cloud):
    aws, cluster = cloud("aws"), Recorded()
    watch = Watch(lambda: service("auto", aws.endpoint), cluster, 5.0)
    assert [watch.look(), cluster.drained] == [5.0, []]
    aws.document = action("terminate")
    watch.look()
    watch.look()
    assert cluster.drained == ["n1"]
    cluster.nodes = {"n1", "n2"}
    watch.look()
    assert cluster.drained == ["n1", "n2"]


def test_a_cluster_out_of_reach_is_tried_again_at_every_look(cloud, caplog):
    aws, cluster = cloud("aws"), Recorded()
    aws.document = action("terminate")
    cluster.reachable = False
    watch = Watch(lambda: service("aws", aws.endpoint), cluster, 5.0)
    assert [watch.look(), watch.look()] == [5.0, 5.0]
    assert [record.message for record in caplog.records] == [
        "cannot drain, trying again: head does not answer"
    ]
    cluster.reachable = True
    watch.look()
    assert cluster.drained == ["n1"]


def test_trouble_is_said_once_and_asked_about_less_and_less_often(cloud, caplog):
    caplog.set_level(logging.WARNING, "spotwatch")
    aws = cloud("aws")
    watch = Watch(lambda: service("auto", aws.endpoint), Recorded(), 5.0)
    aws.failure = 500
    assert [watch.look() for _ in range(5)] == [10.0, 20.0, 40.0, LONGEST_WAIT_SECONDS, 60.0]
    assert len(caplog.records) == 1
    aws.failure = None
    assert watch.look() == 5.0
    aws.document = "<html>"
    assert watch.look() == 10.0
    assert len(caplog.records) == 2


def test_the_watcher_needs_no_ray_until_there_is_a_notice():
    code = "import sys, sweeps.spotwatch; sys.exit('ray' in sys.modules or 'torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


# On a cluster.


@pytest.fixture
def own_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ray's files of this test alone."""
    path = tempfile.mkdtemp(prefix="rw-", dir="/tmp")
    monkeypatch.setenv("RAY_TMPDIR", path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    yield
    shutil.rmtree(path, ignore_errors=True)


def _work() -> None:
    time.sleep(600)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
def test_a_notice_drains_the_ray_nodes_of_this_machine_and_no_other(own_ray, cloud, tmp_path):
    import ray
    from ray.cluster_utils import Cluster
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    aws = cloud("aws")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    log = tmp_path / "spotwatch.log"
    watcher = None
    try:
        here = cluster.add_node(node_ip_address="127.0.0.2")
        cluster.add_node(node_ip_address="127.0.0.3")
        cluster.connect()
        # A node on which nothing runs is gone as soon as it is drained.
        busy = NodeAffinitySchedulingStrategy(here.node_id, soft=False)
        ray.remote(_work).options(scheduling_strategy=busy).remote()
        while ray.available_resources().get("CPU") != 1:
            time.sleep(0.05)
        with log.open("w") as file:
            watcher = subprocess.Popen(
                [sys.executable, "-m", "sweeps.spotwatch", "--endpoint", aws.endpoint,
                 "--address", cluster.address, "--interval", "0.2", "--node-ip", "127.0.0.2"],
                cwd=REPOSITORY, env=os.environ | {"http_proxy": "http://127.0.0.1:9"},
                stdout=file, stderr=file,
            )  # fmt: skip
        while not aws.handed_out:
            assert watcher.poll() is None, log.read_text()
            time.sleep(0.05)
        draining = ray._private.state.state.get_draining_nodes
        assert draining() == {}
        deadline = int(time.time()) + 90
        aws.document = action("terminate", datetime.fromtimestamp(deadline, UTC).isoformat())
        while not (found := draining()):
            assert watcher.poll() is None, log.read_text()
            time.sleep(0.05)
        assert list(found) == [here.node_id]
        assert abs(found[here.node_id] - deadline * 1000) <= 1000
        time.sleep(1)
        assert watcher.poll() is None
        assert log.read_text().count("draining Ray node") == 1
        # And without a cloud, which asks nobody.
        subprocess.run(
            [sys.executable, "-m", "sweeps.spotwatch", "--address", cluster.address,
             "--node-ip", "127.0.0.3", "--at-once", "1"],
            cwd=REPOSITORY, check=True,
        )  # fmt: skip
        assert [node["NodeManagerAddress"] for node in ray.nodes() if not node["Alive"]] == [
            "127.0.0.3"
        ]
    finally:
        if watcher is not None:
            watcher.kill()
            watcher.wait()
        ray.shutdown()
        cluster.shutdown()
