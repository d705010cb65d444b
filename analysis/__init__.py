"""Reads result trees: in a report, and in a notebook.

    import analysis

    sweep = analysis.load("results/sweeps/quickstart")
    trials = analysis.measures.trial_table(sweep)

`load` reads a sweep's folder; `measures` says what its trials reached; `laws` fits the loss law and
predicts; `figures` draws. All are documented with columns and units. This is the one package whose
`__init__` is not empty: the four names above are what a notebook is promised, whatever moves below
them. The last three are imported when they are first used.
"""

import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from analysis.load import Sweep, load_sweep

if TYPE_CHECKING:
    from analysis import measures as measures

_LATER = ("measures",)


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


__all__ = ["Sweep", "load", "measures"]
