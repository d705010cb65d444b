"""Ray's launcher file: what is wrong with one is said in a sentence that names the field."""

from pathlib import Path

import pytest

from cpt.parsing import ConfigError
from sweeps.cluster.launcher_file import read_cluster

GOOD = """\
cluster_name: lab
provider: {type: local, head_ip: 10.0.0.1, worker_ips: []}
auth: {ssh_user: ubuntu}
"""


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        read_cluster(path)
    assert len(refused.value.faults) == 1
    return refused.value.faults[0]


def test_a_good_file_tells_its_cluster(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text(GOOD)
    cluster = read_cluster(path)
    assert (cluster.name, cluster.dashboard_port) == ("lab", 8265)


@pytest.mark.parametrize("given", ["--dashboard-port=9000", "--dashboard-port 9000"])
def test_another_port_of_the_dashboard_is_read_where_ray_is_started(tmp_path, given):
    path = tmp_path / "cluster.yaml"
    path.write_text(f"{GOOD}head_start_ray_commands: [ray stop, ray start --head {given}]\n")
    assert read_cluster(path).dashboard_port == 9000


def test_a_missing_file_is_refused(tmp_path):
    assert "is not a file; name the one that `ray up` was given." in refusal(tmp_path / "no.yaml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1", "is not valid YAML: expected ',' or ']', but got '<stream end>' (line 1,"),
        ("- a", "holds ['a']; must be the fields of Ray's cluster launcher."),
        ("a: !!python/object:b 1", "is not valid YAML: could not determine a constructor"),
        ("cluster_name: lab", "provider: got nothing; must be a mapping with a type"),
        ("apiVersion: ray.io/v1", "this is a manifest of Kubernetes"),
        (GOOD.replace("local", "amazon"), "provider.type: got 'amazon'; must be one that Ray's"),
        (GOOD.replace("local", "awz"), "did you mean 'aws'?"),
        (GOOD.replace("type: local", "type: [local]"), "provider.type: got ['local']; must"),
        (GOOD.replace("lab", "3"), "cluster_name: got 3; must be text"),
        (GOOD.replace("head_ip: 10.0.0.1, ", ""), "Ray refuses it: Please supply a `head_ip`"),
        (GOOD.replace("ssh_user", "ssh_usr"), "auth: Ray refuses it: Additional properties"),
        (GOOD.replace("auth: {ssh_user: ubuntu}", ""), "auth.ssh_user is missing; name the user"),
        (f"{GOOD}max_workers: many", "max_workers: Ray refuses it: 'many' is not of type"),
        (f"{GOOD}workers: 3", "Ray refuses it: Additional properties are not allowed ('workers'"),
        (f"{GOOD}docker: {{image: ray}}", "Ray refuses it: Must provide a container & image name"),
    ],
)
def test_a_bad_file_is_refused_in_a_sentence(tmp_path, text, told):
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    sentence = refusal(path)
    assert sentence.startswith(str(path))
    assert told in sentence
    assert sentence.endswith((".", "?"))
    assert "\n" not in sentence


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_bytes(b"\xff\xfe")
    assert "is not UTF-8 text" in refusal(path)
