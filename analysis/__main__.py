"""`python -m analysis SWEEP_DIR` writes report.html and trials.csv and prints the report's path."""

import argparse
import sys
from pathlib import Path

from analysis.report import write_report


def main() -> int:
    """Returns 0, or 2 where the folder holds no sweep."""
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    parser.add_argument("sweep_dir", type=Path, help="<storage>/sweeps/<name>")
    arguments = parser.parse_args()
    try:
        print(write_report(arguments.sweep_dir))
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
