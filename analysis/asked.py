"""What a person asks of the report, checked before anything is read or written.

`rewarm report` and `python -m analysis` take the same options, and both make an `Asked` of them.
"""

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.figures import FORMATS
from analysis.units import Unit
from cpt.parsing import ConfigError, shown

EVERY_SECONDS = 5.0
LEAST_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What to write, and where.

    Attributes:
        out: The page; None: beside the (first) sweep's plan.
        unit: What losses are counted in where several sweeps are compared; None: what can be.
        figures: A folder for figures of their own; None: none are written.
        formats: Of those figures.
        tables: A folder for the tables of `tables_on_disk`; None: they are not written.
        every: Seconds between two looks at what changed; None: it is written once.
    """

    out: Path | None = None
    unit: Unit | None = None
    figures: Path | None = None
    formats: tuple[str, ...] = FORMATS[:1]
    tables: Path | None = None
    every: float | None = None


def asked(
    sweeps: Sequence[str],
    *,
    out: str | None = None,
    unit: str | None = None,
    figures: str | None = None,
    formats: str | None = None,
    tables: str | None = None,
    watch: bool = False,
    every: float | None = None,
) -> Asked:
    """Options as they were typed, once all of them can be met.

    Args:
        sweeps: How the sweeps were named.
        out: A file, see `Asked` for this and what follows.
        unit: A `Unit`.
        figures: A folder.
        formats: Some of `FORMATS`, separated by commas.
        tables: A folder.
        watch: Whether to write the page anew when something changes.
        every: Seconds.

    Raises:
        ConfigError: One sentence for each option that cannot.
    """
    chosen = None if formats is None else tuple(formats.split(","))
    faults = [
        *_page_faults(out),
        *_unit_faults(unit, len(sweeps)),
        *_folder_faults("--figures", figures),
        *_figure_faults(figures, watch=watch),
        *_folder_faults("--tables", tables),
        *_table_faults(tables),
        *_format_faults(chosen, figures),
        *_watch_faults(every, watch=watch),
        *(
            f"{name}: is named twice; a sweep is compared with others than itself."
            for name in dict.fromkeys(sweeps)
            if list(sweeps).count(name) > 1
        ),
    ]
    if faults:
        raise ConfigError(faults)
    return Asked(
        out=None if out is None else Path(out),
        unit=None if unit is None else Unit(unit),
        figures=None if figures is None else Path(figures),
        formats=FORMATS[:1] if chosen is None else tuple(dict.fromkeys(chosen)),
        tables=None if tables is None else Path(tables),
        every=(EVERY_SECONDS if every is None else every) if watch else None,
    )


def _page_faults(out: str | None) -> Iterator[str]:
    if out is None:
        return
    path = Path(out)
    if path.suffix != ".html":
        yield f"--out {shown(out)}: must be a file whose name ends in .html."
    elif path.is_dir():
        yield f"--out {shown(out, 300)}: is a folder; must be a file; name one in it."
    else:
        yield from _blocked("--out", out, path.parent)


def _folder_faults(option: str, folder: str | None) -> Iterator[str]:
    if folder is not None:
        yield from _blocked(option, folder, Path(folder))


def _figure_faults(figures: str | None, *, watch: bool) -> Iterator[str]:
    if figures is None:
        return
    if watch:
        yield (
            f"--figures {shown(figures, 300)}: figures are not drawn anew by --watch; leave one of "
            "the two out."
        )
    if importlib.util.find_spec("kaleido") is None:
        yield (
            f"--figures {shown(figures, 300)}: figures as files are drawn by kaleido, which is not "
            "installed: pip install 'rewarm[figures]'."
        )


def _table_faults(tables: str | None) -> Iterator[str]:
    if tables is not None and importlib.util.find_spec("pyarrow") is None:
        yield (
            f"--tables {shown(tables, 300)}: Parquet is written by pyarrow, which is not "
            "installed: pip install 'rewarm[train]'."
        )


def _blocked(option: str, given: str, folder: Path) -> Iterator[str]:
    """A folder that cannot be made since a file stands in its place."""
    for part in (folder, *folder.parents):
        if part.exists():
            if not part.is_dir():
                told = f"{option} {shown(given, 300)}"
                yield f"{told}: {part} is a file; must be a folder or not exist."
            return


def _unit_faults(unit: str | None, sweeps: int) -> Iterator[str]:
    if unit is None:
        return
    if unit not in list(Unit):
        yield f"--unit {shown(unit)}: must be {' or '.join(Unit)}."
    elif sweeps == 1:
        yield (
            f"--unit {unit}: is of a comparison; the report of one sweep counts in nats per token; "
            "leave it out, or name a second sweep."
        )


def _format_faults(formats: Sequence[str] | None, figures: str | None) -> Iterator[str]:
    if formats is None:
        return
    if figures is None:
        yield f"--formats {shown(','.join(formats))}: needs --figures DIR, the folder to write to."
    for name in formats:
        if name not in FORMATS:
            yield f"--formats: {shown(name)} is no format; must be {' or '.join(FORMATS)}."


def _watch_faults(every: float | None, *, watch: bool) -> Iterator[str]:
    if every is None:
        return
    if not watch:
        yield f"--every {every:g}: is of --watch; add --watch or leave it out."
    elif not every >= LEAST_SECONDS:
        yield f"--every {every:g}: must be at least {LEAST_SECONDS:g}, in seconds."
