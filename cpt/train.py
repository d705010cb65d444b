"""One stage of one model: take a batch, update, evaluate if due, save if due.

Running it again is resuming it: a complete state returns at once, an interrupted one goes on from
its newest whole checkpoint, and the finished rows and weights are those of a run that was
never interrupted. A state with a `base` goes on from that state's checkpoint in the same way, so
that its rows and weights are those of a run that began at step 0.
"""

import contextlib
import math
import time
from collections.abc import Callable, Sequence

import torch

from cpt import checkpoint, hub, recovery
from cpt import schedule as schedules
from cpt.checkpoint import Progress
from cpt.config import RunConfig
from cpt.data import TrainingStream
from cpt.evaluate import Evaluator
from cpt.files import read_json, write_json, write_sealed
from cpt.learner import Learner
from cpt.leaving import OTHER_ASKED, Leave, LeavingError
from cpt.mirror import Mirror
from cpt.model import initial_weights
from cpt.parallel import Workers, workers
from cpt.parsing import parse
from cpt.placement import fill
from cpt.records import ResultTree, StateDir, Status, StatusWord
from cpt.rows import EvalRow, TrainRow, append_rows
from cpt.saver import Saver
from cpt.tally import Tally


class DivergedError(ArithmeticError):
    """The loss or the gradient is no longer finite; `status.json` says at which step."""


OnEvaluation = Callable[[Sequence[EvalRow]], None]


def train(
    config: RunConfig,
    tree: ResultTree,
    on_evaluation: OnEvaluation | None = None,
    leave: Leave | None = None,
    *,
    use_gpu: bool | None = None,
) -> None:
    """Trains a state to its end, from wherever it stands.

    All workers of the process group call it. Rank 0 writes.

    Args:
        config: What determines the state.
        tree: Holds the token stores, the parent and base states and, afterwards, this state.
        on_evaluation: Called on every rank with the rows of each evaluation, once they are written.
        leave: Looked at after each update; it is enough that one rank is asked.
        use_gpu: See `cpt.parallel.workers`.

    Raises:
        ValueError: There are more workers than sequences in a global batch, a validation domain
            is shorter than a sequence, or a GPU is missing.
        LeavingError: It was asked to leave; the updates done so far are saved.
        IncompleteStateError: The parent or base state is not complete.
        DamagedCheckpointError: The final checkpoint of the parent or base is damaged; it was set
            aside, and that state is to be trained again first.
        DivergedError: Recorded as failed; running it again fails at the same step.
        StoreError: What it needs cannot be fetched, or what it wrote cannot be sent.
    """
    state, mirror = tree.state(config.state_id), Mirror.of(tree)
    mirror.fetch_state(state, checkpoint=False)
    if recovery.is_complete(state, config.end_step):
        return
    with workers(use_gpu=use_gpu) as team:
        _check_workers(config, team)
        damaged = mirror.fetch_state(state, checkpoint=True, repair=True)
        team.barrier()  # nothing is written where another rank still fetches
        recovered = recovery.recover(state, team, damaged)
        config = _as_recorded(config, state)
        if team.is_first:
            write_sealed(state.config, config.model_dump(mode="json"))
        run = _Run(config, tree, state, team, on_evaluation, leave or Leave(), recovered)
        rows = mirror.sending_rows(state) if team.is_first else contextlib.nullcontext()
        try:
            with rows, run.saver:
                run.to_the_end()
        except DivergedError as error:
            if team.is_first:
                mirror.send_rows(state)
                status = Status(status=StatusWord.FAILED, step=run.step, reason=str(error))
                mirror.write_status(state, status)
            raise


def read_config(state: StateDir) -> RunConfig:
    """The configuration recorded in a state's folder.

    Raises:
        ConfigError: It does not parse.
        ValueError: It is not complete JSON.
    """
    return parse(RunConfig, read_json(state.config))


