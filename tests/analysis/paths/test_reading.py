"""What was read, from the rows of a state and of the beginning it goes on from."""

from typing import Any

import pytest

from analysis.load import load_sweep
from analysis.page.data_tables import reading_table, samples_read
from analysis.report import write_report
from cpt.files import read_json, write_json
from cpt.records import ResultTree
from cpt.rows import DataRow, append_rows


def planned(source: str, **changes: Any) -> dict[str, Any]:
    sizes = {"samples": 0, "first_sample": 0, "tokens": 0, "epochs": 0.0}
    return {"source": source, **sizes, "order": "original", "offset": 0, "seen": None, **changes}


def row(step: int, since: int, source: str, first: int, samples: int, epoch: float) -> DataRow:
    return DataRow(
        step=step,
        since=since,
        source=source,
        domain=None,
        tokens=2 * samples,
        samples=samples,
        first_sample=first,
        epoch=epoch,
    )


def inside(step: int, since: int, source: str, domain: str, tokens: int) -> DataRow:
    return DataRow(
        step=step,
        since=since,
        source=source,
        domain=domain,
        tokens=tokens,
        samples=None,
        first_sample=None,
        epoch=None,
    )


def stream(tree, state: str, *sources: dict[str, Any]) -> None:
    """Names the sources of a state, in the plan and, under other names, in its configuration."""
    tree.states[state]["sources"] = list(sources)
    config = ResultTree(tree.storage).state(state).config
    named = [{"name": f"their-{source['source']}"} for source in sources]
    write_json(config, read_json(config) | {"stream": named})


@pytest.fixture
def read(tree):
    """A stage of 100 steps of 5 samples, a fifth replay: 50 in a beginning, the rest after it."""
    tree.state("up", 0)
    tree.state("trunk", 1, parent="up", steps=50, horizon=90, ends=False)
    tree.state("end", 1, parent="up", base="trunk", first=50, label="centre")
    tree.trial("a", ["up", "trunk", "end"], ends=["up", "end"], center=True)
    for state in ("trunk", "end"):
        stream(tree, state, planned("wiki", seen=120, offset=30), planned("code"))
    folders = ResultTree(tree.storage)
    append_rows(
        folders.state("trunk").data_rows,
        [
            row(40, 0, "their-wiki", 0, 40, 0.1),
            inside(40, 0, "their-wiki", "web", 60),
            inside(40, 0, "their-wiki", "books", 20),
            row(40, 0, "their-code", 0, 160, 0.8),
            # Its end, between two evaluations of the stage.
            row(50, 40, "their-wiki", 40, 10, 0.125),
            row(50, 40, "their-code", 160, 40, 1.0),
        ],
    )
    append_rows(
        folders.state("end").data_rows,
        [
            row(80, 40, "their-wiki", 40, 40, 0.2),
            row(80, 40, "their-code", 160, 160, 1.6),
            row(100, 80, "their-wiki", 80, 20, 0.25),
            row(100, 80, "their-code", 320, 80, 2.0),
        ],
    )
    return tree


def cells(tree) -> list[list[str]]:
    table = reading_table(load_sweep(tree.write({})))
    return [[cell.text for cell in line] for _, line in table.rows]


def test_rows_of_a_stage_are_joined_without_overlaps(read):
    data = load_sweep(read.write({})).data
    own = data[(data["state"] == "end") & (data["source"] == "code")]
    assert list(zip(own["since"], own["step"], strict=True)) == [(0, 40), (40, 80), (80, 100)]
    assert own["samples"].sum() == 400


def test_each_source_of_a_stage_has_a_line(read):
    assert cells(read) == [
        [
            "centre",
            "wiki",
            "200",
            "20.00%",
            "30 to 119, then 0 to 9, in their training order",
            "0.25",
            "web 75.0%, books 25.0%",
        ],
        ["", "code", "800", "80.00%", "0 to 399", "2", ""],
    ]


def test_what_was_read_more_than_once_says_so(read):
    _, (_, code) = reading_table(load_sweep(read.write({}))).rows
    assert [cell.note for cell in code if cell.note] == ["read more than once"]


