"""Workers meet where Ray knows their machines; two hosts of make cluster-test show what for."""

import os

import psutil
import pytest

from sweeps.interfaces import GLOO, interface_of, meet_where_ray_does


def test_an_interface_is_found_by_its_address_and_none_by_a_foreign_one():
    (loopback,) = [
        name
        for name, addresses in psutil.net_if_addrs().items()
        if "127.0.0.1" in [one.address for one in addresses]
    ]
    assert interface_of("127.0.0.1") == loopback
    assert interface_of("203.0.113.77") is None


def test_gloo_is_told_the_interface_of_the_nodes_address(monkeypatch: pytest.MonkeyPatch):
    import ray

    monkeypatch.setenv(GLOO, "to be put back")
    monkeypatch.delenv(GLOO)
    meet_where_ray_does()
    assert os.environ[GLOO] == interface_of(ray.util.get_node_ip_address())


def test_an_interface_that_a_person_named_stays(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(GLOO, "eth7")
    meet_where_ray_does()
    assert os.environ[GLOO] == "eth7"
