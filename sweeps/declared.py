"""A plan from what the sweep file says of its data alone: nothing is read, packed or tokenized.

For data that are not on this machine. The names of states follow from what the packed data hold, so
those of such a plan are provisional.
"""

from collections.abc import Mapping

from cpt.dataset_config import source_field
from cpt.model_config import ModelConfig
from cpt.parsing import ConfigError
from cpt.tokenizer_config import BYTES_AND_END, TrainedTokenizerConfig
from sweeps.facts import DatasetFacts, SplitFacts, TakenModel
from sweeps.plan import Plan, make_plan
from sweeps.spec import SweepSpec

BYTES = "bytes"
"""The tokenizer that needs no file."""
AMPLE = 10**24
"""Tokens; more than any budget asks for."""


def declared_plan(spec: SweepSpec, model: ModelConfig | None = None) -> Plan:
    """Plans with the declared sizes of the training data.

    Validation sets count as large enough for every evaluation, in one domain.

    Args:
        spec: What was asked for.
        model: That of the checkpoint, where the sweep starts from one.

    Raises:
        ConfigError: A size or the vocabulary is not declared, or does not serve; one sentence for
            each fault.
    """
    faults = [
        f"{source_field(f'datasets.{name}', part)}.tokens is missing; --unpacked plans from "
        "declared training tokens."
        for name in spec.stage_datasets
        for part, source in spec.datasets[name].sources.items()
        if source.tokens is None
    ]
    shape = model or spec.model
    assert shape is not None, "a spec without a checkpoint has a model"
    vocab_size = shape.vocab_size
    if isinstance(spec.tokenizer, TrainedTokenizerConfig):
        vocab_size = spec.tokenizer.vocab_size
    if vocab_size is None:
        faults.append(
            "model.vocab_size is missing; --unpacked reads no tokenizer that could tell it."
        )
    if faults or vocab_size is None:
        raise ConfigError(faults)
    taken = None if model is None else TakenModel(weights="unpacked", model=model)
    # No tokenizer says which token ends a document; any id will do, as those of states are
    # provisional anyway, and 0 is in every vocabulary.
    needed = BYTES_AND_END if spec.tokenizer_name == BYTES else vocab_size
    return make_plan(spec, declared_facts(spec), needed, taken, end_of_text=0)


def rehearse(spec: SweepSpec, taken: TakenModel | None = None) -> None:
    """Refuses, before any data are read, what no data could make right.

    Plans the first seed as if every source held all that is asked of it.

    Args:
        spec: What was asked for.
        taken: The model that a sweep with a checkpoint starts from.

    Raises:
        ConfigError: Schedules, stopping or sequences do not fit; one sentence for each fault.
    """
    first = spec.axes.model_copy(update={"seed": spec.seeds[:1]})
    needed = BYTES_AND_END if spec.tokenizer_name == BYTES else 1
    ample_plan(spec.model_copy(update={"axes": first}), needed, taken)


def ample_plan(spec: SweepSpec, vocab_size: int, taken: TakenModel | None = None) -> Plan:
    """Plans as if every source held all that is asked of it.

    Args:
        spec: What was asked for.
        vocab_size: The tokenizer's.
        taken: The model that a sweep with a checkpoint starts from.

    Raises:
        ConfigError: Schedules, stopping or sequences do not fit; one sentence for each fault.
    """
    facts = {name: _ample(spec, name) for name in spec.stage_datasets}
    return make_plan(spec, facts, vocab_size, taken, end_of_text=0)


def _ample(spec: SweepSpec, name: str) -> DatasetFacts:
    held_out = max(spec.evaluation.tokens_per_dataset, spec.sequence_length) + 1
    dataset = spec.datasets[name]
    return DatasetFacts(
        sources={part: _split(f"{name}:{part}", AMPLE) for part in dataset.sources},
        weights=dataset.weights,
        validation=_split(f"{name}:validation", held_out),
    )


def declared_facts(spec: SweepSpec) -> Mapping[str, DatasetFacts]:
    """Facts of each data set that a stage names; documents and bytes are not known and stand at 0.

    Args:
        spec: All of whose sources declare their tokens.
    """
    facts = {}
    for name in spec.stage_datasets:
        held_out = max(spec.evaluation.tokens_per_dataset, spec.sequence_length) + 1
        facts[name] = DatasetFacts(
            sources={
                part: _split(f"{source_field(f'unpacked:{name}', part)}:train", source.tokens or 0)
                for part, source in spec.datasets[name].sources.items()
            },
            weights=spec.datasets[name].weights,
            validation=_split(f"unpacked:{name}:validation", held_out),
        )
    return facts


def _split(corpus: str, tokens: int) -> SplitFacts:
    return SplitFacts(corpus=corpus, documents=0, tokens=tokens, bytes=0, domain_tokens={})
