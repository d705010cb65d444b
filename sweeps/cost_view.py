"""The table of costs in three columns, and what stands below it."""

from rich.table import Table

from sweeps import words
from sweeps.cost import WAYS, Cost, Costs, Tariff
from sweeps.plan import Plan
from sweeps.stopping import AshaStopping

WAY_HEADINGS = {
    "alone": "every trial\nalone",
    "pretrained_once": "pre-trained\nonce per seed",
    "planned": "as\nplanned",
}


def cost_table(costs: Costs) -> Table:
    """Three ways, and the planned as a share of the second."""
    table = Table(box=None, pad_edge=False, title="cost", title_justify="left")
    table.add_column("")
    for heading in (*WAY_HEADINGS.values(), "planned, of\nonce per seed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for field, name, show in (
        ("training_tokens", "training tokens", words.quantity),
        ("tokens_after_pretraining", "  after pre-training", words.quantity),
        ("training_flops", "training FLOPs", lambda flops: f"{flops:.3g}"),
        ("evaluation_tokens", "evaluation tokens, forward", words.quantity),
        ("checkpoint_bytes", "checkpoints kept", words.stored),
        ("worker_hours", "worker-hours", words.hours),
        ("longest_path_hours", "longest path", words.hours),
        ("money", f"money, {costs.tariff.currency}", lambda price: f"{price:,.2f}"),
    ):
        ways: list[Cost] = [getattr(costs, way) for way in WAYS]
        values = [getattr(way, field) for way in ways]
        if values[0] is None:
            table.add_row(name, "?", "?", "?", "")
        else:
            share = f"{values[2] / values[1]:.1%}" if values[1] else ""
            table.add_row(name, *map(show, values), share)
    return table


def remarks(plan: Plan, tariff: Tariff) -> list[str]:
    """What to give where a figure is not known, where those that are come from, what may change."""
    lines = []
    if tariff.tokens_per_second is None:
        lines.append("? hours: give cost.tokens_per_second, of one worker, or try --measure")
    else:
        source = "measured here" if tariff.measured else "cost.tokens_per_second"
        lines.append(
            f"hours at {tariff.tokens_per_second:,.0f} training tokens a second and worker "
            f"({source})"
        )
    if tariff.price_per_worker_hour is None:
        lines.append("? money: give cost.price_per_worker_hour")
    stopping = plan.spec.stopping
    if isinstance(stopping, AshaStopping):
        lines.append(
            f"{stopping.type} may end trials early, from {words.quantity(stopping.grace_tokens)} "
            f"tokens of the last stage on, by {stopping.metric}: the planned figures are the most "
            "it costs"
        )
    return lines
