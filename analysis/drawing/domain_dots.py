"""Which domains were forgotten, and which were learnt: one line of dots for each."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis import labels
from analysis.domains import domain_changes
from analysis.drawing import theme
from analysis.drawing.alternative import alternative
from analysis.drawing.chart import Chart, Key, panel
from analysis.load import Sweep

MOST_DOMAINS = 20
MOST_SETTINGS = 40
"""With more settings than this only those that nothing beats are drawn, and the centre."""
OTHERS = "other settings"


def domain_dots(
    sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame, center: Mapping[str, Any]
) -> pd.DataFrame:
    """The dots to draw.

    Args:
        sweep: For names.
        trials: As `measures.trial_table` returns them.
        settings: As `settings.settings_table` returns them.
        center: As `settings.anchor` returns it.

    Returns:
        The columns of `domains.domain_changes`, `name` of the setting, `central`, `states`,
        `factors`. Domains stand in the order of what the subject's change was, largest first:
        of the centre, or of the mean over settings where the centre is not complete.
    """
    table = domain_changes(sweep, trials)
    table = table[table["setting"].isin(settings.index)].copy()
    central = settings[settings["center"].astype(bool)].index
    kept = settings.index
    if len(kept) > MOST_SETTINGS:
        kept = settings.index[settings["efficient"] | settings["center"].astype(bool)]
    table = table[table["setting"].isin(kept)]
    rows = {key: settings.loc[key].to_dict() for key in table["setting"].unique()}
    table["central"] = table["setting"].isin(central)
    table["name"] = [labels.setting_label(sweep, rows[key], center) for key in table["setting"]]
    table["factors"] = [labels.factors(sweep, rows[key]) for key in table["setting"]]
    table["states"] = [rows[key]["states"] for key in table["setting"]]
    subject = table[table["central"]] if table["central"].any() else table
    order = subject.groupby(["role", "domain"])["change"].mean().rename("order")
    table = table.join(order, on=["role", "domain"])
    return table.sort_values(["role", "order"], ascending=[True, False], kind="stable").drop(
        columns="order"
    )


def domain_chart(
    sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame, center: Mapping[str, Any]
) -> Chart | None:
    """Forgetting by domain of D0, adaptation by domain of later sets; None without domains."""
    if settings.empty:
        return None
    table = domain_dots(sweep, trials, settings, center)
    if table.empty:
        return None
    panels, left = [], []
    for role in sweep.roles:
        rows = table[table["role"] == role]
        if rows.empty:
            continue
        subject = rows[rows["central"]] if rows["central"].any() else rows
        changes = subject.groupby("domain", sort=False)["change"].mean()
        shown = changes.abs().sort_values(ascending=False, kind="stable").index[:MOST_DOMAINS]
        drawn = rows[rows["domain"].isin(shown)]
        what = "Forgetting" if role == "d0" else "Adaptation"
        name = f"{what} by domain of {role.upper()}, {sweep.dataset(role)}"
        panels.append(panel(name, domain_figure(drawn, role)))
        if len(changes) > len(shown):
            left.append(f"{len(changes) - len(shown)} of {len(changes)} domains of {role.upper()}")
    middle = labels.center_name(sweep)
    whose = f"the {middle}'s" if table["central"].any() else "the mean over settings"
    caption = f"Sorted by {whose} change. Each mark is one setting, a mean over its complete seeds."
    if left:
        caption += f" The {MOST_DOMAINS} largest changes; left out: {labels.listing(left)}."
    if len(settings) > MOST_SETTINGS:
        caption += " Of the settings, those that nothing beats on both measures."
    keys = [Key(OTHERS, theme.MUTED, "circle-open")]
    if table["central"].any():
        keys.insert(0, Key(middle, theme.INK, "diamond"))
    subject = table[table["central"]] if table["central"].any() else table
    words = subject.assign(
        domain=[
            f"{domain} ({role.upper()})"
            for domain, role in zip(subject["domain"], subject["role"], strict=True)
        ]
    )
    means = words.groupby("domain", sort=False)["change"].mean().reset_index()
    told = alternative(
        means,
        "domains",
        "domain",
        {"change": (f"change of {whose.removesuffix(chr(39) + 's')}", labels.change)},
    )
    return Chart("", caption, keys, panels, told)


def domain_figure(table: pd.DataFrame, role: str) -> go.Figure:
    """Dots on one line a domain, the largest change of the centre on top.

    Args:
        table: Rows of one role, as `domain_dots` returns them.
        role: d0, d1, ...
    """
    names = list(dict.fromkeys(table["domain"]))
    drawn = theme.figure(
        x_title="rise of loss, nats per token \N{LEFTWARDS ARROW} less is better"
        if role == "d0"
        else "fall of loss, nats per token \N{RIGHTWARDS ARROW} more is better",
        y_title="",
        height=90 + 24 * max(len(names), 2),
    )
    for central in (False, True):
        rows = table[table["central"] == central]
        if rows.empty:
            continue
        drawn.add_trace(
            go.Scatter(
                x=rows["change"],
                y=[theme.literal(name) for name in rows["domain"]],
                name=theme.literal(rows["name"].iloc[0]) if central else OTHERS,
                legendgroup=rows["name"].iloc[0] if central else OTHERS,
                meta=theme.owned(list(rows["setting"])),
                mode="markers",
                marker={
                    "symbol": "diamond" if central else "circle-open",
                    "size": 11 if central else 7,
                    "color": theme.INK if central else theme.MUTED,
                    "opacity": 1 if central else 0.7,
                },
                customdata=[
                    f"<b>{theme.literal(row['name'])}</b><br>{theme.literal(row['domain'])}: "
                    f"{labels.change(row['change'])}<br>{theme.literal(row['factors'])}"
                    f"<br>{theme.literal(str(row['states']))}"
                    for row in rows.to_dict("records")
                ],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
    order = [theme.literal(name) for name in reversed(names)]
    drawn.update_yaxes(type="category", categoryorder="array", categoryarray=order)
    drawn.add_vline(x=0, line={"color": theme.MUTED, "width": 1.2, "dash": "dash"}, layer="below")
    return drawn
