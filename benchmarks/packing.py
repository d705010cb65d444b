"""What packing costs: against `datasets.map`, in memory at a billion tokens, and on opening.

    python benchmarks/packing.py map DATA      DATA: a folder of *.jsonl.gz and 20B_tokenizer.json
    python benchmarks/packing.py billion       needs 4 GiB of disk, and some minutes

`map` packs real text with the GPT-NeoX tokenizer, from the compressed files to a finished store, in
turn with what most people run: `datasets.map(batched, num_proc=2)` with the fast tokenizer of
transformers and nothing else, timed from a data set that lies on disk uncompressed already. Both
begin with nothing in a cache. `billion` packs synthetic text byte by byte, 250,000 documents.
Memory is the proportional set size of the process and its children, watched every 0.2 s.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fresh_clone import session_bytes

from cpt.builder import build
from cpt.dataset_config import DatasetConfig
from cpt.digests import Digests
from cpt.token_library import TokenLibrary
from cpt.token_store import VERIFIED, TokenStore
from cpt.tokenizer import load_tokenizer

ROUNDS = 3
BILLION = 1_000_000_000
DOCUMENT_BYTES = 4_000

OTHER = """
import sys, time, datasets, transformers
datasets.disable_progress_bars()
cache, tokenizer, *files = sys.argv[1:]
rows = datasets.load_dataset("json", data_files=files, split="train", cache_dir=cache)
fast = transformers.PreTrainedTokenizerFast(tokenizer_file=tokenizer, model_max_length=10**9)
def encode(batch):
    return {"input_ids": fast(batch["text"], add_special_tokens=False)["input_ids"]}
began = time.perf_counter()
rows.map(encode, batched=True, num_proc=2, remove_columns=rows.column_names)
print(len(rows), time.perf_counter() - began)
"""


def against_map(data: Path) -> None:
    """Documents a second of both, in turn, in fresh processes."""
    files = sorted(map(str, data.glob("*.train.jsonl.gz")))
    tokenizer = str(data / "20B_tokenizer.json")
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(rate([__file__, "pack", tokenizer, *files]))
        theirs.append(rate(["-c", OTHER, "CACHE", tokenizer, *files]))
        print(f"rewarm {ours[-1]:,.0f}, map {theirs[-1]:,.0f} documents/s", flush=True)
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    print("| rewarm, documents/s | datasets.map | ratio | target |")
    print("|---|---|---|---|")
    print(
        f"| {statistics.median(ours):,.0f} | {statistics.median(theirs):,.0f} | "
        f"{statistics.median(ours) / statistics.median(theirs):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}) | 0.9 |"
    )


def rate(arguments: list[str]) -> float:
    """Documents a second that a program prints as their number and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [folder if argument == "CACHE" else argument for argument in arguments]
        done = subprocess.run(
            [sys.executable, *arguments],
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TMPDIR": folder},
        )
    documents, seconds = done.stdout.split()[-2:]
    return int(documents) / float(seconds)


def pack(tokenizer: str, files: list[str]) -> None:
    """Packs files into a new library; prints documents and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        held_out = files[0].replace(".train.", ".valid.")
        dataset = DatasetConfig(path="json", train=tuple(files), validation=held_out)
        encoder = load_tokenizer(tokenizer)
        digests = Digests(Path(folder) / "digests.json")
        began = time.perf_counter()
        stores = build(dataset, encoder, TokenLibrary.at(folder), "datasets.real", digests, quiet)
        seconds = time.perf_counter() - began
        print(stores.train[""].meta.documents + stores.validation.meta.documents, seconds)


def billion() -> None:
    """Packs a billion synthetic tokens, then opens the store as it is and unverified."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synthesize(folder / "train.parquet", BILLION)
        synthesize(folder / "valid.parquet", 1_000_000)
        dataset = DatasetConfig(
            path="parquet",
            train=str(folder / "train.parquet"),
            validation=str(folder / "valid.parquet"),
        )
        shelf = TokenLibrary.at(folder / "tokens")
        digests = Digests(folder / "digests.json")
        done, peak = threading.Event(), [0]

        def watch() -> None:
            while not done.wait(0.2):
                peak[0] = max(peak[0], session_bytes(os.getpid()))

        watcher = threading.Thread(target=watch)
        watcher.start()
        began = time.perf_counter()
        stores = build(dataset, load_tokenizer("bytes"), shelf, "datasets.bytes", digests, print)
        seconds = time.perf_counter() - began
        done.set()
        watcher.join()
        store = stores.train[""]
        print("| what | measured | target |")
        print("|---|---|---|")
        print(f"| tokens | {store.meta.tokens:,} | 1e9 |")
        print(f"| seconds to pack them, byte by byte | {seconds:.0f} | |")
        print(f"| peak memory of all processes | {peak[0] / 2**30:.2f} GiB | under 1.5 GiB |")
        opened = [timed(store.path) for _ in range(5)]
        print(f"| seconds to open the store | {statistics.median(opened):.4f} | under 0.2 |")
        (store.path / VERIFIED).unlink()
        print(f"| seconds to open it where nobody verified it | {timed(store.path):.2f} | |")


def timed(path: Path) -> float:
    """Seconds to open a store and read its first and last sequence."""
    began = time.perf_counter()
    store = TokenStore(path)
    store.sequence(np.array([0, store.num_sequences(2048) - 1]), 2048)
    return time.perf_counter() - began


def synthesize(file: Path, size: int) -> None:
    """Parquet of documents of random words, `size` bytes of text in all with their ends."""
    generator = np.random.default_rng(0)
    letters = np.frombuffer(b"etaoin shrdlu cmfwyp vbgkq jxz ", dtype=np.uint8)
    schema = pa.schema([("text", pa.string())])
    with pq.ParquetWriter(file, schema) as out:
        for start in range(0, size, 1000 * DOCUMENT_BYTES):
            count = min(1000, -(-(size - start) // DOCUMENT_BYTES))
            rows = letters[generator.integers(0, len(letters), (count, DOCUMENT_BYTES - 1))]
            texts = [row.tobytes().decode() for row in rows]
            out.write_table(pa.table({"text": texts}, schema=schema))


def quiet(text: str) -> None:
    """Says nothing."""


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["map", "billion", "pack"])
    parser.add_argument("rest", nargs="*")
    given = parser.parse_args()
    if given.what == "map":
        against_map(Path(given.rest[0]))
    elif given.what == "pack":
        pack(given.rest[0], given.rest[1:])
    else:
        billion()


if __name__ == "__main__":
    main()
