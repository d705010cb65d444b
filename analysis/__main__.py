"""`python -m analysis DIR ...`: a sweep's report.html and trials.csv, or a page of several sweeps.

The options are those of `rewarm report`, whose --help explains them. Exit status: 0 done, 1
where figures cannot be drawn here, 2 refused, one sentence per fault.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from analysis.asked import Asked, asked
from analysis.figures import NoBrowserError
from analysis.output import write
from analysis.watching import is_settled, seems_owned, sweep_stamp, watch


def main() -> int:
    """Returns the exit status."""
    options = _parser().parse_args()
    names = options.sweep_dirs
    try:
        wanted = asked(
            names,
            out=options.out,
            unit=options.unit,
            figures=options.figures,
            formats=options.formats,
            tables=options.tables,
            watch=options.watch,
            every=options.every,
        )
        folders = [Path(name) for name in names]
        if wanted.every is None:
            print(write(folders, wanted))
        else:
            _watch(folders, wanted, wanted.every)
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except NoBrowserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    parser.add_argument("sweep_dirs", nargs="+", metavar="DIR", help="<storage>/sweeps/<name>")
    for name, metavar in (
        ("out", "FILE"),
        ("unit", "UNIT"),
        ("figures", "DIR"),
        ("formats", "A,B"),
        ("tables", "DIR"),
    ):
        parser.add_argument(f"--{name}", metavar=metavar)
    parser.add_argument("--watch", action="store_true")
    parser.add_argument("--every", type=float, metavar="SECONDS")
    return parser


def _watch(folders: Sequence[Path], wanted: Asked, every: float) -> None:
    def made(reload_seconds: float) -> None:
        page = write(folders, wanted, reload_seconds)
        print(f"{time.strftime('%H:%M:%S')} {page}", flush=True)

    watch(
        look=lambda: tuple(sweep_stamp(folder) for folder in folders),
        is_finished=lambda: all(
            is_settled(folder) and not seems_owned(folder) for folder in folders
        ),
        write=made,
        every=every,
    )


if __name__ == "__main__":
    sys.exit(main())
