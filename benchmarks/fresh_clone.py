"""The two commands in a fresh clone: how long, how much memory.

    python benchmarks/fresh_clone.py [FOLDER]

Clones HEAD into FOLDER, which must not exist, or into a temporary one; lets pip use no cache; and
measures `make quickstart` in its two parts (the install, the sweep), a second `rewarm run` of the
finished sweep, and `make test`. Memory is the proportional set size of all processes that the
command started, sampled each second, so shared pages are counted once. Needs Linux.
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
    if len(sys.argv) > 1:
        print(table(figures(Path(sys.argv[1]))))
        return
    with tempfile.TemporaryDirectory(prefix="rewarm-fresh-") as folder:
        print(table(figures(Path(folder) / "new")))


def figures(folder: Path) -> list[Figure]:
    """Runs everything in a clone below `folder`."""
    folder.mkdir(parents=True)
    clone = folder / "rewarm"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    shared = ROOT.parent / "shared"
    if shared.is_dir():
        (folder / "shared").symlink_to(shared)
    quickstart = "make --silent quickstart"
    return [
        measure("install", "make --silent .venv/sweep", clone, ""),
        measure("the sweep", quickstart, clone, "under 6 min, under 6 GiB"),
        measure("`rewarm run` of the finished sweep", quickstart, clone, "under 15 s"),
        measure(
            "`make test`, install of its tools included",
            "make --silent test",
            clone,
            "under 6 min",
        ),
    ]


def table(measured: list[Figure]) -> str:
    """The figures in Markdown."""
    whole = measured[0].seconds + measured[1].seconds
    lines = [
        "| what | target | seconds | peak memory |",
        "|---|---|---|---|",
        f"| `make quickstart`, install included | under 8 min | {whole:.0f} | |",
    ]
    lines += [
        f"| {figure.what} | {figure.target} | {figure.seconds:.0f} | "
        f"{figure.peak_bytes / 2**30:.2f} GiB |"
        for figure in measured
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
