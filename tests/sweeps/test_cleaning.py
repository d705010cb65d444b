"""`rewarm clean`: what a tree holds for nobody goes, and nothing that a plan needs."""

import io
import os
import time
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from filelock import FileLock
from rich.console import Console

from cpt.builder import _aside_prefix
from cpt.checkpoint_marker import NAME, Marker
from cpt.files import write_json
from cpt.parsing import ConfigError
from cpt.records import ResultTree, Status, StatusWord
from cpt.seals import digest_file
from sweeps.clean_view import clean_page
from sweeps.cleaning import ABANDONED_SECONDS, Entry, Freed, Kind, ListedState, Listing, freed
from sweeps.listing import delete, listed
from sweeps.ownership import owned

DONE, REFUSED = 0, 2
COMPLETE, STOPPED, FAILED, RUNNING = (
    StatusWord.COMPLETE,
    StatusWord.STOPPED,
    StatusWord.FAILED,
    StatusWord.RUNNING,
)


class Tree:
    """A result tree that a test fills; what it holds was written an hour ago."""

    def __init__(self, storage: Path) -> None:
        self.tree = ResultTree(storage)
        storage.mkdir()

    def plan(self, sweep: str, *states: str) -> None:
        planned = [{"state": name} for name in states]
        write_json(self.tree.sweep(sweep).plan, {"states": planned, "trials": []})

    def file(self, path: str, content: str = "12345") -> Path:
        file = self.tree.storage / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return file

    def state(
        self, name: str, word: StatusWord, *steps: int, unmarked: int | None = None, **config: Any
    ) -> None:
        state = self.tree.state(name)
        write_json(state.config, {"parent": None, "base": None} | config)
        state.write_status(Status(status=word, step=max(steps, default=0)))
        for step in steps:
            file = self.file(f"states/{name}/checkpoints/step_{step:08d}/shard")
            state.mark_checkpoint(
                Marker(
                    state=name,
                    step=step,
                    elapsed_seconds=1,
                    torch="",
                    world_size=1,
                    files={"shard": digest_file(file)},
                    rows={},
                )
            )
        if unmarked is not None:
            self.file(f"states/{name}/checkpoints/step_{unmarked:08d}/shard")

    def grow_old(self, seconds: float = 3600) -> None:
        before = time.time() - seconds
        for path in self.tree.storage.rglob("*"):
            os.utime(path, (before, before))

    def freed(self, *, old: bool = True) -> dict[str, str]:
        """What may go: path to kind."""
        if old:
            self.grow_old()
        return {str(one.path): str(one.kind) for one in freed(listed(self.tree))}

    def clean(self) -> None:
        held = {sweep.path.name for sweep in self.tree.sweeps()}
        for _ in delete(self.tree, freed(listed(self.tree)), held):
            pass

    def left(self) -> set[str]:
        files = (path for path in self.tree.storage.rglob("*") if path.is_file())
        return {path.relative_to(self.tree.storage).as_posix() for path in files}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "results")


def test_nothing_of_a_tree_that_is_in_order_goes(tree: Tree):
    tree.plan("tiny", "a", "b")
    tree.state("a", COMPLETE, 8)
    tree.state("b", RUNNING, 4, 6, parent="a")
    for path in (
        "states/a/train.jsonl",
        "states/a/checkpoints/step_00000008/.metadata",
        "sweeps/tiny/sweep.yaml",
        "sweeps/tiny/report.html",
        "tokens/one/meta.json",
        "tokens/.locks/one",
        "tokens/.digests.json",
        "tokenizers/.one.lock",
        "weights/one/config.json",
    ):
        tree.file(path)
    assert tree.freed() == {}


@pytest.mark.parametrize(
    "path",
    [
        "states/a/.status.json.1234",
        "states/a/checkpoints/step_00000008/.complete.json.1234",
        "states/b.partial/config.json",
        "sweeps/tiny/.plan.json.7",
        "sweeps/tiny/.owner.0123456789abcdef.json",
        "tokens/.digests.json.12",
        "tokens/one/.verified.json.12",
        "tokens/one.partial/meta.json",
    ],
)
def test_what_a_kill_left_is_remains_once_it_is_quiet(tree: Tree, path: str):
    tree.plan("tiny", "a")
    tree.state("a", COMPLETE, 8)
    tree.grow_old()
    tree.file(path)
    assert tree.freed(old=False) == {}
    (gone,) = tree.freed()
    assert path.startswith(gone)
    assert tree.freed()[gone] == "remains"


def test_what_ray_kept_is_remains(tree: Tree):
    tree.file("sweeps/tiny/ray/tmp1/tune/state")
    tree.file("states/ray/notes")
    assert tree.freed() == {"sweeps/tiny/ray": "remains"}


def test_a_checkpoint_without_a_marker_is_remains_unless_it_is_being_written(tree: Tree):
    tree.plan("tiny", "a")
    tree.state("a", RUNNING, 4, 6, unmarked=8)
    assert tree.freed(old=False) == {}
    assert tree.freed() == {"states/a/checkpoints/step_00000008": "remains"}


