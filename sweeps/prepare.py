"""From a sweep file to its plan: packs the data once, learns its facts, lays out the states."""

import datetime
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from cpt.builder import Stores, build
from cpt.dataset_config import FILE_FORMATS, source_field
from cpt.digests import Digests
from cpt.files import write_sealed, write_text
from cpt.hub_config import locate, read_model
from cpt.mirror import Mirror
from cpt.parsing import ConfigError
from cpt.records import ResultTree
from cpt.sources import Split, files
from cpt.token_library import library
from cpt.token_store import HASHES, StoreError, TokenStore, shared_documents
from cpt.tokenizer import Tokenizer, load_tokenizer
from cpt.tokenizer_config import TrainedTokenizerConfig
from cpt.tokenizer_training import trained_tokenizer
from sweeps.cost import costs, given_tariff
from sweeps.declared import rehearse
from sweeps.facts import DatasetFacts, SplitFacts, TakenModel
from sweeps.plan import Plan, make_plan
from sweeps.plan_json import plan_json
from sweeps.spec import CHECKPOINT_FIELD, SweepSpec
from sweeps.words import counted


def prepare(spec: SweepSpec, tree: ResultTree, say: Callable[[str], None]) -> Plan:
    """Packs the token stores of a sweep, takes its model, where they do not exist yet, and plans.

    Args:
        spec: What was asked for.
        tree: Receives the token stores, and a copy of the model.
        say: Told of work that takes a while.

    Raises:
        ConfigError: The model, the data or the tokenizer do not serve; one sentence for each fault.
    """
    _check_reachable(spec, tree)
    taken = None if spec.checkpoint is None else take(spec.checkpoint, tree, say)
    if taken is not None:
        rehearse(spec, taken)
    shelf = library(tree)
    with Digests(shelf.workplace / ".digests.json") as digests:
        tokenizer = _tokenizer(spec, tree, digests, say)
        packed: dict[str, Stores] = {}
        faults: list[str] = []
        for name in spec.stage_datasets:
            dataset, field = spec.datasets[name], f"datasets.{name}"
            try:
                packed[name] = build(dataset, tokenizer, shelf, field, digests, say)
            except ConfigError as error:
                faults += error.faults
                continue
            _say_packed(name, packed[name], say)
    if faults:
        raise ConfigError(faults)
    datasets = {name: _facts(name, spec, packed) for name in packed}
    faults = list(_leaks(spec, datasets))
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
    Mirror.of(tree).send_folder(copy)
    say(f"{checkpoint}: {model.family}, {model.num_parameters:,} parameters, weights {name}")
    return TakenModel(weights=name, model=model)


def _check_reachable(spec: SweepSpec, tree: ResultTree) -> None:
    """Before hours are spent on packing what could then not be kept."""
    field = "storage" if spec.token_storage is None else "token_storage"
    try:
        library(tree).check()
    except StoreError as error:
        raise ConfigError([f"{field}: {error}"]) from error


def check(spec: SweepSpec) -> None:
    """Refuses what no packing could make right, before anything is written.

    Raises:
        ConfigError: Schedules, stopping or sequences do not fit, or a file of data is not there.
    """
    if spec.checkpoint is None:
        rehearse(spec)
    _check_files(spec)


def _check_files(spec: SweepSpec) -> None:
    faults: list[str] = []
    for name in spec.stage_datasets:
        for part, source in spec.datasets[name].sources.items():
            if source.path not in FILE_FORMATS:
                continue
            splits: list[Split] = ["train", "validation"]
            for split in splits if source.validation_share is None else splits[:1]:
                try:
                    files(source, split, source_field(f"datasets.{name}", part))
                except ConfigError as error:
                    faults += error.faults
    if faults:
        raise ConfigError(faults)


def write_plan(plan: Plan, submitted: str, tree: ResultTree) -> None:
    """Writes `sweep.yaml` and `plan.json`."""
    sweep = tree.sweep(plan.spec.name)
    content = plan_json(plan, costs(plan, given_tariff(plan.spec)))
    write_text(sweep.spec, submitted)
    write_sealed(sweep.plan, content | {"environment": environment()})
    Mirror.of(tree).send(sweep.spec, sweep.plan)


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


def _tokenizer(
    spec: SweepSpec, tree: ResultTree, digests: Digests, say: Callable[[str], None]
) -> Tokenizer:
    if isinstance(spec.tokenizer, TrainedTokenizerConfig):
        return trained_tokenizer(spec.tokenizer, spec.datasets, tree, digests, say)
    return load_tokenizer(spec.tokenizer_name)


def _say_packed(name: str, stores: Stores, say: Callable[[str], None]) -> None:
    named = {f"{name}/{source}" if source else name: one for source, one in stores.train.items()}
    said = [*((f"{label} train", one) for label, one in named.items())]
    for label, store in [*said, (f"{name} validation", stores.validation)]:
        meta = store.meta
        empty = f", {counted(meta.empty, 'empty document')} left out" if meta.empty else ""
        say(f"{label}: {meta.documents:,} documents, {meta.tokens:,} tokens{empty}")


def _facts(name: str, spec: SweepSpec, packed: Mapping[str, Stores]) -> DatasetFacts:
    held_out = packed[name].validation
    shared = {
        other: shared_documents(held_out, list(stores.train.values()))
        for other, stores in packed.items()
    }
    return DatasetFacts(
        sources={source: _split_facts(one) for source, one in packed[name].train.items()},
        weights=spec.datasets[name].weights,
        validation=_split_facts(held_out),
        shared={other: count for other, count in shared.items() if count},
    )


def _leaks(spec: SweepSpec, datasets: Mapping[str, DatasetFacts]) -> Iterator[str]:
    """A sentence for each data set that one stage trains on and another measures by."""
    for name, facts in datasets.items():
        allowed, whole = spec.datasets[name].max_shared_documents, facts.validation.documents
        for other, count in facts.shared.items():
            if Fraction(count, whole) > allowed:
                yield (
                    f"datasets.{name}.validation: {count:,} of its {whole:,} documents stand, word "
                    f"for word, in the training data of datasets.{other}; at most "
                    f"{float(100 * allowed):g}% may (datasets.{name}.max_shared_documents); "
                    "leave them out of one of the two, or raise that."
                )


def _split_facts(store: TokenStore) -> SplitFacts:
    meta = store.meta
    return SplitFacts(
        corpus=meta.corpus_id,
        documents=meta.documents,
        tokens=meta.tokens,
        bytes=meta.bytes,
        domain_tokens={domain.name: domain.tokens for domain in meta.domains},
        empty=meta.empty,
        text=meta.files[HASHES].sha256[:16],
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
