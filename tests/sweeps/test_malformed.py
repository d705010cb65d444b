"""Malformed sweep files: each is refused at once, in sentences, before anything starts.

`malformed.yaml` lists changes to a valid file; here stand files that are wrong as a whole, and
those that hypothesis makes. All go through the command line as a person types it.
"""

import contextlib
import importlib
import io
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sweeps.__main__ import main
from sweeps.console import out

REPOSITORY = Path(__file__).parents[2]
PLANNED, REFUSED = 0, 2
SECONDS = 2.0

VALID = """
name: starter
storage: results
model: {num_layers: 1, hidden_size: 16, num_heads: 2, vocab_size: 320}
tokenizer: bytes
sequence_length: 16
global_batch_size: 4
datasets: {
  prose: {path: "local:python-prose", domain: domain, tokens: 1_000_000},
  code: {path: json, train: code.jsonl, validation: held_out.jsonl, tokens: 1_000_000}}
upstream: {
  dataset: prose, token_budget: 6_400,
  schedule: {type: cosine, max_lr: 6e-3, warmup_fraction: 0.02}}
downstream: {dataset: code, token_budget: 3_200}
axes: {
  max_lr: [3e-3, 6e-3], replay_fraction: [0, 1/4], schedule: [cosine, infinite_cosine], seed: [0]}
design: one_at_a_time
center: {max_lr: 6e-3, warmup_fraction: 0.02, replay_fraction: 0.05, schedule: cosine}
evaluation: {interval_steps: 10, final_window_steps: 5, tokens_per_dataset: 64}
"""


class Answer(NamedTuple):
    """What a command said, and the processor's seconds it took, whatever else ran beside it."""

    status: int
    out: str
    err: str
    seconds: float


