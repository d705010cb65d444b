"""Strict parsing: what people write becomes frozen data, or one sentence for each fault.

Every fault names the dotted field, the value received, the rule and, where there is one, the
nearest legal name. Nothing is clipped, guessed or defaulted: an adjusted hyper-parameter is a
wrong experiment.
"""

import difflib
import itertools
import math
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import AfterValidator, BeforeValidator, ConfigDict, PlainSerializer

ConfigT = TypeVar("ConfigT", bound="Frozen")


MOST_FAULTS = 50
LONGEST_NAME = 100
LARGEST_COUNT = 10**18
"""Tokens, steps or anything else that is counted; far beyond all that was ever trained on."""

_VAST = re.compile(r"e[-+]?\d{3,}", re.IGNORECASE)
"""Powers of ten that an exact fraction would write out for minutes."""


class ConfigError(ValueError):
    """Input that was refused, one sentence per fault.

    Attributes:
        faults: The sentences, each complete in itself; where there are many, the first.
    """

    def __init__(self, faults: Iterable[str]) -> None:
        found = list(itertools.islice(faults, MOST_FAULTS + 1))
        if len(found) > MOST_FAULTS:
            found[MOST_FAULTS:] = [f"there are more faults; these are the first {MOST_FAULTS}."]
        self.faults = tuple(found)
        super().__init__("\n".join(self.faults))


class Frozen(pydantic.BaseModel):
    """A configuration: immutable, unknown keys forbidden."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _number(value: object) -> object:
    """YAML 1.1 reads `3e-4` as text, and `no` as a number's cousin; neither may slip through."""
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    if isinstance(value, str):
        try:
            number = float(value.replace("_", ""))
        except ValueError:
            raise ValueError("must be a number") from None
        if not math.isfinite(number):
            raise ValueError("must be a finite number")
        return number
    return value


