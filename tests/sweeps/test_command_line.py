"""`python -m sweeps` as a person or a script meets it: words, exit statuses, nothing started."""

import json
import re
import subprocess
import sys
import time
from importlib import resources

import pytest

from cpt.dataset_config import FILE_FORMATS, LOCAL_CORPORA
from cpt.files import write_json
from cpt.model_config import PRESETS
from cpt.records import ResultTree, Status, StatusWord
from sweeps.prepare import prepare, write_plan
from sweeps.spec import SweepSpec
from sweeps.store import tree_of
from sweeps.sweep_file import load

DONE, FAILED, REFUSED = 0, 1, 2
HEAVY = {"ray", "torch", "pandas", "plotly"}


def imported(import_times: str) -> set[str]:
    """Packages that `-X importtime` tells of."""
    lines = [line for line in import_times.splitlines() if line.startswith("import time:")]
    assert len(lines) > 100
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in lines}


# init.


def test_init_writes_a_sweep_that_plan_accepts(rewarm, folder):
    written = rewarm("init")
    assert (written.returncode, written.stdout) == (
        DONE,
        "wrote sweep.yaml; next: rewarm plan sweep.yaml\n",
    )
    assert load(folder / "sweep.yaml")[0].name == "starter"


@pytest.mark.slow
@pytest.mark.long
def test_the_starter_sweep_is_planned_as_it_stands(rewarm):
    rewarm("init", "mine.yaml")
    planned = rewarm("plan", "mine.yaml", "--json")
    assert (planned.returncode, planned.stderr) == (DONE, "")
    assert len(json.loads(planned.stdout)["trials"]) == 11


def test_init_makes_the_folders_on_the_way(rewarm, folder):
    assert rewarm("init", "sweeps/first.yaml").returncode == DONE
    assert (folder / "sweeps" / "first.yaml").is_file()


def test_init_never_overwrites(rewarm, folder):
    (folder / "sweep.yaml").write_text("mine")
    refused = rewarm("init")
    assert (refused.returncode, refused.stderr) == (
        REFUSED,
        "refused: sweep.yaml exists already; name another file.\n",
    )
    assert (folder / "sweep.yaml").read_text() == "mine"


STARTER = resources.files("sweeps").joinpath("starter.yaml").read_text(encoding="utf-8")
SCHEMA = SweepSpec.model_json_schema(mode="serialization")


def test_the_starter_sweep_explains_every_field():
    fields = {name for part in SCHEMA["$defs"].values() for name in part.get("properties", {})}
    written = {*re.findall(r"\b(\w+):", STARTER), *re.findall(r"\b(\w+) \(", STARTER)}
    assert sorted({*SCHEMA["properties"], *fields} - written) == []


def words_of(schema: object) -> set[str]:
    """Every word that a field may be given where only some are legal."""
    if isinstance(schema, list):
        return set().union(*map(words_of, schema))
    if not isinstance(schema, dict):
        return set()
    own = {*schema.get("enum", ()), schema.get("const", "")}
    return own.union(*map(words_of, schema.values()))


def test_the_starter_sweep_names_every_legal_word():
    legal = {*words_of(SCHEMA), *PRESETS, *LOCAL_CORPORA, *FILE_FORMATS} - {""}
    assert {"one_at_a_time", "wsd", "union", "asha", "bf16"} <= legal
    assert sorted(word for word in legal if not re.search(rf"\b{word}\b", STARTER)) == []


# plan.


def test_plan_shows_trials_states_and_tokens(rewarm, sweep):
    planned = rewarm("plan", sweep(axes={"max_lr": [0.02]}, baselines=["union"]))
    assert (planned.returncode, planned.stderr) == (DONE, "")
    for text in (
        "old train: 40 documents, 1,600 tokens",
        "max_lr=0.02",
        "0 → 0.02 → 0.002",
        "─ max_lr=0.02 0..6 384 0.001 ⟶ 0 → 0.02 → 0.002",
        "training tokens",
        "? hours: give cost.tokens_per_second",
        "? money: give cost.price_per_worker_hour",
    ):
        assert text in " ".join(planned.stdout.split())


