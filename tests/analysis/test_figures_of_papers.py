"""Figures by name, for notebooks and papers."""

import importlib.util

import plotly.io
import pytest

from analysis import figures
from analysis.drawing import theme
from analysis.load import load_sweep


@pytest.fixture
def sweep(typed):
    """Three shares of replay, complete."""
    for trial, replay, d0 in (("none", 0, 2.9), ("center", 0.05, 2.5), ("half", 0.5, 2.1)):
        losses = {"prose": [(0, 2.0), (100, d0)], "code": [(0, 3.0), (100, 1.6)]}
        typed.add(trial, replay, losses=losses)
    return load_sweep(typed.write())


def test_every_figure_has_a_name_of_its_own_and_is_drawn_by_it(sweep):
    names = figures.names(sweep)
    assert len(names) == len(set(names)) > 6
    assert {"plane", "axes-replay-d0-loss-prose", "axes-replay-final-d1-loss"} <= set(names)
    # By a look at one: colours are colours, and the legend is plotly's, one entry a curve.
    drawn = figures.draw(sweep, "axes-replay-d0-loss-prose", theme="dark")
    assert "var(" not in drawn.to_json()
    assert drawn.layout.paper_bgcolor == theme.PALETTE["dark"]["paper"]
    assert [trace.name for trace in drawn.data if trace.showlegend] == [
        "0%", "5%", "50%",
    ]  # fmt: skip


def test_an_unknown_figure_or_theme_is_refused_with_what_there_is(sweep):
    with pytest.raises(ValueError, match="no figure is called 'plain'; this sweep has plane, "):
        figures.draw(sweep, "plain")
    with pytest.raises(ValueError, match="theme is 'sepia'; it must be one of light, dark"):
        figures.draw(sweep, "plane", theme="sepia")


def test_a_missing_program_is_named_with_its_remedy(sweep, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"formats are \['gif'\]; each must be one of svg, png"):
        figures.write_figures(sweep, tmp_path, formats=("gif",))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(figures.NoBrowserError, match=r"pip install 'rewarm\[figures\]'"):
        figures.write_figures(sweep, tmp_path)

    def no_browser(**_):
        raise RuntimeError("Kaleido requires Google Chrome to be installed: plotly_get_chrome")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(plotly.io, "write_images", no_browser)
    with pytest.raises(figures.NoBrowserError, match="name it in BROWSER_PATH"):
        figures.write_figures(sweep, tmp_path)


@pytest.mark.browser
def test_a_figure_becomes_a_file(sweep, tmp_path, monkeypatch):
    pytest.importorskip("kaleido", reason="kaleido is not installed")
    monkeypatch.setattr(figures, "SECTIONS", {"plane": None})
    svg, png = figures.write_figures(sweep, tmp_path / "paper", formats=("svg", "png"))
    assert svg.read_text(encoding="utf-8").startswith("<svg")
    assert "adaptation" in svg.read_text(encoding="utf-8")
    assert png.read_bytes().startswith(b"\x89PNG")
