"""Sweeps whose token stores lie on object storage, from the sweep file to the report."""

import json
import re
import shutil

import pytest

from cpt.parsing import parse
from cpt.rows import read_rows
from cpt.storage import cache_of
from sweeps.spec import SweepSpec
from sweeps.store import tree_of

DONE, FAILED, REFUSED = 0, 1, 2


@pytest.fixture
def spec_of(content):
    return lambda **changes: parse(SweepSpec, content | changes)


def test_stores_lie_below_storage_where_nothing_else_is_said(spec_of, tmp_path) -> None:
    tree = tree_of(spec_of(storage=str(tmp_path)))
    assert (tree.storage, tree.token_storage) == (tmp_path, None)


def test_a_directory_for_stores_is_the_same_in_any_working_directory(
    spec_of, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tree_of(spec_of(token_storage="packed")).token_storage == str(tmp_path / "packed")
    assert tree_of(spec_of(token_storage=f"file://{tmp_path}")).token_storage == str(tmp_path)


def test_a_uri_for_storage_has_the_stores_below_it(spec_of) -> None:
    uri = "s3://bucket/results?endpoint_override=host:9000"
    tree = tree_of(spec_of(storage=uri))
    assert tree.token_storage == "s3://bucket/results/tokens?endpoint_override=host:9000"
    assert tree.storage.is_relative_to(cache_of(uri))
    named = tree_of(spec_of(storage=uri, token_storage="gs://other/tokens"))
    assert named.token_storage == "gs://other/tokens"


def test_a_bucket_that_does_not_exist_is_refused_before_anything_is_packed(
    s3, rewarm, sweep, tmp_path
) -> None:
    sweep(token_storage=s3.uri("nowhere", "tokens"))
    refused = rewarm("plan", "sweep.yaml")
    assert refused.returncode == REFUSED
    assert re.fullmatch(
        r"refused: token_storage: s3://nowhere/tokens\?endpoint_override=127\.0\.0\.1:\d+ cannot "
        r"be reached \(.*NO_SUCH_BUCKET.*\); check that the bucket exists, the network, and the "
        r"credentials in the environment\.\n",
        refused.stderr,
    )
    assert s3.written() == 0
    assert not list((tmp_path / "cache").rglob("*.bin"))


@pytest.mark.slow
def test_a_plan_packs_and_uploads_once(s3, rewarm, sweep, tmp_path) -> None:
    sweep(storage=s3.uri("bucket", "results"))
    first = rewarm("plan", "sweep.yaml", "--json")
    assert (first.returncode, first.stderr) == (DONE, "")
    written = s3.written()
    assert written >= 4 * 5
    assert all(path.startswith("/bucket/results/tokens/") for _, path, *_ in s3.requests[-9:])
    shutil.rmtree(tmp_path / "cache")
    again = rewarm("plan", "sweep.yaml", "--json")
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert s3.written() == written


def test_a_damaged_object_ends_a_plan_in_one_sentence(s3, spec_of, rewarm, sweep, tmp_path) -> None:
    uri = s3.uri("bucket", "tokens")
    sweep(token_storage=uri)
    assert rewarm("plan", "sweep.yaml").returncode == DONE
    from pyarrow import fs

    files, root = fs.FileSystem.from_uri(uri)
    for one in files.get_file_info(fs.FileSelector(root)):
        with files.open_output_stream(f"{one.path}/hashes.bin") as stream:
            stream.write(b"")
    shutil.rmtree(tmp_path / "cache")
    failed = rewarm("plan", "sweep.yaml")
    assert failed.returncode == FAILED
    assert re.fullmatch(
        r"failed: s3://bucket/tokens/\w+/hashes\.bin\?\S+ has 0 bytes, not the \d+ that its "
        r"meta\.json names; delete s3://bucket/tokens/\w+\?\S+, and the next rewarm plan packs and "
        r"uploads it anew\.\n",
        failed.stderr,
    )


@pytest.mark.ray
@pytest.mark.long
def test_workers_read_from_object_storage(s3, rewarm, sweep, folder) -> None:
    sweep(token_storage=s3.uri("bucket", "tokens"))
    ran = rewarm("run", "sweep.yaml")
    assert (ran.returncode, ran.stderr) == (DONE, "")
    assert not (folder / "results" / "tokens").exists()
    states = list((folder / "results" / "states").iterdir())
    far = {path.name: read_rows(path / "eval.jsonl") for path in states}
    sweep(storage="near")
    assert rewarm("run", "sweep.yaml").returncode == DONE
    near = {
        path.name: read_rows(path / "eval.jsonl") for path in (folder / "near" / "states").iterdir()
    }
    assert far == near
