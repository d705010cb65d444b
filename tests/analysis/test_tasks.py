"""Scores on downstream tasks: which rows count, what may stand in one column, what is shown."""

import re

import pytest

from analysis.load import load_sweep
from analysis.measures import trial_table
from analysis.page.tasks import task_scores, task_section
from analysis.report import write_report
from analysis.settings import anchor
from cpt.records import ResultTree
from cpt.rows import TaskRow, append_rows


def score(task: str, value: float, metric: str = "acc", **changes: object) -> TaskRow:
    fields: dict[str, object] = {
        "step": 100,
        "task": task,
        "metric": metric,
        "filter": "none",
        "value": value,
        "stderr": 0.01,
        "higher_is_better": True,
        "num_fewshot": 0,
        "num_samples": 1000,
        "limit": None,
        "group": None,
        "task_version": "1.0",
        "harness": "lm_eval 0.4.13",
    }
    return TaskRow(**(fields | changes))  # type: ignore[arg-type]


def add_scores(tree, state, *rows):
    folder = ResultTree(tree.storage).state(state)
    folder.path.mkdir(parents=True, exist_ok=True)
    append_rows(folder.task_rows, rows)


def section(sweep_dir):
    sweep = load_sweep(sweep_dir)
    return task_section(sweep, trial_table(sweep), anchor(sweep))


def texts(table):
    return [[cell.text for cell in cells] for _, cells in table.rows]


LOSSES = {"prose": [(0, 2.0), (100, 2.1)], "code": [(0, 3.0), (100, 2.5)]}


@pytest.fixture
def pair(typed):
    """The centre and a trial without replay, both complete."""
    return typed, typed.add("a", losses=LOSSES), typed.add("b", 0, losses=LOSSES)


def test_the_last_of_equal_scores_counts(pair):
    tree, a, _ = pair
    add_scores(tree, a, score("arc", 0.1), score("arc", 0.2, num_fewshot=5), score("piqa", 0.5))
    add_scores(tree, a, score("arc", 0.3))
    tasks = load_sweep(tree.write()).tasks
    found = list(zip(tasks["task"], tasks["num_fewshot"], tasks["value"], strict=True))
    assert found == [("arc", 5, 0.2), ("piqa", 0, 0.5), ("arc", 0, 0.3)]
    assert tasks["limit"].tolist() == [None, None, None]


def test_a_line_cut_off_or_without_a_column_is_left_out(pair):
    tree, a, _ = pair
    add_scores(tree, a, score("arc", 0.1))
    file = ResultTree(tree.storage).state(a).task_rows
    file.write_text(file.read_text() + '{"step": 100, "task": "old"}\n{"step": 100, "task": "pi')
    assert load_sweep(tree.write()).tasks["task"].tolist() == ["arc"]


def test_scores_that_are_no_text_cost_neither_the_trial_nor_the_report(pair):
    tree, a, _ = pair
    ResultTree(tree.storage).state(a).task_rows.write_bytes(b"\xff\xfe")
    sweep_dir = tree.write()
    assert load_sweep(sweep_dir).trials["status"].tolist() == ["complete", "complete"]
    page = write_report(sweep_dir).read_text()
    assert "Scores are missing: states/state-a/tasks.jsonl is not text." in page


def test_the_main_metric_is_acc_norm_then_acc_then_the_first(pair):
    tree, a, _ = pair
    add_scores(
        tree,
        a,
        *(score("arc", 0.1), score("arc", 0.2, "acc_norm")),
        *(score("lambada", 30.0, "perplexity", higher_is_better=False), score("lambada", 0.3)),
        *(score("gsm8k", 0.4, "exact_match", filter="strict-match"),),
        *(score("gsm8k", 0.5, "exact_match", filter="flexible-extract"),),
    )
    scores = task_scores(load_sweep(tree.write()))
    assert list(zip(scores["task"], scores["metric"], scores["value"], strict=True)) == [
        ("arc", "acc_norm", 0.2),
        ("lambada", "acc", 0.3),
        ("gsm8k", "exact_match", 0.4),
    ]