def test_plan_starts_nothing_and_imports_neither_torch_nor_ray(rewarm, sweep, folder):
    file = sweep()
    packed = rewarm("plan", file, python=("-X", "importtime"))
    assert packed.returncode == DONE
    assert imported(packed.stderr) & {"ray", "torch"} == set()
    planned = rewarm("plan", file, python=("-X", "importtime"))
    assert planned.returncode == DONE
    assert imported(planned.stderr) & HEAVY == set()
    assert [path.name for path in (folder / "results").iterdir()] == ["tokens"]


def test_plan_json_is_json_and_nothing_else(rewarm, sweep):
    planned = rewarm("plan", sweep(), "--json")
    content = json.loads(planned.stdout)
    assert (content["name"], len(content["states"]), planned.stderr) == ("tiny", 2, "")


def test_documents_are_masked_by_the_tokenizers_end_of_text(folder, sweep, monkeypatch):
    monkeypatch.chdir(folder)
    spec, _ = load(folder / sweep(mask_documents=True))
    planned = prepare(spec, tree_of(spec), lambda _: None)
    assert {state.config.document_end for state in planned.states.values()} == {256}


def test_plan_takes_overrides(rewarm, sweep):
    planned = rewarm(
        "plan", sweep(), "--json", "--set", "downstream.token_budget=256", "--set", "name=other"
    )
    content = json.loads(planned.stdout)
    assert (content["name"], content["states"][1]["tokens"]) == ("other", 256)


def test_plan_reckons_hours_and_money(rewarm, sweep):
    file = sweep(cost={"tokens_per_second": 10, "price_per_worker_hour": 36, "currency": "EUR"})
    planned = json.loads(rewarm("plan", file, "--json").stdout)["cost"]
    # 512 + 384 trained; 64 held-out tokens of D0 at steps 0, 1, 2, 4, 7, 8, then of both at
    # 0, 1, 2, 4, 5, 6.
    assert planned["planned"]["evaluation_tokens"] == 6 * 64 + 6 * 128
    seconds = (896 + 1152 / 3) / 10
    assert planned["planned"]["worker_hours"] == pytest.approx(seconds / 3600)
    assert planned["planned"]["money"] == pytest.approx(seconds / 100)


@pytest.mark.slow
def test_plan_measures_a_workers_throughput_and_says_what_the_file_says(rewarm, sweep, folder):
    file = sweep(cost={"tokens_per_second": 20_000})
    planned = rewarm("plan", file, "--measure")
    assert (planned.returncode, planned.stderr) == (DONE, "")
    (told,) = [line for line in planned.stdout.splitlines() if line.startswith("measured")]
    found = re.fullmatch(
        r"measured ([\d,]+) tokens/s on this machine, 1 thread, [\d,]+ steps of 4 sequences; "
        r"cost.tokens_per_second in the spec says 20,000",
        told,
    )
    assert found is not None
    assert f"hours at {found[1]} training tokens a second" in planned.stdout
    assert [path.name for path in (folder / "results").iterdir()] == ["tokens"]


def test_plan_without_the_data_says_that_ids_are_provisional(rewarm, sweep, content, folder):
    for name in ("old", "new"):
        content["datasets"][name]["tokens"] = 1600
    content["model"]["vocab_size"] = 320
    file = sweep(tokenizer="some/tokenizer")
    for path in folder.glob("*.jsonl"):
        path.unlink()
    planned = rewarm("plan", file, "--unpacked")
    assert (planned.returncode, planned.stderr) == (DONE, "")
    assert "the ids of states are provisional" in planned.stdout.replace("\n", " ")
    assert not (folder / "results").exists()
    assert json.loads(rewarm("plan", file, "--unpacked", "--json").stdout)["unpacked"] is True


def test_plan_without_the_data_masks_documents_too(rewarm, sweep, content):
    for name in ("old", "new"):
        content["datasets"][name]["tokens"] = 1600
    content["model"]["vocab_size"] = 320
    planned = rewarm("plan", sweep(mask_documents=True), "--unpacked")
    assert (planned.returncode, planned.stderr) == (DONE, "")
    assert "attention inside documents" in planned.stdout


def test_plan_without_the_data_refuses_what_is_not_declared(rewarm, sweep):
    assert refusals(rewarm, "plan", sweep(), "--unpacked") == [
        "datasets.old.tokens is missing; --unpacked plans from declared training tokens.",
        "datasets.new.tokens is missing; --unpacked plans from declared training tokens.",
        "model.vocab_size is missing; --unpacked reads no tokenizer that could tell it.",
    ]


