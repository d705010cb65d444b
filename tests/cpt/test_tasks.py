"""Scores on downstream tasks are the harness's own, of the state's own weights."""

import functools
import json
import shutil

import pytest
import torch
from typer.testing import CliRunner

from cpt import checkpoint
from cpt.model import GPT
from cpt.parallel import Workers
from cpt.parsing import ConfigError
from cpt.records import ResultTree, StateDir, Status, StatusWord
from cpt.rows import current_rows, read_rows
from cpt.train import train

pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
import lm_eval
from lm_eval.tasks import TaskManager

import cpt.tasks
from cpt.hub_state import complete_config, export_state
from cpt.tasks import TaskError, TaskSuite, rows_of
from sweeps.__main__ import app

pytestmark = pytest.mark.slow

CHOICES = [" old mice", " @@@@@@@@", " q"]
# The tiny model sees 16 tokens: question and answer are shorter than that.
QUESTIONS = [
    {
        "question": f"the {n}",
        "choices": [*CHOICES[n % 3 :], *CHOICES[: n % 3]],
        # Where the text stands that the model was trained on; in the last, where another does.
        "gold": -n % 3 if n < 9 else 1,
    }
    for n in range(10)
]
TASK = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files: {{test: {file}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{gold}}}}"
target_delimiter: ""
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
metadata: {{version: 2.0}}
"""
GROUP = """\
group: tiny_group
task: [tiny_mice, tiny_rats]
aggregate_metric_list:
  - {metric: acc, weight_by_size: true}
metadata: {version: 3.0}
"""


@pytest.fixture(scope="module", autouse=True)
def _one_index_a_folder():
    """To know its tasks the harness reads thousands of files, ten seconds each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cpt.tasks.TaskManager", functools.cache(TaskManager))
        yield


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """A folder with two like tasks, their group, and a task whose data are not there."""
    folder = tmp_path_factory.mktemp("tasks")
    questions = folder / "questions.jsonl"
    questions.write_text("".join(json.dumps(question) + "\n" for question in QUESTIONS))
    for name in ("tiny_mice", "tiny_rats"):
        (folder / f"{name}.yaml").write_text(TASK.format(name=name, file=questions))
    (folder / "tiny_lost.yaml").write_text(TASK.format(name="tiny_lost", file=folder / "none"))
    (folder / "tiny_group.yaml").write_text(GROUP)
    return folder


@pytest.fixture(scope="module")
def mice(tasks):
    return TaskSuite(["tiny_mice"], include_path=tasks)


@pytest.fixture(scope="module")
def trained(shared_world):
    """A result tree with one complete state, and its configuration."""
    tree, config = shared_world.beside("scored"), shared_world.config()
    train(config, tree)
    return tree, config


@pytest.fixture
def state(trained, tmp_path):
    """A copy of the trained state, in a tree of its own."""
    tree, config = trained
    shutil.copytree(tree.storage, tmp_path / "results", symlinks=True)
    return ResultTree(tmp_path / "results").state(config.state_id)


def known(rows):
    return {(row.task, row.metric): row for row in rows}


def own_log_likelihood(state: StateDir, config, text: str, choice: str) -> float:
    """Of the choice after the text, from the trainer's own model."""
    model = GPT(config.model)
    checkpoint.load_weights(state, model, Workers(rank=0, world_size=1, device=torch.device("cpu")))
    ids = torch.tensor([[*(text + choice).encode()]])
    with torch.no_grad():
        logits = model(ids)
    logs = torch.log_softmax(logits[0].float(), dim=-1)
    begin = len(text.encode())
    return sum(float(logs[at - 1, ids[0, at]]) for at in range(begin, ids.shape[1]))


def test_accuracy_is_that_of_the_models_own_log_likelihoods(trained, state, mice):
    rows = known(mice.score(state))
    right = {"acc": 0, "acc_norm": 0}
    for question in QUESTIONS:
        choices, gold = question["choices"], question["gold"]
        likelihoods = [
            own_log_likelihood(state, trained[1], question["question"], choice)
            for choice in choices
        ]
        per_byte = [value / len(choice) for value, choice in zip(likelihoods, choices, strict=True)]
        right["acc"] += likelihoods[gold] == max(likelihoods)
        right["acc_norm"] += per_byte[gold] == max(per_byte)
    # By the byte the text it was trained on wins, in sum the shortest answer does.
    assert right == {"acc": 0, "acc_norm": 9}
    for metric, count in right.items():
        assert rows["tiny_mice", metric].value == pytest.approx(count / len(QUESTIONS))


