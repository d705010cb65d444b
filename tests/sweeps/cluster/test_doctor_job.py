"""`rewarm doctor --cluster FILE`: what a job on the head says, and this machine beside it."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cpt.parsing import ConfigError
from sweeps.cluster.checks import Findings, Row, Verdict
from sweeps.cluster.doctor_job import compared, read_log
from sweeps.cluster.machine_facts import Disk, Machine, RayToken

FINDINGS = Findings(
    rows=(Row(check="token", where="head", verdict=Verdict.OK, told="{in braces}"),), machines={}
)


def test_findings_are_read_between_what_ray_says_in_the_log():
    said = FINDINGS.model_dump_json(indent=2)
    log = f"INFO -- Running entrypoint for job x: {{}}\n{said}\n{{'a': 1}}\n"
    assert read_log(log) == FINDINGS


def test_a_refusal_on_the_head_is_one_here():
    with pytest.raises(ConfigError, match=r"^on the head: datasets\.old: there is no such file\.$"):
        read_log("INFO -- Running\nrefused: datasets.old: there is no such file.\n")


def test_a_head_without_rewarm_is_a_fault():
    (row,) = read_log("INFO -- Running\npython: No module named sweeps\n\n").rows
    assert (row.where, row.verdict) == ("head", Verdict.FAULT)
    assert row.told.startswith(
        "rewarm doctor did not run there (python: No module named sweeps); install the same rewarm"
    )


def machine(torch: str | None, ray: str, digest: str) -> Machine:
    versions = {"rewarm": "0.1.0+aaaa", "ray": ray, "python": "3.11"}
    return Machine(
        versions=versions if torch is None else versions | {"torch": torch},
        resources={},
        token=RayToken(mode="token", digest=digest),
        cache=Disk(path="/cache", free=1, total=1),
    )


def test_a_laptop_needs_the_versions_and_the_token_of_the_head_but_no_torch():
    head = machine("2.13.0+cu128", "2.60.0", "d1")
    assert list(compared(machine(None, "2.60.0", "d1"), head)) == []
    assert [(row.check, row.where, row.verdict, row.told) for row in compared(
        machine("2.13.0+cpu", "2.59.0", "d2"), head
    )] == [
        ("versions", "this machine", Verdict.FAULT,
         "ray: is 2.59.0 on this machine, but on the head it is 2.60.0; install the versions of "
         "constraints.txt in both places."),
        ("token", "this machine", Verdict.FAULT,
         "it is not that of the head; give both the same ~/.ray/auth_token."),
    ]  # fmt: skip


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.slow
def test_a_cluster_is_looked_at_through_a_job_on_its_head(cluster, content, folder):
    content["storage"] = str(cluster.folder / "results")
    (folder / "sweep.yaml").write_text(yaml.safe_dump(content))
    looked = subprocess.run(
        [sys.executable, "-m", "sweeps", "doctor", "sweep.yaml", "--json",
         "--cluster", str(cluster.folder / "cluster.yaml")],
        cwd=folder, env=cluster.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (looked.returncode, looked.stderr) == (0, "")
    found = Findings.model_validate_json(looked.stdout)
    assert set(found.machines) == {"this machine", "head"}
    assert found.machines["this machine"].versions == found.machines["head"].versions
    assert found.machines["this machine"].token.digest == found.machines["head"].token.digest
    told = {(one.check, one.where): one.told for one in found.rows}
    assert told["storage", "cluster"] == (
        f"storage {cluster.folder}/results: the same on this machine and all that train"
    )
    assert not Path(content["storage"]).exists()
    asked = (
        "import sys; from pathlib import Path; from sweeps.cluster.head import jobs; "
        "from sweeps.cluster.launcher_file import read_cluster\n"
        "with jobs(read_cluster(Path(sys.argv[1]))) as client: print(len(client.list_jobs()))"
    )
    left = subprocess.check_output(
        [sys.executable, "-c", asked, str(cluster.folder / "cluster.yaml")],
        env=cluster.environment, text=True,
    )  # fmt: skip
    assert left == "0\n"
