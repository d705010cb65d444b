"""What is asked of the report: refused at the door in one sentence each, or met."""

import importlib.machinery
import importlib.util
import sys
import types
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.asked import Asked, asked
from analysis.units import Unit
from cpt.parsing import ConfigError


def faults(*sweeps: str, **options: object) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        asked(sweeps or ("a", "b"), **options)
    return list(refused.value.faults)


def test_nothing_asked_is_the_report_alone():
    assert asked(["a"]) == Asked()


@pytest.fixture(autouse=True)
def kaleido(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were installed."""
    spec = importlib.machinery.ModuleSpec("kaleido", None)
    monkeypatch.setitem(sys.modules, "kaleido", types.ModuleType("kaleido"))
    monkeypatch.setattr(sys.modules["kaleido"], "__spec__", spec)


def test_figures_need_what_draws_them(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert faults(figures="new") == [
        "--figures 'new': figures as files are drawn by kaleido, which is not installed: "
        "pip install 'rewarm[figures]'."
    ]


def test_tables_need_what_writes_them(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert faults(tables="new") == [
        "--tables 'new': Parquet is written by pyarrow, which is not installed: "
        "pip install 'rewarm[train]'."
    ]


def test_all_that_is_asked_is_met(tmp_path):
    wanted = asked(
        ["a", "b"],
        out=str(tmp_path / "new" / "page.html"),
        unit="bits_per_byte",
        figures=str(tmp_path / "figures"),
        formats="png,svg,png",
        tables=str(tmp_path),
    )
    assert wanted.unit is Unit.BITS_PER_BYTE
    assert wanted.formats == ("png", "svg")
    assert wanted.every is None
    assert asked(["a"], watch=True).every == 5


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"out": "page.txt"}, "--out 'page.txt': must be a file whose name ends in .html."),
        ({"unit": "bits"}, "--unit 'bits': must be nats or bits_per_byte."),
        (
            {"formats": "svg"},
            "--formats 'svg': needs --figures DIR, the folder to write to.",
        ),
        (
            {"formats": "pdf,svg", "figures": "figures"},
            "--formats: 'pdf' is no format; must be svg or png.",
        ),
        (
            {"figures": "new", "watch": True},
            "--figures 'new': figures are not drawn anew by --watch; leave one of the two out.",
        ),
        ({"every": 3.0}, "--every 3: is of --watch; add --watch or leave it out."),
        ({"every": 0.5, "watch": True}, "--every 0.5: must be at least 1, in seconds."),
        ({"every": float("nan"), "watch": True}, "--every nan: must be at least 1, in seconds."),
    ],
)
def test_an_option_that_cannot_be_met_is_refused(options, sentence):
    assert faults(**options) == [sentence]


def test_a_unit_is_of_a_comparison():
    assert faults("a", unit="nats") == [
        "--unit nats: is of a comparison; the report of one sweep counts in nats per token; leave "
        "it out, or name a second sweep."
    ]


def test_a_sweep_is_not_compared_with_itself():
    assert faults("a", "b", "a") == [
        "a: is named twice; a sweep is compared with others than itself."
    ]


def test_places_that_are_taken_are_refused(tmp_path):
    (tmp_path / "page.html").mkdir()
    file = tmp_path / "file"
    file.touch()
    assert faults(out=str(tmp_path / "page.html"), tables=str(file / "in"), figures=str(file)) == [
        f"--out '{tmp_path / 'page.html'}': is a folder; must be a file; name one in it.",
        f"--figures '{file}': {file} is a file; must be a folder or not exist.",
        f"--tables '{file / 'in'}': {file} is a file; must be a folder or not exist.",
    ]


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["analysis", *map(str, words)])
    return main()


def test_every_fault_is_told_and_nothing_written(quickstart, monkeypatch, capsys):
    sweep_dir = quickstart()
    before = sorted(sweep_dir.iterdir())
    assert run(monkeypatch, sweep_dir, "--unit", "bits", "--every", "2") == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert sorted(sweep_dir.iterdir()) == before


def test_the_page_goes_where_it_is_asked_for(quickstart, monkeypatch, capsys, tmp_path):
    sweep_dir = quickstart()
    page = tmp_path / "papers" / "page.html"
    assert run(monkeypatch, sweep_dir, "--out", page) == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert "18 of 18 trials complete." in page.read_text(encoding="utf-8")
    assert not (sweep_dir / "report.html").exists()
    assert (sweep_dir / "trials.csv").exists()


def test_one_folder_of_several_that_is_no_sweep_is_refused(
    quickstart, monkeypatch, capsys, tmp_path: Path
):
    sweep_dir = quickstart()
    assert run(monkeypatch, sweep_dir, tmp_path) == 2
    assert (
        capsys.readouterr().err == f"{tmp_path} holds no plan.json, so it is not a sweep's folder\n"
    )
    assert not (sweep_dir / "comparison.html").exists()
