"""The two commands in a fresh clone: how long, how much memory.

    python benchmarks/fresh_clone.py

Clones HEAD into a temporary folder, lets pip use no cache, and measures `make quickstart` in its
two parts (the install, the sweep), a second `rewarm run` of the finished sweep, and `make test`.
Memory is the proportional set size of all processes in the command's session, sampled each second,
so shared pages are counted once. Needs Linux.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Figure:
    """One measured command."""

    what: str
    seconds: float
    peak_bytes: int
    target: str


def measure(what: str, command: str, folder: Path, target: str) -> Figure:
    """Runs a shell command in a session of its own.

    Raises:
        SystemExit: The command failed.
    """
    print(f"$ {command}", flush=True)
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        shell=True,
        cwd=folder,
        env={**os.environ, "PIP_NO_CACHE_DIR": "1", "HF_HUB_OFFLINE": "1"},
        start_new_session=True,
    )
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(1.0):
            peak = max(peak, session_bytes(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = process.wait()
    done.set()
    watcher.join()
    if status != 0:
        raise SystemExit(f"{command!r} ended with status {status}")
    return Figure(what, time.monotonic() - began, peak, target)


def session_bytes(leader: int) -> int:
    """Proportional set size of the descendants of a process, itself included."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    total, todo = 0, [leader]
    while todo:
        process = todo.pop()
        todo += children.get(process, [])
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in rollup.splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def main() -> None:
    """Measures, and prints a Markdown table."""
    with tempfile.TemporaryDirectory(prefix="rewarm-fresh-") as folder:
        clone = Path(folder) / "rewarm"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        shared = ROOT.parent / "shared"
        if shared.is_dir():
            (Path(folder) / "shared").symlink_to(shared)
        quickstart = "make --silent quickstart"
        figures = [
            measure("install", "make --silent .venv/sweep", clone, ""),
            measure("the sweep", quickstart, clone, "under 6 min, under 6 GiB"),
            measure("`rewarm run` of the finished sweep", quickstart, clone, "under 15 s"),
            measure("`make test`, install of its tools included", "make --silent test", clone,
                    "under 6 min"),
        ]  # fmt: skip
    whole = figures[0].seconds + figures[1].seconds
    print("\n| what | target | seconds | peak memory |\n|---|---|---|---|")
    print(f"| `make quickstart`, install included | under 8 min | {whole:.0f} | |")
    for figure in figures:
        print(
            f"| {figure.what} | {figure.target} | {figure.seconds:.0f} | "
            f"{figure.peak_bytes / 2**30:.2f} GiB |"
        )


if __name__ == "__main__":
    sys.exit(main())
