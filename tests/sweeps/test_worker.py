"""What a process under Ray trains on, and what it gives back before the next state."""

import gc
import shutil
import tempfile
import warnings
import weakref

import pytest
import torch

from cpt.model import GPT
from cpt.model_config import ModelConfig
from cpt.parsing import parse
from cpt.records import ResultTree, StatusWord
from cpt.token_store import StoreError
from sweeps import launch
from sweeps.agenda import agenda
from sweeps.prepare import prepare
from sweeps.spec import Resources, SweepSpec
from sweeps.store import find
from sweeps.worker import _check_storage, _give_back_memory, trainable


def test_the_weights_of_a_state_are_not_kept_through_the_next() -> None:
    shape = {"num_layers": 1, "hidden_size": 16, "num_heads": 2, "vocab_size": 64}
    model = GPT(parse(ModelConfig, shape))
    gc.disable()
    try:
        block = weakref.ref(next(iter(model.blocks)))
        del model
        assert block() is not None, "blocks refer to themselves no more: nothing is to be done"
        _give_back_memory()
        assert block() is None
    finally:
        gc.enable()


def test_a_directory_that_the_driver_does_not_see_is_not_trained_into(tmp_path) -> None:
    trial = {"remote": None, "storage": "/mnt/results", "ray_storage": str(tmp_path)}
    _check_storage(trial)
    elsewhere = trial | {"ray_storage": str(tmp_path / "another-disk")}
    with pytest.raises(StoreError, match=r"on the machine .+ is not the dir"):
        _check_storage(elsewhere)
    _check_storage(elsewhere | {"remote": "s3://bucket/results"})


@pytest.mark.parametrize(
    ("workers", "has_drivers", "asked"),
    [
        (1, True, {"CPU": 2.0}),
        (2, True, {"driver": 1.0}),
        (2, False, {"memory": 1.0}),
    ],
)
def test_the_driver_of_a_group_stays_where_drivers_are_kept(workers, has_drivers, asked) -> None:
    runs = trainable(lambda trial: None, Resources(cpus_per_worker=2), has_drivers=has_drivers)
    assert runs.default_resource_request({"workers": workers}).bundles == [asked]


@pytest.mark.ray
@pytest.mark.long
@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_worker_with_a_gpu_that_torch_cannot_use_fails_in_a_sentence(
    folder, content, monkeypatch
) -> None:
    """Ray counts the GPUs of a machine, whatever torch was installed there."""
    from ray.cluster_utils import Cluster

    files = tempfile.mkdtemp(prefix="rw-", dir="/tmp")
    monkeypatch.setenv("RAY_TMPDIR", files)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(folder)
    tree = ResultTree(folder / "results")
    content["resources"] = {"gpus_per_worker": 1}
    plan = prepare(parse(SweepSpec, content), tree, lambda text: None)
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "num_gpus": 1, "include_dashboard": False},
    )
    try:
        with launch.cluster(cluster.address, plan.spec.resources, lambda text: None):
            todo = agenda(plan, find(plan, tree))
            launch.run(plan, todo, tree, lambda text: None)
    finally:
        cluster.shutdown()
        with warnings.catch_warnings():
            # Ray leaves a socket for Python to close, which would fail the test that comes next.
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        shutil.rmtree(files, ignore_errors=True)
    status = tree.state(todo.todo[0].state.id).read_status()
    assert status is not None
    assert status.status is StatusWord.FAILED
    assert "this worker was given a GPU, but torch" in status.reason
