"""Which of several sweeps may share a picture: those whose losses speak of the same text."""

from collections.abc import Sequence

from analysis.comparing.entries import Entry
from analysis.comparing.held_out import same_text
from analysis.frames import datasets_by_role


def groups(entries: Sequence[Entry], roles: Sequence[str]) -> list[list[Entry]]:
    """The sweeps that have all these roles, those together that measure them on the same text.

    Args:
        entries: In any order, which the groups keep.
        roles: d0, d1, ...
    """
    made: list[list[Entry]] = []
    for entry in entries:
        plan = entry.sweep.plan
        if not set(roles) <= set(datasets_by_role(plan)):
            continue
        for group in made:
            if all(same_text(group[0].sweep.plan, plan, role) for role in roles):
                group.append(entry)
                break
        else:
            made.append([entry])
    return made


def groups_of_plane(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The same for forgetting and adaptation, which need every data set of a sweep."""
    made: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        made.setdefault(tuple(entry.sweep.roles), []).append(entry)
    return [group for roles, alike in made.items() for group in groups(alike, roles)]
