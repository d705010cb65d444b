"""How fast batches are read: tokens a second of one core, out of a store that memory holds.

    python benchmarks/batches.py

A store of 50 million uint16 tokens in documents of about a thousand, sequences of 2,048 tokens, 16
a step; 400 steps each of one source, of 5% replay and of 5% replay into the seven sources of
SlimPajama with the paper's weights. Then what rows for `data.jsonl` cost a step, with 22 domains,
beside a training step of gpt-200k on sequences of 128, 16 a step: the smallest there is. Best of
three, since other work on the machine only ever slows it down.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from cpt.config import RunConfig
from cpt.data import TrainingStream
from cpt.learner import Learner
from cpt.model import initial_weights
from cpt.model_config import PRESETS
from cpt.packing import Packed
from cpt.parallel import workers
from cpt.parsing import parse
from cpt.placement import fill
from cpt.records import ResultTree
from cpt.store_writer import StoreWriter
from cpt.tally import Tally
from cpt.tokenizer import ByteTokenizer

TOKENS = 50_000_000
DOCUMENTS = 50_000
DOMAINS = 22
STEPS = 400
SLIMPAJAMA = (
    "52.087671651", "26.688499472", "5.224141056", "4.428184641",
    "4.203131326", "3.997293125", "3.371078725",
)  # fmt: skip


class Nothing(ByteTokenizer):
    """Says how large a token is."""

    vocab_size = 50_304


def write_store(folder: Path) -> None:
    """A token store without a text behind it."""
    random = np.random.default_rng(0)
    cuts = np.sort(random.choice(np.arange(1, TOKENS), DOCUMENTS - 1, replace=False))
    lengths = np.diff(np.concatenate([[0], cuts, [TOKENS]]))
    folder.mkdir(parents=True)
    writer = StoreWriter(folder, Nothing())
    documents = Packed(
        tokens=random.integers(0, 50_000, TOKENS, dtype=np.uint16),
        lengths=lengths,
        sizes=4 * lengths,
        hashes=np.arange(DOCUMENTS, dtype=np.uint64),
        domains=[f"domain-{number}" for number in random.integers(0, DOMAINS, DOCUMENTS)],
        empty=0,
    )
    writer.append(documents, "", "domain")
    writer.finish(corpus_id=folder.name, origin="none", path="none", split="train")


def source(part: str, weight: object) -> dict[str, object]:
    """One source out of the only store."""
    name, _, inside = part.partition("/")
    return {"name": name, "part": inside or None, "corpus": "store", "weight": weight}


def config(stream: Sequence[dict[str, object]], sequence_length: int = 2048) -> RunConfig:
    """gpt-200k over a stream, 16 sequences a step, evaluated every hundred steps."""
    return parse(
        RunConfig,
        {
            "label": "batches",
            "model": PRESETS["gpt-200k"].model_copy(update={"vocab_size": 320}),
            "sequence_length": sequence_length,
            "global_batch_size": 16,
            "total_steps": 10_000,
            "schedule": {"type": "constant", "max_lr": 1e-3, "min_lr": 1e-3, "warmup_fraction": 0},
            "stream": list(stream),
            "evaluation": {
                "datasets": [],
                "interval_steps": 100,
                "final_window_steps": 100,
                "final_window_interval_steps": 10,
            },
        },
    )


def best(run: Callable[[], None]) -> float:
    """The shortest of three runs, in seconds."""
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def read(run: RunConfig, tree: ResultTree) -> None:
    """Every batch of some steps."""
    stream = TrainingStream(run, tree)
    for step in range(STEPS):
        stream.batch(step)


def seconds_a_step(run: RunConfig, tree: ResultTree) -> float:
    """One update of the model on the CPU, one thread."""
    with workers() as team:
        learner = Learner(run, team)
        fill(learner.model, initial_weights(learner.model, 0))
        stream = TrainingStream(run, tree)

        def twenty() -> None:
            for step in range(20):
                learner.backward(stream.batch(step) % 256)
                learner.step(1e-3)

        twenty()
        return best(twenty) / 20


def main() -> None:
    """Writes the store, measures, and prints."""
    torch.set_num_threads(1)
    replay = source("old", "1/20")
    seven = [source(f"slim/{n}", weight) for n, weight in enumerate(SLIMPAJAMA)]
    # 1/20 of the whole is replay where it weighs 1/19 of the rest.
    light = source("old", "5.2631578945")
    streams = {
        "one source": [source("new", 1)],
        "5% replay": [replay, source("new", "19/20")],
        "5% replay into seven sources": [light, *seven],
    }
    with tempfile.TemporaryDirectory() as folder:
        tree = ResultTree(Path(folder))
        write_store(tree.tokens("store"))
        for name, stream in streams.items():
            run = config(stream)
            read(run, tree)
            rate = STEPS * run.tokens_per_step / best(lambda run=run: read(run, tree))
            print(f"{name:<30}{rate / 1e6:8.0f} M tokens/s")
        small = config(streams["5% replay into seven sources"], 128)
        tally = Tally(small, TrainingStream(small, tree).stores)
        rows = best(lambda: [tally.rows(step) for step in range(1000, 2000, 100)]) / 1000
        step = seconds_a_step(small, tree)
        print(f"{'rows of data.jsonl':<30}{rows * 1e6:8.0f} us a step")
        print(f"{'a step of gpt-200k':<30}{step * 1e6:8.0f} us; rows are {rows / step:.2%} of it")


if __name__ == "__main__":
    main()
