"""What each of several sweeps recommends by itself, side by side.

The rule is that of `deciding.decision`: the least forgetting among the settings that keep 95% of
the sweep's largest adaptation; and, so that sweeps can be held against each other, the largest
adaptation among those that forget no more than what the first sweep recommends.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis import labels
from analysis.comparing.entries import Entry
from analysis.deciding.costs import cost_table
from analysis.deciding.decision import Decision
from analysis.deciding.noise import Noise

MEASURES = ("adaptation", "forgetting")


def recommendation_table(entries: Sequence[Entry]) -> pd.DataFrame:
    """One row a sweep, in the order of the entries.

    Returns:
        `sweep`; `key`: the recommended setting, as in `trials["setting"]` (empty: none can be
        named); `setting`: the same in words; `rivals`: names of those that cannot be excluded as
        better, at 95%, itself left out; `told`: whether there was any noise to judge by;
        `adaptation` and `forgetting` with `_low` and `_high` (95%, NaN below two seeds), in the
        unit of the sweeps; `tokens` after pre-training and `hours` of one trial; `cap`: what the
        first sweep's recommendation forgets (NaN without one); `under_cap`: the setting that adapts
        most without forgetting more (empty: none), `under_cap_adaptation`.
    """
    rows: list[dict[str, Any]] = []
    cap = float("nan")
    for entry in entries:
        noise = Noise(entry.sweep, entry.trials)
        decision = Decision(noise, entry.settings)
        choice = decision.default()
        row: dict[str, Any] = {"sweep": entry.name, "key": choice.best, "setting": ""}
        row["under_cap"] = ""
        row |= {"rivals": [_name(entry, one) for one in choice.rivals if one != choice.best]}
        row["told"] = choice.told
        if choice.best:
            row["setting"] = _name(entry, choice.best)
            for measure in MEASURES:
                found = noise.of(choice.best, measure)
                row |= {measure: found.value}
                row |= {f"{measure}_low": found.low, f"{measure}_high": found.high}
            costs = cost_table(entry.sweep, entry.trials, entry.settings)
            row |= {name: costs[name].to_dict()[choice.best] for name in ("tokens", "hours")}
            if not rows:
                cap = float(row["forgetting"])
        row["cap"] = cap
        if pd.notna(cap) and (under := decision.under(cap).best):
            row["under_cap"] = _name(entry, under)
            row["under_cap_adaptation"] = entry.settings["adaptation"].to_dict()[under]
        rows.append(row)
    ends = [f"{measure}{end}" for measure in MEASURES for end in ("", "_low", "_high")]
    columns = ["sweep", "key", "setting", "rivals", "told", *ends, "tokens", "hours"]
    return pd.DataFrame(rows, columns=[*columns, "cap", "under_cap", "under_cap_adaptation"])


def _name(entry: Entry, setting: str) -> str:
    row = entry.settings.loc[setting]
    return labels.setting_label(entry.sweep, row.to_dict(), entry.center)