def rewarm(*arguments: str) -> Answer:
    """The console script, in this process."""
    out, err = io.StringIO(), io.StringIO()
    before, began = (sys.argv, signal.getsignal(signal.SIGTERM)), time.process_time()
    sys.argv = ["rewarm", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        status = PLANNED
    except SystemExit as exit:
        status = int(exit.code or 0)
    finally:
        sys.argv = before[0]
        signal.signal(signal.SIGTERM, before[1])
    return Answer(status, out.getvalue(), err.getvalue(), time.process_time() - began)


def sentences(answer: Answer) -> list[str]:
    """Those of a refusal, which is nothing but them."""
    assert (answer.status, answer.out) == (REFUSED, ""), answer
    assert answer.seconds < SECONDS
    lines = answer.err.splitlines()
    assert lines
    assert all(line.startswith("refused: ") and line.endswith((".", "?")) for line in lines), lines
    assert "Traceback" not in answer.err
    return [line.removeprefix("refused: ") for line in lines]


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working folder, which holds nothing but the sweep file from first to last."""
    path = tmp_path_factory.mktemp("malformed")
    before = Path.cwd()
    os.chdir(path)
    # Imported once, or the first refusal would be charged for it.
    importlib.import_module("sweeps.prepare")
    (path / "sweep.yaml").write_text(VALID)
    assert rewarm("plan", "sweep.yaml", "--unpacked").status == PLANNED
    yield path
    os.chdir(before)
    assert [file.name for file in path.iterdir()] == ["sweep.yaml"]
    ray = sys.modules.get("ray")
    assert ray is None or not ray.is_initialized()


# Changes to a valid file.


def changed(change: str) -> bytes:
    """The valid file with the fields replaced that a change names."""
    long, many = "a" * 10_000, ",".join(f"0.{number:04d}" for number in range(1, 301))
    blocks = change.replace("LONG", long).replace("MANY", many).split(" ;; ")
    content = yaml.safe_load(VALID)
    for block in blocks:
        content.pop(block.partition(":")[0], None)
    kept = yaml.safe_dump(content, sort_keys=False)
    return (kept + "\n".join(blocks) + "\n").encode()


CHANGES = yaml.safe_load((Path(__file__).parent / "malformed.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CHANGES, ids=[case["change"][:60] for case in CHANGES])
def test_a_change_for_the_worse_is_refused(folder, case):
    (folder / "sweep.yaml").write_bytes(changed(case["change"]))
    assert sentences(rewarm("plan", "sweep.yaml", "--unpacked")) == case["refused"]
    assert sentences(rewarm("run", "sweep.yaml")) == case["refused"]


def test_no_sentence_speaks_of_python_or_shows_a_secret():
    told = [sentence for case in CHANGES for sentence in case["refused"]]
    assert len(told) > 200
    for word in ("pydantic", "Input should", "NoneType", "None", "int_parsing", "hush", "Error"):
        assert [sentence for sentence in told if word in sentence] == []


# Files that are wrong as a whole.

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{mine}: &{mine} [{','.join([f'*{last}'] * 9)}]\n"
    for last, mine in zip("abcdefghi", "bcdefghij", strict=True)
)
FILES: list[tuple[bytes | str, str]] = [
    # Empty.
    (
        "",
        "must hold a mapping of fields, one 'field: value' a line, but is empty.",
    ),
    # A comment alone.
    (
        "# nothing\n",
        "must hold a mapping of fields, one 'field: value' a line, but is empty.",
    ),
    # Null.
    (
        "~\n",
        "must hold a mapping of fields, one 'field: value' a line, but is empty.",
    ),
    # A list.
    (
        "- a\n- b\n",
        "must hold a mapping of fields, one 'field: value' a line, but holds ['a', 'b'].",
    ),
    # A number.
    (
        "3\n",
        "must hold a mapping of fields, one 'field: value' a line, but holds 3.",
    ),
    # A sentence.
    (
        "hello\n",
        "must hold a mapping of fields, one 'field: value' a line, but holds 'hello'.",
    ),
    # Every byte.
    (
        bytes(range(256)),
        "is not UTF-8 text: byte 129 is 0x80; it must be a sweep file, saved as UTF-8.",
    ),
    # A picture.
    (
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
        "is not UTF-8 text: byte 1 is 0x89; it must be a sweep file, saved as UTF-8.",
    ),
    # A gzip.
    (
        b"\x1f\x8b\x08\x00abc",
        "is not UTF-8 text: byte 2 is 0x8b; it must be a sweep file, saved as UTF-8.",
    ),
    # Latin-1.
    (
        "name: stärter\n".encode("latin-1"),
        "is not UTF-8 text: byte 9 is 0xe4; it must be a sweep file, saved as UTF-8.",
    ),
    # Utf-16.
    (
        "name: a\n".encode("utf-16"),
        "is not UTF-8 text: byte 1 is 0xff; it must be a sweep file, saved as UTF-8.",
    ),
    # Utf-16 without a mark.
    (
        "name: a\n".encode("utf-16-le"),
        "is not valid YAML: the character U+0000 may not stand in it (line 1, column 2); "
        "leave it out.",
    ),
    # A NUL.
    (
        "name: a\u0000b\n",
        "is not valid YAML: the character U+0000 may not stand in it (line 1, column 8); "
        "leave it out.",
    ),
    # A bell.
    (
        'name: "a\u0007b"\n',
        "is not valid YAML: the character U+0007 may not stand in it (line 1, column 9); "
        "leave it out.",
    ),
    # An escape for a terminal.
    (
        'name: "\\e[31mred"\n',
        "is not valid YAML: the character U+001B may not stand in text; leave it out (line "
        "1, column 7).",
    ),
    # Half a character.
    (
        'name: "\\ud800"\n',
        "is not valid YAML: the character U+D800 may not stand in text; leave it out (line "
        "1, column 7).",
    ),
    # An open bracket.
    (
        "name: a\nbaselines: [union\n",
        "is not valid YAML: expected ',' or ']', but got '<stream end>' (line 3, column "
        "1); close the bracket before it.",
    ),
    # An open quote.
    (
        'name: "a\nstorage: b\n',
        "is not valid YAML: found unexpected end of stream (line 3, column 1); close the "
        "quote before it.",
    ),
    # A tab.
    (
        "axes:\n\tmax_lr: [1]\n",
        "is not valid YAML: found character '\\t' that cannot start any token (line 2, "
        "column 1); indent with spaces, not with tabs.",
    ),
    # Wrong indentation.
    (
        "name: a\n storage: b\n",
        "is not valid YAML: mapping values are not allowed here (line 2, column 9); check "
        "the indentation, and quote text with ': ' in it.",
    ),
    # An at sign.
    (
        "name: @home\n",
        "is not valid YAML: found character '@' that cannot start any token (line 1, "
        "column 7); put text that begins with it in quotes.",
    ),
    # A percent sign.
    (
        "name: %x\n",
        "is not valid YAML: found character '%' that cannot start any token (line 1, "
        "column 7); put text that begins with it in quotes.",
    ),
    # A star.
    (
        "name: *nope\n",
        "is not valid YAML: found undefined alias 'nope' (line 1, column 7); put text that "
        "begins with '*' in quotes.",
    ),
    # Two documents.
    (
        "name: a\n---\nname: b\n",
        "is not valid YAML: but found another document (line 2, column 1); keep one "
        "document in a file.",
    ),
    # An unknown version.
    (
        "%YAML 2.0\n---\nname: a\n",
        "is not valid YAML: found incompatible YAML document (version 1.* is required) "
        "(line 1, column 1); leave the first line out.",
    ),
    # A key twice.
    (
        "name: a\nstorage: b\nname: c\n",
        "is not valid YAML: the key 'name' stands twice (line 3, column 1).",
    ),
    # A key twice below.
    (
        "axes: {seed: [1], seed: [2]}\n",
        "is not valid YAML: the key 'seed' stands twice (line 1, column 19).",
    ),
    # A key twice in a list.
    (
        "downstream:\n- {dataset: a, dataset: b}\n",
        "is not valid YAML: the key 'dataset' stands twice (line 2, column 16).",
    ),
    # A number as a key.
    (
        "3: a\n",
        "is not valid YAML: the key '3' is no text; put it in quotes (line 1, column 1).",
    ),
    # Null as a key.
    (
        "~: a\n",
        "is not valid YAML: the key '~' is no text; put it in quotes (line 1, column 1).",
    ),
    # No as a key.
    (
        "datasets: {no: {path: json}}\n",
        "is not valid YAML: the key 'no' is no text; put it in quotes (line 1, column 12).",
    ),
    # A list as a key.
    (
        "? [a]\n: b\n",
        "is not valid YAML: a list or mapping stands as a key; name a field (line 1, column 3).",
    ),
    # A merge of a number.
    (
        "axes: {<<: 3}\n",
        "is not valid YAML: expected a mapping or list of mappings for merging, but found "
        "scalar (line 1, column 12); '<<' merges mappings alone.",
    ),
    # A long key.
    (
        "k" * 2000 + ": 1\n",
        "is not valid YAML: mapping values are not allowed here (line 1, column 2001); "
        "check the indentation, and quote text with ': ' in it.",
    ),
    # A call of os.system.
    (
        "name: !!python/object/apply:os.system ['touch pwned']\n",
        "is not valid YAML: 'tag:yaml.org,2002:python/object/apply:os.system' is a tag, "
        "and tags are not read; write the value alone (line 1, column 7).",
    ),
    # A module.
    (
        "name: !!python/module:os\n",
        "is not valid YAML: 'tag:yaml.org,2002:python/module:os' is a tag, and tags are "
        "not read; write the value alone (line 1, column 7).",
    ),
    # A name of Python.
    (
        "x: !!python/name:os.system\n",
        "is not valid YAML: 'tag:yaml.org,2002:python/name:os.system' is a tag, and tags "
        "are not read; write the value alone (line 1, column 4).",
    ),
    # A tag of one's own.
    (
        "name: !env HOME\n",
        "is not valid YAML: '!env' is a tag, and tags are not read; write the value alone "
        "(line 1, column 7).",
    ),
    # A binary.
    (
        "name: !!binary aGVsbG8=\n",
        "is not valid YAML: 'tag:yaml.org,2002:binary' is a tag, and tags are not read; "
        "write the value alone (line 1, column 7).",
    ),
    # A set.
    (
        "baselines: !!set {union}\n",
        "is not valid YAML: 'tag:yaml.org,2002:set' is a tag, and tags are not read; write "
        "the value alone (line 1, column 12).",
    ),
    # A tagged number.
    (
        "sequence_length: !!int abc\n",
        "is not valid YAML: 'tag:yaml.org,2002:int' is a tag, and tags are not read; write "
        "the value alone (line 1, column 18).",
    ),
    # Ten thousand digits.
    (
        "sequence_length: " + "9" * 10_000,
        "is not valid YAML: a number of thousands of digits; shorten it (line 1, column 18).",
    ),
    # Nested lists.
    (
        "x: " + "[" * 3000 + "]" * 3000,
        "is not valid YAML: more than 40 lists or mappings stand inside one another; none "
        "needs so many (line 1, column 43).",
    ),
    # A circle.
    (
        "axes: &a {max_lr: [1], center: *a}\n",
        "is not valid YAML: '*a' stands inside of what it repeats; write it out (line 1, "
        "column 32).",
    ),
    # A circle of lists.
    (
        "downstream: &a [*a]\n",
        "is not valid YAML: '*a' stands inside of what it repeats; write it out (line 1, "
        "column 17).",
    ),
    # A billion laughs.
    (
        LAUGHS,
        "is not valid YAML: it holds more than 20,000 values, aliases written out; write "
        "fewer (line 5, column 11).",
    ),
    # Too many values.
    (
        "axes: {seed: [" + "1," * 30_000 + "]}",
        "is not valid YAML: it holds more than 20,000 values, aliases written out; write "
        "fewer (line 1, column 40011).",
    ),
    # Too long.
    (
        "# much\n" * 50_000,
        "holds more than 256 KiB; it must be a sweep file; name that.",
    ),
]


@pytest.mark.parametrize(("content", "sentence"), FILES, ids=range(len(FILES)))
@pytest.mark.parametrize("command", [("plan", "--unpacked"), ("run",)], ids=["plan", "run"])
def test_what_is_no_sweep_file_is_refused(folder, command, content, sentence):
    data = content if isinstance(content, bytes) else content.encode()
    (folder / "sweep.yaml").write_bytes(data)
    assert sentences(rewarm(*command, "sweep.yaml")) == [f"sweep.yaml {sentence}"]


def test_a_byte_order_mark_is_passed_over(folder):
    (folder / "sweep.yaml").write_bytes(b"\xef\xbb\xbf" + VALID.encode())
    assert rewarm("plan", "sweep.yaml", "--unpacked").status == PLANNED


def test_of_many_faults_the_first_are_told(folder):
    (folder / "sweep.yaml").write_text(VALID + "".join(f"k{n}: 1\n" for n in range(5000)))
    told = sentences(rewarm("run", "sweep.yaml"))
    assert len(told) == 51
    assert told[-1] == "there are more faults; these are the first 50."


def test_a_folder_is_no_sweep_file(folder):
    told = sentences(rewarm("run", str(folder)))
    assert told == [f"{folder} is not a file; name a sweep file, or write one: rewarm init."]


# What hypothesis makes of a valid file.

Path_ = tuple[str | int, ...]


def places(content: Any, here: Path_ = ()) -> list[Path_]:
    """Every place below, leaves and branches."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(content, dict):
        items = list(content.items())
    elif isinstance(content, list):
        items = list(enumerate(content))
    return [*([here] if here else []), *(p for k, v in items for p in places(v, (*here, k)))]


PLACES = places(yaml.safe_load(VALID))
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(),
    st.floats(),
    st.sampled_from([10**15, 2**63, 1e-3, 1e308, -0.0, 0.999999, 1.0]),
)
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "",
            "..",
            "../../x",
            "/",
            "~",
            "no",
            "1e-3",
            "1e999",
            "1/0",
            "nan",
            "1_0",
            "0x1f",
            "cosine",
            "s3://u:p@b/x",
            "file://",
            "s3:/x",
            "as_trial",
            "local:",
            "{{7*7}}",
            "<b>",
            "=1+1",
            "🔥",
        ]
    ),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inside: st.one_of(
        st.lists(inside, max_size=4),
        st.dictionaries(
            st.one_of(TEXTS, st.sampled_from(["type", "max_lr", "low", "high", "path", "sources"])),
            inside,
            max_size=3,
        ),
    ),
    max_leaves=6,
)
CHANGE = st.one_of(
    st.tuples(st.just("replace"), st.sampled_from(PLACES), VALUES),
    st.tuples(st.just("replace"), st.sampled_from(PLACES), NUMBERS),
    st.tuples(st.just("drop"), st.sampled_from(PLACES), st.none()),
    st.tuples(st.just("rename"), st.sampled_from(PLACES), TEXTS),
    st.tuples(st.just("add"), st.sampled_from(PLACES), VALUES),
    st.tuples(st.just("move"), st.sampled_from(PLACES), st.sampled_from(PLACES)),
)
Change = tuple[str, Path_, Any]


