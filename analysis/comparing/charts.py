"""The charts of a comparison: figures with their legends and captions."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis import labels
from analysis.comparing import differences, overlays, planes
from analysis.comparing.entries import Entry
from analysis.comparing.groups import groups, groups_of_plane
from analysis.comparing.highlights import Keys
from analysis.drawing import plane
from analysis.drawing.alternative import Alternative, Writer, alternative
from analysis.drawing.chart import Chart, Key, Panel, panel
from analysis.drawing.curve_numbers import losses_told
from analysis.frames import datasets_by_role


def plane_charts(entries: Sequence[Entry], recommended: pd.DataFrame, keys: Keys) -> list[Chart]:
    """The plane, one for each group of sweeps that measure on the same text.

    Args:
        entries: All sweeps.
        recommended: As `recommendations.recommendation_table` returns them.
        keys: As `highlights.keys_of` returns them.
    """
    charts = []
    for group in groups_of_plane(entries):
        points = planes.plane_points(group, keys)
        if points.empty:
            continue
        caption = (
            "Each mark is one setting of one sweep. Up is more adaptation, left is less "
            "forgetting. Dashed: what nothing in the same sweep beats. Named: what each sweep "
            f"takes. Large: the {_middle(group)}; small and pale: baselines. Lines, at these and "
            "what is not beaten: 95% intervals over seeds. Both measures are differences to the "
            "sweep's own pre-trained model."
        )
        if points["repeated"].any():
            caption += " What two sweeps share is drawn once, as the first one's."
        far = plane.outside(points)
        if len(far):
            caption += f" {len(far)} marks lie outside the picture; a double click shows all."
        shown = [entry for entry in group if (points["sweep"] == entry.name).any()]
        legend = [Key(entry.name, entry.color, entry.symbol) for entry in shown]
        title = "" if len(group) == len(entries) else labels.listing([one.name for one in group])
        drawn = planes.plane_figure(shown, points, recommended)
        charts.append(Chart(title, caption, legend, [panel("", drawn)], _plane_told(points)))
    return charts


def difference_chart(
    matched: Mapping[str, pd.DataFrame], entries: Sequence[Entry], measures: Sequence[str]
) -> Chart | None:
    """The differences of matched settings; None where there is none.

    Args:
        matched: By sweep, as `matching.matched_settings` returns them.
        entries: The first is what the others are held against.
        measures: One panel each.
    """
    first, *others = entries
    named = {entry.name: entry for entry in others}
    panels, drawn_sweeps = [], set[str]()
    for measure in measures:
        rows = differences.difference_rows(matched, measure)
        drawn_sweeps |= set(rows["sweep"])
        if len(rows):
            drawn = differences.difference_figure(rows, named, measure, first.sweep.unit.words)
            panels.append(panel(labels.title(differences.measure_label(measure)), drawn))
    if not panels:
        return None
    caption = (
        f"Each mark is one setting that both sweeps completed: its measure less that of "
        f"{first.name}. Lines: 95% intervals, each by itself. Full marks differ by more than the "
        "noise when all differences of the panel are held against it at once; open ones do not, "
        "or have no interval."
    )
    keys = [
        Key(name, entry.color, "circle") for name, entry in named.items() if name in drawn_sweeps
    ]
    return Chart("", caption, keys, panels, _differences_told(matched, measures))


def center_chart(entries: Sequence[Entry], keys: Keys) -> Chart | None:
    """Losses and learning rates of the centres; None before any has rows.

    Args:
        entries: The sweeps.
        keys: As `highlights.keys_of` returns them.
    """
    losses, rates = overlays.center_losses(entries, keys), overlays.center_rates(entries, keys)
    unit = entries[0].sweep.unit.words
    panels: list[Panel] = []
    roles = {role for entry in entries for role in entry.sweep.roles}
    for role in sorted(roles, key=lambda role: int(role[1:])):
        for group in groups(entries, [role]):
            names = [entry.name for entry in group]
            curves = losses[losses["curve"].isin(names) & (losses["role"] == role)]
            if len(curves):
                sets = dict.fromkeys(datasets_by_role(entry.sweep.plan)[role] for entry in group)
                title = f"{role.upper()} loss: {labels.listing(list(sets))}"
                panels.append(panel(title, overlays.loss_figure(curves, role, unit)))
    if not panels:
        return None
    if len(rates):
        panels.append(panel("Learning rate", overlays.rate_figure(rates)))
    caption = (
        f"The {_middle(entries)} of each sweep, every seed a curve. Point at a curve for its trial."
    )
    legend = [Key(entry.name, entry.color, "line", entry.dash) for entry in entries]
    told = losses_told(losses, sorted(roles, key=lambda role: int(role[1:])))
    return Chart("", caption, legend, panels, told)


def _plane_told(points: pd.DataFrame) -> Alternative:
    """The plane in words and numbers."""
    named = points.assign(
        setting=points["key"], told=[f"{row['sweep']}: {row['name']}" for row in _rows(points)]
    )
    numbers: dict[str, tuple[str, Writer]] = {
        "forgetting": ("forgetting", labels.change),
        "adaptation": ("adaptation", labels.loss),
    }
    return alternative(named, "settings", "told", numbers)


def _differences_told(matched: Mapping[str, pd.DataFrame], measures: Sequence[str]) -> Alternative:
    """The differences in words and numbers."""
    parts = [table.assign(sweep=sweep) for sweep, table in matched.items() if len(table)]
    table = pd.concat(parts, ignore_index=True)
    columns = [f"{measure}_change" for measure in measures]
    table = table[table[columns].notna().any(axis=1)]
    named = table.assign(told=[f"{row['sweep']}: {row['name']}" for row in _rows(table)])
    numbers: dict[str, tuple[str, Writer]] = {
        f"{measure}_change": (
            f"difference in {differences.measure_label(measure)}",
            labels.change,
        )
        for measure in measures
    }
    return alternative(named, "differences", "told", numbers)


def _rows(table: pd.DataFrame) -> list[dict[Any, Any]]:
    return table.to_dict("records")


def _middle(entries: Sequence[Entry]) -> str:
    return " or ".join(dict.fromkeys(labels.center_name(entry.sweep) for entry in entries))
