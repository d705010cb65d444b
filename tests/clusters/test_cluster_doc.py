"""docs/cluster.md: its commands are ones that exist, its machines those of cluster.yaml."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "cluster.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
# What the AWS command line itself adds to what the services understand.
OF_THE_COMMAND_LINE = {"query", "output"}
SHORT_FOR_PERMISSIONS = {"protocol", "port", "cidr", "source-group"}


def aws_commands() -> list[tuple[str, str, set[str]]]:
    """Service, operation and options of each."""
    text = "\n".join(BLOCKS).replace("\\\n", " ")
    found = re.findall(r"\baws ([a-z0-9-]+) ([a-z-]+)([^\n]*)", text)
    return [
        (service, operation, set(re.findall(r"(?<=\s)--([a-z-]+)", options)))
        for service, operation, options in found
    ]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_shell_reads_its_commands(block: str) -> None:
    checked = subprocess.run(["bash", "-n", "-c", block], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_aws_knows_the_commands_and_their_options() -> None:
    session = pytest.importorskip("botocore.session")
    xform_name = pytest.importorskip("botocore").xform_name
    aws = session.get_session()
    commands = aws_commands()
    assert len(commands) >= 13
    for service, operation, options in commands:
        model = aws.get_service_model("s3" if service == "s3api" else service)
        known = {xform_name(name, "-"): name for name in model.operation_names}
        assert operation in known, f"aws {service} {operation}"
        shape = model.operation_model(known[operation]).input_shape
        takes = {xform_name(name, "-") for name in shape.members}
        if "ip-permissions" in takes:
            takes |= SHORT_FOR_PERMISSIONS
        assert options <= takes | OF_THE_COMMAND_LINE, f"aws {service} {operation}"


def test_what_it_makes_is_what_the_cluster_file_names() -> None:
    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    named = {
        one["node_config"]["IamInstanceProfile"]["Name"]
        for one in cluster["available_node_types"].values()
    }
    (made,) = re.findall(r"^for role in (.*); do$", TEXT, re.MULTILINE)
    assert set(made.split()) == named
    group = cluster["provider"]["security_group"]["GroupName"]
    assert f"--group-name {group} " in TEXT
    for file in re.findall(r"clusters/[a-z/]+\.(?:json|yaml)|clusters/Dockerfile", TEXT):
        if file != "clusters/local.yaml":
            assert (ROOT / file).is_file(), file


def test_its_prices_are_of_the_machines_that_are_started() -> None:
    types = yaml.safe_load((ROOT / "cluster.yaml").read_text())["available_node_types"]
    rows = re.findall(r"^\| (`?[a-z].*?) \| ([a-z0-9]+\.[a-z0-9]+) \|", TEXT, re.MULTILINE)
    told = {name: machine for names, machine in rows for name in re.findall(r"[a-z0-9_]+", names)}
    assert told == {name: one["node_config"]["InstanceType"] for name, one in types.items()}


def test_its_quota_is_that_of_all_spot_workers_at_once() -> None:
    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    types = cluster["available_node_types"]
    (spot,) = re.findall(r"L-3819A6DF --desired-value (\d+)", TEXT)
    (on_demand,) = re.findall(r"L-DB2E81BA --desired-value (\d+)", TEXT)
    assert int(spot) == cluster["max_workers"] * types["spot_l4"]["resources"]["CPU"]
    fallback = types["on_demand_l4"]
    assert int(on_demand) == fallback["max_workers"] * fallback["resources"]["CPU"]
