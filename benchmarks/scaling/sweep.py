"""The sweep of the simulated cluster: many trials of a tiny model, planned as any other."""

import json
from pathlib import Path
from typing import Any

import yaml

SEEDS = 4
STEPS = 40
EVALUATE_EVERY = 10
SAVE_EVERY = 10
WORDS = {"old": "the mouse", "new": "def mouse"}


def write(folder: Path, storage: str, trials: int, *, workers: int = 1, steps: int = STEPS) -> Path:
    """Writes its data and its file; returns the file.

    Args:
        folder: Exists.
        storage: Of the sweep.
        trials: A multiple of `SEEDS`, each of which is a pre-training besides.
        workers: Of a state.
        steps: Of each stage.
    """
    for name, word in WORDS.items():
        for split, documents in (("train", 400), ("valid", 8)):
            texts = [f"{word} {split} {number:03d}:{'.' * 40}" for number in range(documents)]
            lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
            (folder / f"{name}.{split}.jsonl").write_text(lines)
    file = folder / "scale.yaml"
    asked = content(folder, storage, trials, steps)
    file.write_text(yaml.safe_dump(asked | {"resources": {"workers": workers}}))
    return file


def content(folder: Path, storage: str, trials: int, steps: int = STEPS) -> dict[str, Any]:
    """What the sweep file says."""
    tokens = steps * 4 * 16
    return {
        "name": "scale",
        "storage": storage,
        "model": {"num_layers": 1, "hidden_size": 16, "num_heads": 2},
        "sequence_length": 16,
        "global_batch_size": 4,
        "checkpoint_interval_steps": SAVE_EVERY,
        "datasets": {
            name: {
                "path": "json",
                "train": str(folder / f"{name}.train.jsonl"),
                "validation": str(folder / f"{name}.valid.jsonl"),
                "repeat": True,
            }
            for name in WORDS
        },
        "upstream": {
            "dataset": "old",
            "token_budget": tokens,
            "schedule": {"type": "cosine", "max_lr": 0.01},
        },
        "downstream": {"dataset": "new", "token_budget": tokens},
        "evaluation": {
            "interval_steps": EVALUATE_EVERY,
            "final_window_steps": 1,
            "final_window_interval_steps": 1,
            "tokens_per_dataset": 64,
        },
        "design": "grid",
        "axes": {
            "max_lr": [round(1e-4 * 1.05**number, 9) for number in range(trials // SEEDS)],
            "seed": list(range(SEEDS)),
        },
        "center": {"warmup_fraction": 0.25, "replay_fraction": 0.25, "schedule": "cosine"},
    }
