"""A tokenizer that a sweep trains for itself."""

from typing import Annotated, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from cpt.parsing import Count, Frozen, Text

BYTES_AND_END = 257
"""Every byte is a token, so that any text can be encoded, and so is the end of a text."""


class TrainedTokenizerConfig(Frozen):
    """A byte-level BPE, trained on training data of the sweep.

    Attributes:
        train_on: Names below `datasets`.
        vocab_size: Number of tokens, the 256 bytes and end-of-text included; fewer where the text
            holds no more pairs worth merging.
        max_bytes: UTF-8 bytes that are read of each data set, its first ones; of each of several
            sources its share by weight. The trainer counts every different word in memory.
    """

    train_on: Annotated[tuple[str, ...], Field(min_length=1)]
    vocab_size: Count
    max_bytes: Count = 200_000_000

    @field_validator("train_on", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.vocab_size < BYTES_AND_END:
            raise ValueError(
                f"vocab_size {self.vocab_size} must be at least {BYTES_AND_END}, the bytes and "
                "end-of-text"
            )
        return self

    @property
    def label(self) -> str:
        """How people read it."""
        return f"BPE of {self.vocab_size:,} trained on {' + '.join(self.train_on)}"


def _named_or_trained(value: object) -> str:
    is_config = isinstance(value, dict | TrainedTokenizerConfig)
    return "trained" if is_config else "named"


NamedOrTrained = Annotated[
    Annotated[Text, Tag("named")] | Annotated[TrainedTokenizerConfig, Tag("trained")],
    Discriminator(_named_or_trained),
]
