"""One driver a sweep: of many that start at once one wins, and the dead block nobody."""

import contextlib
import dataclasses
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cpt.files import read_json, write_json
from cpt.parsing import ConfigError
from cpt.records import SweepDir
from sweeps.owner import Owner
from sweeps.ownership import OWNER, living_owner, owned
from sweeps.places import Folder

DRIVER = """
import sys, time
from pathlib import Path
from cpt.parsing import ConfigError
from cpt.records import SweepDir
from sweeps.ownership import owned

for line in sys.stdin:
    name, begin = line.split()
    while time.time() < float(begin):
        pass
    try:
        with owned(SweepDir(Path(name)), print, print):
            print("won", flush=True)
            sys.stdin.readline()
    except ConfigError as error:
        print("refused", flush=True)
        sys.stdin.readline()
    print("ended", flush=True)
"""


@pytest.fixture
def sweep(tmp_path: Path) -> SweepDir:
    return SweepDir(tmp_path / "sweeps" / "tiny")


def unheard(text: str) -> None:
    raise AssertionError(text)


def gone(**changes: Any) -> Owner:
    """One whose process on this machine has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return dataclasses.replace(
        Owner.myself(), user="anna", pid=ended.pid, started="12345", **changes
    )


def elsewhere(silent: float, **changes: Any) -> Owner:
    """One on another machine, whose last sign of life is so many seconds old."""
    changes = {"beat_time": time.time() - silent, "since": time.time() - 7200} | changes
    return dataclasses.replace(gone(), host="node-3", machine="boot", **changes)


def write(sweep: SweepDir, owner: Owner, name: str = OWNER) -> None:
    write_json(sweep.path / name, dataclasses.asdict(owner))


def left(sweep: SweepDir) -> list[str]:
    return sorted(path.name for path in sweep.path.iterdir())


def test_a_sweep_is_owned_while_it_runs_and_free_afterwards(sweep: SweepDir):
    with owned(sweep, unheard, unheard) as mine:
        assert living_owner(sweep) == mine
        assert left(sweep) == [OWNER]
    assert living_owner(sweep) is None
    assert left(sweep) == []


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, ValueError])
def test_every_way_out_gives_the_sweep_back(sweep: SweepDir, raised: type[BaseException]):
    with pytest.raises(raised), owned(sweep, unheard, unheard):
        raise raised
    assert left(sweep) == []


def test_a_second_driver_is_told_who_runs_it_and_what_to_do(sweep: SweepDir):
    with owned(sweep, unheard, unheard) as mine:
        with pytest.raises(ConfigError) as refused, owned(sweep, unheard, unheard):
            pass
        assert living_owner(sweep) == mine
    (fault,) = refused.value.faults
    assert fault.startswith(f"{sweep.path}: {mine.named} has been running this sweep for ")
    assert f"{mine.user} on {mine.host} (pid {mine.pid})" in fault
    assert fault.endswith(
        f"a sweep has one driver. Wait until it ends, or end it on {mine.host} with: "
        f"kill {mine.pid}; then the same command goes on."
    )


def test_a_dead_owner_on_this_machine_is_followed_at_once(sweep: SweepDir):
    write(sweep, gone())
    with owned(sweep, unheard, unheard) as mine:
        assert left(sweep) == [OWNER]
        assert living_owner(sweep) == mine


def test_a_reused_pid_is_not_taken_for_the_owner(sweep: SweepDir):
    mine = Owner.myself()
    write(sweep, mine)
    assert living_owner(sweep) == mine
    write(sweep, dataclasses.replace(mine, started=str(int(mine.started) - 1)))
    with owned(sweep, unheard, unheard):
        pass


def test_a_killed_process_that_nobody_waited_for_is_dead():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    owner = dataclasses.replace(Owner.myself(), pid=child.pid, started=stat[19])
    assert owner.process_lives
    child.kill()
    while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    assert owner.process_lives is False
    child.communicate()


def test_the_death_of_one_that_was_about_to_take_over_blocks_nobody(sweep: SweepDir):
    first, second = gone(id="a"), gone(id="b")
    write(sweep, first)
    write(sweep, second, ".owner.a.json")
    with owned(sweep, unheard, unheard):
        assert left(sweep) == [OWNER]


def test_one_that_read_slowly_does_not_take_over_from_who_was_faster(
    sweep: SweepDir, monkeypatch: pytest.MonkeyPatch
):
    write(sweep, gone(id="a"))
    create = Folder.create
    faster = contextlib.ExitStack()

    def create_late(folder: Folder, name: str, content: Any) -> bool:
        monkeypatch.undo()
        faster.enter_context(owned(sweep, unheard, unheard))
        return create(folder, name, content)

    monkeypatch.setattr(Folder, "create", create_late)
    with (
        faster,
        pytest.raises(ConfigError, match="a sweep has one driver"),
        owned(sweep, unheard, unheard),
    ):
        pass
    assert left(sweep) == []


def test_one_that_is_taking_over_has_the_sweep_already(sweep: SweepDir):
    write(sweep, gone(id="a"))
    write(sweep, Owner.myself(), ".owner.a.json")
    with pytest.raises(ConfigError, match="a sweep has one driver"), owned(sweep, print, print):
        pass


def test_an_owner_elsewhere_that_gave_a_sign_lately_is_believed(sweep: SweepDir):
    write(sweep, elsewhere(40))
    with pytest.raises(ConfigError) as refused, owned(sweep, unheard, unheard):
        pass
    (fault,) = refused.value.faults
    assert "anna on node-3" in fault
    assert "running this sweep for 2 h, its last sign of life 40 s ago" in fault
    assert fault.endswith("if that machine is gone, it does 60 s after the last sign of life.")


@pytest.mark.parametrize("silent", [90, -3600], ids=["old", "of a clock that is ahead"])
def test_an_owner_elsewhere_that_stays_silent_is_followed(sweep: SweepDir, silent: float):
    write(sweep, elsewhere(silent))
    said: list[str] = []
    with owned(sweep, unheard, said.append, beat_seconds=0.1) as mine:
        assert living_owner(sweep) == mine
    (watched,) = said
    assert watched.startswith("anna on node-3")
    assert watched.endswith("watching for 0.2 s")


@pytest.mark.parametrize("silent", [90, -3600], ids=["slow", "fast"])
def test_an_owner_elsewhere_with_a_wrong_clock_is_seen_to_live(sweep: SweepDir, silent: float):
    owner = elsewhere(silent)
    write(sweep, owner)

    def beat(text: str) -> None:
        write(sweep, dataclasses.replace(owner, beats=owner.beats + 1))

    # The beat comes while it is watched: `say` is called as watching begins.
    with (
        pytest.raises(ConfigError, match="a sweep has one driver"),
        owned(sweep, unheard, beat, beat_seconds=0.1),
    ):
        pass


def test_signs_of_life_are_given(sweep: SweepDir):
    with owned(sweep, unheard, unheard, beat_seconds=0.01) as mine:
        until = time.monotonic() + 5
        while read_json(sweep.path / OWNER)["beats"] < 3 and time.monotonic() < until:
            time.sleep(0.01)
        now = read_json(sweep.path / OWNER)
    assert now["beats"] >= 3
    assert now["beat_time"] > mine.beat_time
    assert now["since"] == mine.since


def test_an_owner_that_lost_its_sweep_is_told_and_leaves_the_other_alone(sweep: SweepDir):
    other = elsewhere(0)
    heard: list[str] = []
    with owned(sweep, heard.append, unheard, beat_seconds=0.01):
        until = time.monotonic() + 5
        while not heard and time.monotonic() < until:
            write(sweep, other)  # again where a beat that had begun was written over it
            time.sleep(0.05)
    (reason,) = heard
    assert reason.startswith("lost the sweep to anna on node-3 (pid ")
    assert read_json(sweep.path / OWNER)["id"] == other.id


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_damaged_owner_is_refused_with_the_remedy(sweep: SweepDir, text: str):
    sweep.path.mkdir(parents=True)
    (sweep.path / OWNER).write_text(text)
    with pytest.raises(ConfigError) as refused, owned(sweep, unheard, unheard):
        pass
    (fault,) = refused.value.faults
    assert fault.startswith(f"{sweep.path}: ")
    assert fault.endswith(
        "if no rewarm run works on this sweep, delete that file and run this again."
    )


def test_a_file_is_created_once(tmp_path: Path):
    folder = Folder(tmp_path)
    assert folder.create("a.json", {"id": "1"})
    assert not folder.create("a.json", {"id": "2"})
    assert folder.read("a.json") == {"id": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_of_eight_drivers_at_the_same_instant_one_wins(tmp_path: Path, environment: dict[str, str]):
    drivers = [
        subprocess.Popen(
            [sys.executable, "-c", DRIVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for _ in range(8)
    ]

    def each(line: Callable[[int], str]) -> Counter[str]:
        for number, driver in enumerate(drivers):
            driver.stdin.write(line(number))
            driver.stdin.flush()
        return Counter(driver.stdout.readline().strip() for driver in drivers)

    # Once to import what they need.
    each(lambda number: f"{tmp_path / 'own' / str(number)} 0\n")
    each(lambda number: "\n")
    for turn in range(20):
        sweep = SweepDir(tmp_path / str(turn))
        if turn % 2:
            write(sweep, gone(id="a"))
        if turn % 4 == 3:
            write(sweep, gone(id="b"), ".owner.a.json")
        begin = time.time() + 0.05
        assert each(lambda _, at=begin, path=sweep.path: f"{path} {at}\n") == {
            "won": 1,
            "refused": 7,
        }
        assert each(lambda _: "\n") == {"ended": 8}
        assert left(sweep) == []
    for driver in drivers:
        driver.communicate()