def test_stages_that_read_as_much_stand_together(read):
    read.state("twin", 1, parent="up", label="other")
    stream(read, "twin", planned("wiki", seen=120, offset=30), planned("code"))
    append_rows(
        ResultTree(read.storage).state("twin").data_rows,
        [row(100, 0, "their-wiki", 0, 100, 0.25), row(100, 0, "their-code", 0, 400, 2.0)],
    )
    read.trial("b", ["up", "twin"])
    lines = reading_table(load_sweep(read.write({}))).rows
    assert len(lines) == 2
    assert lines[0][1][0].note == "and 1 more that read as much"


def test_the_page_tells_what_was_read(read):
    page = write_report(read.write({})).read_text(encoding="utf-8")
    assert "What each stage read" in page
    assert "30 to 119, then 0 to 9, in their training order" in page


def test_a_plan_that_lists_no_sources_has_nothing_to_tell(tree):
    tree.state("up", 0)
    tree.state("end", 1, parent="up")
    tree.trial("a", ["up", "end"], center=True)
    assert cells(tree) == []
    page = write_report(tree.write({})).read_text(encoding="utf-8")
    assert "What each stage read" not in page
    assert "compute equivalent" in page


@pytest.mark.parametrize(
    ("options", "samples", "expected"),
    [
        ({}, 0, "none"),
        ({}, 12_346, "0 to 12,345"),
        ({"seen": 99_999}, 12_346, "0 to 12,345 in their training order"),
        ({"seen": 10, "offset": 4}, 6, "4 to 9 in their training order"),
        ({"seen": 10, "offset": 4}, 7, "4 to 9, then 0 to 0, in their training order"),
        ({"seen": 10}, 25, "all 10 that were seen, 2.5 times in that order"),
        (
            {"seen": 10, "order": "reshuffled"},
            7,
            "7 of the 10 that were seen, in a new order",
        ),
        (
            {"seen": 10, "order": "reshuffled"},
            25,
            "all 10 that were seen, 2.5 times in a new order each time",
        ),
    ],
)
def test_samples_are_called_by_their_numbers(options, samples, expected):
    assert samples_read(planned("wiki", **options), samples) == expected


def rewritten(tree, **changes: Any):
    sweep_dir = tree.write({})
    plan = read_json(sweep_dir / "plan.json")
    write_json(sweep_dir / "plan.json", plan | changes)
    return sweep_dir


def test_the_page_says_on_whose_account_replay_is(read):
    replay = {"order": "reshuffled", "offset": "1/4", "accounting": "additive"}
    page = write_report(rewritten(read, replay=replay)).read_text(encoding="utf-8")
    assert "<dt>accounting</dt><dd>additive</dd>" in page
    assert "<dt>order</dt><dd>reshuffled</dd>" in page
    assert "0.25 of what was seen" in page
    assert "It comes on top of the token budget" in page
    assert "new tokens" in page


def test_the_page_says_that_d0_stands_in(read):
    upstream = {"checkpoint": "m", "weights": "w", "stand_in": True}
    sweep_dir = rewritten(read, upstream=upstream)
    page = write_report(sweep_dir).read_text(encoding="utf-8")
    assert "The checkpoint was not trained on wiki: D0 is a stand-in" in page
    page = write_report(read.write({})).read_text(encoding="utf-8")
    assert "stand-in" not in page


def test_the_page_lists_the_sources_of_a_data_set(read):
    sweep_dir = read.write({})
    plan = read_json(sweep_dir / "plan.json")
    one = {"documents": 7, "tokens": 70, "bytes": 300, "empty": 0, "domains": [], "corpus": "c"}
    plan["datasets"]["code"] |= {
        "shared": {"wiki": 3},
        "sources": [
            {**one, "name": "<web>", "path": "json", "weight": "2/3", "empty": 5},
            {**one, "name": "books", "path": "parquet", "weight": "1/3"},
        ],
    }
    write_json(sweep_dir / "plan.json", plan)
    page = write_report(sweep_dir).read_text(encoding="utf-8")
    assert "code/&lt;web&gt;" in page
    assert "66.67% of code: json" in page
    assert "5 documents without text left out" in page
    assert "3 of its held-out documents stand in the training data of wiki too" in page
