"""The short form of the experiment; `make chaos` is the long one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cpt.files import read_json
from cpt.records import ResultTree, StateDir
from tests.chaos.comparison import differences
from tests.chaos.driver import REPOSITORY
from tests.chaos.tiny_sweep import NAME

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture
def disturbed(tmp_path: Path) -> tuple[Path, str]:
    """The folder of an experiment, and what it printed."""
    folder = tmp_path / "chaos"
    found = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--kills", "3", "--seed", "51", "--seeds", "1",
         "--steps", "40", "--pauses", "1", "3", "--drain-seconds", "5", "--folder", str(folder)],
        cwd=REPOSITORY, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    (run,) = folder.iterdir()
    return run, found.stdout


def test_a_disturbed_sweep_ends_with_the_numbers_of_one_left_alone(disturbed, tmp_path):
    """And what is altered by one bit would have been seen: one experiment serves both."""
    folder, printed = disturbed
    figures = json.loads((folder / "chaos.json").read_text())
    assert figures["as_promised"]
    assert len(figures["disturbances"]) == 3
    assert figures["states"] == 13
    assert "differs: nothing" in printed

    ours = ResultTree(folder / "undisturbed")
    theirs = ResultTree(tmp_path / "altered")
    shutil.copytree(folder / "disturbed", theirs.storage)
    one, other = (StateDir(path) for path in sorted((theirs.storage / "states").iterdir())[:2])
    lines = one.train_rows.read_text().splitlines()
    last = json.loads(lines[-1])
    lines[-1] = json.dumps(last | {"loss": last["loss"] * (1 + 1e-15)})
    one.train_rows.write_text("\n".join(lines) + "\n")
    step, other_step = (read_json(state.status)["step"] for state in (one, other))
    shutil.rmtree(other.checkpoint(other_step))
    shutil.copytree(one.checkpoint(step), other.checkpoint(other_step))
    row, tensor = differences(ours, theirs, NAME)
    assert row.startswith(f"{one.path.name}/train.jsonl: 1 rows differ, such as [{last['step']}]")
    assert tensor.startswith(f"{other.path.name}: ")
    assert "tensors differ" in tensor
