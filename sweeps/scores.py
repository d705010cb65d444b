"""Downstream scores of a sweep's states: which of them to score, and the scores in a terminal."""

from collections.abc import Iterable, Sequence

from rich.table import Table

from cpt.files import read_json
from cpt.records import ResultTree, StateDir, StatusWord, SweepDir
from cpt.rows import TaskRow


def states_to_score(sweep: SweepDir) -> list[StateDir]:
    """The complete states that a report compares: the pre-trained ones and every trial's last."""
    plan = read_json(sweep.plan)
    tree = ResultTree(sweep.path.resolve().parent.parent)
    pretrained = [
        state["state"]
        for state in plan["states"]
        if state["stage"] == "upstream" and state["ends_stage"]
    ]
    last = [trial["states"][-1] for trial in plan["trials"]]
    return [tree.state(name) for name in _once([*pretrained, *last]) if _is_complete(tree, name)]


def score_table(rows: Sequence[TaskRow]) -> Table:
    """One line a task and metric."""
    table = Table(box=None, pad_edge=False)
    for heading in ("task", "metric", "shots", "documents", "score", "std. error"):
        right = heading not in ("task", "metric")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(
            row.task,
            row.metric if row.filter == "none" else f"{row.metric} ({row.filter})",
            "" if row.num_fewshot is None else str(row.num_fewshot),
            f"{row.num_samples:,}",
            f"{row.value:.4g}",
            "" if row.stderr is None else f"{row.stderr:.2g}",
        )
    return table


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _is_complete(tree: ResultTree, name: str) -> bool:
    try:
        status = tree.state(name).read_status()
    except ValueError:  # `rewarm status` tells of damage
        return False
    return status is not None and status.status is StatusWord.COMPLETE
