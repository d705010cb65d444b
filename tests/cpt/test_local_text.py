import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from cpt import local_text
from cpt.builder import build
from cpt.dataset_config import DatasetConfig
from cpt.digests import Digests
from cpt.parsing import ConfigError
from cpt.records import ResultTree
from cpt.token_library import library
from cpt.token_store import shared_documents
from cpt.tokenizer import ByteTokenizer

PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_local_text import digest
print(digest(sys.argv[2]))
"""


def digest(path: str) -> str:
    """Everything that a corpus is, as one line."""
    whole = hashlib.sha256()
    for split in ("train", "validation"):
        for document in local_text.documents(path, split):
            whole.update(repr(document).encode())
    return f"{local_text.fingerprint(path)} {whole.hexdigest()}"


def digest_in_new_process(path: str) -> str:
    here = Path(__file__)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(here.parent), path],
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": str(here.parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    "path",
    ["local:python-code", pytest.param("local:python-prose", marks=pytest.mark.long)],
)
def test_a_local_corpus_is_large_the_same_everywhere_and_split_once(path: str) -> None:
    assert digest_in_new_process(path) == digest(path)
    train, held_out = (list(local_text.documents(path, split)) for split in ("train", "validation"))
    texts = [document.text for document in train + held_out]
    assert len(set(texts)) == len(texts)
    assert 5_000_000 < sum(len(text.encode()) for text in texts) <= local_text.MAX_BYTES
    assert 0.02 < len(held_out) / len(texts) < 0.1
    domains = {"local:python-prose": {"stdlib", "packages"}, "local:python-code": {None}}[path]
    assert {document.domain for document in train} == domains
    assert {document.domain for document in held_out} == domains


def test_only_long_prose_docstrings_are_kept(tmp_path: Path) -> None:
    prose = "Words that a person wrote for another. " * 6
    table = "1.234 | 5.678 | 9.012\n" * 20
    source = f'''"""{prose}"""
class A:
    """{table}"""
    def method(self):
        """
        Short.
        """
    async def other(self):
        """Indented:

            {prose}
        """
'''
    (tmp_path / "module.py").write_text(source, encoding="utf-8")
    (tmp_path / "python2.py").write_text(f'"""{prose}"""\nprint "x"\n', encoding="utf-8")
    assert local_text._docstrings(tmp_path / "module.py") == [
        prose.rstrip(),
        f"Indented:\n\n{prose.rstrip()}",
    ]
    assert local_text._docstrings(tmp_path / "python2.py") == []


@pytest.fixture
def digests(tmp_path: Path) -> Digests:
    return Digests(tmp_path / "digests.json")


def test_a_local_corpus_becomes_a_store(tmp_path: Path, digests: Digests) -> None:
    tree, code = ResultTree(tmp_path), DatasetConfig(path="local:python-code")
    stores = build(code, ByteTokenizer(), library(tree), "datasets.code", digests, print)
    for store in (stores.validation, stores.train[""]):
        assert store.meta.domains == ()
        assert store.meta.tokens == store.meta.bytes + store.meta.documents
    assert stores.validation.meta.corpus_id != stores.train[""].meta.corpus_id
    assert shared_documents(stores.validation, [stores.train[""]]) == 0


def test_code_has_no_domains(tmp_path: Path, digests: Digests) -> None:
    code = DatasetConfig(path="local:python-code", domain="domain")
    with pytest.raises(ConfigError, match=r"^datasets\.code\.domain: got 'domain'; .* has text"):
        build(code, ByteTokenizer(), library(ResultTree(tmp_path)), "datasets.code", digests, print)


def test_the_id_of_prose_follows_the_versions_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [local_text.fingerprint(f"local:python-{kind}") for kind in ("prose", "code")]
    monkeypatch.setattr(local_text, "_versions", lambda: ["numpy==0.0"])
    after = [local_text.fingerprint(f"local:python-{kind}") for kind in ("prose", "code")]
    assert before[0] != after[0]
    assert before[1] == after[1]
