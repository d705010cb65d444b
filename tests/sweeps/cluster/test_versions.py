"""Versions on two machines, and what is said where they differ."""

import importlib.metadata
import subprocess
import sys

from sweeps.cluster.versions import differences, installed

HERE = {"rewarm": "0.1.0+aaaa", "ray": "2.60.0", "torch": "2.13.0+cpu", "python": "3.11"}


def test_this_process_runs_what_its_packages_say():
    found = installed()
    assert found["python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert found["rewarm"].startswith(importlib.metadata.version("rewarm") + "+")
    assert found["ray"] == importlib.metadata.version("ray")
    assert found["torch"] == importlib.metadata.version("torch")


def test_asking_for_versions_imports_neither_ray_nor_torch():
    asked = (
        "import sys; from sweeps.cluster.versions import installed; installed(); "
        "sys.exit(bool({'ray', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0


def test_the_same_versions_are_no_difference():
    assert differences(HERE, dict(HERE)) == []


def test_how_torch_was_built_is_no_difference():
    assert differences(HERE, HERE | {"torch": "2.13.0+cu128"}) == []


def test_what_only_the_cluster_has_is_no_difference():
    laptop = {name: version for name, version in HERE.items() if name != "torch"}
    assert differences(laptop, HERE) == []


def test_each_other_version_is_one_sentence():
    there = {"rewarm": "0.1.0+bbbb", "ray": "2.55.1", "torch": "2.12.0", "python": "3.12"}
    assert differences(HERE, there) == [
        "rewarm: is 0.1.0+aaaa on this machine, but on the cluster it is 0.1.0+bbbb; "
        "run the same checkout in both places.",
        "ray: is 2.60.0 on this machine, but on the cluster it is 2.55.1; "
        "install the versions of constraints.txt in both places.",
        "torch: is 2.13.0+cpu on this machine, but on the cluster it is 2.12.0; "
        "install the versions of constraints.txt in both places.",
        "python: is 3.11 on this machine, but on the cluster it is 3.12; "
        "run Python 3.11 in both places.",
    ]


def test_what_the_other_machine_lacks_is_said_with_its_name():
    there = {name: version for name, version in HERE.items() if name != "torch"}
    assert differences(HERE, there, "10.0.0.7") == [
        "torch: is 2.13.0+cpu on this machine, but on 10.0.0.7 it is not installed; "
        "install the versions of constraints.txt in both places."
    ]