# Refusals.


def refusals(rewarm, command: str, *arguments: str) -> list[str]:
    """The sentences of a refusal, given in under ten seconds and before anything starts."""
    began = time.monotonic()
    refused = rewarm(command, *arguments)
    assert time.monotonic() - began < 10
    assert refused.returncode == REFUSED
    assert "Ray is up" not in refused.stdout
    lines = refused.stderr.splitlines()
    assert all(line.startswith("refused: ") for line in lines), refused.stderr
    return [line.removeprefix("refused: ") for line in lines]


def test_every_fault_is_a_sentence_on_stderr(rewarm, sweep):
    file = sweep(sequence_length=0, design="gird")
    assert refusals(rewarm, "run", file) == [
        "sequence_length: got 0; must be above 0.",
        "design: got 'gird'; must be one of one_at_a_time, grid, random, list; "
        "did you mean 'grid'?",
    ]


def test_a_missing_sweep_file_is_refused(rewarm):
    assert refusals(rewarm, "run", "swep.yaml") == [
        "swep.yaml is not a file; name a sweep file, or write one: rewarm init."
    ]


def test_a_missing_data_file_is_refused(rewarm, sweep, folder):
    file = sweep()
    (folder / "old.jsonl").unlink()
    (folder / "new_v.jsonl").unlink()
    assert refusals(rewarm, "run", file) == [
        "datasets.old.train: got 'old.jsonl'; there is no such file (relative paths start at "
        f"{folder}).",
        "datasets.new.validation: got 'new_v.jsonl'; there is no such file (relative paths start "
        f"at {folder}).",
    ]


def test_an_empty_validation_file_is_refused(rewarm, sweep, folder):
    file = sweep()
    (folder / "new_v.jsonl").write_text("")
    assert refusals(rewarm, "run", file) == [
        "datasets.new.validation: got ['new_v.jsonl']; the validation set is empty, must hold at "
        "least one document with text in 'text'."
    ]


def test_a_missing_column_is_refused(rewarm, sweep, content):
    content["datasets"]["new"]["text"] = "txt"
    assert refusals(rewarm, "run", sweep()) == [
        "datasets.new.text: got 'txt'; must be a column of the data, but row 1 of new.jsonl has "
        "text; did you mean 'text'?"
    ]


def test_data_shorter_than_the_budget_are_refused(rewarm, sweep, content):
    content["downstream"]["token_budget"] = 6400
    assert refusals(rewarm, "run", sweep()) == [
        "datasets.old: holds 1584 training tokens, but 'center' reads 1600 of it; lower the "
        "token_budget, or allow more than one epoch with datasets.old.repeat: true.",
        "datasets.new: holds 1584 training tokens, but 'center' reads 4800 of it; lower the "
        "token_budget, or allow more than one epoch with datasets.new.repeat: true.",
    ]


def test_training_on_what_is_held_out_is_refused(rewarm, sweep, content):
    content["datasets"]["new"]["train"] = "new*.jsonl"
    content["datasets"]["old"]["train"] = ["old.jsonl", "./old_v.jsonl"]
    assert refusals(rewarm, "run", sweep()) == [
        f"datasets.{name}.validation: 4 of its 4 documents stand, word for word, in the training "
        f"data of datasets.{name}; at most 1% may (datasets.{name}.max_shared_documents); leave "
        "them out of one of the two, or raise that."
        for name in ("old", "new")
    ]


def test_data_of_one_stage_that_another_measures_by_are_refused(rewarm, sweep, content):
    content["datasets"]["new"]["train"] = ["new.jsonl", "old_v.jsonl"]
    (sentence,) = refusals(rewarm, "plan", sweep())
    assert sentence.startswith("datasets.old.validation: 4 of its 4 documents stand, word for word")
    assert "in the training data of datasets.new; at most 1% may" in sentence
    content["datasets"]["old"]["max_shared_documents"] = 1
    assert rewarm("plan", sweep()).returncode == DONE


def test_a_wrong_option_is_refused(rewarm, sweep):
    assert rewarm("run", sweep(), "--retry").returncode == REFUSED


