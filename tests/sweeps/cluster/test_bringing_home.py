"""The report of a sweep on object storage comes home with this machine's keys, or is named."""

import pytest

from cpt.mirror import Mirror
from cpt.parsing import parse
from sweeps.cluster.bringing_home import NotHomeError, bring_home
from sweeps.cluster.launcher_file import ClusterFile
from sweeps.spec import SweepSpec
from sweeps.store import remote_tree

pytest.importorskip("pyarrow", reason="pyarrow, which reads object storage, is not installed")


@pytest.fixture
def cluster(tmp_path):
    """Never asked: the report lies on object storage."""
    return ClusterFile(tmp_path / "cluster.yaml", "cluster", {})


def test_the_report_of_a_sweep_on_object_storage_comes_home(
    s3, cluster, content, tmp_path, monkeypatch
):
    spec = parse(SweepSpec, content | {"storage": s3.uri("bucket", "results")})
    home = tmp_path / "home"
    assert bring_home(cluster, spec, home) is None
    assert not home.exists()
    there = remote_tree(spec.storage)
    sweep = there.sweep("tiny")
    sweep.path.mkdir(parents=True)
    for file in (sweep.report, sweep.trials):
        file.write_text(file.name)
    Mirror.of(there).send(sweep.report, sweep.trials)
    # Another machine than the one that wrote them.
    monkeypatch.setenv("REWARM_CACHE", str(tmp_path / "laptop"))
    assert bring_home(cluster, spec, home) == home / "report.html"
    assert {file.name: file.read_text() for file in home.iterdir()} == {
        "report.html": "report.html",
        "trials.csv": "trials.csv",
    }


def test_a_machine_that_may_not_read_there_is_told_where_the_report_lies(
    s3, cluster, content, tmp_path
):
    from moto.core import set_initial_no_auth_action_count

    spec = parse(SweepSpec, content | {"storage": s3.uri("bucket", "results")})
    # From now on the server asks whose keys these are: nobody's.
    unknown = set_initial_no_auth_action_count(0)(bring_home)
    with pytest.raises(NotHomeError) as refused:
        unknown(cluster, spec, tmp_path / "home")
    uri = s3.uri("bucket", "results").partition("&")[0]
    assert str(refused.value).startswith(f"this machine cannot read {uri} (")
    assert str(refused.value).endswith(f"rewarm report '{uri}/sweeps/tiny'")
