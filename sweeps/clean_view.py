"""What `rewarm clean` frees, in the terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sweeps.cleaning import Freed, Kind
from sweeps.words import counted, stored

MOST_PATHS = 20
"""Of each kind; beyond it they are counted."""


def clean_page(freed: Sequence[Freed], *, whole: bool = False) -> RenderableType:
    """A line for each file or folder, and a total for each kind.

    Args:
        freed: What may go.
        whole: Whether to list every path, however many.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("kind", no_wrap=True)
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("path", overflow="fold")
    for kind in Kind:
        of_kind = [one for one in freed if one.kind is kind]
        shown = of_kind if whole else of_kind[:MOST_PATHS]
        for one in shown:
            table.add_row(str(kind), stored(one.bytes), Text(str(one.path)))
        rest = of_kind[len(shown) :]
        if rest:
            more = f"and {len(rest):,} more; --all lists them"
            table.add_row(str(kind), stored(_bytes(rest)), more)
    return Group(*([table] if table.row_count else []), Text(summary(freed)))


def summary(freed: Sequence[Freed]) -> str:
    """`remains 1.2 MB (3 paths), superseded 4 GB (2 paths); 4 GB in all`."""
    kinds = {kind: [one for one in freed if one.kind is kind] for kind in Kind}
    parts = [
        f"{kind} {stored(_bytes(ones))} ({counted(len(ones), 'path')})"
        for kind, ones in kinds.items()
        if ones
    ]
    return f"{', '.join(parts)}; {stored(_bytes(freed))} in all" if parts else "nothing to free"


def _bytes(freed: Sequence[Freed]) -> int:
    return sum(one.bytes for one in freed)
