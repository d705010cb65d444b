"""Strict parsing: what people write becomes frozen data, or one sentence for each fault.

Every fault names the dotted field, the value received, the rule and, where there is one, the
nearest legal name. Nothing is clipped, guessed or defaulted: an adjusted hyper-parameter is a
wrong experiment.
"""

import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Any, TypeVar

import pydantic
import yaml
from pydantic import AfterValidator, BeforeValidator, ConfigDict, PlainSerializer

ConfigT = TypeVar("ConfigT", bound="Frozen")


class ConfigError(ValueError):
    """Input that was refused, one sentence per fault.

    Attributes:
        faults: The sentences, each complete in itself.
    """

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
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
    if isinstance(value, str):
        try:
            return int(value)  # exact, where a float would round beyond 2^53
        except ValueError:
            pass
    number = _number(value)
    if isinstance(number, float):
        if not number.is_integer():
            raise ValueError("must be a whole number")
        return int(number)
    return number


def _fraction(value: object) -> object:
    """An exact share: 0.05 means 1/20, not the nearest binary number."""
    if isinstance(value, Fraction):
        return value
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    if isinstance(value, int | float | str):
        try:
            return Fraction(str(value).replace("_", ""))
        except (ValueError, ZeroDivisionError):
            raise ValueError("must be a number or a fraction such as 1/20") from None
    raise ValueError("must be a number or a fraction such as 1/20")


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


class _Loader(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys; here the second is refused.

    Seen while composing, where a mapping still holds what was written: a key may override one
    that `<<` merges in.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.composer.ComposerError(
                        None, None, f"the key '{key.value}' stands twice", key.start_mark
                    )
                seen.add((key.tag, key.value))
        return node


def load_yaml(text: str, origin: str) -> dict[str, Any]:
    """Reads a YAML mapping.

    Args:
        text: The YAML document.
        origin: How to call it in a fault, e.g. its path.

    Raises:
        ConfigError: Not YAML, not a mapping, or a key stands twice.
    """
    try:
        # A SafeLoader underneath: no tag constructs an object.
        content = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError([f"{origin} is not valid YAML: {_problem(error)}."]) from error
    if not isinstance(content, dict):
        kind = "is empty" if content is None else f"holds {shown(content)}"
        raise ConfigError([f"{origin} must hold a mapping of fields, but {kind}."])
    return content


def sentences(schema: type[pydantic.BaseModel], error: pydantic.ValidationError) -> list[str]:
    """One sentence for each fault that pydantic found.

    Every member of a union complains; one that fitted well enough to complain about a part of the
    value speaks, and those that refused the whole of it are silent.
    """
    faults = error.errors()
    places = [_without_tags(schema, fault["loc"]) for fault in faults]
    return [
        _sentence(schema, dict(fault))
        for fault, place in zip(faults, places, strict=True)
        if not any(len(place) < len(other) and other[: len(place)] == place for other in places)
    ]


def nearest(name: str, legal: Iterable[str]) -> str:
    """`; did you mean 'x'?` for a likely slip, else the list of legal names."""
    names = sorted(legal)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    close = close or [legal_name for legal_name in names if legal_name.startswith(name)]
    return f"; did you mean '{close[0]}'?" if close else f"; legal here: {', '.join(names)}."


def shown(value: object, limit: int = 60) -> str:
    """A value as it stands in a sentence, cut where it is long."""
    text = repr(str(value)) if isinstance(value, Fraction) else repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def dotted(location: Sequence[int | str]) -> str:
    """`axes.max_lr[1]` from ('axes', 'max_lr', 1)."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _sentence(schema: type[pydantic.BaseModel], fault: dict[str, Any]) -> str:
    location: tuple[int | str, ...] = _without_tags(schema, fault["loc"])
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
    message = fault["msg"].removeprefix("Input should ")
    rule = _RULES[kind].format_map(context) if kind in _RULES else message
    return f"{field}: got {shown(value)}; must {rule}."


_RULES = {
    "bool_parsing": "be true or false",
    "bool_type": "be true or false",
    "dict_type": "be a mapping",
    "float_type": "be a number",
    "int_type": "be a whole number",
    "invalid_key": "be the name of a field",
    "model_attributes_type": "be a mapping",
    "model_type": "be a mapping",
    "string_type": "be text",
    "too_long": "be a list of at most {max_length}",
    "too_short": "be a list of at least {min_length}",
    "tuple_type": "be a list",
}
"""How people who write YAML call what pydantic's message names after a Python type."""


def _is_slip(value: object, names: Iterable[str]) -> bool:
    return isinstance(value, str) and bool(difflib.get_close_matches(value, list(names), n=1))


def _problem(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        mark = error.problem_mark
        return f"{error.problem} (line {mark.line + 1}, column {mark.column + 1})"
    return " ".join(str(error).split())


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
