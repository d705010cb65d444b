"""The command line: `rewarm`, the same as `python -m sweeps`.

Exit status: 0 done; 1 something failed, named; 2 refused input, one sentence per fault; 75
interrupted, and the same command goes on.
"""

import contextlib
import enum
import json
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from cpt.mirror import Mirror
from cpt.model_config import ModelConfig
from cpt.parsing import ConfigError
from cpt.token_store import StoreError
from sweeps import show
from sweeps.clean_view import clean_page, summary
from sweeps.cleaning import Kind, freed
from sweeps.console import Exit, err, extra, out, say
from sweeps.cost import Tariff, costs, given_tariff
from sweeps.declared import declared_plan
from sweeps.ownership import all_owned, check_unowned
from sweeps.plan import Plan
from sweeps.plan_json import plan_json
from sweeps.plan_view import plan_page
from sweeps.reporting import report as write_report
from sweeps.running import run_sweep, stop
from sweeps.scores import score_table, states_to_score
from sweeps.spec import CHECKPOINT_FIELD, SweepSpec
from sweeps.store import tree_of
from sweeps.sweep_file import load
from sweeps.targets import SweepTarget, fetch_whole, state_at, sweep_at, target_of, tree_at
from sweeps.words import counted


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
    told = _silent if as_json else say
    planned = declared_plan(spec, _taken_model(spec)) if unpacked else _prepared(spec, told)
    tariff = _measured(planned, told) if measured else given_tariff(spec)
    reckoned = costs(planned, tariff)
    if as_json:
        content = plan_json(planned, reckoned) | {"unpacked": unpacked}
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    out.print(plan_page(planned, reckoned, out.width, whole=whole))
    if unpacked:
        say(
            "planned from declared sizes: no data were read, and the ids of states are "
            "provisional, since they follow from what the packed data hold"
        )
        return
    for line in show.existing(planned, tree_of(spec)):
        say(line)


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
    raise typer.Exit(run_sweep(spec, submitted, address, retry_failed=retry_failed))


@app.command()
def submit(
    spec_file: SpecFile,
    overrides: Overrides = None,
    cluster: Annotated[Path, typer.Option(metavar="FILE", help="What `ray up` was given.")] = Path(
        "cluster.yaml"
    ),
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the report goes; default: reports/NAME."),
    ] = None,
    *,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Train failed states again.")
    ] = False,
    no_follow: Annotated[
        bool, typer.Option("--no-follow", help="Return as soon as it runs there.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for its end, without its log.")
    ] = False,
    stops: Annotated[
        bool, typer.Option("--stop", help="Ask the running job to save and leave, and wait.")
    ] = False,
) -> None:
    """Run a sweep on a cluster of `ray up`, and fetch its report. Run it again to go on."""
    # Imported here: Ray takes a second, and no other command needs it.
    with extra("sweep"):
        from sweeps.cluster import submitting
    asked = submitting.Asked(
        spec=spec_file,
        overrides=overrides or (),
        cluster=cluster,
        to=to,
        retry_failed=retry_failed,
        follows=not no_follow,
        waits=wait,
        stops=stops,
    )
    raise typer.Exit(submitting.submit(asked))