def test_scores_are_what_the_harness_says_of_the_exported_folder(state, tasks, tmp_path):
    rows = known(TaskSuite(["tiny_group"], include_path=tasks, num_fewshot=0).score(state))
    export_state(state, tmp_path / "exported")
    direct = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(tmp_path / "exported")},
        tasks=["tiny_group"],
        device="cpu",
        task_manager=cpt.tasks.TaskManager(include_path=tasks),
        log_samples=False,
    )["results"]
    assert set(rows) == {
        *(("tiny_mice", metric) for metric in ("acc", "acc_norm")),
        *(("tiny_rats", metric) for metric in ("acc", "acc_norm")),
        ("tiny_group", "acc"),
    }
    for (task, metric), row in rows.items():
        assert row.value == direct[task][f"{metric},none"]
        assert row.stderr == direct[task][f"{metric}_stderr,none"]
    whole = rows["tiny_group", "acc"]
    assert (whole.num_samples, whole.group, whole.task_version) == (20, None, "3.0")
    part = rows["tiny_mice", "acc"]
    assert (part.step, part.num_samples, part.group, part.task_version) == (
        12, 10, "tiny_group", "2.0",
    )  # fmt: skip
    assert part.harness.startswith("lm_eval 0.")


def test_scoring_again_appends_and_the_last_counts(state, mice, tasks):
    first, second = mice.score(state), mice.score(state)
    assert first == second
    TaskSuite(["tiny_mice"], include_path=tasks, limit=4).score(state)
    rows = read_rows(state.task_rows)
    assert [row["limit"] for row in rows] == [None] * 4 + [4] * 2
    current = current_rows(rows, lambda row: (row["task"], row["metric"], row["limit"]))
    assert [row["num_samples"] for row in current] == [10, 10, 4, 4]


def test_unknown_tasks_are_refused_by_the_nearest_name(tasks):
    with pytest.raises(ConfigError) as refused:
        TaskSuite(["tiny_mise", "tiny_rats", "qqqqqqqqqqq"], include_path=tasks)
    assert refused.value.faults[0].startswith(
        "tasks: got 'tiny_mise'; lm-evaluation-harness knows no such task; did you mean 'tiny_mice'"
    )
    assert refused.value.faults[1].endswith("; include_path adds a folder of tasks.")
    with pytest.raises(ConfigError, match="must be a folder"):
        TaskSuite(["tiny_mice"], include_path=tasks / "none")


def test_a_task_in_two_groups_is_refused(tasks):
    with pytest.raises(ConfigError, match="ask for one of the two"):
        TaskSuite(["tiny_mice", "tiny_group"], include_path=tasks)


def test_data_that_cannot_be_had_are_named(tasks):
    with pytest.raises(TaskError, match="tiny_lost: the data of a task cannot be loaded"):
        TaskSuite(["tiny_lost"], include_path=tasks)


def test_only_complete_states_are_scored(state, tmp_path):
    assert complete_config(state).end_step == 12
    with pytest.raises(ConfigError, match=r"is no state"):
        complete_config(StateDir(tmp_path / "nothing"))
    state.write_status(Status(status=StatusWord.RUNNING, step=3))
    with pytest.raises(ConfigError, match="is running at step 3; must be complete"):
        complete_config(state)
    state.status.unlink()
    with pytest.raises(ConfigError, match="is not started; must be complete"):
        complete_config(state)


def test_what_is_no_finite_number_is_no_score():
    results = {
        "results": {
            "t": {
                "name": "t",
                "alias": " - t",
                "sample_len": 3,
                "word_perplexity,none": float("inf"),
                "word_perplexity_stderr,none": "N/A",
                "acc,none": 0.5,
                "acc_stderr,none": float("nan"),
            }
        },
        "group_subtasks": {},
        "higher_is_better": {"t": {"acc": True}},
        "n-shot": {"t": 5},
        "versions": {},
    }
    (row,) = rows_of(results, step=7, limit=3)
    assert (row.metric, row.value, row.stderr, row.num_fewshot) == ("acc", 0.5, None, 5)
    assert (row.step, row.limit, row.higher_is_better, row.task_version) == (7, 3, True, "")


def test_the_command_writes_scores_and_says_what_it_refuses(state, tasks):
    scored = [str(state.path), "--tasks", "tiny_mice", "--include-path", str(tasks), "--limit", "4"]
    done = CliRunner().invoke(app, ["evaluate", *scored])
    assert done.exit_code == 0, done.stderr
    words = done.stdout.split()
    assert words[words.index("tiny_mice") :][:4] == ["tiny_mice", "acc", "0", "4"]
    assert len(read_rows(state.task_rows)) == 2

    shutil.rmtree(state.checkpoints)
    refused = CliRunner().invoke(app, ["evaluate", str(state.path.parent), "--tasks", "tiny_mice"])
    assert isinstance(refused.exception, ConfigError)
    assert "is no state" in str(refused.exception)