@pytest.mark.parametrize(
    "path",
    [
        "states/a.damaged-1/config.json",
        "states/a/checkpoints/step_00000008.damaged-12/complete.json",
        "states/a/status.json.damaged-1",
        "states/a/train.jsonl.damaged-1",
        "tokens/one.damaged-1/meta.json",
    ],
)
def test_what_was_set_aside_goes_as_a_whole(tree: Tree, path: str):
    tree.plan("tiny", "a")
    tree.state("a", RUNNING, 4)
    tree.file(path)
    (gone,) = tree.freed(old=False)
    assert path.startswith(gone)
    assert gone.rpartition("-")[2].isdigit()
    assert tree.freed()[gone] == "set aside"


@pytest.mark.parametrize(
    ("word", "superseded"), [(COMPLETE, True), (STOPPED, True), (FAILED, False), (RUNNING, False)]
)
def test_of_a_settled_state_all_checkpoints_but_the_newest_go(
    tree: Tree, word: StatusWord, superseded: bool
):
    tree.plan("tiny", "a")
    tree.state("a", word, 4, 6, 8)
    names = [f"states/a/checkpoints/step_{step:08d}" for step in (4, 6)]
    assert tree.freed() == dict.fromkeys(names if superseded else (), "superseded")


def test_an_older_checkpoint_stays_where_the_newest_is_damaged(tree: Tree):
    tree.plan("tiny", "a", "b")
    tree.state("a", COMPLETE, 4, 6, 8)
    tree.state("b", STOPPED, 4, 6, 8)
    for name in ("a", "b"):
        tree.file(f"states/{name}/checkpoints/step_00000008/shard", "1234x")  # of the same length
    # A complete state is made whole from the one before; a stopped one goes on from it.
    assert tree.freed() == {"states/b/checkpoints/step_00000004": "superseded"}


def test_a_state_that_no_plan_needs_is_unplanned(tree: Tree):
    tree.plan("tiny", "a")
    tree.plan("other", "b")
    tree.state("a", COMPLETE, 8, base="trunk")
    tree.state("trunk", COMPLETE, 4, parent="pre")
    tree.state("pre", COMPLETE, 4)
    tree.state("b", FAILED)
    tree.state("old", COMPLETE, 8, parent="older")
    tree.state("older", COMPLETE, 8)
    tree.file("states/notes/of-a-person.txt")
    assert tree.freed() == {"states/old": "unplanned", "states/older": "unplanned"}


def test_bytes_are_counted_once(tree: Tree):
    tree.state("old", COMPLETE, 4, 8)
    tree.file("states/old/checkpoints/step_00000004/.complete.json.1")
    tree.grow_old()
    found = freed(listed(tree.tree))
    assert [one.kind for one in found] == [Kind.SUPERSEDED, Kind.UNPLANNED]
    everything = [path for path in tree.tree.storage.rglob("*") if path.is_file()]
    assert sum(one.bytes for one in found) == sum(path.stat().st_size for path in everything)


def test_a_planned_state_whose_origin_cannot_be_told_is_refused(tree: Tree):
    tree.plan("tiny", "a")
    tree.state("a", COMPLETE, 8)
    tree.state("b", COMPLETE, 8)
    (tree.tree.state("b").config).write_text("{")
    assert tree.freed() == {"states/b": "unplanned"}
    (tree.tree.state("a").config).write_text("{")
    with pytest.raises(ConfigError, match=r"states/a/config\.json: it is damaged"):
        tree.freed()


@pytest.mark.parametrize("text", ["{", "{}", '{"states": [{"state": "../a"}], "trials": []}'])
def test_a_plan_that_cannot_be_read_might_need_anything(tree: Tree, text: str):
    tree.state("a", COMPLETE, 8)
    tree.file("sweeps/tiny/plan.json", text)
    with pytest.raises(ConfigError, match=r"plan\.json"):
        tree.freed()


def test_a_store_in_the_making_stays_while_its_maker_lives(tree: Tree):
    mine = f"tokens/{_aside_prefix('one')}ab12"
    tree.file(f"{mine}/tokens.bin")
    lock = tree.file("tokens/.locks/one", "")
    with FileLock(lock):
        assert tree.freed() == {}
    assert tree.freed() == {mine: "remains"}


@pytest.mark.parametrize("path", ["tokens/.one.node-3.ab12", "weights/.one.ab12"])
def test_what_is_made_elsewhere_stays_for_a_day(tree: Tree, path: str):
    tree.file(f"{path}/tokens.bin")
    assert tree.freed() == {}
    tree.grow_old(ABANDONED_SECONDS + 60)
    assert tree.freed(old=False) == {path: "remains"}


def test_the_decision_needs_no_files():
    entry = Entry(path=PurePosixPath("states/a"), bytes=7, idle_seconds=0)
    state = ListedState(entry=entry, word=COMPLETE, step=1, origins=frozenset())
    assert freed(Listing(states={"a": state}, planned=frozenset())) == [
        Freed(kind=Kind.UNPLANNED, path=entry.path, bytes=7)
    ]


# Deleting.


