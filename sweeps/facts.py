"""What a plan must know of the data, and whether they serve."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from cpt.config import RunConfig
from cpt.dataset_config import source_field
from cpt.model_config import ModelConfig
from sweeps.spec import SweepSpec


@dataclass(frozen=True, kw_only=True)
class SplitFacts:
    """What is known of one packed split.

    Attributes:
        corpus: Id of its token store.
        documents: Number of documents.
        tokens: Number of tokens, end-of-text included.
        bytes: UTF-8 bytes of text.
        domain_tokens: Tokens of each domain; empty where the set has none.
        empty: Documents without text, which were left out.
        text: The same for the same documents in the same order, whatever tokenizer packed them;
            empty where that is not known.
    """

    corpus: str
    documents: int
    tokens: int
    bytes: int
    domain_tokens: Mapping[str, int]
    empty: int = 0
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class TakenModel:
    """The model that a sweep starts from.

    Attributes:
        weights: Id of its weights in the result tree, from their content.
        model: Its shape.
    """

    weights: str
    model: ModelConfig


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """What the plan must know of a data set.

    Attributes:
        sources: The training data by source; where there is one, it has no name.
        validation: What is held out of all sources together.
        weights: The share of each source; they sum to one.
        shared: How many of the held-out documents stand in training data too, by data set.
    """

    sources: Mapping[str, SplitFacts]
    validation: SplitFacts
    weights: Mapping[str, Fraction] = field(default_factory=lambda: {"": Fraction(1)})
    shared: Mapping[str, int] = field(default_factory=dict)

    @property
    def documents(self) -> int:
        """Training documents of all sources."""
        return sum(source.documents for source in self.sources.values())

    @property
    def tokens(self) -> int:
        """Training tokens of all sources."""
        return sum(source.tokens for source in self.sources.values())

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of the training text of all sources."""
        return sum(source.bytes for source in self.sources.values())


def data_faults(
    spec: SweepSpec, datasets: Mapping[str, DatasetFacts], runs: Iterable[RunConfig]
) -> Iterator[str]:
    """A sentence for each data set that is too short for what reads it.

    Args:
        spec: What was asked for.
        datasets: The data sets that the stages name.
        runs: Every run of the sweep.
    """
    length = spec.sequence_length
    needed: dict[tuple[str, str], tuple[int, RunConfig]] = {}
    for run in runs:
        for source, samples in zip(run.stream, run.source_samples(), strict=True):
            key = source.name, source.part or ""
            if samples > needed.get(key, (0, run))[0]:
                needed[key] = samples, run
    for name in dict.fromkeys(name for name, _ in needed):
        facts = datasets[name]
        for (dataset, part), (samples, run) in needed.items():
            if dataset == name:
                yield from _too_short(spec, name, part, facts, samples, run)
        domains = facts.validation.domain_tokens or {"": facts.validation.tokens}
        for domain, tokens in domains.items():
            if tokens < length + 1:
                where = f"domain '{domain}'" if domain else "the set"
                yield (
                    f"datasets.{name}.validation: {where} holds {tokens} tokens; must hold at "
                    f"least one sequence, {length + 1}; add documents or shorten sequence_length."
                )


def _too_short(
    spec: SweepSpec, name: str, part: str, facts: DatasetFacts, samples: int, run: RunConfig
) -> Iterator[str]:
    length, tokens = spec.sequence_length, facts.sources[part].tokens
    field, available = source_field(f"datasets.{name}", part), (tokens - 1) // length
    if available < 1:
        yield (
            f"{field}.train: holds {tokens} tokens; must hold at least one sequence, {length + 1}."
        )
    elif samples > available and not spec.datasets[name].repeat:
        remedy = "lower the token_budget" + (" or its weight" if part else "")
        yield (
            f"{field}: holds {available * length} training tokens, but "
            f"'{run.label}' reads {samples * length} of it; {remedy}, or "
            f"allow more than one epoch with datasets.{name}.repeat: true."
        )
