"""A chart in words and numbers, for those who cannot see it, or want to copy from it.

The sentence says how many things are drawn and between which two of them each number lies; the
table has all of them where they are few. Both are filled from the table the figure is drawn from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from analysis import labels

MOST_ROWS = 60
"""A table with more rows is not written beside a figure."""

Writer = Callable[[float], str]


@dataclass(frozen=True)
class Alternative:
    """A chart in words.

    Attributes:
        sentence: What a screen reader says of the chart; empty: there is none.
        headings: Of the table's columns; empty: there is no table.
        rows: Its cells as text; the first of each row is a name.
        settings: The setting that each row is about; empty where the rows are about others.
    """

    sentence: str
    headings: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)


NONE = Alternative("")


def alternative(
    table: pd.DataFrame,
    counted: str,
    names: str,
    numbers: Mapping[str, tuple[str, Writer]],
) -> Alternative:
    """A figure's table in words.

    Args:
        table: One row a thing drawn; a column `setting` makes its rows lead to settings.
        counted: What the rows are, in the plural: `settings`.
        names: The column that names them.
        numbers: Columns to what stands above them and how their numbers are written.
    """
    told = [f"{len(table)} {counted if len(table) != 1 else counted.removesuffix('s')}."]
    for column, (heading, write) in numbers.items():
        known = table[table[column].notna()]
        if len(known):
            order = known[column].to_numpy(float)
            least, most = known.iloc[int(order.argmin())], known.iloc[int(order.argmax())]
            told.append(
                f"{labels.title(heading)}: from {write(least[column])} ({least[names]}) to "
                f"{write(most[column])} ({most[names]})."
                if len(known) > 1
                else f"{labels.title(heading)}: {write(least[column])} ({least[names]})."
            )
    if len(table) > MOST_ROWS:
        told.append("All of them stand in the tables of this page and in trials.csv.")
        return Alternative(" ".join(told))
    return Alternative(
        " ".join(told),
        headings=["", *(heading for heading, _ in numbers.values())],
        rows=[
            [str(row[names]), *(write(row[column]) for column, (_, write) in numbers.items())]
            for _, row in table.iterrows()
        ],
        settings=list(table["setting"]) if "setting" in table else [],
    )