def test_a_sweep_that_was_not_started_has_no_status(rewarm, sweep, folder):
    assert refusals(rewarm, "status", sweep()) == [
        f"{folder}/results/sweeps/tiny/plan.json does not exist; start the sweep with: rewarm run "
        "SPEC."
    ]


# status and report, also while a sweep runs.


@pytest.fixture
def started(sweep, folder, monkeypatch) -> tuple[str, list[str]]:
    """A sweep whose plan and configurations are on disk; its file and the ids of its states."""
    monkeypatch.chdir(folder)
    file = sweep()
    spec, submitted = load(folder / file)
    tree = tree_of(spec)
    planned = prepare(spec, tree, lambda _: None)
    write_plan(planned, submitted, tree)
    for name, state in planned.states.items():
        write_json(tree.state(name).config, state.config.model_dump(mode="json"))
    return file, list(planned.states)


def test_status_says_what_is_done_and_what_is_left(rewarm, started, folder):
    file, (upstream, _) = started
    tree = ResultTree(folder / "results")
    tree.state(upstream).write_status(Status(status=StatusWord.RUNNING, step=6))
    found = rewarm("status", file)
    assert (found.returncode, found.stderr) == (DONE, "")
    # 2 of 8 steps of 64 tokens, and the 384 of the centre.
    assert "tiny: 1 interrupted, 1 pending; 512 tokens left to train; nobody" in found.stdout


def test_status_names_a_damaged_state_and_what_is_wrong_with_it(rewarm, started, folder):
    file, (upstream, _) = started
    tree = ResultTree(folder / "results")
    tree.state(upstream).write_status(Status(status=StatusWord.COMPLETE, step=8))
    found = " ".join(rewarm("status", file).stdout.split())
    assert "pre-training on old damaged 0/8" in found
    assert "step_00000008/complete.json is missing" in found
    assert "tiny: 1 damaged, 1 pending; 896 tokens left to train" in found


@pytest.mark.parametrize("command", ["status", "report"])
def test_a_damaged_plan_is_refused_in_a_sentence(rewarm, started, folder, command):
    file, _ = started
    path = ResultTree(folder.resolve() / "results").sweep("tiny").plan
    path.write_text(path.read_text().replace("64", "65", 1))
    assert refusals(rewarm, command, file) == [
        f"{path} is not as it was written: its seal is broken; rewarm run SPEC writes it anew."
    ]


def test_status_takes_the_folder_as_well_as_the_file(rewarm, started):
    file, _ = started
    assert rewarm("status", "results/sweeps/tiny").stdout == rewarm("status", file).stdout


def test_report_is_written_before_anything_is_trained(rewarm, started, folder):
    file, _ = started
    written = rewarm("report", file)
    assert (written.returncode, written.stderr) == (DONE, "")
    assert written.stdout == f"report: {folder}/results/sweeps/tiny/report.html\n"
    trials = (folder / "results" / "sweeps" / "tiny" / "trials.csv").read_text().splitlines()
    assert len(trials) == 2


def test_status_of_a_folder_that_is_no_sweep_is_refused(rewarm, folder):
    assert refusals(rewarm, "status", ".") == [
        f"{folder}/plan.json does not exist; start the sweep with: rewarm run SPEC."
    ]


# Installations without the extras.


GONE = """
import sys

class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {modules}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Gone())
sys.argv = ["rewarm", *{words}]
from sweeps.__main__ import main

main()
"""


def without(modules: set[str], *words: str) -> subprocess.CompletedProcess[str]:
    """`rewarm WORDS` where these modules cannot be imported."""
    code = GONE.format(modules=sorted(modules), words=list(words))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_laptop_without_torch_and_ray_reads_a_sweep(started, folder):
    heavy = {"torch", "ray", "datasets", "tokenizers", "pyarrow"}
    sweep_dir = str(folder / "results" / "sweeps" / "tiny")
    assert without(heavy, "status", sweep_dir).returncode == DONE
    assert without(heavy, "report", sweep_dir).returncode == DONE


def test_planning_without_tokenizers_names_the_extra(folder, sweep):
    refused = without({"tokenizers"}, "plan", str(folder / sweep()))
    assert (refused.returncode, refused.stderr) == (
        REFUSED,
        "refused: this command needs tokenizers, which is not installed: "
        "pip install 'rewarm[train]'.\n",
    )
