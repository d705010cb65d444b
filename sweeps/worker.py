"""One state as Ray runs it: a Tune trial that starts a Ray Train `TorchTrainer` around `cpt.train`.

A state on one worker is trained in the trial's own process (Ray Train's local mode,
`num_workers=0`), which Tune reuses for the next state: torch is imported once per slot, and a
state costs nothing but its training. With more workers the trial is only the driver of a worker
group.

The process that trains listens: to SIGTERM, to the run, to the notice that its machine goes
(`sweeps.leaving`); it then saves and leaves.

A state that may be compared reports to Tune at its rungs and nowhere else, and waits there for
Tune's decision: on one worker inside the report, in a group for an answer of its own.
"""

import gc
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray import train, tune
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.torch.config import _TorchBackend
from ray.tune import PlacementGroupFactory, Trainable
from ray.tune.integration.ray_train import TuneReportCallback
from ray.tune.trainable import wrap_function

from cpt.config import RunConfig
from cpt.leaving import EXIT_INTERRUPTED, Leave
from cpt.mirror import Mirror
from cpt.parsing import parse
from cpt.records import ResultTree
from cpt.rows import EvalRow
from cpt.token_store import StoreError
from cpt.train import DivergedError
from cpt.train import train as train_stage
from sweeps.answers import wait_for_answer
from sweeps.capacity import DRIVER
from sweeps.interfaces import meet_where_ray_does
from sweeps.leaving import has_begun, heard, note_begun, tell_to_leave
from sweeps.rungs import Comparison, losses, passed, recorded_config
from sweeps.scaling import worker_resources
from sweeps.spec import Resources
from sweeps.store import training_tree

# Read when an ended trial's process is reused: the default of two seconds may pass while a busy
# machine frees a model, and the next state would fail for it.
os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", "60")

BEGINNING_SECONDS = 10.0
"""What a group that is asked to leave has to come to life, if its machines are there."""


def train_state(trial: dict[str, Any]) -> None:
    """The Tune trainable.

    Args:
        trial: `state` (its id), `run` (its RunConfig), `storage` and `ray_storage` (absolute
            paths; the last part of the latter names the run), `token_storage` (absolute path, URI
            or None), `remote` (URI of the tree, or None), `resources`, `workers` (how many train
            it), `comparison` (a Comparison, or None where the state is not compared); all but the
            id, the number and the places as JSON text.

    Raises:
        Exception: Whatever stopped the training, but for divergence, which the state's own
            `status.json` records.
    """
    resources = parse(Resources, json.loads(trial["resources"]))
    is_group = trial["workers"] > 1
    # Untyped: Ray Train declares the callbacks of its first version.
    callbacks: list[Any] = [TuneReportCallback()] if is_group and trial["comparison"] else []
    ears: tuple[str, ...] = (_run_name(trial),)
    nodes: tuple[str, ...] = ()
    if is_group:
        attempt = f"{_run_name(trial)}/{tune.get_context().get_trial_id()}"
        ears = (*ears, attempt)
        nodes = (ray.get_runtime_context().get_node_id(),)
        threading.Thread(
            target=_pass_on, args=(heard((_run_name(trial),), ()), attempt), daemon=True
        ).start()
    trainer = TorchTrainer(
        _train_loop,
        train_loop_config=trial | {"ears": ears, "nodes": nodes},
        torch_config=_ListeningConfig(ears=ears, nodes=nodes),
        scaling_config=train.ScalingConfig(
            num_workers=trial["workers"] if is_group else 0,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=worker_resources(resources),
        ),
        run_config=train.RunConfig(
            name=trial["state"],
            storage_path=trial["ray_storage"],
            callbacks=callbacks,
        ),
    )
    trainer.fit()


def trainable(
    function: Callable[[dict[str, Any]], None], resources: Resources, *, has_drivers: bool
) -> type[Trainable]:
    """A function as Tune runs it, in a process that takes SIGTERM for a request.

    Args:
        function: As `train_state`.
        resources: Of one state. Tune reserves those of the one worker in the trial's process, or
            what the driver of a group needs.
        has_drivers: Whether machines are set apart for those drivers, see `capacity.DRIVER`.
    """

    class TrainsStates(wrap_function(function)):  # type: ignore[misc] # a class made on the spot
        @classmethod
        def default_resource_request(cls, config: dict[str, Any]) -> PlacementGroupFactory:
            # Tune refuses a trial of no resources at all, and any share of a CPU would leave too
            # little for the workers where they need all there are: a byte is missed by nobody.
            of_driver = {DRIVER: 1.0} if has_drivers else {"memory": 1.0}
            is_group = config["workers"] > 1
            return PlacementGroupFactory([of_driver if is_group else worker_resources(resources)])

        def setup(self, config: dict[str, Any]) -> None:
            """Called in the process's main thread; the training has one of its own."""
            heard((_run_name(config),), ()).on_sigterm()
            super().setup(config)

    return TrainsStates


