"""What the doctor thinks of machines, from facts typed by hand."""

import pytest

from sweeps.cluster.checks import Row, Verdict, agreement_rows, machine_rows, version_rows
from sweeps.cluster.machine_facts import Disk, Leftovers, Machine, RayToken

VERSIONS = {"rewarm": "0.1.0+aaaa", "ray": "2.60.0", "torch": "2.13.0+cpu", "python": "3.11"}
TOKEN = RayToken(mode="token", source="/home/me/.ray/auth_token", digest="d1")
SOUND = Machine(
    versions=VERSIONS,
    resources={"CPU": 8.0, "object_store_memory": 2e9},
    token=TOKEN,
    leftovers=Leftovers(),
    shared_memory=4 * 10**9,
    temporary=Disk(path="/tmp/ray", free=60 * 10**9, total=100 * 10**9),
    cache=Disk(path="/cache", free=10**9, total=10**9),
)


def but(**facts: object) -> Machine:
    """A sound machine with other facts."""
    return SOUND.model_copy(update=facts)


def judged(machine: Machine, check: str, *, in_cluster: bool = True) -> list[tuple[str, str]]:
    """Verdict and words of one check of one machine."""
    rows = machine_rows({"head": machine}, in_cluster=in_cluster)
    return [(row.verdict.value, row.told) for row in rows if row.check == check]


def test_a_sound_machine_has_no_fault_and_each_check_once():
    rows = list(machine_rows({"head": SOUND, "10.0.0.2": SOUND}, in_cluster=True))
    assert {row.verdict for row in rows} == {Verdict.OK}
    checks = ["versions", "ray[default]", "token", "leftovers", "shared memory", "disk"]
    assert [row.check for row in rows] == checks * 2
    assert [row.where for row in rows] == ["head"] * 6 + ["10.0.0.2"] * 6


def test_a_machine_without_ray_is_told_what_to_install_and_asked_nothing_of_ray():
    bare = Machine(versions={"rewarm": "0.1.0", "python": "3.11"}, resources={}, cache=SOUND.cache)
    assert list(machine_rows({"here": bare}, in_cluster=False)) == [
        Row(
            check="versions",
            where="here",
            verdict=Verdict.FAULT,
            told="ray and torch are not installed: pip install 'rewarm[sweep]'.",
        )
    ]


def test_a_laptop_that_only_submits_needs_no_torch():
    bare = but(versions={name: one for name, one in VERSIONS.items() if name != "torch"})
    (row,) = version_rows("laptop", bare, trains=False)
    assert (row.verdict, row.told) == (Verdict.OK, "rewarm 0.1.0+aaaa, ray 2.60.0, python 3.11")
    (row,) = version_rows("laptop", bare, trains=True)
    assert row.told == "torch is not installed: pip install 'rewarm[sweep]'."


def test_other_versions_than_those_of_the_first_machine_are_a_fault_each():
    other = but(versions=VERSIONS | {"ray": "2.55.0", "torch": "2.12.0"})
    rows = list(machine_rows({"head": SOUND, "10.0.0.2": other}, in_cluster=True))
    assert [row.told for row in rows if row.verdict is Verdict.FAULT] == [
        "ray: is 2.60.0 on head, but on 10.0.0.2 it is 2.55.0; "
        "install the versions of constraints.txt in both places.",
        "torch: is 2.13.0+cpu on head, but on 10.0.0.2 it is 2.12.0; "
        "install the versions of constraints.txt in both places.",
    ]


def test_ray_without_its_default_extra_is_a_fault():
    assert judged(but(lacks="grpc", leftovers=None), "leftovers") == []
    assert judged(but(lacks="aiohttp_cors"), "ray[default]") == [
        (
            "fault",
            "aiohttp_cors is missing, without which Ray has no State API and a sweep that ends "
            "trials early hangs: pip install 'ray[default]==2.60.0'.",
        )
    ]


@pytest.mark.parametrize(
    ("promised", "seen", "why", "verdict", "told"),
    [
        (8, 8, None, "ok", "torch sees the 8 GPUs that Ray promises"),
        (1, 8, None, "ok", "torch sees the 1 GPU that Ray promises"),
        (8, 7, None, "fault", "Ray promises 8 GPUs, torch sees 7; install a torch that is built "),
        (1, 0, "no NVIDIA driver", "fault", "Ray promises 1 GPU, torch sees 0 (no NVIDIA driver);"),
    ],
)
def test_torch_must_see_the_gpus_that_ray_promises(promised, seen, why, verdict, told):
    machine = but(resources={"GPU": float(promised)}, gpus=seen, gpu_fault=why)
    ((found, sentence),) = judged(machine, "GPUs")
    assert found == verdict
    assert sentence.startswith(told)


