"""A sweep that starts from a model trained elsewhere."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from cpt.hub_export import export
from cpt.model import GPT, initial_weights
from cpt.model_config import ModelConfig
from cpt.placement import fill

REFUSED = 2
TAKEN = {"checkpoint": "model", "dataset": "old", "max_lr": 0.01}


@pytest.fixture
def taken(folder: Path, sweep: Callable[..., str], content: dict[str, Any]) -> Callable[..., str]:
    """The tiny sweep, from random weights in a Hugging Face folder beside it."""
    shape = ModelConfig(
        num_layers=1, hidden_size=16, num_heads=2, vocab_size=320, max_sequence_length=16
    )
    model = GPT(shape)
    fill(model, initial_weights(model, 0))
    export(shape, model.named_parameters(), folder / "model", dtype=torch.float32)
    words = Tokenizer(WordLevel({f"w{n}": n for n in range(399)}, unk_token="w0"))
    words.add_special_tokens(["<|endoftext|>"])
    words.save(str(folder / "words.json"))
    del content["model"]
    content |= {"tokenizer": "bytes"}

    def write(**changes: Any) -> str:
        return sweep(**{"upstream": TAKEN} | changes)

    return write


def test_the_model_is_copied_and_only_the_later_stages_are_planned(rewarm, taken, folder) -> None:
    planned = rewarm("plan", taken(baselines=["no_rewarm"]))
    assert (planned.returncode, planned.stderr) == (0, "")
    told = " ".join(planned.stdout.split())
    assert "model: neox, 13,552 parameters, weights " in told
    assert "2 states, each trained once" in told
    (copy,) = (folder / "results" / "weights").iterdir()
    assert (copy / "model.safetensors").read_bytes() == (
        folder / "model" / "model.safetensors"
    ).read_bytes()


@pytest.mark.long
def test_a_stand_in_is_said_and_recorded(rewarm, taken) -> None:
    written = taken(upstream=TAKEN | {"stand_in": True})
    told = " ".join(rewarm("plan", written).stdout.split())
    assert (
        "old is a stand-in, not what model was trained on: forgetting is measured on it, and "
        "replay reads it." in told
    )
    content = json.loads(rewarm("plan", written, "--json").stdout)
    assert content["upstream"]["stand_in"] is True
    assert "stand-in" not in rewarm("plan", taken()).stdout


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"sequence_length": 32},
            "sequence_length: got 32; must be at most 16, the positions that upstream.checkpoint",
        ),
        (
            {"tokenizer": "words.json"},
            "tokenizer: got 'words.json', of 400 tokens; must have at most the 320 of "
            "upstream.checkpoint",
        ),
        ({"model": "gpt-1m"}, "model: must be left out: upstream.checkpoint has one."),
        ({"baselines": ["union"]}, "upstream.token_budget is missing; the baseline union"),
        (
            {"upstream": TAKEN | {"checkpoint": "nowhere/model"}},
            "upstream.checkpoint: got 'nowhere/model'",
        ),
        (
            {"resources": {"workers": 4, "replicas": 3}},
            "resources.replicas: got 3; must divide resources.workers, 4.",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_does_not_serve_is_refused(rewarm, taken, environment, changes, sentence) -> None:
    environment["HF_HUB_OFFLINE"] = "1"
    refused = rewarm("plan", taken(**changes))
    assert refused.returncode == REFUSED
    assert sentence in refused.stderr


@pytest.mark.slow
@pytest.mark.ray
def test_trials_start_from_its_weights_and_reach_the_report(rewarm, taken, folder) -> None:
    run = rewarm("run", taken(axes={"max_lr": [0.01, 0.02]}))
    assert run.returncode == 0, run.stderr
    sweep = folder / "results" / "sweeps" / "tiny"
    trials = pd.read_csv(sweep / "trials.csv")
    assert list(trials["status"]) == ["complete", "complete"]
    # Both start from one model, so they are held against the same losses.
    starts = trials["d0_loss"] - trials["forgetting"]
    assert starts[0] == pytest.approx(starts[1])
    assert "All trials start from <code>model</code>" in (sweep / "report.html").read_text()
    again = rewarm("run", "sweep.yaml")
    assert again.returncode == 0
    assert "nothing to train: 2 complete of 2 states" in " ".join(again.stdout.split())
