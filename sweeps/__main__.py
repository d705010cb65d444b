"""The command line: `rewarm`, the same as `python -m sweeps`.

Exit status: 0 done; 1 something failed, named; 2 refused input, one sentence per fault; 75
interrupted, and the same command goes on.
"""

import contextlib
import enum
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Container, Iterator
from importlib import resources
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from cpt.mirror import Mirror
from cpt.model_config import ModelConfig
from cpt.parsing import ConfigError
from cpt.records import ResultTree
from cpt.token_store import StoreError
from sweeps import show
from sweeps.agenda import Agenda, agenda
from sweeps.cost import Tariff, costs, given_tariff
from sweeps.declared import declared_plan
from sweeps.ownership import owned
from sweeps.plan import Plan
from sweeps.plan_json import plan_json
from sweeps.plan_view import plan_page
from sweeps.scores import score_table, states_to_score
from sweeps.spec import CHECKPOINT_FIELD, SweepSpec
from sweeps.store import find, tree_of
from sweeps.sweep_file import load
from sweeps.targets import SweepTarget, fetch_whole, state_at, sweep_at, target_of
from sweeps.words import counted

MOST_ROUNDS = 10
"""How often a run goes back to make anew what was found damaged; a disk may be beyond hope."""


class Exit(enum.IntEnum):
    """Exit statuses, a contract with scripts and schedulers."""

    DONE = 0
    FAILED = 1
    REFUSED = 2
    INTERRUPTED = 75


