"""What stands for a training: all that one writes and asks of the store, and no arithmetic.

`tests/benchmarks/test_scale.py` holds it against `cpt.train`: the same requests in number and kind.
"""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cpt.checkpoint_marker import ROW_FILES, Marker
from cpt.config import RunConfig
from cpt.data import TrainingStream
from cpt.files import write_json, write_sealed
from cpt.mirror import Mirror
from cpt.noted import remove
from cpt.parsing import parse
from cpt.records import ResultTree, StateDir, Status, StatusWord
from cpt.rows import EvalRow, TrainRow, append_rows
from cpt.schedule import lr
from cpt.seals import digest_file
from cpt.tally import Tally
from cpt.token_library import library
from sweeps.store import training_tree

CHECKPOINT_FILES = {".metadata": 4096, "__0_0.distcp": 65_536}
"""Those of one worker, with their bytes."""


def training(seconds: float, notes: Path) -> Callable[[dict[str, Any]], None]:
    """What `sweeps.launch.run` may be given as its `function`.

    Args:
        seconds: How long a state sleeps in all, spread over its steps.
        notes: An existing folder that is told when each state began and ended, and where.
    """

    def stub(trial: dict[str, Any]) -> None:
        began = time.time()
        config = parse(RunConfig, json.loads(trial["run"]))
        tree = training_tree(trial["storage"], trial["token_storage"], trial["remote"])
        pretend(config, tree, seconds)
        note(notes, trial["state"], began)

    return stub


def nothing(seconds: float, notes: Path) -> Callable[[dict[str, Any]], None]:
    """A bare Tune trainable that sleeps for so long and leaves the same note."""

    def sleep(trial: dict[str, Any]) -> None:
        began = time.time()
        time.sleep(seconds)
        note(notes, str(trial["number"]), began)

    return sleep


def note(notes: Path, name: str, began: float) -> None:
    """Written as the last thing a trial does."""
    # Imported here: `pretend` needs no Ray.
    import ray

    node = ray.get_runtime_context().get_node_id()
    write_json(notes / f"{name}.json", {"began": began, "ended": time.time(), "node": node})


def pretend(config: RunConfig, tree: ResultTree, seconds: float) -> None:
    """Leaves a state as `cpt.train.train` would that began it and was not disturbed."""
    state, mirror = tree.state(config.state_id), Mirror.of(tree)
    mirror.fetch_state(state, checkpoint=False)
    mirror.fetch_state(state, checkpoint=True, repair=True)
    write_sealed(state.config, config.model_dump(mode="json"))
    began = time.monotonic()
    with mirror.sending_rows(state):
        stores = TrainingStream(config, tree).stores
        write_json(state.corpus, stores[0].meta.model_dump(mode="json"))
        for held_out in (*config.evaluation.datasets, *config.evaluation.to_come):
            library(tree).open(held_out.corpus)
        first = 0
        if (before := config.base or config.parent) is not None:
            place = tree.state(before)
            mirror.fetch_state(place, checkpoint=True, repair=True)
            first = place.marked_steps()[-1] if config.base else 0
        mirror.send(state.config, state.corpus)
        mirror.write_status(state, Status(status=StatusWord.RUNNING, step=first))
        _steps(config, state, mirror, Tally(config, stores), first, seconds)
        mirror.send_rows(state)
        mirror.release(state)
        status = Status(status=StatusWord.COMPLETE, step=config.end_step)
        mirror.write_status(state, status)
    assert time.monotonic() - began >= seconds


def _steps(
    config: RunConfig, state: StateDir, mirror: Mirror, tally: Tally, first: int, seconds: float
) -> None:
    due, pieces = set(config.evaluation_steps()), config.pieces()
    began = time.monotonic()
    for step in range(first, config.end_step + 1):
        if step > first:
            time.sleep(seconds / (config.end_step - first))
            append_rows(state.train_rows, [_update(config, step, lr(pieces, step - 1))])
        if step == first and step > 0:
            continue
        if step in due:
            append_rows(state.eval_rows, _evaluation(config, step))
        if step in tally.steps:
            append_rows(state.data_rows, tally.rows(step))
        last = step == config.end_step
        if step > 0 and (last or step % config.checkpoint_interval_steps == 0):
            _save(config, state, mirror, step, time.monotonic() - began)
            if not last:
                mirror.write_status(state, Status(status=StatusWord.RUNNING, step=step))


def _save(
    config: RunConfig, state: StateDir, mirror: Mirror, step: int, elapsed_seconds: float
) -> None:
    folder = state.checkpoint(step)
    folder.mkdir(parents=True)
    mirror.remove_checkpoint(state, step)
    for name, size in CHECKPOINT_FILES.items():
        (folder / name).write_bytes(bytes(size))
    files = {name: digest_file(folder / name) for name in CHECKPOINT_FILES}
    mirror.send_checkpoint(state, step, files)
    marker = Marker(
        state=state.path.name,
        step=step,
        elapsed_seconds=elapsed_seconds,
        torch="none",
        world_size=1,
        files=files,
        rows={name: digest_file(state.path / name) for name in ROW_FILES},
    )
    state.mark_checkpoint(marker)
    mirror.mark_checkpoint(state, step, config.keep_checkpoints)
    for old in state.marked_steps()[: -config.keep_checkpoints]:
        remove(state.checkpoint(old))


def _update(config: RunConfig, step: int, rate: float) -> TrainRow:
    return TrainRow(
        step=step,
        tokens=step * config.tokens_per_step,
        lr=rate,
        loss=_loss(config, step, "updates"),
        grad_norm=1.0,
        tokens_per_second=1000.0,
        mfu=None,
        elapsed_seconds=float(step),
    )


def _evaluation(config: RunConfig, step: int) -> list[EvalRow]:
    to_come = config.evaluation.to_come if step == 0 else ()
    return [
        EvalRow(
            step=step,
            tokens=step * config.tokens_per_step,
            dataset=held_out.name,
            domain=None,
            loss=_loss(config, step, held_out.corpus),
            bits_per_byte=1.0,
            num_tokens=1024,
        )
        for held_out in (*config.evaluation.datasets, *to_come)
    ]


def _loss(config: RunConfig, step: int, of: str) -> float:
    """Some number that falls, another for each state."""
    digest = hashlib.sha256(f"{config.state_id} {of}".encode()).digest()
    return 3 - step / config.total_steps + digest[0] / 1024
