"""Killed at any call to the file system, a state goes on from a whole checkpoint to one end."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cpt.records import ResultTree, Status, StatusWord
from cpt.train import train
from tests.cpt.test_checkpoint_damage import numbers, weights

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("first", "stride"),
    [
        (7, 151),
        pytest.param(7, 53, marks=pytest.mark.long),
        *(pytest.param(first, 8, marks=pytest.mark.long) for first in range(8)),
    ],
)
def test_a_kill_at_any_call_of_two_saves_costs_no_number(tiny, first: int, stride: int) -> None:
    """From step 6 of twelve: a save that removes older checkpoints, then the last."""
    config = tiny.config(checkpoint_interval_steps=3, keep_checkpoints=1)
    straight = tiny.beside("straight")
    train(config, straight)
    original = straight.state(config.state_id)
    begun = tiny.config(checkpoint_interval_steps=3, keep_checkpoints=4)
    train(begun, tiny.tree)
    state = tiny.tree.state(config.state_id)
    for later in (9, 12):
        shutil.rmtree(state.checkpoint(later))
    state.write_status(Status(status=StatusWord.RUNNING, step=6))
    program = Path(__file__).with_name("killed.py")
    done = subprocess.run(
        [sys.executable, str(program), str(state.path), str(first), str(stride)],
        env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(lines) >= 2
    expected, rows = weights(original, config), numbers(original)
    for number, *whole in lines:
        assert whole, f"killed at call {number}, no checkpoint was left"
        finished = ResultTree(tiny.tree.storage.parent / f"killed-{number}").state(config.state_id)
        assert numbers(finished) == rows, f"killed at call {number}"
        found = weights(finished, config)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert not list(finished.path.rglob("*.damaged-*")), "a kill is no damage"
    assert stride > 100 or {whole[-1] for _, *whole in lines} >= {6, 12}
