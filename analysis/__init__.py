"""Reads result trees: in a report, and in a notebook.

    import analysis

    sweep = analysis.load("results/sweeps/quickstart")
    trials = analysis.measures.trial_table(sweep)

`load` reads a sweep's folder; `measures` says what its trials reached; `laws` fits the law of
continual pre-training and predicts; `figures` draws what the report draws. This is the one package
whose `__init__` is not empty: these names are what a notebook is promised, whatever moves below
them (docs/report.md has columns and units). All but `load` are imported when they are first used;
`load` must be here at once, since importing the module of its name would otherwise take its place.
"""

import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from analysis.load import Sweep, load_sweep
from analysis.units import Unit

if TYPE_CHECKING:
    from analysis import figures as figures
    from analysis import laws as laws
    from analysis import measures as measures

_LATER = ("figures", "laws", "measures")


def load(path: str | Path) -> Sweep:
    """Reads a sweep, finished or not.

    Args:
        path: Its folder, `<storage>/sweeps/<name>`.

    Returns:
        Its tables, see `Sweep`.

    Raises:
        FileNotFoundError: There is no such folder, or no plan in it.
        ValueError: The plan is of another version, or not complete JSON.
    """
    return load_sweep(Path(path))


def __getattr__(name: str) -> ModuleType:
    if name in _LATER:
        return importlib.import_module(f"analysis.{name}")
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")


__all__ = ["Sweep", "Unit", "figures", "laws", "load", "measures"]
