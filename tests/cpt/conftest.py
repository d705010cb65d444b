"""Real corpora where they lie beside the checkout, and a world small enough to train in."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from cpt.builder import build
from cpt.config import RunConfig
from cpt.dataset_config import DatasetConfig
from cpt.digests import Digests
from cpt.parsing import parse
from cpt.records import ResultTree
from cpt.token_library import library
from cpt.tokenizer import load_tokenizer


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums are the same bits only where they are cut alike; and threads would only wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def quiet_transformers(one_thread: None) -> None:
    """Progress bars and notices are no part of a test."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real corpora and a real tokenizer, beside the checkout."""
    path = Path(__file__).parents[3] / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no real corpora at {path}")
    return path


OLD = [f"the {n} old mice sat on {n * n} mats." for n in range(60)]
NEW = [f"def f{n}(x): return x * {n}" for n in range(60)]
HELD_OUT = [
    {"text": "the 7 old cats sat on 49 mats.", "kind": "cats"},
    {"text": "the 8 old dogs sat on 64 mats.", "kind": "dogs"},
] * 6


@dataclass(frozen=True)
class TinyWorld:
    """A result tree with token stores of two data sets, and configurations that read them."""

    tree: ResultTree
    corpora: dict[str, str]

    def config(self, **changes: object) -> RunConfig:
        """Twelve steps on the old text; `changes` replace fields."""
        fields: dict[str, object] = {
            "label": "tiny",
            "model": {"num_layers": 2, "hidden_size": 16, "num_heads": 2, "vocab_size": 320},
            "sequence_length": 16,
            "global_batch_size": 4,
            "total_steps": 12,
            "schedule": {"type": "cosine", "max_lr": 0.01, "min_lr": 0.001, "warmup_fraction": 0.1},
            "stream": [self.source("old")],
            "evaluation": self.evaluation(),
            "checkpoint_interval_steps": 3,
        }
        return parse(RunConfig, fields | changes)

    def beside(self, name: str) -> ResultTree:
        """Another result tree with the same token stores."""
        other = ResultTree(self.tree.storage.parent / name)
        other.storage.mkdir()
        (other.storage / "tokens").symlink_to(self.tree.storage / "tokens")
        return other

    def source(self, name: str, weight: object = 1) -> dict[str, object]:
        return {"name": name, "corpus": self.corpora[name], "weight": weight}

    def evaluation(self) -> dict[str, object]:
        return {
            "datasets": [{"name": "held out", "corpus": self.corpora["held out"]}],
            "interval_steps": 4,
            "final_window_steps": 3,
            "final_window_interval_steps": 1,
        }


@pytest.fixture(scope="session")
def tiny_stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("tiny")
    texts = {
        "old": [{"text": text} for text in OLD],
        "new": [{"text": text} for text in NEW],
        "held out": HELD_OUT,
    }
    tree = ResultTree(folder / "results")
    corpora = {}
    for name, rows in texts.items():
        file = folder / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        dataset = DatasetConfig(
            path="json",
            train=(str(file),),
            validation=(str(file),),
            domain="kind" if name == "held out" else None,
        )
        stores = build(
            dataset,
            load_tokenizer("bytes"),
            library(tree),
            f"datasets.{name}",
            Digests(folder / "digests.json"),
            lambda text: None,
        )
        corpora[name] = stores.train[""].meta.corpus_id
    return tree.storage, corpora


@pytest.fixture(scope="session")
def shared_world(tiny_stores: tuple[Path, dict[str, str]]) -> TinyWorld:
    """What `tiny` is, for fixtures that many tests share; train in a tree `beside` it."""
    storage, corpora = tiny_stores
    return TinyWorld(ResultTree(storage), corpora)


@pytest.fixture
def tiny(tiny_stores: tuple[Path, dict[str, str]], tmp_path: Path) -> TinyWorld:
    storage, corpora = tiny_stores
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "tokens").symlink_to(storage / "tokens")
    return TinyWorld(ResultTree(tmp_path / "results"), corpora)