def test_only_scores_of_the_same_question_share_a_column(pair):
    tree, a, b = pair
    add_scores(tree, a, score("arc", 0.1), score("arc", 0.2, limit=10))
    add_scores(tree, b, score("arc", 0.3, task_version="2.0"), score("arc", 0.4, num_fewshot=5))
    main = section(tree.write()).main
    assert main.headings == ["model", "arc", "arc", "arc", "arc"]
    assert [note.replace("\N{NON-BREAKING HYPHEN}", "-") for note in main.notes] == [
        "",
        "acc, 0-shot, version 1.0",
        "acc, 0-shot, first 10, version 1.0",
        "acc, 0-shot, version 2.0",
        "acc, 5-shot, version 1.0",
    ]
    assert texts(main) == [
        ["centre", "0.100", "0.200", "–", "–"],
        ["replay 0%", "–", "–", "0.300", "0.400"],
    ]


def test_the_pre_trained_model_stands_first(pair):
    tree, a, _ = pair
    add_scores(tree, a, score("arc", 0.3, stderr=None))
    sweep_dir = tree.write()
    add_scores(tree, "up-0", score("arc", 0.25))
    found = section(sweep_dir)
    assert texts(found.main) == [["pre-trained model", "0.250"], ["centre", "0.300"]]
    assert [cells[1].note for _, cells in found.main.rows] == ["± 0.010", ""]
    assert (found.harness, found.unscored, found.members) == ("lm_eval 0.4.13", 1, None)


def test_seeds_of_a_setting_stand_together(typed):
    for name, replay, seed in (("a", 0.05, 0), ("b", 0, 0), ("c", 0.05, 1), ("d", 0, 1)):
        add_scores(typed, typed.add(name, replay, seed, losses=LOSSES), score("arc", 0.1))
    rows = section(typed.write()).main.rows
    assert [(cells[0].text, cells[0].note) for _, cells in rows] == [
        ("centre", "seed 0"),
        ("centre", "seed 1"),
        ("replay 0%", "seed 0"),
        ("replay 0%", "seed 1"),
    ]


def test_members_of_a_group_stand_apart_from_its_aggregate(pair):
    tree, a, _ = pair
    add_scores(tree, a, score("stem", 0.1, group="mmlu"), score("mmlu", 0.2, num_fewshot=None))
    found = section(tree.write())
    assert (found.main.headings, found.main.notes) == (["model", "mmlu"], ["", "acc"])
    assert found.members.headings == ["model", "stem"]


def test_numbers_large_and_small():
    from analysis.page.tasks import _plain

    assert [_plain(value) for value in (0.25, -0.5, 38.25, 123456.0)] == [
        "0.250",
        "\N{MINUS SIGN}0.500",
        "38.2",
        "1.23e+05",
    ]


def test_a_page_without_scores_has_no_section(pair):
    tree, _, _ = pair
    assert "Downstream tasks" not in write_report(tree.write()).read_text()


def test_the_page_shows_scores_and_escapes_names(pair):
    tree, a, _ = pair
    add_scores(tree, a, score("<b>arc", 0.3, higher_is_better=False))
    page = write_report(tree.write()).read_text()
    part = page[page.index('<section id="tasks">') :]
    part = part[: part.index("</section>")]
    assert '<a href="#tasks">Downstream tasks</a>' in page
    assert "by lm_eval 0.4.13." in part
    assert "&lt;b&gt;arc" in part
    assert "<b>arc" not in part
    assert "lower is better" in part
    assert re.search(r"<span>0\.300</span><small>± 0\.010</small>", part)
    assert "Complete trials without a score: 1;" in part


@pytest.mark.browser
def test_many_tasks_scroll_inside_a_narrow_page_and_names_stay(pair, browser):
    tree, a, _ = pair
    add_scores(tree, a, *(score(f"a_task_with_a_long_name_{n}", 0.3) for n in range(8)))
    page = browser.new_page(viewport={"width": 400, "height": 900})
    page.goto(write_report(tree.write()).as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.evaluate("document.querySelector('#tasks .scroll').scrollLeft = 300")
    name = page.locator("#tasks tbody td").first.bounding_box()
    assert name is not None
    assert 0 <= name["x"] < 40
