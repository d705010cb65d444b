"""cluster.yaml as Ray's AWS provider acts on it, against moto's EC2, IAM and S3."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")
moto_authorization = pytest.importorskip("moto.core.authorization")
pytest.importorskip("ray.autoscaler")

ROOT = Path(__file__).parents[2]
POLICIES = ROOT / "clusters" / "aws"
BUCKET = "my-results"


def policy(name: str) -> str:
    return (POLICIES / f"{name}.json").read_text().replace("BUCKET", BUCKET)


def authorise(name: str) -> dict[str, str]:
    """Makes a role and its profile as docs/cluster.md does; returns keys of who has it."""
    iam = boto3.client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy("trust"))["Role"]
    for part in {"rewarm-head": ("worker", "head"), "rewarm-worker": ("worker",)}[name]:
        iam.put_role_policy(RoleName=name, PolicyName=part, PolicyDocument=policy(part))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    keys = boto3.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="test")
    return {
        "aws_access_key_id": keys["Credentials"]["AccessKeyId"],
        "aws_secret_access_key": keys["Credentials"]["SecretAccessKey"],
        "aws_session_token": keys["Credentials"]["SessionToken"],
    }


@dataclass
class Account:
    """An account in which `ray up cluster.yaml` has got as far as before the head."""

    config: dict[str, Any]
    ec2: Any
    head: dict[str, str]
    worker: dict[str, str]

    def provider(self, keys: dict[str, str]) -> Any:
        from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

        return AWSNodeProvider({**self.config["provider"], "aws_credentials": keys}, "rewarm")

    def launch(self, kind: str, provider: Any) -> str:
        """Starts a machine of this kind; returns its id."""
        tags = {"ray-node-name": "n", "ray-node-type": "worker", "ray-user-node-type": kind}
        config = self.config["available_node_types"][kind]["node_config"]
        (made,) = provider.create_node(config, tags, 1)
        return made

    def described(self, instance: str) -> dict[str, Any]:
        found = self.ec2.describe_instances(InstanceIds=[instance])
        return found["Reservations"][0]["Instances"][0]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.util import prepare_config

    with pytest.MonkeyPatch.context() as patch, moto.mock_aws():
        # Ray writes the key that it makes for SSH into ~/.ssh.
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        ec2 = boto3.client("ec2")
        head, worker = authorise("rewarm-head"), authorise("rewarm-worker")
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        group = ec2.create_security_group(GroupName="rewarm", Description="-", VpcId=vpc)["GroupId"]
        ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
        ssh["IpRanges"] = [{"CidrIp": "203.0.113.7/32"}]
        among = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ssh, among])
        config = prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
        yield Account(bootstrap_aws(config), ec2, head, worker)


def kinds() -> list[str]:
    return list(yaml.safe_load((ROOT / "cluster.yaml").read_text())["available_node_types"])


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_starts_with_its_market_role_tags_disk_and_metadata(
    account: Account, kind: str
) -> None:
    made = account.described(account.launch(kind, account.provider(account.head)))
    assert made.get("InstanceLifecycle") == ("spot" if kind.startswith("spot") else None)
    role = "rewarm-head" if kind == "head" else "rewarm-worker"
    assert made["IamInstanceProfile"]["Arn"].endswith(f":instance-profile/{role}")
    tags = {tag["Key"]: tag["Value"] for tag in made["Tags"]}
    assert (tags["project"], tags["ray-user-node-type"]) == ("rewarm", kind)
    (disk,) = made["BlockDeviceMappings"]
    assert disk["Ebs"]["DeleteOnTermination"]
    (volume,) = account.ec2.describe_volumes(VolumeIds=[disk["Ebs"]["VolumeId"]])["Volumes"]
    assert (volume["Size"], volume["VolumeType"], volume["Encrypted"]) == (200, "gp3", True)
    assert {"Key": "project", "Value": "rewarm"} in volume["Tags"]
    assert made["MetadataOptions"]["HttpTokens"] == "required"


def test_only_ssh_is_open_and_only_to_whom_the_group_says(account: Account) -> None:
    groups = {
        group
        for one in account.config["available_node_types"].values()
        for group in one["node_config"]["SecurityGroupIds"]
    }
    assert len(groups) == 1
    (group,) = account.ec2.describe_security_groups(GroupIds=list(groups))["SecurityGroups"]
    assert group["GroupName"] == "rewarm"
    outside = [rule for rule in group["IpPermissions"] if not rule["UserIdGroupPairs"]]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in outside] == [(22, 22)]
    assert outside[0]["IpRanges"] == [{"CidrIp": "203.0.113.7/32"}]
    (inside,) = (rule for rule in group["IpPermissions"] if rule["UserIdGroupPairs"])
    assert {pair["GroupId"] for pair in inside["UserIdGroupPairs"]} == groups


def test_machines_have_the_resources_that_ray_is_told(account: Account) -> None:
    types = account.config["available_node_types"]
    names = {one["node_config"]["InstanceType"]: one["resources"] for one in types.values()}
    described = account.ec2.describe_instance_types(InstanceTypes=list(names))["InstanceTypes"]
    assert len(described) == len(names)
    for one in described:
        gpus = sum(gpu["Count"] for gpu in one.get("GpuInfo", {}).get("Gpus", ()))
        told = names[one["InstanceType"]]
        assert told.get("GPU", 0) == gpus
        assert told["CPU"] in (0, one["VCpuInfo"]["DefaultVCpus"])
        # A group's processes on the head take 1.2 GB, and Ray's own 2 (docs/cluster.md).
        memory = one["MemoryInfo"]["SizeInMiB"] * 2**20
        assert told.get("driver", 0) * 1.2e9 + 2e9 <= memory


def test_the_heads_role_allows_what_its_autoscaler_does_and_a_workers_does_not(
    account: Account,
) -> None:
    from botocore.exceptions import ClientError

    with moto_authorization.enable_iam_authentication():
        provider = account.provider(account.head)
        made = account.launch("spot_l4", provider)
        assert made in provider.non_terminated_nodes({"ray-user-node-type": "spot_l4"})
        provider.set_node_tags(made, {"ray-node-status": "up-to-date"})
        provider.terminate_node(made)
        with pytest.raises(ClientError, match="not authorized to perform: ec2:DescribeInstances"):
            boto3.client("ec2", **account.worker).describe_instances()
    assert account.described(made)["State"]["Name"] == "terminated"


def test_where_aws_has_no_spot_it_tries_every_zone_and_tells_the_autoscaler(
    account: Account,
) -> None:
    from botocore.exceptions import ClientError
    from ray.autoscaler.node_launch_exception import NodeLaunchException

    provider, asked = account.provider(account.head), []

    def refuse(params: dict[str, Any], **_: Any) -> None:
        if params["body"].get("InstanceMarketOptions.MarketType") == "spot":
            asked.append(params["body"]["SubnetId"])
            none = {"Error": {"Code": "InsufficientInstanceCapacity", "Message": "none"}}
            raise ClientError(none, "RunInstances")

    events = provider.ec2_fail_fast.meta.client.meta.events
    events.register("before-call.ec2.RunInstances", refuse)
    try:
        with pytest.raises(NodeLaunchException) as told:
            account.launch("spot_l4", provider)
        assert account.launch("on_demand_l4", provider)
    finally:
        events.unregister("before-call.ec2.RunInstances", refuse)
    assert told.value.category == "InsufficientInstanceCapacity"
    zones = account.config["provider"]["availability_zone"].split(",")
    assert len(set(asked)) == len(zones) == 4


def test_both_roles_read_and_write_results_and_make_no_bucket(account: Account) -> None:
    from botocore.exceptions import ClientError

    boto3.client("s3").create_bucket(Bucket=BUCKET)
    with moto_authorization.enable_iam_authentication():
        for keys in (account.head, account.worker):
            s3 = boto3.client("s3", **keys)
            s3.put_object(Bucket=BUCKET, Key="states/one", Body=b"1")
            assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 1
            assert s3.get_object(Bucket=BUCKET, Key="states/one")["Body"].read() == b"1"
            part = s3.create_multipart_upload(Bucket=BUCKET, Key="states/large")
            s3.abort_multipart_upload(Bucket=BUCKET, Key="states/large", UploadId=part["UploadId"])
            s3.delete_object(Bucket=BUCKET, Key="states/one")
            with pytest.raises(ClientError, match="AccessDenied"):
                s3.create_bucket(Bucket="another")
