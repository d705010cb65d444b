"""The same training by `transformers.Trainer` with `GPTNeoXForCausalLM`.

    python benchmarks/hf_trainer.py [--bf16] [--compile] [--attention sdpa|eager] STATE_DIR

Trains what STATE_DIR/config.json says from the same weights on the same batches as `python -m cpt
STATE_DIR`. Without flags all that concerns speed is what transformers sets by itself on a CPU:
fp32, not compiled, torch's fused attention, fused AdamW. The sequences lie in memory beforehand;
nothing is logged, saved or evaluated. Needs `pip install transformers accelerate`. Only the columns
of `train.jsonl` that `contest` reads are written, after the last step.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GPTNeoXForCausalLM, Trainer, TrainerCallback, TrainingArguments

from cpt.config import RunConfig
from cpt.data import TrainingStream
from cpt.hub_export import export
from cpt.model import GPT, initial_weights
from cpt.records import ResultTree, StateDir
from cpt.train import read_config


class Sequences(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Every sequence of the training, in order."""

    def __init__(self, config: RunConfig, tree: ResultTree) -> None:
        stream = TrainingStream(config, tree)
        self._sequences = torch.cat([stream.batch(step) for step in range(config.total_steps)])

    def __len__(self) -> int:
        return len(self._sequences)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """`shift_labels` are targets that are shifted already, so T + 1 tokens predict T."""
        sequence = self._sequences[index]
        targets = sequence[1:]
        return {"input_ids": sequence[:-1], "labels": targets, "shift_labels": targets}


class Watched(Trainer):  # type: ignore[misc, unused-ignore]
    """A trainer that keeps its losses."""

    losses: list[Tensor]

    def training_step(self, *arguments: Any, **named: Any) -> Tensor:
        """One forward and backward pass."""
        loss: Tensor = super().training_step(*arguments, **named)
        self.losses.append(loss.detach())
        return loss


class Clock(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """The end of each step, in seconds from the beginning of the first."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self._began = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Starts."""
        self._began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Weights are updated and gradients cleared."""
        self.ends.append(time.perf_counter() - self._began)


def make_model(config: RunConfig, attention: str | None) -> GPTNeoXForCausalLM:
    """The published implementation, with the weights that `cpt.train` begins with."""
    shape = config.model.model_copy(update={"max_sequence_length": config.sequence_length})
    with torch.device("meta"):
        ours = GPT(shape)
    with tempfile.TemporaryDirectory(prefix="rewarm-hf-") as aside:
        export(shape, initial_weights(ours, config.seed), Path(aside))
        # None: transformers chooses.
        return GPTNeoXForCausalLM.from_pretrained(aside, attn_implementation=attention)


def main() -> None:
    """Trains one state and writes its rows."""
    parser = argparse.ArgumentParser(description="transformers.Trainer.")
    parser.add_argument("state", type=Path)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--attention", choices=("sdpa", "eager"))
    asked = parser.parse_args()
    state = StateDir(asked.state.resolve())
    config = read_config(state)
    arguments = TrainingArguments(
        output_dir=str(state.path),
        use_cpu=True,
        max_steps=config.total_steps,
        per_device_train_batch_size=config.global_batch_size,
        learning_rate=config.schedule.max_lr,
        lr_scheduler_type="constant",
        adam_beta1=config.optimizer.betas[0],
        adam_beta2=config.optimizer.betas[1],
        adam_epsilon=config.optimizer.eps,
        weight_decay=config.optimizer.weight_decay,
        max_grad_norm=config.optimizer.max_grad_norm,
        train_sampling_strategy="sequential",
        seed=config.seed,
        bf16=asked.bf16,
        torch_compile=asked.compile,
        logging_strategy="no",
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
    )
    clock = Clock()
    trainer = Watched(
        model=make_model(config, asked.attention),
        args=arguments,
        train_dataset=Sequences(config, ResultTree(state.path.parent.parent)),
        callbacks=[clock],
    )
    trainer.losses = []
    trainer.train()
    rows = [
        {"step": step, "loss": float(loss), "elapsed_seconds": end}
        for step, (loss, end) in enumerate(zip(trainer.losses, clock.ends, strict=True), start=1)
    ]
    state.train_rows.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