def _whole(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a whole number, not true or false")
    number: object = value
    if isinstance(value, str):
        try:
            number = int(value)  # exact, where a float would round beyond 2^53
        except ValueError:
            number = _read(value)
    if isinstance(number, float):
        if not number.is_integer():
            raise ValueError("must be a whole number")
        number = int(number)
    if isinstance(number, int) and abs(number) > LARGEST_COUNT:
        raise ValueError("must be at most 10^18")
    return number


def _read(text: str) -> float:
    try:
        return float(text.replace("_", ""))
    except ValueError:
        raise ValueError("must be a whole number") from None


def _fraction(value: object) -> object:
    """An exact share: 0.05 means 1/20, not the nearest binary number."""
    if isinstance(value, Fraction):
        return value
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    if isinstance(value, int | float | str):
        text = str(value).replace("_", "")
        if len(text) > 60 or _VAST.search(text):
            raise ValueError("must be a number or a fraction of at most 60 characters")
        try:
            return Fraction(text)
        except (ValueError, ZeroDivisionError):
            raise ValueError("must be a number or a fraction such as 1/20") from None
    raise ValueError("must be a number or a fraction such as 1/20")


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty; leave it out, or say what is meant")
    return value


def _one_line(value: str) -> str:
    if not value.strip() or len(value) > LONGEST_NAME or not value.isprintable():
        raise ValueError(f"must be one line of 1 to {LONGEST_NAME} printable characters")
    return value


Text = Annotated[str, AfterValidator(_filled)]
Name = Annotated[str, AfterValidator(_one_line)]


def _in_range(
    rule: str, low: float | None, high: float | None, *, open_low: bool, open_high: bool
) -> AfterValidator:
    def check(value: Any) -> Any:
        too_low = low is not None and (value <= low if open_low else value < low)
        too_high = high is not None and (value >= high if open_high else value > high)
        if too_low or too_high:
            raise ValueError(f"must be {rule}")
        return value

    return AfterValidator(check)


_ABOVE_0 = _in_range("above 0", 0, None, open_low=True, open_high=False)
_AT_LEAST_0 = _in_range("at least 0", 0, None, open_low=False, open_high=False)
_IN_0_1 = _in_range("in [0, 1]", 0, 1, open_low=False, open_high=False)
_BELOW_1 = _in_range("in [0, 1)", 0, 1, open_low=False, open_high=True)

Number = Annotated[float, BeforeValidator(_number)]
Positive = Annotated[Number, _ABOVE_0]
NotNegative = Annotated[Number, _AT_LEAST_0]
UnitShare = Annotated[Number, _IN_0_1]
ShareBelow1 = Annotated[Number, _BELOW_1]
Count = Annotated[int, BeforeValidator(_whole), _ABOVE_0]
CountOrZero = Annotated[int, BeforeValidator(_whole), _AT_LEAST_0]
Exact = Annotated[
    Fraction, BeforeValidator(_fraction), PlainSerializer(str, return_type=str, when_used="always")
]
ExactShare = Annotated[Exact, _BELOW_1]
ExactUnitShare = Annotated[Exact, _IN_0_1]
ExactPositive = Annotated[Exact, _ABOVE_0]


def parse(schema: type[ConfigT], content: object) -> ConfigT:
    """Reads a configuration from plain data.

    Raises:
        ConfigError: With a sentence for each fault.
    """
    try:
        return schema.model_validate(content)
    except pydantic.ValidationError as error:
        raise ConfigError(sentences(schema, error)) from error


def sentences(schema: type[pydantic.BaseModel], error: pydantic.ValidationError) -> Iterator[str]:
    """One sentence for each fault that pydantic found.

    Every member of a union complains; one that fitted well enough to complain about a part of the
    value speaks, and those that refused the whole of it are silent.
    """
    faults = error.errors()
    places = [_without_tags(schema, fault["loc"]) for fault in faults]
    inner = {place[:length] for place in places for length in range(len(place))}
    for fault, place in zip(faults, places, strict=True):
        if place not in inner:
            yield _sentence(schema, dict(fault))


def nearest(name: str, legal: Iterable[str]) -> str:
    """`; did you mean 'x'?` for a likely slip, else the list of legal names."""
    names = sorted(legal)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    close = close or [legal_name for legal_name in names if legal_name.startswith(name)]
    return f"; did you mean '{close[0]}'?" if close else f"; legal here: {', '.join(names)}."


def shown(value: object, limit: int = 60) -> str:
    """A value as it stands in a sentence, cut where it is long."""
    if value is None:
        return "nothing"
    text = repr(str(value)) if isinstance(value, Fraction) else repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def dotted(location: Sequence[int | str]) -> str:
    """`axes.max_lr[1]` from ('axes', 'max_lr', 1)."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        odd = not part or not part.isprintable() or len(part) > LONGEST_NAME
        name = shown(part) if odd else part
        text += f".{name}" if text else name
    return text


def _sentence(schema: type[pydantic.BaseModel], fault: dict[str, Any]) -> str:
    location: tuple[int | str, ...] = _without_tags(schema, fault["loc"])
    if location[-1:] == ("[key]",):  # pydantic's word for the name itself
        location = location[:-1]
    field, value, kind = dotted(location), fault["input"], fault["type"]
    context = fault.get("ctx", {})
    if kind == "extra_forbidden":
        owner = _owner(schema, fault["loc"][:-1])
        legal = owner.model_fields if owner else ()
        return f"{field} is not a known field{nearest(str(location[-1]), legal)}"
    if kind == "missing":
        return f"{field} is missing; it has no default."
    if kind == "value_error":
        rule = str(context["error"])
        rule += "" if rule.endswith((".", "?")) else "."
        return f"{field}: got {shown(value)}; {rule}" if location else rule
    if kind in {"literal_error", "enum", "union_tag_invalid"}:
        expected = context.get("expected", context.get("expected_tags", ""))
        names = [name.strip(" '") for name in expected.replace(" or ", ",").split(",")]
        if kind == "union_tag_invalid":
            field, value = f"{field}.type" if field else "type", context["tag"]
        return f"{field}: got {shown(value)}; must be one of {', '.join(names)}" + (
            nearest(value, names) if _is_slip(value, names) else "."
        )
    if kind == "union_tag_not_found":
        return f"{field}: got {shown(value)}; must be a mapping with a 'type'."
    if kind == "too_short" and isinstance(value, Mapping):
        return (
            f"{field}: got {shown(value)}; must be a mapping of at least {context['min_length']}."
        )
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f"{field}: got {shown(value)}; must be text; put it in quotes."
    if kind == "tuple_type" and not isinstance(value, Mapping | None):
        return f"{field}: got {shown(value)}; must be a list: [{shown(value).strip(chr(39))}]."
    if kind in {"model_type", "model_attributes_type"}:
        return f"{field}: got {shown(value)}; must be a mapping{_its_fields(schema, fault['loc'])}."
    message = fault["msg"].removeprefix("Input should ")
    rule = _RULES[kind].format_map(context) if kind in _RULES else message
    return f"{field}: got {shown(value)}; must {rule}."


_RULES = {
    "bool_parsing": "be true or false",
    "bool_type": "be true or false",
    "dict_type": "be a mapping, 'name: value'",
    "float_type": "be a number",
    "int_type": "be a whole number",
    "invalid_key": "be the name of a field",
    "string_type": "be text",
    "too_long": "be a list of at most {max_length}",
    "too_short": "be a list of at least {min_length}",
    "tuple_type": "be a list",
}
"""How people who write YAML call what pydantic's message names after a Python type."""


def _is_slip(value: object, names: Iterable[str]) -> bool:
    return isinstance(value, str) and bool(difflib.get_close_matches(value, list(names), n=1))


def _without_tags(
    schema: type[pydantic.BaseModel], location: Sequence[int | str]
) -> tuple[int | str, ...]:
    """The location without the names pydantic adds for the members of a union."""
    result: list[int | str] = []
    owner: object = schema
    for part in location:
        step = _member(owner, part)
        if step is None and isinstance(part, str) and result and _is_union(owner):
            owner = _choice(owner, part) or owner
            continue
        result.append(part)
        owner = step
    return tuple(result)


def _owner(
    schema: type[pydantic.BaseModel], location: Sequence[int | str]
) -> type[pydantic.BaseModel] | None:
    owner: object = schema
    for part in location:
        owner = _member(owner, part) or _choice(owner, part) or owner
    models = [model for model in _flat(owner) if _is_model(model)]
    return typing.cast(type[pydantic.BaseModel], models[0]) if models else None


def _its_fields(schema: type[pydantic.BaseModel], location: Sequence[int | str]) -> str:
    """What a mapping would hold, where one kind of it is meant."""
    owner: object = schema
    for part in location:
        owner = _member(owner, part) or _choice(owner, part) or owner
    models = [model for model in _flat(owner) if _is_model(model)]
    if len(models) > 1:
        return " with a 'type'"
    model = _owner(schema, location)
    return f" of its fields: {', '.join(sorted(model.model_fields))}" if model else ""


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel)