def inside(content: Any, place: Path_) -> Any:
    """What holds a place; None where another change took it away."""
    for part in place[:-1]:
        if not isinstance(content, dict | list):
            return None
        if isinstance(content, dict) and part not in content:
            return None
        if isinstance(content, list) and not (isinstance(part, int) and part < len(content)):
            return None
        content = content[part]
    part = place[-1]
    fits = isinstance(content, dict) or (
        isinstance(content, list) and isinstance(part, int) and part < len(content)
    )
    return content if fits else None


def apply(content: Any, change: Change) -> None:
    """Changes the content of a sweep file."""
    how, place, value = change
    holder, part = inside(content, place), place[-1]
    if holder is None:
        return
    if how == "replace":
        holder[part] = value
    elif how == "drop" and isinstance(holder, dict):
        holder.pop(part, None)
    elif how == "drop":
        del holder[part]
    elif how == "rename" and isinstance(holder, dict) and part in holder:
        holder[value] = holder.pop(part)
    elif how == "add" and isinstance(holder, dict):
        holder[f"{part}_"] = value
    elif how == "add" and isinstance(holder, list):
        holder.append(value)
    elif how == "move":
        source = inside(content, value)
        if source is not None and (not isinstance(source, dict) or value[-1] in source):
            holder[part] = deepcopy(source[value[-1]])


