"""YAML as people write it becomes plain data: mappings, lists, text, numbers, true, false, null.

A fault is one sentence. Nothing in a file constructs anything else: no tag is read, a date is text,
and numbers are decimal, so that `010` is ten and `1:30` no number at all. What would be read for
minutes (anchors that multiply, deep nests, large files) is refused before it is.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from cpt.parsing import ConfigError, shown

MAX_BYTES = 256 * 1024
"""Of a file; the pure-Python reader takes about a second for as much."""
MAX_VALUES = 20_000
"""Of a file, aliases written out."""
MAX_DEPTH = 40
"""Of lists and mappings inside one another."""

_INT = "tag:yaml.org,2002:int"
_FLOAT = "tag:yaml.org,2002:float"
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"
_NOT_AS_IN_YAML_1_1 = {_INT, _FLOAT, "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"}

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
"""What no path may hold, what moves a terminal's cursor, and halves of characters."""


class _Loader(yaml.SafeLoader):
    """A SafeLoader underneath: no tag constructs an object.

    PyYAML keeps the last of two equal keys; here the second is refused, while composing, where a
    mapping still holds what was written: a key may override one that `<<` merges in.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own class attribute
        first: [(tag, form) for tag, form in resolvers if tag not in _NOT_AS_IN_YAML_1_1]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._values = 0
        # A node still being composed stands at 0: an alias to it is a circle.
        self._sizes: dict[str, int] = {}

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) and event.anchor in self._sizes:
            size = self._sizes[event.anchor]
            if not size:
                raise _fault(
                    f"'*{event.anchor}' stands inside of what it repeats; write it out", event
                )
            self._count(size, event)
            return super().compose_node(parent, index)
        if getattr(event, "tag", None) not in (None, "!"):
            raise _fault(
                f"'{event.tag}' is a tag, and tags are not read; write the value alone", event
            )
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _fault(
                f"more than {MAX_DEPTH} lists or mappings stand inside one another; none needs so "
                "many",
                event,
            )
        before = self._values
        if event.anchor is not None:
            self._sizes[event.anchor] = 0
        node = super().compose_node(parent, index)
        self._count(1, event)
        if event.anchor is not None:
            self._sizes[event.anchor] = self._values - before
        self._depth -= 1
        return node

    def _count(self, values: int, event: yaml.Event) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise _fault(
                f"it holds more than {MAX_VALUES:,} values, aliases written out; write fewer", event
            )

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _marked("a list or mapping stands as a key; name a field", key.start_mark)
            if key.tag not in (_TEXT, _MERGE):
                raise _marked(
                    f"the key '{_cut(key.value)}' is no text; put it in quotes", key.start_mark
                )
            if key.value in seen:
                raise _marked(f"the key '{_cut(key.value)}' stands twice", key.start_mark)
            seen.add(key.value)
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        if odd := _UNPRINTABLE.search(node.value):
            raise _marked(
                f"the character U+{ord(odd[0]):04X} may not stand in text; leave it out",
                node.start_mark,
            )
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002
        try:
            return super().construct_object(node, deep=deep)
        except ValueError as error:  # Python's limit of digits
            raise _marked("a number of thousands of digits; shorten it", node.start_mark) from error


_Loader.add_implicit_resolver(_INT, re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


def load_yaml(text: str, origin: str) -> dict[str, Any]:
    """Reads a YAML mapping.

    Args:
        text: The YAML document.
        origin: How to call it in a fault, e.g. its path.

    Raises:
        ConfigError: Not YAML, not a mapping, a key stands twice, or too much of it.
    """
    try:
        loader = _Loader(text)
        try:
            content = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ConfigError([f"{origin} is not valid YAML: {_problem(error, text)}."]) from error
    if not isinstance(content, dict):
        kind = "is empty" if content is None else f"holds {shown(content)}"
        raise ConfigError(
            [f"{origin} must hold a mapping of fields, one 'field: value' a line, but {kind}."]
        )
    return content


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a file that holds a YAML mapping.

    Raises:
        ConfigError: Not UTF-8 text of at most `MAX_BYTES`, or as `load_yaml` has it.
    """
    with path.open("rb") as file:
        found = file.read(MAX_BYTES + 1)
    if len(found) > MAX_BYTES:
        raise ConfigError(
            [f"{path} holds more than {MAX_BYTES // 1024} KiB; it must be a sweep file; name that."]
        )
    try:
        text = found.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            [
                f"{path} is not UTF-8 text: byte {error.start + 1} is 0x{found[error.start]:02x}; "
                "it must be a sweep file, saved as UTF-8."
            ]
        ) from error
    return load_yaml(text, str(path))


_HINTS = {
    "expected ',' or": "close the bracket before it",
    "found unexpected end of stream": "close the quote before it",
    "found incompatible YAML document": "leave the first line out",
    "found character '\\t'": "indent with spaces, not with tabs",
    "found character '": "put text that begins with it in quotes",
    "mapping values are not allowed here": "check the indentation, and quote text with ': ' in it",
    "found undefined alias": "put text that begins with '*' in quotes",
    "but found another document": "keep one document in a file",
    "could not find expected ':'": "write 'field: value', and check the quotes above",
    "expected a mapping": "'<<' merges mappings alone",
}
"""What to do about a problem that PyYAML words like this."""


def _problem(error: yaml.YAMLError, text: str) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        return (
            f"the character U+{ord(text[error.position]):04X} may not stand in it (line {line}, "
            f"column {column}); leave it out"
        )
    assert isinstance(error, yaml.MarkedYAMLError), "PyYAML marks every other problem"
    problem, mark = error.problem or "", error.problem_mark
    hints = [hint for words, hint in _HINTS.items() if problem.startswith(words)]
    place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return f"{_cut(problem, 200)}{place}" + (f"; {hints[0]}" if hints else "")


def _fault(problem: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    return _marked(problem, event.start_mark)


def _marked(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.composer.ComposerError(None, None, problem, mark)


def _cut(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