def _as_recorded(config: RunConfig, state: StateDir) -> RunConfig:
    """The configuration under the names of the first attempt: its rows already use them.

    Another sweep may call the same data sets differently, since names are no part of an identity.
    Where the first attempt left a checkpoint its base counts too: the rows before it are there.

    Raises:
        ValueError: `config.json` was written for another state.
    """
    if not state.config.exists():
        return config
    recorded = read_config(state)
    if recorded.state_id != config.state_id:
        raise ValueError(f"{state.config} is that of {recorded.state_id}, not of {state.path.name}")
    free_to_change = ["micro_batch_size", "checkpoint_interval_steps", "keep_checkpoints"]
    if not checkpoint.steps(state):
        free_to_change.append("base")
    return recorded.model_copy(update={name: getattr(config, name) for name in free_to_change})


class _Run:
    """The moving parts of one attempt."""

    def __init__(
        self,
        config: RunConfig,
        tree: ResultTree,
        state: StateDir,
        team: Workers,
        on_evaluation: OnEvaluation | None,
        leave: Leave,
        recovered: str,
    ) -> None:
        self.config, self.state, self.team = config, state, team
        self.recovered, self.mirror = recovered, Mirror.of(tree)
        self.on_evaluation = on_evaluation
        self.leave, self.is_leaving = leave, False
        self.stream = TrainingStream(config, tree)
        if team.is_first:
            write_json(state.corpus, self.stream.stores[0].meta.model_dump(mode="json"))
        self.tally = Tally(config, self.stream.stores)
        self.evaluator = Evaluator(config, tree, team)
        self.pieces = config.pieces()
        self.flops_per_token = config.model.flops_per_token(config.sequence_length)
        self.step, self.elapsed_before = 0, 0.0
        self.learner = Learner(config, team)
        self.saver = Saver(state, self.learner, team, config.keep_checkpoints, self.mirror)
        source = _checkpoint_to_go_on_from(config, state, tree, team)
        if source is not None:
            progress = checkpoint.load(*source, self.learner, team)
            self.step, self.elapsed_before = progress.step, progress.elapsed_seconds
        elif config.parent is not None:
            parent = tree.state(config.parent)
            self.mirror.fetch_state(parent, checkpoint=True, repair=True)
            checkpoint.load_weights(parent, self.learner.model, team)
        elif config.weights is not None:
            folder = tree.weights(config.weights)
            self.mirror.fetch_folder(folder)
            fill(self.learner.model, hub.weights(folder, config.model))
        else:
            fill(self.learner.model, initial_weights(self.learner.model, config.seed))
        self.resumed_at = self.step
        self.batch: torch.Tensor | None = None
        self.started = time.perf_counter()
        self.update_seconds = 0.0
        self.updates = 0

    def to_the_end(self) -> None:
        """The loop; one extra turn evaluates and saves the last step."""
        config = self.config
        if self.team.is_first:
            self.mirror.send(self.state.config, self.state.corpus)
            if self.recovered:
                self.mirror.send(*self.state.path.glob("*.damaged-*"))
        self._write_status(StatusWord.RUNNING)
        due = set(config.evaluation_steps())
        while True:
            # The evaluation of a resumed step was written before its checkpoint was.
            fresh = self.step > self.resumed_at or self.step == 0
            if self.step in due and fresh:
                self._evaluate()
            if self.step in self.tally.steps and fresh and self.team.is_first:
                append_rows(self.state.data_rows, self.tally.rows(self.step))
            last = self.step == config.end_step
            is_due = self.step % config.checkpoint_interval_steps == 0
            if fresh and self.step > 0 and (last or is_due or self.is_leaving):
                self._save()
            if last:
                break
            if self.is_leaving:
                self.saver.wait()
                raise LeavingError(self.step, self.leave.reason or OTHER_ASKED)
            self._update()
        self.saver.wait()
        if self.team.is_first:
            self.mirror.send_rows(self.state)
        # Whoever goes on from this state, once it is complete, may fetch what was removed here.
        self.mirror.release(self.state)
        self.team.barrier()
        self._write_status(StatusWord.COMPLETE)

    def _update(self) -> None:
        """From `step` to `step + 1`."""
        began = time.perf_counter()
        config = self.config
        lr = schedules.lr(self.pieces, self.step)
        batch = self.batch if self.batch is not None else self._read()
        loss = self.learner.backward(batch, weight=self._weight(batch), rounds=self.rounds)
        grad_norm = self.learner.step(lr)
        self.step += 1
        self.batch = self._read() if self.step < config.end_step else None
        # The first to wait for the device: the update and the next batch are on their way by now.
        loss_mean, self.is_leaving = self.team.mean(loss, flag=self.leave.is_asked)
        norm = float(grad_norm)
        if not (math.isfinite(loss_mean) and math.isfinite(norm)):
            raise DivergedError(
                f"the loss is {loss_mean} and the gradient norm {norm} at step {self.step} "
                f"with lr {lr:g}"
            )
        self.update_seconds += time.perf_counter() - began
        self.updates += 1
        # A beginning that others go on from logs what they would have logged without it.
        last = self.step == config.total_steps
        if last or self.step % config.log_interval_steps == 0:
            self._log(lr, loss_mean, norm)

    def _read(self) -> torch.Tensor:
        """This rank's part of the batch for the update from `step` on, on its way to the device."""
        batch = self.stream.batch(self.step, self.team.rank, self.team.world_size)
        if self.team.device.type == "cuda":
            batch = batch.pin_memory()
        return batch.to(self.team.device, non_blocking=True)

    def _weight(self, batch: torch.Tensor) -> float:
        """Of this rank's part of a global batch, whose mean is taken over the ranks."""
        return len(batch) * self.team.world_size / self.config.global_batch_size

    @property
    def rounds(self) -> int:
        """Micro-batches of the rank that reads most."""
        most = -(-self.config.global_batch_size // self.team.world_size)
        return -(-most // (self.config.micro_batch_size or most))

    def _log(self, lr: float, loss: float, grad_norm: float) -> None:
        rate = self.updates * self.config.tokens_per_step / self.update_seconds
        peak = self.team.peak_flops
        row = TrainRow(
            step=self.step,
            tokens=self.step * self.config.tokens_per_step,
            lr=lr,
            loss=loss,
            grad_norm=grad_norm,
            tokens_per_second=round(rate, 1),
            mfu=None if peak is None else round(rate * self.flops_per_token / peak, 4),
            elapsed_seconds=round(self._elapsed(), 3),
        )
        self.update_seconds, self.updates = 0.0, 0
        if self.team.is_first:
            append_rows(self.state.train_rows, [row])

    def _evaluate(self) -> None:
        rows: list[EvalRow] = self.evaluator.rows(self.learner.model, self.step)
        if not all(math.isfinite(row.loss) for row in rows):
            raise DivergedError(f"a held-out loss is not finite at step {self.step}")
        if self.team.is_first:
            append_rows(self.state.eval_rows, rows)
        if self.on_evaluation is not None:
            self.on_evaluation(rows)

    def _save(self) -> None:
        progress = Progress(step=self.step, elapsed_seconds=self._elapsed())
        self.saver.save(progress)
        if self.step < self.config.end_step:
            self._write_status(StatusWord.RUNNING)

    def _elapsed(self) -> float:
        return self.elapsed_before + time.perf_counter() - self.started

    def _write_status(self, word: StatusWord) -> None:
        reason = self.recovered if word is StatusWord.RUNNING else ""
        if self.team.is_first:
            status = Status(status=word, step=self.step, reason=reason)
            self.mirror.write_status(self.state, status)


def _checkpoint_to_go_on_from(
    config: RunConfig, state: StateDir, tree: ResultTree, team: Workers
) -> tuple[StateDir, int] | None:
    """The state's own newest checkpoint, else that of its base; None: begin at step 0."""
    saved = checkpoint.steps(state)
    if saved:
        return state, saved[-1]
    if config.base is None:
        return None
    base = tree.state(config.base)
    Mirror.of(tree).fetch_state(base, checkpoint=True, repair=True)
    return base, checkpoint.final_step(base, team)


def _check_workers(config: RunConfig, team: Workers) -> None:
    if team.world_size > config.global_batch_size:
        raise ValueError(
            f"global_batch_size: got {config.global_batch_size}; must be at least the "
            f"{team.world_size} workers"
        )
