"""What `plan.json` says of data sets, and of what each state reads of them."""

from collections.abc import Mapping
from typing import Any

from cpt.stream_config import first_in_training_order
from sweeps.facts import DatasetFacts, SplitFacts
from sweeps.spec import SweepSpec
from sweeps.tree import State


def dataset_json(spec: SweepSpec, name: str, role: str, facts: DatasetFacts) -> dict[str, Any]:
    """A data set: its sources, what all of them hold, and what is held out of them together."""
    return {
        "role": role,
        "sources": [
            _source_json(spec.datasets[name].sources[part].path, part, source, facts)
            for part, source in facts.sources.items()
        ],
        "validation": facts.validation.corpus,
        "validation_text": facts.validation.text,
        "shared": dict(facts.shared),
        "documents": facts.documents,
        "tokens": facts.tokens,
        "bytes": facts.bytes,
        "validation_tokens": facts.validation.tokens,
        "domains": list(facts.validation.domain_tokens),
    }


def _source_json(path: str, part: str, split: SplitFacts, facts: DatasetFacts) -> dict[str, Any]:
    return {
        "name": part,
        "corpus": split.corpus,
        "path": path,
        "weight": str(facts.weights[part]),
        "documents": split.documents,
        "tokens": split.tokens,
        "bytes": split.bytes,
        "empty": split.empty,
        "domains": list(split.domain_tokens),
    }


def readings_json(
    spec: SweepSpec, datasets: Mapping[str, DatasetFacts], state: State
) -> list[dict[str, Any]]:
    """What a state reads of each source of its stream, its base left out.

    `first_sample` is the number of its first sample in the training order, None where replay is
    reshuffled; `seen` is what replay chooses from, None for new data.
    """
    length, config = spec.sequence_length, state.config
    before, after = config.source_samples(state.first_step), config.source_samples()
    readings = []
    for source, first, end in zip(config.stream, before, after, strict=True):
        held = datasets[source.name].sources[source.part or ""].tokens
        reading = {
            "source": source.label,
            "samples": end - first,
            "first_sample": first_in_training_order(source, first),
            "tokens": (end - first) * length,
            "epochs": round((end - first) / max((held - 1) // length, 1), 4),
            "order": source.order,
            "offset": source.offset,
            "seen": source.seen,
        }
        readings.append(reading)
    return readings
