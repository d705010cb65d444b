"""By which network interface the workers of a group reach each other."""

import os
import socket

import psutil
import ray

GLOO = "GLOO_SOCKET_IFNAME"
"""Where gloo is told its interface, when a process group is made."""


def interface_of(address: str) -> str | None:
    """The interface of this machine that has an IPv4 address; None: none has."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(one.family == socket.AF_INET and one.address == address for one in addresses):
            return name
    return None


def meet_where_ray_does() -> None:
    """Lets gloo use the interface by which Ray knows this machine, unless a person named another.

    By itself gloo takes the address of the host's name, which on Debian is one of the loopback: the
    workers of other machines would wait for this one until they give up.
    """
    interface = interface_of(ray.util.get_node_ip_address())
    if interface is not None:
        os.environ.setdefault(GLOO, interface)