def _run_name(trial: dict[str, Any]) -> str:
    return Path(trial["ray_storage"]).name


def _pass_on(leave: Leave, attempt: str) -> None:
    """In the driver of a group: what it is asked is meant for its workers."""
    tell_to_leave(attempt, leave.wait())
    time.sleep(BEGINNING_SECONDS)
    if not has_begun(attempt):
        # Ray waits for machines that a cloud may not have for hours, and cannot be told to stop.
        os._exit(EXIT_INTERRUPTED)


@dataclass
class _ListeningConfig(TorchConfig):
    """A process group whose workers listen; see `leaving.heard`."""

    ears: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        return _ListeningBackend


class _ListeningBackend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(meet_where_ray_does)
        super().on_start(worker_group, backend_config)
        worker_group.execute(_listen_to_sigterm, backend_config.ears, backend_config.nodes)
        note_begun(backend_config.ears[-1])


def _listen_to_sigterm(ears: tuple[str, ...], nodes: tuple[str, ...]) -> None:
    """In the main thread of a worker; the training has one of its own."""
    heard(ears, nodes).on_sigterm()


def _train_loop(trial: dict[str, Any]) -> None:
    """Runs on every worker of the group."""
    _check_storage(trial)
    resources = parse(Resources, json.loads(trial["resources"]))
    torch.set_num_threads(resources.cpus_per_worker)
    config = parse(RunConfig, json.loads(trial["run"]))
    tree = training_tree(trial["storage"], trial["token_storage"], trial["remote"])
    reporter = None
    if trial["comparison"]:
        bases = [] if config.base is None else [config.base]
        Mirror.of(tree).fetch_states([config.state_id, *bases], bases=True)
        run = _run_name(trial) if trial["workers"] > 1 else None
        reporter = _Reporter(config, tree, trial["comparison"], run)
        reporter.report_passed()
    leave = heard(trial["ears"], trial["nodes"])
    try:
        # Ray hides no GPU from a worker that was given none.
        train_stage(config, tree, reporter, leave, use_gpu=resources.gpus_per_worker > 0)
    except DivergedError:
        # Recorded in status.json by rank 0; not a fault of Ray's, so nothing to try again.
        return
    finally:
        _give_back_memory()


def _give_back_memory() -> None:
    """This process may train the next state, and others on the same GPU theirs."""
    # Blocks refer to themselves; their weights would stay until Python happens to look.
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _check_storage(trial: dict[str, Any]) -> None:
    """A directory of the same name on this machine's own disk would take all that is trained here.

    A machine that joins a cluster late was not asked before the run began.
    """
    # The driver made it a moment ago, and no other has its name.
    if trial["remote"] is None and not Path(trial["ray_storage"]).is_dir():
        address = ray.util.get_node_ip_address()
        raise StoreError(
            f"storage: {trial['storage']} on the machine {address} is not the directory that the "
            "driver of the sweep sees; mount it there, or name an object store."
        )


class _Reporter:
    """Tells Tune the values of a state's rungs; every rank of a group must call it alike.

    Args:
        config: Of the state.
        tree: Holds its rows.
        comparison: As JSON text.
        run: The name under which a group is answered; None for one worker.
    """

    def __init__(
        self, config: RunConfig, tree: ResultTree, comparison: str, run: str | None
    ) -> None:
        self._comparison = Comparison.from_json(comparison)
        self._config, self._tree, self._run = config, tree, run

    def report_passed(self) -> None:
        """The rungs that lie behind the state before it begins."""
        for rung, value in passed(self._config, self._tree, self._comparison).items():
            self._report(rung, value)

    def __call__(self, rows: Sequence[EvalRow]) -> None:
        """After an evaluation."""
        rungs = self._comparison.rungs_at(rows[0].step)
        if not rungs:
            return
        if self._is_first:
            # A state that is ended here has what it was compared by.
            Mirror.of(self._tree).send_rows(self._tree.state(self._config.state_id))
        names = recorded_config(self._config, self._tree)
        value = self._comparison.value(losses([asdict(row) for row in rows], names))
        for rung in rungs:
            self._report(rung, value)

    def _report(self, rung: int, value: float) -> None:
        result = {
            "state": self._config.state_id,
            "tokens": rung,
            "step": dict(self._comparison.looks)[rung],
            self._comparison.metric: value,
        }
        if self._run is None:
            # Ray Train's own report refuses local mode inside a Tune trial.
            tune.report(result)
            return
        train.report(result)
        # The others wait for rank 0, which alone writes, in their next update.
        if self._is_first:
            wait_for_answer(self._run, self._config.state_id, rung)

    @property
    def _is_first(self) -> bool:
        return self._run is None or train.get_context().get_world_rank() == 0
