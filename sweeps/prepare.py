"""From a sweep file to its plan: packs the data once, learns its facts, lays out the states."""

import datetime
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cpt.corpus import TokenStore, build
from cpt.dataset_config import FILE_FORMATS, DatasetConfig
from cpt.hub_config import locate, read_model
from cpt.parsing import ConfigError, shown
from cpt.records import ResultTree, write_json, write_text
from cpt.sources import Split, files
from cpt.tokenizer import Tokenizer, load_tokenizer
from sweeps.cost import costs, given_tariff
from sweeps.facts import DatasetFacts, SplitFacts, TakenModel
from sweeps.plan import Plan, make_plan
from sweeps.plan_json import plan_json
from sweeps.spec import CHECKPOINT_FIELD, SweepSpec


def prepare(spec: SweepSpec, tree: ResultTree, say: Callable[[str], None]) -> Plan:
    """Packs the token stores of a sweep, takes its model, where they do not exist yet, and plans.

    Args:
        spec: What was asked for.
        tree: Receives the token stores, and a copy of the model.
        say: Told of work that takes a while.

    Raises:
        ConfigError: The model, the data or the tokenizer do not serve; one sentence for each fault.
    """
    taken = None if spec.checkpoint is None else take(spec.checkpoint, tree, say)
    tokenizer = load_tokenizer(spec.tokenizer_name)
    datasets: dict[str, DatasetFacts] = {}
    faults: list[str] = []
    for name in spec.stage_datasets:
        try:
            datasets[name] = _facts(name, spec.datasets[name], tokenizer, tree, say)
        except ConfigError as error:
            faults += error.faults
    faults = faults or _leaks(spec)
    if faults:
        raise ConfigError(faults)
    return make_plan(spec, datasets, tokenizer.vocab_size, taken, end_of_text=tokenizer.end_of_text)


def take(checkpoint: str, tree: ResultTree, say: Callable[[str], None]) -> TakenModel:
    """Copies a model into the result tree, named by what its weights are.

    Args:
        checkpoint: A Hugging Face model directory or a hub id.
        tree: Where every worker will find it, also once the original is gone.
        say: Told what was found.

    Raises:
        ConfigError: It cannot be found, or is not a model that can be trained here.
    """
    # Imported here: torch takes seconds, and a sweep that trains its own model needs none to plan.
    from cpt import hub
    from cpt.hub_export import published

    folder = locate(checkpoint, CHECKPOINT_FIELD)
    model = read_model(folder, CHECKPOINT_FIELD)
    hub.check(folder, model, CHECKPOINT_FIELD)
    name = hub.fingerprint(folder, model)[:16]
    copy = tree.weights(name)
    if not copy.exists():
        with published(copy) as aside:
            for file in folder.iterdir():
                if file.suffix in (".json", ".safetensors"):
                    shutil.copyfile(file, aside / file.name)
    say(f"{checkpoint}: {model.family}, {model.num_parameters:,} parameters, weights {name}")
    return TakenModel(weights=name, model=model)


def write_plan(plan: Plan, submitted: str, tree: ResultTree) -> None:
    """Writes `sweep.yaml` and `plan.json`."""
    sweep = tree.sweep(plan.spec.name)
    content = plan_json(plan, costs(plan, given_tariff(plan.spec)))
    write_text(sweep.spec, submitted)
    write_json(sweep.plan, content | {"environment": environment()})


def environment() -> dict[str, Any]:
    """Where a sweep was submitted: recorded, never hashed."""
    versions = {name: _version(name) for name in ("rewarm", "torch", "ray", "datasets")}
    return {
        "python": platform.python_version(),
        **versions,
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "submitted": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _facts(
    name: str,
    dataset: DatasetConfig,
    tokenizer: Tokenizer,
    tree: ResultTree,
    say: Callable[[str], None],
) -> DatasetFacts:
    stores: dict[Split, TokenStore] = {}
    for split in ("train", "validation"):
        stores[split] = build(dataset, split, tokenizer, tree, f"datasets.{name}")
        meta = stores[split].meta
        say(f"{name} {split}: {meta.documents:,} documents, {meta.tokens:,} tokens")
    return DatasetFacts(
        train=_split_facts(stores["train"]), validation=_split_facts(stores["validation"])
    )


def _leaks(spec: SweepSpec) -> list[str]:
    """Files that one stage trains on and another measures by, whatever they are called."""
    used = {name: spec.datasets[name] for name in spec.stage_datasets}
    read: dict[Path, str] = {}
    for name, dataset in used.items():
        read |= dict.fromkeys(_resolved_files(dataset, "train"), f"datasets.{name}.train")
    return [
        f"datasets.{name}.validation: got {shown(str(file), 300)}, which {read[file]} reads too; "
        "must be held out of training; name other files."
        for name, dataset in used.items()
        for file in _resolved_files(dataset, "validation")
        if file in read
    ]


def _resolved_files(dataset: DatasetConfig, split: Split) -> list[Path]:
    if dataset.path not in FILE_FORMATS:
        return []
    return [file.resolve() for file in files(dataset, split, dataset.path)]


def _split_facts(store: TokenStore) -> SplitFacts:
    meta = store.meta
    return SplitFacts(
        corpus=meta.corpus_id,
        documents=meta.documents,
        tokens=meta.tokens,
        bytes=meta.bytes,
        domain_tokens={domain.name: domain.tokens for domain in meta.domains},
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
