"""Everything that one command writes of one sweep, or of several that are compared.

    one sweep    report.html and trials.csv in its folder
    several      one page, comparison.html in the folder of the first
    asked for    figures and tables, in a folder of each sweep's name where there are several

Sweeps are read once for all of it. Nothing is written before all of them could be read.
"""

from collections.abc import Sequence
from pathlib import Path

from analysis.asked import Asked
from analysis.comparing.page import comparison_page
from analysis.load import load_sweep
from analysis.report import write_page
from cpt.records import SweepDir, write_text

COMPARISON = "comparison.html"


def write(sweep_dirs: Sequence[Path], asked: Asked, reload_seconds: float | None = None) -> Path:
    """Writes what was asked for, finished or not.

    Args:
        sweep_dirs: `<storage>/sweeps/<name>`, one at least.
        asked: What else, and where.
        reload_seconds: The page reloads itself so often; None: it is not going to change.

    Returns:
        The path of the page.

    Raises:
        FileNotFoundError: There is no such folder, or no plan in it.
        ValueError: A plan is of another version, a file is not complete JSON, or the sweeps cannot
            be compared in the unit that was asked for.
    """
    sweeps = [load_sweep(sweep_dir) for sweep_dir in sweep_dirs]
    page = page_of(sweep_dirs, asked)
    if len(sweeps) == 1:
        write_page(sweeps[0], sweep_dirs[0], page, reload_seconds=reload_seconds)
    else:
        write_text(page, comparison_page(sweeps, asked.unit, reload_seconds=reload_seconds))
    return page


def page_of(sweep_dirs: Sequence[Path], asked: Asked) -> Path:
    """Where the page of these sweeps is written."""
    if asked.out is not None:
        return asked.out
    first = SweepDir(sweep_dirs[0])
    return first.report if len(sweep_dirs) == 1 else first.path / COMPARISON
