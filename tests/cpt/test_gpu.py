"""On a machine with an NVIDIA GPU: the same bits every time. Skipped where there is none."""

from typing import Any

import pytest
import torch

from cpt.config import RunConfig
from cpt.learner import Learner
from cpt.leaving import Leave, LeavingError
from cpt.model import initial_weights
from cpt.parallel import workers
from cpt.placement import fill
from cpt.rows import current_rows, read_rows
from cpt.train import train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

NEOX = {"num_layers": 2, "hidden_size": 256, "num_heads": 4, "vocab_size": 320}
LLAMA = NEOX | {"family": "llama", "num_kv_heads": 2, "intermediate_size": 512}


def trained(config: RunConfig) -> list[torch.Tensor]:
    """The weights after some updates on random tokens."""
    with workers(use_gpu=True) as team:
        learner = Learner(config, team)
        fill(learner.model, initial_weights(learner.model, 0))
        generator = torch.Generator().manual_seed(0)
        shape = config.global_batch_size, config.sequence_length + 1
        for _ in range(10):
            learner.backward(torch.randint(320, shape, generator=generator))
            learner.step(3e-3)
        return [parameter.detach().cpu() for parameter in learner.model.parameters()]


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16"},
        {"precision": "bf16", "compile": "always"},
        {"precision": "bf16", "compile": "always", "activation_checkpointing": True},
        {"precision": "bf16", "model": LLAMA, "micro_batch_size": 4},
        {"precision": "bf16", "document_end": 7},
        {"precision": "fp32"},
        {"precision": "fp32", "document_end": 7},
    ],
    ids=lambda changes: ", ".join(f"{name}" for name in changes),
)
def test_updates_on_a_gpu_give_the_same_bits(tiny, changes: dict[str, Any]) -> None:
    """Long enough that several blocks of flash attention add to one gradient."""
    shape = {"model": NEOX, "sequence_length": 1024, "global_batch_size": 8}
    config = tiny.config(**(shape | changes))
    first, second = trained(config), trained(config)
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def test_a_state_that_left_its_gpu_ends_as_one_that_did_not(tiny) -> None:
    config = tiny.config(precision="bf16", total_steps=40)
    straight = tiny.beside("straight")
    train(config, straight, use_gpu=True)
    leave = Leave()

    def ask(rows: Any) -> None:
        if rows[0].step == 20:
            leave.ask("a test")

    with pytest.raises(LeavingError):
        train(config, tiny.tree, ask, leave, use_gpu=True)
    train(config, tiny.tree, use_gpu=True)
    once, twice = (
        current_rows(
            read_rows(tree.state(config.state_id).eval_rows),
            lambda row: (row["step"], row["dataset"], row["domain"]),
        )
        for tree in (straight, tiny.tree)
    )
    assert once == twice
