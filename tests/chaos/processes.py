"""The processes of the cluster and of the driver, as the system lists them."""

import ctypes
import os
import signal
from collections.abc import Iterable

import psutil

_PR_SET_CHILD_SUBREAPER = 36
TRAINING = ("TrainsStates", "ImplicitFunc", "RayTrainWorker")
"""Classes of the actors that a state is trained in: a trial of one worker, a worker of a group."""


def adopt_orphans() -> None:
    """Makes this process the parent of what its descendants leave behind, so that it is seen."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this process cannot adopt orphans")


def descendants(of: int | None = None) -> list[psutil.Process]:
    """The living descendants of a process, by default of this one."""
    try:
        found = psutil.Process(of or os.getpid()).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [one for one in found if is_alive(one)]


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def command(process: psutil.Process) -> str:
    """Its command line; empty where it has just ended."""
    try:
        return " ".join(process.cmdline()).strip()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def training(of: int | None = None) -> list[psutil.Process]:
    """Those that train a state, in the order of their ids."""
    found = [
        one
        for one in descendants(of)
        if command(one).startswith("ray::") and any(name in command(one) for name in TRAINING)
    ]
    return sorted(found, key=lambda one: one.pid)


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL to each that still runs."""
    for one in processes:
        try:
            one.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
