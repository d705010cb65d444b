"""The whole experiment: a sweep undisturbed, the same disturbed, and what is to be said of it."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from cpt.records import ResultTree
from cpt.rows import read_rows
from tests.chaos import leaks
from tests.chaos.comparison import differences
from tests.chaos.disturbing import Disturbing, StuckError
from tests.chaos.driver import DONE, Driver
from tests.chaos.figures import Figures, by_kind, faults_of, seconds_between, steps_back
from tests.chaos.local_cluster import LocalCluster
from tests.chaos.observation import planned_states, unfinished
from tests.chaos.processes import adopt_orphans
from tests.chaos.schedule import OF_THE_DRIVER, disturbances
from tests.chaos.storage import KINDS
from tests.chaos.tiny_sweep import NAME, TinySweep


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What may be chosen.

    Attributes:
        kills: Disturbances.
        seed: Of their order, times and victims.
        steps: Of the shortest budget, see `TinySweep`.
        interval: Updates between two checkpoints.
        workers_per_state: Processes that train one state together.
        seeds: Of the sweep.
        nodes: Of the cluster, beside its head.
        pauses: Shortest and longest time between two disturbances, seconds.
        drain_seconds: From the notice to the end of a drained node.
        storage: `directory`, or `s3` for a server of this process; that of the undisturbed run is
            always a directory.
    """

    kills: int
    seed: int
    steps: int
    interval: int = 20
    workers_per_state: int = 1
    seeds: int = 2
    nodes: int = 2
    pauses: tuple[float, float] = (6.0, 10.0)
    drain_seconds: float = 8.0
    storage: str = "directory"


def experiment(
    settings: Settings, folder: Path, undisturbed: Path | None, say: Callable[[str], None]
) -> Figures:
    """Runs it.

    Args:
        settings: What may be chosen.
        folder: New; data, results and logs come into it.
        undisturbed: The folder of an earlier experiment with the same sweep, whose undisturbed run
            is taken again; None: it is run now.
        say: Told how it goes.
    """
    adopt_orphans()
    sweep = TinySweep(
        steps=settings.steps,
        checkpoint_interval_steps=settings.interval,
        workers_per_state=settings.workers_per_state,
        seeds=settings.seeds,
    )
    folder.mkdir(parents=True)
    storage = KINDS[settings.storage](folder / "disturbed")
    tree = storage.tree
    faults, found_leaks = [], []
    cluster = LocalCluster(settings.nodes, folder / "disks")
    try:
        reference, seconds = _undisturbed(sweep, cluster, undisturbed or folder, say)
        spec = sweep.write(folder / "spec-disturbed", storage.uri)
        driver = Driver(spec, cluster.address, folder / "disturbed.log")
        one = Disturbing(driver, cluster, storage, settings.drain_seconds, say)
        began = time.monotonic()
        try:
            one.run(disturbances(settings.kills, settings.seed, settings.pauses))
        except StuckError as error:
            faults.append(str(error))
        took = time.monotonic() - began
        storage.fetch()
        done = one.done
        say(f"disturbed {len(done)} times, {took:.0f} s; looking for what is left")
        if not faults:
            found_leaks = leaks.processes_left() + leaks.ray_leaks(cluster.address)
            found_leaks += leaks.files_left(tree, reference, NAME)
    finally:
        cluster.shut_down()
        storage.close()
    found_leaks += leaks.processes_left()
    asked = sum(one.kind in OF_THE_DRIVER for one in done)
    if driver.starts > 1 + asked:
        faults.append(f"the command ended by itself {driver.starts - 1 - asked} times: see its log")
    if len(done) < settings.kills:
        faults.append(f"only {len(done)} disturbances of {settings.kills}; give more --steps")
    labels = planned_states(reference, NAME)
    trained = {path.parent.name for path in (tree.storage / "states").glob("*/config.json")}
    left = {position.state for position in unfinished(tree)}
    wanted = {path.name for path in (reference.storage / "states").iterdir()}
    rows = {
        name: [row["step"] for row in read_rows(tree.state(name).train_rows)]
        for name in sorted(trained)
        if ".damaged-" not in name
    }
    found = steps_back(rows, done)
    again = sum(one.trained_again for one in found)
    return Figures(
        settings=asdict(settings),
        seconds_undisturbed=round(seconds, 1),
        seconds_disturbed=round(took, 1),
        starts=driver.starts,
        states=len(wanted),
        states_lost=[
            f"{labels.get(name, '?')} ({name})" for name in sorted(left | wanted - trained)
        ],
        updates=sum(len(steps) for steps in rows.values()) - again,
        updates_trained_again=again,
        disturbances=done,
        steps_back=found,
        kinds=by_kind(done, found, settings.interval),
        seconds_between=seconds_between(done),
        differences=[] if faults and left else differences(reference, tree, NAME),
        leaks=found_leaks,
        faults=faults + faults_of(done, found, settings.interval),
    )


def _undisturbed(
    sweep: TinySweep, cluster: LocalCluster, folder: Path, say: Callable[[str], None]
) -> tuple[ResultTree, float]:
    """The run to compare with, and the seconds it took when it was made."""
    tree = ResultTree(folder / "undisturbed")
    clock = folder / "undisturbed.seconds"
    if clock.exists():
        return tree, float(clock.read_text())
    spec = sweep.write(folder / "spec-undisturbed", str(tree.storage))
    driver = Driver(spec, cluster.address, folder / "undisturbed.log")
    began = time.monotonic()
    driver.type_command()
    status = driver.wait(float("inf"))
    if status != DONE:
        raise RuntimeError(f"the undisturbed run ended with {status}: {folder}/undisturbed.log")
    seconds = time.monotonic() - began
    clock.write_text(f"{seconds:.1f}")
    say(f"undisturbed: {seconds:.0f} s")
    return tree, seconds
