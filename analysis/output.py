"""Everything that one command writes of one sweep, or of several that are compared.

    one sweep    report.html and trials.csv in its folder
    several      one page, comparison.html in the folder of the first
    asked for    figures and tables, in a folder of each sweep's name where there are several

Sweeps are read once for all of it. Nothing is written before all of them could be read.
"""

from collections.abc import Sequence
from pathlib import Path

from analysis.asked import Asked
from analysis.comparing.entries import unique_names
from analysis.comparing.page import comparison_page
from analysis.figures import write_figures
from analysis.load import Sweep, load_sweep
from analysis.measures import trial_table
from analysis.report import write_page
from analysis.tables_on_disk import write_tables
from cpt.files import folder_name, write_text
from cpt.records import SweepDir

COMPARISON = "comparison.html"


def write(sweep_dirs: Sequence[Path], asked: Asked, reload_seconds: float | None = None) -> Path:
    """Writes what was asked for, finished or not.

    Args:
        sweep_dirs: `<storage>/sweeps/<name>`, one at least.
        asked: What else, and where.
        reload_seconds: The page reloads itself so often; 0: it did, and is final; None: it never
            does.

    Returns:
        The path of the page.

    Raises:
        FileNotFoundError: There is no such folder, or no plan in it.
        ValueError: A plan is of another version, or a file is not complete JSON.
        ConfigError: The sweeps cannot be compared in the unit that was asked for.
        NoBrowserError: Figures were asked for, and what draws them is missing.
    """
    sweeps = [load_sweep(sweep_dir) for sweep_dir in sweep_dirs]
    page = page_of(sweep_dirs, asked)
    if asked.figures is not None:
        for folder, sweep in zip(_folders(asked.figures, sweeps), sweeps, strict=True):
            write_figures(sweep, folder, asked.formats)
    if asked.tables is not None:
        for folder, sweep in zip(_folders(asked.tables, sweeps), sweeps, strict=True):
            write_tables(sweep, trial_table(sweep), folder)
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


def _folders(folder: Path, sweeps: Sequence[Sweep]) -> list[Path]:
    """Where what is written of each sweep goes: one of its own where there are several."""
    if len(sweeps) == 1:
        return [folder]
    names = unique_names([str(sweep.plan["name"]) for sweep in sweeps])
    return [folder / folder_name(name) for name in names]