@app.command()
def doctor(
    spec_file: Annotated[
        Path | None, typer.Argument(metavar="[SPEC]", help="A sweep file, to see whether it fits.")
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `ray up` was given: looks there.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="The Ray cluster that this machine belongs to.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="What was found as JSON.")] = False,
) -> None:
    """Look at this machine, or at a cluster, before it costs money; starts nothing."""
    if cluster is not None and address is not None:
        raise ConfigError(["--cluster and --address: got both; name one."])
    spec = None if spec_file is None else load(spec_file, ())[0]
    # Imported here: Ray takes a second, and may not be there at all.
    if cluster is not None:
        with extra("sweep"):
            from sweeps.cluster.doctor_job import examine_from_afar
            from sweeps.cluster.launcher_file import read_cluster
        found = examine_from_afar(read_cluster(cluster), spec_file, spec, _silent)
    elif address is not None:
        with extra("sweep"):
            from sweeps.cluster.doctor_nodes import examine_nodes
        found = examine_nodes(address, spec)
    else:
        from sweeps.cluster.doctor import examine_here

        found = examine_here(spec)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        from sweeps.cluster.doctor_view import doctor_page

        out.print(doctor_page(found))
    raise typer.Exit(Exit.FAILED if found.has_fault else Exit.DONE)


@app.command()
def status(
    target: SpecOrDir,
    *,
    whole: Annotated[bool, typer.Option("--all", help="List every state.")] = False,
) -> None:
    """Show what is complete, running, interrupted, stopped, failed or damaged; what is left."""
    with extra("train"):  # for what lies on object storage
        found = sweep_at(target)
    out.print(show.status(found.tree, found.sweep, whole=whole))


@app.command()
def report(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="SPEC_OR_DIR...",
            help="Sweep files, or folders or URIs of sweeps; several are compared on one page.",
        ),
    ],
    out_file: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The page; default: report.html, or comparison.html, by the first plan.",
        ),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            metavar="UNIT",
            help="Of a comparison: nats or bits_per_byte; default: nats where tokenizers agree.",
        ),
    ] = None,
    figures: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="A folder to write every figure to, for a paper."),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Of those figures: svg, png or svg,png; default: svg."),
    ] = None,
    tables: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="A folder to write every table to, as Parquet."),
    ] = None,
    *,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Write it anew whenever rows arrive, until the sweep is finished or Ctrl-C.",
        ),
    ] = False,
    every: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Seconds between two looks of --watch; default: 5."),
    ] = None,
) -> None:
    """Write report.html and trials.csv, also while the sweep runs; or compare several sweeps."""
    # Imported here: pandas and plotly take a second, and no other command needs them.
    from analysis.asked import asked
    from analysis.figures import NoBrowserError

    wanted = asked(
        targets,
        out=out_file,
        unit=unit,
        figures=figures,
        formats=formats,
        tables=tables,
        watch=watch,
        every=every,
    )
    with extra("train"):
        found = [sweep_at(target) for target in targets]
    try:
        write_report(found, wanted)
    except NoBrowserError as error:
        err.print(f"failed: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(Exit.FAILED) from error


@app.command()
def clean(
    target: SpecOrDir,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing.")] = False,
    unplanned: Annotated[
        bool, typer.Option("--unplanned", help="Delete states that no sweep plans any more, too.")
    ] = False,
    whole: Annotated[bool, typer.Option("--all", help="List every path.")] = False,
) -> None:
    """Free what killed runs left, what was set aside, and superseded checkpoints."""
    with extra("train"):
        from sweeps.listing import delete, listed
    tree = tree_at(target)
    check_unowned(tree)
    with contextlib.nullcontext(set[str]()) if dry_run else all_owned(tree, stop, say) as held:
        found = freed(listed(tree))
        out.print(clean_page(found, whole=whole))
        kept = [] if unplanned else [one for one in found if one.kind is Kind.UNPLANNED]
        if kept:
            say(f"{counted(len(kept), 'unplanned state')} stay; --unplanned frees them too")
        if not dry_run:
            gone = list(delete(tree, [one for one in found if one not in kept], held))
            say(f"freed: {summary(gone)}" if gone else "nothing was freed")


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
    with extra("train"):
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
    with extra("train"):
        found = target_of(target)
    states = states_to_score(found.sweep) if isinstance(found, SweepTarget) else [found.state]
    if not states:
        raise ConfigError([f"{target} has no complete state yet; only those can be scored."])
    # Imported here: the harness and torch take seconds, and no other command needs them.
    with extra("eval"):
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
            say(f"{count}{state.path.name}")
            fetch_whole(found.tree, state)
            out.print(score_table(suite.score(state)))
            Mirror.of(found.tree).send(state.task_rows)
    if isinstance(found, SweepTarget):
        write_report([found])
    else:
        say(f"written to {states[0].task_rows}; rewarm report shows them")


def _prepared(spec: SweepSpec, say: Callable[[str], None]) -> Plan:
    with extra("train"):
        from sweeps.prepare import check, prepare
    check(spec)
    return prepare(spec, tree_of(spec), say)


def _taken_model(spec: SweepSpec) -> ModelConfig | None:
    """The shape of the checkpoint that a sweep starts from."""
    if spec.checkpoint is None:
        return None
    with extra("train"):
        from cpt.hub_config import locate, read_model
    return read_model(locate(spec.checkpoint, CHECKPOINT_FIELD), CHECKPOINT_FIELD)


def _measured(planned: Plan, say: Callable[[str], None]) -> Tariff:
    # Imported here: torch takes seconds, and no other part of planning needs it.
    with extra("train"):
        from sweeps.measured import measured_tariff
    return measured_tariff(planned, say)


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
