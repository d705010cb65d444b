"""The sweep that is disturbed: small, but with everything that resuming could get wrong.

Two seeds, so two pre-trainings; replay, so two data sets in one stream; an infinite schedule with
three budgets, so trunks that several states go on from and anneals that branch off. Each step
writes a row and every few steps a checkpoint.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import yaml

NAME = "chaos"
TOKENS_PER_STEP = 8 * 64
WORDS = {
    "old": ["the", "mouse", "sat", "under", "a", "table", "and", "looked", "for", "cheese"],
    "new": ["def", "mouse", "return", "import", "class", "while", "for", "in", "not", "None"],
}


@dataclass(frozen=True, kw_only=True)
class TinySweep:
    """What may be chosen.

    Attributes:
        steps: Of the shortest budget; pre-training has as many, the longest budget thrice.
        checkpoint_interval_steps: At most so many updates are lost with a process.
        workers_per_state: Processes that train one state together.
        seeds: How many.
    """

    steps: int
    checkpoint_interval_steps: int = 20
    workers_per_state: int = 1
    seeds: int = 2

    def write(self, folder: Path, storage: str) -> Path:
        """Writes the data and the sweep file; returns the file's path."""
        folder.mkdir(parents=True, exist_ok=True)
        for number, (name, words) in enumerate(WORDS.items()):
            _write_texts(folder / f"{name}.jsonl", words, documents=400, seed=number)
            _write_texts(folder / f"{name}_v.jsonl", words, documents=20, seed=100 + number)
        file = folder / "sweep.yaml"
        file.write_text(yaml.safe_dump(self._content(folder, storage)))
        return file

    def _content(self, folder: Path, storage: str) -> dict[str, object]:
        tokens = self.steps * TOKENS_PER_STEP
        return {
            "name": NAME,
            "storage": storage,
            "model": {"num_layers": 2, "hidden_size": 64, "num_heads": 4},
            "tokenizer": "bytes",
            "sequence_length": 64,
            "global_batch_size": 8,
            "checkpoint_interval_steps": self.checkpoint_interval_steps,
            "shortest_shared_steps": max(1, self.steps // 10),
            "datasets": {
                name: {
                    "path": "json",
                    "train": str(folder / f"{name}.jsonl"),
                    "validation": str(folder / f"{name}_v.jsonl"),
                    "repeat": True,
                }
                for name in WORDS
            },
            "upstream": {
                "dataset": "old",
                "token_budget": tokens,
                "schedule": {"type": "cosine", "max_lr": 0.003},
            },
            "downstream": {
                "dataset": "new",
                "token_budget": tokens,
                "budgets": [tokens, 2 * tokens, 3 * tokens],
            },
            "evaluation": {
                "interval_steps": max(1, self.steps // 4),
                "final_window_steps": 10,
                "final_window_interval_steps": 5,
                "tokens_per_dataset": 1024,
            },
            "axes": {"replay_fraction": [0.1, 0.25], "seed": list(range(self.seeds))},
            "design": "one_at_a_time",
            "center": {
                "max_lr": 0.003,
                "warmup_fraction": 0.1,
                "replay_fraction": 0.1,
                "schedule": "infinite_cosine",
            },
            "resources": {"workers": self.workers_per_state, "cpus_per_worker": 1},
        }


def _write_texts(path: Path, words: list[str], *, documents: int, seed: int) -> None:
    generator = random.Random(seed)
    lines = (
        json.dumps({"text": " ".join(generator.choices(words, k=generator.randint(20, 60)))})
        for _ in range(documents)
    )
    path.write_text("\n".join(lines) + "\n")
