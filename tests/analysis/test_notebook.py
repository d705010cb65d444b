"""What notebooks are promised: the names of the package, and the example of the document."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import analysis
from tests.analysis.conftest import write_quickstart

DOCUMENT = Path(__file__).parents[2] / "docs" / "report.md"


def test_the_example_of_the_document_runs(tmp_path, monkeypatch, capsys):
    write_quickstart(tmp_path / "results", seeds=(0, 1), steps=150)
    monkeypatch.chdir(tmp_path)
    section = DOCUMENT.read_text(encoding="utf-8").partition("## In a notebook")[2]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert len(names["complete"]) == 36
    assert list(names["curve"]["step"][:2]) == [0, 1]
    assert names["in_bits"]["forgetting"].notna().all()
    assert len(names["plane"].data) > 3
    assert "forgetting_low" in capsys.readouterr().out


def test_the_document_names_the_columns_there_are(quickstart):
    trials = analysis.measures.trial_table(analysis.load(quickstart(steps=150)))
    table = DOCUMENT.read_text(encoding="utf-8").partition("| column of")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert named <= set(trials.columns)
    left = set(trials.columns) - named - {"path", "stage_ends", "center", "from_scratch"}
    known = r"d\d_(loss|pretrained|start)|\w+_(low|high|window)|max_lr|\w+_fraction|schedule"
    assert [name for name in left if not re.fullmatch(known, name)] == []


@pytest.mark.parametrize("kind", [str, Path])
def test_load_takes_a_folder_and_stays_a_function(quickstart, kind):
    # The module of that name does not take its place, however it is imported.
    from analysis.load import Sweep

    sweep = analysis.load(kind(quickstart(steps=150)))
    assert isinstance(sweep, Sweep)
    assert isinstance(analysis.measures.trial_table(sweep), pd.DataFrame)


def test_what_is_not_promised_is_not_there():
    with pytest.raises(AttributeError, match="no attribute 'lore'"):
        analysis.lore  # noqa: B018


def test_the_package_alone_brings_neither_figures_nor_torch():
    code = "import sys, analysis; print(*{'plotly', 'torch', 'ray', 'jinja2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