def is_planned_or_refused(folder: Path, changes: list[Change]) -> None:
    content = yaml.safe_load(VALID)
    for change in changes:
        apply(content, change)
    (folder / "sweep.yaml").write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    answer = rewarm("plan", "sweep.yaml", "--unpacked")
    if answer.status == PLANNED:
        assert answer.err == ""
    else:
        sentences(answer)
        assert not re.search(r"\bNoneType|\bError\b|Input should", answer.err)


ANY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@settings(ANY, max_examples=150, derandomize=True)
@given(changes=st.lists(CHANGE, min_size=1, max_size=3))
def test_any_change_is_planned_or_refused(folder, changes):
    is_planned_or_refused(folder, changes)


@pytest.mark.long
@pytest.mark.timeout(900)
@settings(ANY, max_examples=5_000)
@given(changes=st.lists(CHANGE, min_size=1, max_size=5))
def test_many_changes_are_planned_or_refused(folder, changes):
    is_planned_or_refused(folder, changes)


@settings(ANY, max_examples=100, derandomize=True)
@given(data=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
@example(data=b"? ")
@example(data=b"<<: [a]")
@example(data=b"a: !<!> b")
def test_any_bytes_are_refused(folder, data):
    (folder / "sweep.yaml").write_bytes(data)
    sentences(rewarm("plan", "sweep.yaml", "--unpacked"))


# As a person types it, Python's start included.


@pytest.mark.parametrize(
    "content",
    ["name: 3\n", LAUGHS, "# much\n" * 50_000, "name: a\n" + "x: 1\n" * 2],
    ids=["wrong", "laughs", "long", "twice"],
)
def test_a_refusal_takes_less_than_two_seconds_from_start_to_end(folder, content):
    (folder / "sweep.yaml").write_text(content)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    refused = subprocess.run(
        [sys.executable, "-m", "sweeps", "run", "sweep.yaml"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    sentences(Answer(refused.returncode, refused.stdout, refused.stderr, seconds))


@pytest.mark.parametrize("name", ["[/red]", "[link=http://example]x[/link]", ":smile:"])
def test_a_name_is_shown_as_it_is(folder, monkeypatch, name):
    monkeypatch.setattr(out, "width", 200)
    content = yaml.safe_load(VALID)
    content["datasets"][name] = content["datasets"].pop("code")
    content["downstream"]["dataset"] = name
    content |= {"design": "list", "axes": {}, "trials": [{"name": name}, {"max_lr": 1}]}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(content))
    planned = rewarm("plan", "sweep.yaml", "--unpacked")
    assert (planned.status, planned.err) == (PLANNED, "")
    assert f"prose → {name}" in planned.out
    assert re.search(rf"^{re.escape(name)} +0 → ", planned.out, re.MULTILINE)
