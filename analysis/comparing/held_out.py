"""Whether losses of two sweeps speak of the same text, and may be subtracted in which unit.

A held-out set is known by the id of its packed corpus, which follows from its text and from the
tokenizer, and by `validation_text`, which follows from the text alone. Nats per token need the same
corpus; bits per byte need the same text.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.frames import datasets_by_role
from analysis.load import Sweep
from analysis.units import Unit
from cpt.parsing import ConfigError

Plan = Mapping[str, Any]


def held_out(plan: Plan, role: str) -> Mapping[str, Any]:
    """What a plan says of the data set of a role."""
    dataset: Mapping[str, Any] = plan["datasets"][datasets_by_role(plan)[role]]
    return dataset


def same_text(one: Plan, other: Plan, role: str) -> bool:
    """Whether two sweeps measure a role on the same documents, as far as their plans tell.

    Plans from before texts were recorded can only agree with one of the same tokenizer.
    """
    ours, theirs = held_out(one, role), held_out(other, role)
    if ours["validation"] == theirs["validation"]:
        return True
    text = ours.get("validation_text", "")
    return bool(text) and text == theirs.get("validation_text", "")


def same_tokenizer(one: Plan, other: Plan) -> bool:
    """Whether two sweeps cut text into the same tokens.

    The ids of corpora of one text decide where there is one; else the tokenizers' names.
    """
    for role in common_roles(one, other):
        if same_text(one, other, role):
            ours, theirs = held_out(one, role), held_out(other, role)
            return bool(ours["validation"] == theirs["validation"])
    return bool(one["tokenizer"] == other["tokenizer"])


def common_roles(one: Plan, other: Plan) -> list[str]:
    """The roles that stages of both sweeps have: d0, d1, ..."""
    theirs = datasets_by_role(other)
    return [role for role in datasets_by_role(one) if role in theirs]


def comparable_roles(one: Plan, other: Plan) -> list[str]:
    """The roles whose losses can be subtracted, in bits per byte at least."""
    return [role for role in common_roles(one, other) if same_text(one, other, role)]


def comparable_measures(one: Plan, other: Plan) -> list[str]:
    """The measures whose differences mean anything, in the order of `measures.measure_names`.

    Forgetting needs the same D0; adaptation the same data sets after it; the mean all of them.
    """
    roles = comparable_roles(one, other)
    names = [f"{role}_loss" for role in roles]
    whole = [sorted(datasets_by_role(plan)) for plan in (one, other)]
    new = [role for role in whole[0] if role != "d0"]
    alike = whole[0] == whole[1]
    if alike and len(roles) == len(whole[0]):
        names.append("mean_loss")
    if "d0" in roles:
        names.append("forgetting")
    if alike and all(role in roles for role in new):
        names.append("adaptation")
    return names


def unit_for(sweeps: Sequence[Sweep], asked: Unit | None) -> tuple[Unit, str]:
    """The unit that several sweeps are compared in, and why it is that one.

    Args:
        sweeps: In the order in which they were named.
        asked: The unit that a person asked for; None: nats per token where that can be.

    Raises:
        ConfigError: Nats were asked for, and two of the sweeps have different tokenizers.
    """
    first, *others = (sweep.plan for sweep in sweeps)
    foreign = [plan for plan in others if not same_tokenizer(first, plan)]
    if not foreign:
        if asked is Unit.BITS_PER_BYTE:
            return asked, "as asked for"
        return Unit.NATS, "all sweeps have the same tokenizer"
    names = " and ".join(f"{plan['name']} ({plan['tokenizer']})" for plan in (first, foreign[0]))
    if asked is Unit.NATS:
        raise ConfigError(
            [
                f"--unit nats: {names} have different tokenizers, and nats per token of one say "
                "nothing beside those of another; ask for --unit bits_per_byte."
            ]
        )
    return Unit.BITS_PER_BYTE, (
        f"{names} have different tokenizers, whose nats per token cannot be compared; bits per "
        "byte of the same text can"
    )
