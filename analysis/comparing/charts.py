"""The charts of a comparison: figures with their legends and captions."""

from collections.abc import Mapping, Sequence

import pandas as pd

from analysis import labels
from analysis.comparing import differences, overlays, planes
from analysis.comparing.entries import Entry
from analysis.comparing.groups import groups, groups_of_plane
from analysis.drawing import plane
from analysis.drawing.chart import Chart, Key, Panel, panel
from analysis.frames import datasets_by_role


def plane_charts(entries: Sequence[Entry], recommended: pd.DataFrame) -> list[Chart]:
    """The plane, one for each group of sweeps that measure on the same text.

    Args:
        entries: All sweeps.
        recommended: As `recommendations.recommendation_table` returns them.
    """
    charts = []
    for group in groups_of_plane(entries):
        points = planes.plane_points(group)
        if points.empty:
            continue
        caption = (
            "Each mark is one setting of one sweep. Up is more adaptation, left is less "
            "forgetting. Dashed: what nothing in the same sweep beats. Named: what each sweep "
            f"takes. Large: the {_middle(group)}; small and pale: baselines. Lines at the marks: "
            "95% intervals over seeds. Both measures are differences to the sweep's own "
            "pre-trained model."
        )
        if points["repeated"].any():
            caption += " What two sweeps share is drawn once, as the first one's."
        far = plane.outside(points)
        if len(far):
            caption += f" {len(far)} marks lie outside the picture; a double click shows all."
        shown = [entry for entry in group if (points["sweep"] == entry.name).any()]
        keys = [Key(entry.name, entry.color, entry.symbol) for entry in shown]
        title = "" if len(group) == len(entries) else labels.listing([one.name for one in group])
        drawn = planes.plane_figure(shown, points, recommended)
        charts.append(Chart(title, caption, keys, [panel("", drawn)]))
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
    return Chart("", caption, keys, panels)


def center_chart(entries: Sequence[Entry]) -> Chart | None:
    """Losses and learning rates of the centres; None before any has rows."""
    losses, rates = overlays.center_losses(entries), overlays.center_rates(entries)
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
    keys = [Key(entry.name, entry.color, "line") for entry in entries]
    return Chart("", caption, keys, panels)


def _middle(entries: Sequence[Entry]) -> str:
    return " or ".join(dict.fromkeys(labels.center_name(entry.sweep) for entry in entries))
