"""Throughput of one worker: measured on real updates, and nothing left behind."""

import shutil

import pytest
import torch

from cpt.throughput import measure


def test_a_worker_trains_some_tokens_a_second(tiny):
    before = torch.get_num_threads()
    found = measure(tiny.config(), share=4, threads=1, seconds=0.05)
    assert found.tokens_per_second > 0
    assert (found.device, found.threads, found.sequences) == (
        "cpu" if not torch.cuda.is_available() else torch.cuda.get_device_name(),
        1,
        4,
    )
    assert found.steps >= 1
    assert torch.get_num_threads() == before


def test_a_pass_holds_a_micro_batch(tiny):
    config = tiny.config(micro_batch_size=2)
    assert measure(config, share=4, threads=1, seconds=0.05).sequences == 2


def test_measuring_writes_nothing(tiny):
    before = sorted(tiny.tree.storage.rglob("*"))
    measure(tiny.config(), share=2, threads=1, seconds=0.05)
    assert sorted(tiny.tree.storage.rglob("*")) == before


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs g++")
def test_compiling_is_not_taken_for_training(tiny, monkeypatch, tmp_path):
    """It takes seconds, and these updates milliseconds."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    found = measure(tiny.config(compile="always"), share=4, threads=1, seconds=0.2)
    assert (found.sequences, found.steps > 5) == (4, True)
    assert found.tokens_per_second > 1_000


@pytest.mark.slow
def test_the_figure_is_that_of_training(tiny):
    """Within a factor of two of the rows that a training of the same shape writes."""
    from cpt.rows import read_rows
    from cpt.train import train

    shape = {
        "model": {"num_layers": 2, "hidden_size": 64, "num_heads": 2, "vocab_size": 320},
        "global_batch_size": 32,
        # Saving goes on beside training, and is no part of what is measured.
        "total_steps": 40,
        "checkpoint_interval_steps": 1000,
    }
    config = tiny.config(**shape)
    tree = tiny.beside("throughput")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    train(config, tree)
    torch.set_num_threads(before)
    rows = read_rows(tree.state(config.state_id).train_rows)
    # Tests that run beside this one slow either down, and never speed it up.
    trained = sorted(row["tokens_per_second"] for row in rows)[3 * len(rows) // 4]
    tries = [measure(config, share=32, threads=1, seconds=0.5) for _ in range(3)]
    measured = max(one.tokens_per_second for one in tries)
    assert trained / 2 < measured < 2 * trained
