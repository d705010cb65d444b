"""Which marks and rows of a comparison light up together: one setting in every sweep that has it.

The key of a setting is its `trials["setting"]` in the first sweep; one that matches none there has
a key of its own.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from analysis import labels
from analysis.comparing.entries import Entry
from analysis.page.told import told_settings

Keys = Mapping[tuple[str, str], str]
"""Sweep and setting to the key of what lights up with it."""


def keys_of(entries: Sequence[Entry], matched: Mapping[str, pd.DataFrame]) -> Keys:
    """The key of every setting of every sweep.

    Args:
        entries: The first is what the others are held against.
        matched: By sweep, as `matching.matched_settings` returns them.
    """
    keys: dict[tuple[str, str], str] = {}
    for entry in entries:
        table = matched.get(entry.name)
        known = {} if table is None else table.set_index("setting_other")["setting"].to_dict()
        for setting in entry.trials["setting"].unique():
            own = setting if entry is entries[0] else f"{entry.name}: {setting}"
            keys[entry.name, setting] = known.get(setting, own)
    return keys


def told_keys(entries: Sequence[Entry], keys: Keys) -> dict[str, list[str]]:
    """Key to the name of its setting and a line about it, sweep by sweep."""
    names: dict[str, str] = {}
    lines: dict[str, list[str]] = {}
    for entry in entries:
        told = told_settings(entry.sweep, entry.trials, entry.settings, entry.center)
        for setting, (name, line) in told.items():
            key = keys[entry.name, setting]
            names.setdefault(key, name)
            lines.setdefault(key, []).append(f"{entry.name}: {line}")
    return {key: [names[key], labels.listing(found)] for key, found in lines.items()}
