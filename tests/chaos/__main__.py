"""`python -m tests.chaos`: kills a sweep again and again, and compares what becomes of it.

Exit status 1 where anything is lost, differs or is left behind.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.experiment import Settings, experiment
from tests.chaos.figures import Figures
from tests.chaos.schedule import WITH_NOTICE
from tests.chaos.storage import KINDS


def main() -> int:
    """Runs one experiment and prints its table."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="disturbances")
    parser.add_argument("--seed", type=int, default=0, help="of their order, times and victims")
    parser.add_argument("--steps", type=int, help="of the shortest budget; default: 18 per kill")
    parser.add_argument("--interval", type=int, default=20, help="updates between checkpoints")
    parser.add_argument("--workers-per-state", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=2, help="of the sweep: 13 states each")
    parser.add_argument("--nodes", type=int, default=2, help="of one CPU each")
    parser.add_argument("--pauses", type=float, nargs=2, default=(6.0, 10.0), help="seconds")
    parser.add_argument("--drain-seconds", type=float, default=8.0)
    parser.add_argument("--storage", choices=sorted(KINDS), default="directory")
    parser.add_argument("--folder", type=Path, help="new; default: a temporary one, which is kept")
    parser.add_argument("--undisturbed", type=Path, help="folder of an earlier experiment")
    given = parser.parse_args()
    settings = Settings(
        kills=given.kills,
        seed=given.seed,
        steps=given.steps or 18 * given.kills,
        interval=given.interval,
        workers_per_state=given.workers_per_state,
        seeds=given.seeds,
        nodes=given.nodes,
        pauses=tuple(given.pauses),
        drain_seconds=given.drain_seconds,
        storage=given.storage,
    )
    base = given.folder or Path(tempfile.mkdtemp(prefix="rewarm-chaos-"))
    folder = base / time.strftime("%Y%m%d-%H%M%S")
    print(f"in {folder}", flush=True)
    figures = experiment(settings, folder, given.undisturbed, lambda text: print(text, flush=True))
    (folder / "chaos.json").write_text(json.dumps(figures.as_json(), indent=1) + "\n")
    _show(figures)
    print(f"all figures: {folder / 'chaos.json'}")
    return 0 if figures.is_as_promised else 1


def _show(figures: Figures) -> None:
    titles = f"{'times':>5} {'set back':>8} {'most':>5} {'mean':>6} {'in writing':>10}"
    print(f"\n{'disturbance':34} {titles}")
    for kind, one in figures.kinds.items():
        notice = "*" if kind in WITH_NOTICE else " "
        print(
            f"{kind + notice:34} {one.number:5d} {one.states_set_back:8d} {one.most:5d} "
            f"{one.mean:6.2f} {one.in_writing:10d}"
        )
    print(
        "set back: states that trained something again; most: updates of one of them;\n"
        "mean: updates a disturbance; in writing: set back by more than one interval, while a\n"
        "checkpoint was being written; *: with notice"
    )
    print(
        f"{len(figures.disturbances)} disturbances, one every {figures.seconds_between} s; command "
        f"typed {figures.starts} times\n"
        f"{figures.states} states, {len(figures.states_lost)} lost; {figures.updates} updates, "
        f"{figures.updates_trained_again} trained again\n"
        f"{figures.seconds_disturbed:.0f} s, undisturbed {figures.seconds_undisturbed:.0f} s"
    )
    for title, lines in (
        ("lost", figures.states_lost),
        ("differs", figures.differences),
        ("left behind", figures.leaks),
        ("not as promised", figures.faults),
    ):
        print(f"{title}: {len(lines) or 'nothing'}")
        for line in lines:
            print(f"  {line}")


if __name__ == "__main__":
    sys.exit(main())