def test_a_machine_without_gpus_is_not_asked_for_them():
    assert judged(SOUND, "GPUs") == []


@pytest.mark.parametrize(
    ("token", "in_cluster", "verdict", "told"),
    [
        (TOKEN, True, "ok", "in /home/me/.ray/auth_token; RAY_AUTH_MODE=token"),
        (RayToken(), False, "ok", "none yet; Ray makes one when it starts"),
        (RayToken(), True, "warning", "there is none and RAY_AUTH_MODE is not set: whoever"),
        (
            TOKEN.model_copy(update={"mode": "disabled"}),
            True,
            "warning",
            "RAY_AUTH_MODE=disabled: whoever reaches this Ray runs programs on it; unset it, or",
        ),
        (
            TOKEN.model_copy(update={"is_open": True}),
            True,
            "warning",
            "other users of the machine can read /home/me/.ray/auth_token and run programs as "
            "you: chmod 600 /home/me/.ray/auth_token",
        ),
        (RayToken(mode="token", fault="it is empty"), True, "fault", "Ray cannot read its token"),
    ],
)
def test_a_token_is_there_used_and_kept(token, in_cluster, verdict, told):
    ((found, sentence),) = judged(but(token=token), "token", in_cluster=in_cluster)
    assert found == verdict
    assert sentence.startswith(told)


def test_two_machines_need_one_token():
    none, other = RayToken(), TOKEN.model_copy(update={"digest": "d2"})
    unasked = RayToken(source="RAY_AUTH_TOKEN", digest="d2")
    assert list(agreement_rows("head", TOKEN, "here", TOKEN)) == []
    assert list(agreement_rows("head", none, "here", none)) == []
    (row,) = agreement_rows("head", TOKEN, "here", other)
    assert row.verdict is Verdict.FAULT
    assert row.told == "it is not that of head; give both the same ~/.ray/auth_token."
    (row,) = agreement_rows("head", TOKEN, "here", none)
    assert row.told == "head has one and here has none; give here the same ~/.ray/auth_token."
    (row,) = agreement_rows("head", none, "here", unasked)
    assert row.verdict is Verdict.WARNING
    assert row.told == "here has one and head has none; give head the same ~/.ray/auth_token."


def test_a_file_that_names_a_dead_cluster_is_a_fault_with_the_command_that_ends_it():
    left = Leftovers(address_file="/tmp/my ray/ray_current_cluster", address="10.0.0.1:6379")
    assert judged(but(leftovers=left), "leftovers") == [
        (
            "fault",
            "/tmp/my ray/ray_current_cluster names a cluster that does not answer, 10.0.0.1:6379, "
            "which Ray asks all the same: rm '/tmp/my ray/ray_current_cluster'",
        )
    ]


def test_dead_processes_and_a_gigabyte_of_sessions_are_told_with_commands():
    sessions = ("/tmp/ray/session_1", "/tmp/ray/session_2")
    left = Leftovers(processes=(41, 42), sessions=sessions, session_bytes=10**9)
    assert judged(but(leftovers=left), "leftovers") == [
        ("warning", "processes of Ray belong to clusters that do not answer: kill 41 42"),
        (
            "warning",
            "1 GB in sessions that are over: rm -r /tmp/ray/session_1 /tmp/ray/session_2",
        ),
    ]
    few = Leftovers(sessions=sessions, session_bytes=10**9 - 1)
    assert judged(but(leftovers=few), "leftovers") == [("ok", "nothing of clusters that are gone")]


def test_an_object_store_that_does_not_fit_into_shared_memory_is_a_warning():
    assert judged(but(shared_memory=2 * 10**9 - 1), "shared memory") == [
        (
            "warning",
            "/dev/shm has 2 GB, and Ray's object store takes 2 GB; it is put on a disk, which is "
            "slow: start the container with --shm-size=2g",
        )
    ]
    assert judged(but(shared_memory=None), "shared memory") == []


def test_a_disk_that_ray_holds_for_full_is_a_warning():
    disk = Disk(path="/tmp/ray", free=500, total=10_000)
    ((verdict, told),) = judged(but(temporary=disk), "disk")
    assert verdict == "warning"
    assert told.startswith("500 B of 10 kB are free at /tmp/ray, where Ray writes nothing any more")
    disk = Disk(path="/tmp/ray", free=501, total=10_000)
    assert judged(but(temporary=disk), "disk") == [("ok", "more than 5% are free at /tmp/ray")]
