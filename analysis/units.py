"""The units of a loss: nats per token of one tokenizer, or bits per byte of text, whatever tokens.

    bits per byte = nats per token x tokens per byte / ln 2

Nats can be compared only between models that cut text into the same tokens.
"""

from enum import StrEnum


class Unit(StrEnum):
    """What losses are counted in."""

    NATS = "nats"
    BITS_PER_BYTE = "bits_per_byte"

    @property
    def column(self) -> str:
        """The column of `rows.EvalRow` that holds the loss in this unit."""
        return "loss" if self is Unit.NATS else "bits_per_byte"

    @property
    def words(self) -> str:
        """As a reader is told it."""
        return "nats per token" if self is Unit.NATS else "bits per byte"
