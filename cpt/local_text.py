"""Real text on any machine with Python: no network, nothing bundled.

`local:python-prose` is what people wrote about code: the docstrings of the standard library
(domain `stdlib`) and of the well-documented packages that rewarm itself needs (domain
`packages`), one document a module. `local:python-code` is the code: the source files of the
standard library, without tests and generated tables, one document a file. Each holds at most
10 MB. A document belongs to one split by the hash of its text.

The content follows the versions installed, so these versions make up its `fingerprint`: a sweep
moved to another Python has another corpus, and says so by its id.
"""

import ast
import hashlib
import inspect
import json
import os
import platform
import re
import string
import sys
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

RECIPE_VERSION = 1
"""Raised when the same installation gives another text."""

MAX_BYTES = 10_000_000
"""UTF-8 bytes of one corpus, both splits together."""

VALIDATION_SHARE = 0.05
"""Of the documents."""

PACKAGES = (
    "datasets",
    "jinja2",
    "networkx",
    "numpy",
    "pandas",
    "pydantic",
    "ray",
    "rich",
    "scipy",
    "sympy",
    "torch",
)
"""Distributions whose docstrings are read where installed; each is also an import name. A fixed
list: what else is installed does not change the corpus, nor the states trained on it."""

SKIPPED = frozenset(
    {"test", "tests", "testing", "idle_test", "encodings", "pydoc_data", "site-packages"}
)
"""Folders that hold tests or generated tables."""

MIN_DOCSTRING_CHARACTERS = 200
MIN_PROSE_SHARE = 0.75
"""Letters and spaces among a docstring's characters; below, it is a table or a session."""

_LETTERS = (string.ascii_letters + " ").encode()

MIN_QUOTED_SHARE = 0.3
"""Of a file inside triple quotes; files below yield little for the time it takes to parse them."""


class LocalDocument(NamedTuple):
    """One row: its text, and where there are domains the domain."""

    text: str
    domain: str | None


def columns(path: str) -> tuple[str, ...]:
    """The columns of a local corpus."""
    return ("text", "domain") if path == "local:python-prose" else ("text",)


def fingerprint(path: str) -> str:
    """Hash of what the text follows from, without reading it: recipe, Python, versions.

    The files of the standard library enter with name and size, for distributors leave some out.
    """
    root = Path(sysconfig.get_path("stdlib"))
    modules = [[name, (root / name).stat().st_size] for name in sorted(_stdlib_modules())]
    versions = _versions() if path == "local:python-prose" else []
    content = [RECIPE_VERSION, path, platform.python_version(), modules, versions]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def documents(path: str, split: str) -> Iterator[LocalDocument]:
    """The documents of `train` or `validation`, mixed by hash rather than alphabetical."""
    for document in _all_documents(path):
        digest = hashlib.sha256(document.text.encode()).digest()
        held_out = int.from_bytes(digest[:4], "big") < VALIDATION_SHARE * 2**32
        if held_out == (split == "validation"):
            yield document


@cache
def _all_documents(path: str) -> tuple[LocalDocument, ...]:
    """Both splits; kept, because the second split is asked for right after the first."""
    found = _prose() if path == "local:python-prose" else _code()
    chosen: dict[str, LocalDocument] = {}
    size = 0
    for document in found:
        if document.text in chosen:
            continue
        size += len(document.text.encode())
        if size > MAX_BYTES:
            break
        chosen[document.text] = document
    return tuple(sorted(chosen.values(), key=lambda document: _digest(document.text)))


def _code() -> Iterator[LocalDocument]:
    root = Path(sysconfig.get_path("stdlib"))
    for name in sorted(_stdlib_modules(), key=_digest):
        try:
            with tokenize.open(root / name) as file:
                text = file.read()
        except (SyntaxError, UnicodeDecodeError):
            continue
        if text.strip():
            yield LocalDocument(text, None)


def _prose() -> Iterator[LocalDocument]:
    """The standard library first: it is the smaller domain, and is wanted whole."""
    seen: set[str] = set()
    stdlib = Path(sysconfig.get_path("stdlib"))
    modules = [("stdlib", stdlib / name) for name in sorted(_stdlib_modules(), key=_digest)]
    packages = [("packages", root / name) for root, name in _package_modules()]
    for domain, file in modules + packages:
        new = [text for text in _docstrings(file) if text not in seen]
        seen.update(new)
        if new:
            yield LocalDocument("\n\n".join(dict.fromkeys(new)), domain)


def _docstrings(path: Path) -> list[str]:
    """The docstrings of one file that read as prose, in file order, unindented."""
    source = path.read_bytes()
    quoted = sum(len(text) for text in re.findall(rb'"""(.*?)"""', source, re.DOTALL))
    if quoted < MIN_QUOTED_SHARE * len(source):
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # invalid escapes, from Python 3.12 on
        warnings.simplefilter("ignore", DeprecationWarning)  # the same in 3.11
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            return []
    texts = (ast.get_docstring(node, clean=False) for node in _documented(tree))
    cleaned = [inspect.cleandoc(text).strip() for text in texts if text]
    return [text for text in cleaned if _is_prose(text)]


def _documented(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
) -> Iterator[ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """A module, its classes and functions, their methods; not what lies inside functions."""
    yield node
    if isinstance(node, ast.Module | ast.ClassDef):
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _documented(child)


def _is_prose(text: str) -> bool:
    raw = text.encode()
    letters = len(raw) - len(raw.translate(None, _LETTERS))
    return len(text) >= MIN_DOCSTRING_CHARACTERS and letters >= MIN_PROSE_SHARE * len(raw)


def _stdlib_modules() -> Iterator[str]:
    root = Path(sysconfig.get_path("stdlib"))
    for name in _modules(root):
        if Path(name).parts[0].removesuffix(".py") in sys.stdlib_module_names:
            yield name


def _package_modules() -> list[tuple[Path, str]]:
    """(site-packages, module path) of all `PACKAGES`, shuffled by hash."""
    found = [
        (root, name)
        for root in _site_packages()
        for package in PACKAGES
        for name in _modules(root, package)
    ]
    return sorted(found, key=lambda module: _digest(module[1]))


def _modules(root: Path, below: str = "") -> Iterator[str]:
    """Paths of Python files relative to `root`, with `/` on every system."""
    for folder, folders, files in os.walk(root / below):
        folders[:] = [name for name in folders if name not in SKIPPED]
        for name in files:
            if name.endswith(".py"):
                yield (Path(folder) / name).relative_to(root).as_posix()


def _versions() -> list[str]:
    roots = [str(root) for root in _site_packages()]
    installed = {found.name.lower(): found.version for found in metadata.distributions(path=roots)}
    return [f"{name}=={installed[name]}" for name in PACKAGES if name in installed]


def _site_packages() -> list[Path]:
    return sorted({Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
