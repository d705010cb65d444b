"""What docs/security.md promises of the code as a whole: nothing that is read is run."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("cpt", "sweeps", "analysis")

DANGEROUS = {
    "eval", "exec", "compile", "__import__", "input",
    "os.system", "os.popen", "os.execv", "os.execvp", "os.spawnv",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads",
    "marshal.loads", "shelve.open", "joblib.load",
    "torch.load", "torch.jit.load", "np.load", "numpy.load", "pd.read_pickle", "pandas.read_pickle",
    "yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all",
    "subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_output",
    "subprocess.getoutput", "tempfile.mktemp", "tarfile.open", "shutil.unpack_archive",
}  # fmt: skip
"""Calls that may run what they are given, or start another program."""

ALLOWED = {
    ("cpt/checkpoint_reading.py", "pickle.Unpickler"): "a subclass that builds named classes alone",
    ("cpt/checkpoint_reading.py", "torch.load"): "weights_only=True: tensors and plain values",
    ("sweeps/cluster/head.py", "subprocess.run"): "ssh, by Ray's options; paths are quoted",
    ("sweeps/cluster/machine.py", "subprocess.run"): "this Python, a fixed program",
    ("sweeps/cluster/tunnel.py", "subprocess.Popen"): "ssh, by Ray's options; a fixed command",
    ("sweeps/launch.py", "cloudpickle.loads"): "the error file that Ray wrote in this very run",
    ("sweeps/owner.py", "subprocess.run"): "a fixed list of words, no shell",
}
"""Where such a call stands nevertheless, and why it may."""


def modules() -> list[Path]:
    return [file for package in PACKAGES for file in sorted((REPOSITORY / package).rglob("*.py"))]


def dotted(node: ast.expr) -> str:
    """`os.path.join` of the expression that a call or class names."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def uses(tree: ast.AST) -> Iterator[str]:
    """Every name that is called, or inherited from; those that `from` imports by their origin."""
    origin = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    } | {
        alias.asname: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.asname
    }
    for node in ast.walk(tree):
        named = [node.func] if isinstance(node, ast.Call) else []
        named += node.bases if isinstance(node, ast.ClassDef) else []
        for name in map(dotted, named):
            head, dot, rest = name.partition(".")
            yield name
            yield f"{origin.get(head, head)}{dot}{rest}".removeprefix("ray.")


def found(source: str) -> set[str]:
    return DANGEROUS.intersection(uses(ast.parse(source)))


def test_no_module_runs_or_unpickles_what_it_reads():
    calls = {
        (file.relative_to(REPOSITORY).as_posix(), name)
        for file in modules()
        for name in found(file.read_text(encoding="utf-8"))
    }
    assert calls == set(ALLOWED)


@pytest.mark.parametrize(
    "source",
    [
        "eval('1')",
        "import pickle\npickle.loads(b'')",
        "from pickle import loads\nloads(b'')",
        "from pickle import loads as read\nread(b'')",
        "import yaml as y\ny.load('a', y.Loader)",
        "import torch\ntorch.load('x')",
        "class A(pickle.Unpickler): pass",
        "from ray import cloudpickle\ncloudpickle.loads(b'')",
        "import subprocess\nsubprocess.run(['x'])",
    ],
)
def test_the_search_finds_what_it_is_for(source):
    assert found(source)


def keywords(name: str) -> list[tuple[str, ast.expr]]:
    """(module, value) of every keyword argument of this name."""
    return [
        (file.relative_to(REPOSITORY).as_posix(), node.value)
        for file in modules()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword) and node.arg == name
    ]


@pytest.mark.parametrize("name", ["shell", "trust_remote_code", "allow_pickle"])
def test_no_call_asks_for_a_shell_or_for_foreign_code(name):
    assert keywords(name) == []


def test_what_torch_loads_is_data():
    values = keywords("weights_only")
    assert values
    assert all(isinstance(value, ast.Constant) and value.value is True for _, value in values)


def test_the_dashboard_is_bound_to_the_loopback_wherever_ray_is_started():
    (launch,) = [value for _, value in keywords("dashboard_host")]
    assert isinstance(launch, ast.Constant)
    assert launch.value == "127.0.0.1"
    launcher_files = [REPOSITORY / "cluster.yaml", *(REPOSITORY / "clusters").glob("*.yaml")]
    commands = [
        command
        for file in launcher_files
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))
        for command in document.get("head_start_ray_commands", ())
    ]
    pages = [page.read_text(encoding="utf-8") for page in (REPOSITORY / "docs").glob("*.md")]
    typed = [line for page in pages for line in page.splitlines() if line.startswith("ray start")]
    heads = [command for command in (*commands, *typed) if "ray start --head" in command]
    assert len(heads) >= 3
    assert all("--dashboard-host=127.0.0.1" in line for line in heads)