def fill(tree: Tree) -> None:
    tree.plan("tiny", "a")
    tree.state("a", COMPLETE, 4, 8, unmarked=6)
    tree.state("old", COMPLETE, 8)
    tree.file("states/a/.status.json.1234")
    tree.file("states/a.damaged-1/config.json")
    tree.grow_old()


NEEDED = {
    "sweeps/tiny/plan.json",
    "states/a/config.json",
    "states/a/status.json",
    "states/a/checkpoints/step_00000008/shard",
    "states/a/checkpoints/step_00000008/complete.json",
}
OLD = {path.replace("/a/", "/old/") for path in NEEDED if "/a/" in path}


def test_what_is_needed_stays(tree: Tree):
    fill(tree)
    tree.clean()
    assert tree.left() == NEEDED
    assert tree.freed() == {}


def test_a_kill_at_any_moment_leaves_nothing_that_seems_whole(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
):
    fill(tree)

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", killed)
    for kind in (Kind.SUPERSEDED, Kind.UNPLANNED):
        (one,) = (one for one in freed(listed(tree.tree)) if one.kind is kind)
        with pytest.raises(KeyboardInterrupt):
            list(delete(tree.tree, [one], {"tiny"}))
    monkeypatch.undo()
    assert not (tree.tree.state("a").checkpoint(4) / NAME).exists()
    assert not tree.tree.state("old").path.exists()
    assert tree.freed() == {
        "states/a/.status.json.1234": "remains",
        "states/a/checkpoints/step_00000004": "remains",
        "states/a/checkpoints/step_00000006": "remains",
        "states/old.partial": "remains",
        "states/a.damaged-1": "set aside",
    }
    tree.clean()
    assert tree.left() == NEEDED


def test_what_a_link_leads_to_stays(tree: Tree, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    fill(tree)
    tree.tree.state("old").path.rename(elsewhere)
    tree.tree.state("old").path.symlink_to(elsewhere)
    tree.clean()
    assert tree.left() == NEEDED
    assert (elsewhere / "config.json").is_file()


def test_a_sweep_that_begins_meanwhile_stops_the_cleaning(tree: Tree):
    fill(tree)
    before = tree.left()
    found = freed(listed(tree.tree))
    tree.file("sweeps/new/owner.json")
    with pytest.raises(ConfigError, match=r"sweeps/new: it was begun while the tree was cleaned"):
        list(delete(tree.tree, found, {"tiny"}))
    assert tree.left() == before | {"sweeps/new/owner.json"}


# The page and the command.


def test_the_page_names_kinds_bytes_and_paths():
    one = Freed(kind=Kind.REMAINS, path=PurePosixPath("sweeps/tiny/ray"), bytes=1200)
    many = [
        Freed(kind=Kind.SUPERSEDED, path=PurePosixPath(f"states/{number}"), bytes=10**6)
        for number in range(22)
    ]
    console = Console(width=80, file=io.StringIO())
    console.print(clean_page([one, *many]))
    assert isinstance(console.file, io.StringIO)
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]
    assert lines[1] == "remains 1.2 kB sweeps/tiny/ray"
    assert lines[-2] == "superseded 2 MB and 2 more; --all lists them"
    assert lines[-1] == "remains 1.2 kB (1 path), superseded 22 MB (22 paths); 22 MB in all"


def test_the_command_frees_and_a_dry_run_does_not(rewarm, sweep, folder: Path):
    tree = Tree(folder / "results")
    fill(tree)
    before = tree.left()
    dry = rewarm("clean", sweep(), "--dry-run")
    assert (dry.returncode, dry.stderr) == (DONE, "")
    assert tree.left() == before
    assert "states/a.damaged-1" in dry.stdout
    assert "1 unplanned state stay; --unplanned frees them too" in dry.stdout

    wet = rewarm("clean", "results/sweeps/tiny")
    assert (wet.returncode, wet.stderr) == (DONE, "")
    assert tree.left() == NEEDED | OLD
    assert "freed: remains " in wet.stdout

    assert rewarm("clean", "results", "--unplanned").returncode == DONE
    assert tree.left() == NEEDED
    again = rewarm("clean", "results", "--unplanned")
    assert again.stdout.splitlines() == ["nothing to free", "nothing was freed"]


def test_the_command_refuses_while_a_sweep_of_the_tree_runs(rewarm, folder: Path):
    tree = Tree(folder / "results")
    fill(tree)
    before = tree.left()
    with owned(tree.tree.sweep("other"), print, print) as owner:
        for arguments in (("results",), ("results", "--dry-run")):
            found = rewarm("clean", *arguments)
            assert (found.returncode, found.stdout) == (REFUSED, "")
            assert f"sweeps/other: {owner.named} has been running this sweep" in found.stderr
    assert tree.left() == before


@pytest.mark.parametrize("target", ["s3://bucket/results/sweeps/tiny", "sweep.yaml", "."])
def test_the_command_refuses_what_is_no_tree_in_a_directory(rewarm, sweep, target: str):
    sweep(storage="s3://bucket/results")
    found = rewarm("clean", target)
    assert found.returncode == REFUSED
    told = "is no result tree" if target == "." else "lies on object storage, where nothing can be"
    assert told in found.stderr
