"""What differs between sweeps besides their factors: model, data, tokenizer, budgets, machine."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis import labels
from analysis.comparing.entries import Entry
from analysis.frames import datasets_by_role
from analysis.load import Sweep

MODEL = "model"


def fact_table(entries: Sequence[Entry]) -> pd.DataFrame:
    """One row a fact that any of the sweeps records.

    Returns:
        `fact`, in words; one column a sweep, by its name: the fact as text, `–` where the sweep
        does not record it; `differs`: whether they do not all say the same.
    """
    told = {entry.name: _facts(entry.sweep) for entry in entries}
    names = list(dict.fromkeys(fact for facts in told.values() for fact in facts))
    rows = []
    for name in names:
        values = {sweep: facts.get(name, labels.MISSING) for sweep, facts in told.items()}
        rows.append({"fact": name, **values, "differs": len(set(values.values())) > 1})
    return pd.DataFrame(rows, columns=["fact", *told, "differs"])


def _facts(sweep: Sweep) -> dict[str, str]:
    plan = sweep.plan
    facts = {MODEL: plan["model"].get("name"), "tokenizer": plan["tokenizer"]}
    facts |= {f"{MODEL}: {_words(name)}": value for name, value in plan["model"].items()}
    facts.pop(f"{MODEL}: name", None)
    for role, name in sorted(datasets_by_role(plan).items()):
        facts |= _dataset(role.upper(), name, plan["datasets"][name])
    for stage in plan["stages"]:
        facts[f"{stage['role'].upper()} budget, tokens"] = stage["tokens"]
    facts |= {
        "sequence length": plan["sequence_length"],
        "global batch size, sequences": plan["global_batch_size"],
        "precision": plan["precision"],
        "attention": "inside documents" if plan.get("mask_documents") else "through sequences",
        "starts from": plan.get("upstream", {}).get("checkpoint") or "its own pre-training",
        "design": plan["design"],
        "replay: order": sweep.replay["order"],
        "replay: offset": sweep.replay["offset"],
        "replay: accounting": _words(sweep.replay["accounting"]),
        "early stopping": plan["stopping"]["type"],
    }
    for axis, values in plan["axes"].items():
        told = [labels.value_label(axis, value) for value in values]
        facts[f"values of {labels.axis_label(axis)}"] = ", ".join(told)
    for name in ("rewarm", "torch", "python", "platform"):
        facts[name] = plan["environment"].get(name)
    return {name: _text(value) for name, value in facts.items() if value is not None}


def _dataset(role: str, name: str, dataset: Mapping[str, Any]) -> dict[str, Any]:
    sources = dataset.get("sources") or [{**dataset, "corpus": dataset.get("train")}]
    return {
        f"{role} data set": name,
        f"{role} source": ", ".join(str(source["path"]) for source in sources),
        f"{role} training text, packed": ", ".join(str(source["corpus"]) for source in sources),
        f"{role} training tokens": dataset["tokens"],
        f"{role} held-out text, packed": dataset["validation"],
        f"{role} held-out text": dataset.get("validation_text") or None,
        f"{role} held-out tokens": dataset["validation_tokens"],
    }


def _words(name: str) -> str:
    return name.replace("_", " ")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