class FloatType(enum.StrEnum):
    """What exported weights are stored in."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


app = typer.Typer(
    name="rewarm",
    help="Sweeps that say how to continue pre-training a language model, and what it will forget.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="A sweep file.")]
SpecOrDir = Annotated[
    str,
    typer.Argument(metavar="SPEC_OR_DIR", help="A sweep file, or the folder or URI of a sweep."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Override a field, e.g. axes.seed=[0,1]."),
]


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("sweep.yaml"),
) -> None:
    """Write a commented starter sweep file."""
    if file.exists():
        raise ConfigError([f"{file} exists already; name another file."])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        resources.files("sweeps").joinpath("starter.yaml").read_text(encoding="utf-8"),
        encoding="utf-8",
    )
    out.print(f"wrote {file}; next: rewarm plan {file}", markup=False)


@app.command()
def plan(
    spec_file: SpecFile,
    overrides: Overrides = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The plan as JSON.")] = False,
    whole: Annotated[bool, typer.Option("--all", help="List every trial and state.")] = False,
    measured: Annotated[
        bool, typer.Option("--measure", help="Measure a worker's throughput on this machine.")
    ] = False,
    unpacked: Annotated[
        bool, typer.Option("--unpacked", help="Plan from declared sizes; read no data.")
    ] = False,
) -> None:
    """Show every trial and state and what they cost; starts nothing."""
    spec, _ = load(spec_file, overrides or ())
    say = _silent if as_json else _say
    planned = declared_plan(spec, _taken_model(spec)) if unpacked else _prepared(spec, say)
    tariff = _measured(planned, say) if measured else given_tariff(spec)
    reckoned = costs(planned, tariff)
    if as_json:
        content = plan_json(planned, reckoned) | {"unpacked": unpacked}
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    out.print(plan_page(planned, reckoned, out.width, whole=whole))
    if unpacked:
        _say(
            "planned from declared sizes: no data were read, and the ids of states are "
            "provisional, since they follow from what the packed data hold"
        )
        return
    for line in show.existing(planned, tree_of(spec)):
        _say(line)


@app.command()
def run(
    spec_file: SpecFile,
    overrides: Overrides = None,
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster; default: this machine.")
    ] = None,
    *,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Train failed states again.")
    ] = False,
) -> None:
    """Train what is missing, then write the report. Run it again to go on."""
    # Read before anything heavy is imported: a refusal takes no time.
    spec, submitted = load(spec_file, overrides or ())
    # What a scheduler sends before it takes the machine away.
    signal.signal(signal.SIGTERM, _interrupt)
    with _extra("train"):
        from sweeps.prepare import prepare, write_plan
    try:
        tree = tree_of(spec)
        with owned(tree.sweep(spec.name), _stop, _say):
            for _ in range(MOST_ROUNDS):
                planned = prepare(spec, tree, _say)
                write_plan(planned, submitted, tree)
                status = _train(planned, tree, address, retry_failed=retry_failed)
                # What failed in this round is left alone in the next.
                retry_failed = False
                if status is not None:
                    break
            _report(SweepTarget(tree, tree.sweep(spec.name)))
    except KeyboardInterrupt:
        status = Exit.INTERRUPTED
    if status in (None, Exit.INTERRUPTED):
        status = Exit.INTERRUPTED
        err.print("interrupted; the same command goes on where it stopped")
    raise typer.Exit(status)


@app.command()
def status(
    target: SpecOrDir,
    *,
    whole: Annotated[bool, typer.Option("--all", help="List every state.")] = False,
) -> None:
    """Show what is complete, running, stopped, failed or damaged, and what is left."""
    out.print(show.status(sweep_at(target).sweep, whole=whole))


@app.command()
def report(target: SpecOrDir) -> None:
    """Write report.html and trials.csv, also while the sweep runs."""
    _report(sweep_at(target))


@app.command()
def export(
    state: Annotated[
        str,
        typer.Argument(metavar="STATE", help="Folder or URI of a state, below <storage>/states."),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; a new folder.")],
    dtype: Annotated[FloatType, typer.Option(help="To store the weights in.")] = FloatType.FLOAT32,
) -> None:
    """Write a trained state as a Hugging Face model that transformers loads."""
    with _extra("train"):
        import torch

        from cpt.hub_state import export_state
    for sentence in export_state(state_at(state).state, folder, getattr(torch, dtype)):
        err.print(sentence, markup=False, soft_wrap=True)
    out.print(f"wrote {folder}", markup=False, soft_wrap=True)


@app.command()
def evaluate(
    target: Annotated[
        str,
        typer.Argument(
            metavar="STATE_OR_SWEEP",
            help="A state's folder or URI, <storage>/states/<id>; or a sweep's file, folder or "
            "URI: every trial's last state, and what trials start from.",
        ),
    ],
    tasks: Annotated[
        str, typer.Option(metavar="A,B", help="Tasks, groups or tags of lm-evaluation-harness.")
    ],
    include_path: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder with tasks of your own.")
    ] = None,
    num_fewshot: Annotated[
        int | None,
        typer.Option(min=0, help="Solved examples before each question; default: the task's own."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many documents of each task.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions at once.")] = 16,
) -> None:
    """Score complete states on downstream tasks; the report shows the scores."""
    found = target_of(target)
    states = states_to_score(found.sweep) if isinstance(found, SweepTarget) else [found.state]
    if not states:
        raise ConfigError([f"{target} has no complete state yet; only those can be scored."])
    # Imported here: the harness and torch take seconds, and no other command needs them.
    with _extra("eval"):
        from cpt.hub_state import complete_config
        from cpt.tasks import TaskError, TaskSuite

        for state in states:
            complete_config(state)
        try:
            suite = TaskSuite(
                [name for name in tasks.split(",") if name],
                include_path=include_path,
                num_fewshot=num_fewshot,
                limit=limit,
                batch_size=batch_size,
            )
        except TaskError as error:
            err.print(f"failed: {error}", markup=False, soft_wrap=True)
            raise typer.Exit(Exit.FAILED) from error
        for number, state in enumerate(states, 1):
            count = f"{number} of {len(states)}: " if len(states) > 1 else ""
            _say(f"{count}{state.path.name}")
            fetch_whole(found.tree, state)
            out.print(score_table(suite.score(state)))
            Mirror.of(found.tree).send(state.task_rows)
    if isinstance(found, SweepTarget):
        _report(found)
    else:
        _say(f"written to {states[0].task_rows}; rewarm report shows them")


def _prepared(spec: SweepSpec, say: Callable[[str], None]) -> Plan:
    with _extra("train"):
        from sweeps.prepare import prepare
    return prepare(spec, tree_of(spec), say)


def _taken_model(spec: SweepSpec) -> ModelConfig | None:
    """The shape of the checkpoint that a sweep starts from."""
    if spec.checkpoint is None:
        return None
    with _extra("train"):
        from cpt.hub_config import locate, read_model
    return read_model(locate(spec.checkpoint, CHECKPOINT_FIELD), CHECKPOINT_FIELD)


def _measured(planned: Plan, say: Callable[[str], None]) -> Tariff:
    # Imported here: torch takes seconds, and no other part of planning needs it.
    with _extra("train"):
        from sweeps.measured import measured_tariff
    return measured_tariff(planned, say)


def _train(
    planned: Plan, tree: ResultTree, address: str | None, *, retry_failed: bool
) -> Exit | None:
    """Trains the agenda and says what came of it; None: something has to be made anew first."""
    found = find(planned, tree)
    for name, one in found.items():
        if one.damage is not None:
            aside = Mirror.of(tree).set_aside(tree.state(name).path)
            err.print(
                f"damaged: {planned.states[name].config.label}: {one.damage}; moved to {aside} and "
                "trained again",
                markup=False,
                soft_wrap=True,
            )
    todo = agenda(planned, found, retry_failed=retry_failed)
    for state in todo.failed:
        failed = found[state.id].status
        assert failed is not None
        err.print(
            f"failed before: {state.config.label}: {failed.reason}; --retry-failed tries again",
            markup=False,
        )
    settled = show.what_is_settled(todo)
    if not todo.todo:
        out.print(f"nothing to train: {settled} of {counted(len(planned.states), 'state')}")
        return Exit.FAILED if todo.failed else Exit.DONE
    out.print(f"{counted(len(todo.todo), 'state')} to train, {settled} already")
    status = _launch(planned, tree, todo, address)
    return Exit.FAILED if status is Exit.DONE and todo.failed else status


def _launch(planned: Plan, tree: ResultTree, todo: Agenda, address: str | None) -> Exit | None:
    if address is None:
        # Read when Ray is imported: what runs on this machine alone listens on its loopback alone,
        # where Ray would listen on all of its addresses.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    # Imported here: Ray and torch take seconds, and no other command needs them.
    with _extra("sweep"):
        from sweeps import launch, progress

    began = time.monotonic()
    try:
        with launch.cluster(address, planned.spec.resources) as slots:
            out.print(f"Ray is up: {counted(slots, 'state')} at a time")
            with progress.shown(todo, tree, out):
                outcome = launch.run(planned, todo, tree, _say)
    except launch.ClusterError as error:
        raise ConfigError([f"resources: {error}"]) from error
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    for name, reason in {**outcome.failed, **outcome.hindered}.items():
        word = "failed" if name in outcome.failed else "interrupted"
        label = planned.states[name].config.label
        err.print(f"{word}: {label}: {reason}", markup=False, soft_wrap=True)
    if outcome.damaged and not outcome.left:
        for name, reason in outcome.damaged.items():
            label = planned.states[name].config.label
            err.print(f"damaged: {label} starts from: {reason}; made anew", soft_wrap=True)
        return None
    interrupted = [name for name in outcome.unfinished if not _waits(todo, name, outcome.failed)]
    if interrupted:
        return Exit.INTERRUPTED
    out.print(f"trained in {progress.duration(time.monotonic() - began)}")
    return Exit.FAILED if outcome.failed else Exit.DONE


def _waits(todo: Agenda, name: str, failed: Container[str]) -> bool:
    """Whether a state that comes before this one failed."""
    after = {task.state.id: task.after for task in todo.todo}
    before = after[name]
    while before is not None and before not in failed:
        before = after.get(before)
    return before is not None


@contextlib.contextmanager
def _extra(name: str) -> Iterator[None]:
    """Turns a module that the installation lacks into a sentence."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            [
                f"this command needs {error.name}, which is not installed: "
                f"pip install 'rewarm[{name}]'."
            ]
        ) from error


def _report(target: SweepTarget) -> None:
    from analysis.report import write_report

    path = write_report(target.sweep.path)
    target.send_report()
    out.print(f"report: {path}", markup=False, soft_wrap=True)


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _stop(reason: str) -> None:
    """Ends this run as a scheduler would, which the main thread listens to."""
    err.print(reason, markup=False, soft_wrap=True)
    os.kill(os.getpid(), signal.SIGTERM)


def _say(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)


def _silent(text: str) -> None:
    """--json prints nothing but JSON."""


def main() -> None:
    """The console script."""
    try:
        app()
    except ConfigError as error:
        for fault in error.faults:
            err.print(f"refused: {fault}", markup=False, soft_wrap=True)
        sys.exit(Exit.REFUSED)
    except StoreError as error:
        err.print(f"failed: {error}", markup=False, soft_wrap=True)
        sys.exit(Exit.FAILED)


if __name__ == "__main__":
    main()
