"""What single steps ask of a store, each counted by itself, with nothing else running."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.scaling import stub
from benchmarks.scaling.store import Store, counted, sign_as
from benchmarks.scaling.sweep import SAVE_EVERY, STEPS, write
from cpt.mirror import Mirror
from sweeps.prepare import prepare
from sweeps.store import tree_of
from sweeps.sweep_file import load

Counts = Counter[str]


def steps(store: Store, folder: Path) -> dict[str, Counts]:
    """Requests by kind, by what is done: `state`, `checkpoint`, `look` and `look again`.

    Args:
        store: Asked for nothing else meanwhile.
        folder: Exists; the sweep and copies of its tree come to lie there.
    """
    os.environ |= sign_as("alone")
    spec, _ = load(write(folder, store.uri.replace("/results", "/alone"), trials=4), [])

    def asked(work: Callable[[], object]) -> Counts:
        store.requests()
        work()
        return counted(store.requests())

    os.environ["REWARM_CACHE"] = str(folder / "trains")
    tree = tree_of(spec)
    plan = prepare(spec, tree, lambda text: None)
    runs = [state.config for state in plan.states.values()]
    first, second = (run for run in runs if run.parent is None and run.seed in (0, 1))
    saved_once = second.model_copy(update={"checkpoint_interval_steps": STEPS})
    often = asked(lambda: stub.pretend(first, tree, 0.0))
    once = asked(lambda: stub.pretend(saved_once, tree, 0.0))
    more = STEPS // SAVE_EVERY - 1
    (child,) = (run for run in runs if run.parent == first.state_id)
    state = asked(lambda: stub.pretend(child, tree, 0.0))
    os.environ["REWARM_CACHE"] = str(folder / "looks")
    fetch = Mirror.of(tree_of(spec)).fetch_states
    return {
        "state": state,
        "checkpoint": Counter(
            {kind: round((often[kind] - once[kind]) / more, 1) for kind in often | once}
        ),
        "look": asked(lambda: fetch([child.state_id])),
        "look again": asked(lambda: fetch([child.state_id])),
    }
