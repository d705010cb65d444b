"""What the page says of a highlighted setting: its name, its factors and what came of it."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis import labels
from analysis.load import Sweep


def told_settings(
    sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame, center: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Setting to its name and a line about it.

    Args:
        sweep: For names.
        trials: As `measures.trial_table` returns them.
        settings: As `settings.settings_table` returns them.
        center: As `settings.anchor` returns it.
    """
    found = {}
    measured = settings.to_dict("index")
    for key, rows in trials.groupby("setting", sort=False):
        first = rows.iloc[0].to_dict()
        row = measured.get(key)
        parts = [
            f"forgetting {labels.change(row['forgetting'])}, "
            f"adaptation {labels.loss(row['adaptation'])}"
            if row is not None
            else f"not complete: {labels.listing(sorted(set(rows['status'])))}",
            labels.factors(sweep, first),
            labels.listing([str(state) for state in rows["state"]]),
        ]
        found[str(key)] = [labels.setting_label(sweep, first, center), " · ".join(parts)]
    return found