def _is_union(annotation: object) -> bool:
    """Whether pydantic has to choose; a single type that may be None is no choice."""
    return len([part for part in _flat(annotation) if part is not type(None)]) > 1


def _flat(annotation: object) -> list[object]:
    """The members of a union, annotations stripped."""
    if typing.get_origin(annotation) is Annotated:
        return _flat(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [inner for part in typing.get_args(annotation) for inner in _flat(part)]
    return [annotation]


def _member(owner: object, part: int | str) -> object | None:
    """The type of one field, item or value; None where `part` is not one of these."""
    models = [model for model in _flat(owner) if _is_model(model)]
    if len(models) == 1 and isinstance(part, str):
        fields = typing.cast(type[pydantic.BaseModel], models[0]).model_fields
        return fields[part].annotation if part in fields else None
    for inner in _flat(owner):
        arguments = typing.get_args(inner)
        if arguments and isinstance(part, int) and issubclass(_plain(inner), Sequence):
            return typing.cast(object, arguments[0])
        if arguments and isinstance(part, str) and issubclass(_plain(inner), Mapping):
            return typing.cast(object, arguments[1])
    return None


def _plain(annotation: object) -> type:
    origin = typing.get_origin(annotation)
    return origin if isinstance(origin, type) else object


def _tagged(owner: object, tag: int | str) -> object | None:
    """The member of a union that bears a pydantic Tag of this name."""
    if typing.get_origin(owner) is Annotated:
        inner, *marks = typing.get_args(owner)
        if pydantic.Tag(str(tag)) in marks:
            return typing.cast(object, inner)
        return _tagged(inner, tag)
    if typing.get_origin(owner) in (typing.Union, types.UnionType):
        return next(filter(None, (_tagged(part, tag) for part in typing.get_args(owner))), None)
    return None


def _choice(owner: object, tag: int | str) -> object | None:
    """The member of a union that pydantic calls `tag`: by its Tag, `type` literal or class name."""
    if (tagged := _tagged(owner, tag)) is not None:
        return tagged
    for model in _flat(owner):
        if _is_model(model):
            fields = typing.cast(type[pydantic.BaseModel], model).model_fields
            literal = fields.get("type")
            names = typing.get_args(literal.annotation) if literal else ()
            if tag in names or tag == getattr(model, "__name__", None):
                return model
    return None
