"""Nothing in a checkpoint is executed, whatever was put into it and however well it is sealed."""

import io
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.metadata import BytesStorageMetadata, Metadata

from cpt import checkpoint
from cpt.checkpoint_marker import Marker
from cpt.checkpoint_reading import UnsafeCheckpointError, read_metadata
from cpt.hub_state import export_state
from cpt.learner import Learner
from cpt.model import GPT
from cpt.parallel import Workers
from cpt.parsing import ConfigError
from cpt.records import StateDir
from cpt.seals import digest_file
from cpt.train import train

pytestmark = pytest.mark.usefixtures("one_thread")

ALONE = Workers(rank=0, world_size=1, device=torch.device("cpu"))


class Creates:
    """A pickle that makes a folder when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def trained(tiny) -> tuple[Any, StateDir]:
    config = tiny.config()
    train(config, tiny.tree)
    return config, tiny.tree.state(config.state_id)


def reseal(state: StateDir) -> None:
    """As one would who can write everything."""
    marker = state.read_marker(12).to_json()
    folder = state.checkpoint(12)
    files = {name: vars(digest_file(folder / name)) for name in marker["files"]}
    state.mark_checkpoint(Marker.from_json(marker | {"files": files}))


def test_metadata_that_names_a_function_is_not_read(trained, tmp_path) -> None:
    config, state = trained
    (state.checkpoint(12) / ".metadata").write_bytes(pickle.dumps(Creates(tmp_path / "owned")))
    reseal(state)
    with pytest.raises(UnsafeCheckpointError, match=r"names posix\.mkdir, which is no part of a"):
        checkpoint.load_weights(state, GPT(config.model), ALONE)
    with pytest.raises(ConfigError, match=r"is damaged: .* names posix\.mkdir"):
        export_state(state, tmp_path / "model")
    assert not (tmp_path / "owned").exists()


def test_metadata_that_hides_a_function_in_the_right_shape_is_not_read(trained, tmp_path) -> None:
    _, state = trained
    hidden = Metadata({"a": BytesStorageMetadata()}, planner_data=Creates(tmp_path / "owned"))
    (state.checkpoint(12) / ".metadata").write_bytes(pickle.dumps(hidden))
    with pytest.raises(UnsafeCheckpointError, match=r"posix\.mkdir"):
        read_metadata(state.checkpoint(12))
    assert not (tmp_path / "owned").exists()


def test_metadata_that_points_outside_its_folder_is_not_followed(trained) -> None:
    _, state = trained
    metadata = read_metadata(state.checkpoint(12))
    next(iter(metadata.storage_data.values())).relative_path = "../../corpus.json"
    (state.checkpoint(12) / ".metadata").write_bytes(pickle.dumps(metadata))
    with pytest.raises(UnsafeCheckpointError, match=r"points to .*corpus\.json, outside"):
        read_metadata(state.checkpoint(12))


def test_a_setting_of_the_optimizer_that_is_a_function_is_not_read(trained, tmp_path) -> None:
    """In the place of a learning rate, appended to the shard that it is in."""
    config, state = trained
    folder = state.checkpoint(12)
    metadata = read_metadata(folder)
    (info,) = [
        info
        for index, info in metadata.storage_data.items()
        if index.fqn == "optimizer.param_groups.0.lr"
    ] or [next(i for x, i in metadata.storage_data.items() if x.fqn.endswith(".lr"))]
    evil = io.BytesIO()
    torch.save(Creates(tmp_path / "owned"), evil)
    shard = folder / info.relative_path
    info.offset, info.length = shard.stat().st_size, len(evil.getvalue())
    shard.write_bytes(shard.read_bytes() + evil.getvalue())
    (folder / ".metadata").write_bytes(pickle.dumps(metadata))
    reseal(state)
    with pytest.raises(UnsafeCheckpointError, match="more than numbers and words"):
        checkpoint.load(state, 12, Learner(config, ALONE), ALONE)
    assert not (tmp_path / "owned").exists()


def test_what_torch_reads_this_reads_too(trained, tiny) -> None:
    """The whole learner, against torch's own reader of a checkpoint that is trusted."""
    import torch.distributed.checkpoint as dcp

    from cpt.checkpoint_reading import quietly_alone

    config, state = trained
    ours, theirs = Learner(config, ALONE), Learner(config, ALONE)
    progress = checkpoint.load(state, 12, ours, ALONE)
    assert progress.step == 12
    tensors = checkpoint.tensors_of(theirs)
    with quietly_alone():
        dcp.load(tensors, checkpoint_id=state.checkpoint(12), no_dist=True)
    found = checkpoint.tensors_of(ours)
    assert found["model"].keys() == tensors["model"].keys()
    assert all(torch.equal(found["model"][name], tensors["model"][name]) for name in found["model"])
    groups = found["optimizer"]["param_groups"]
    assert [group["betas"] for group in groups] == [
        group["betas"] for group in tensors["optimizer"]["param_groups"]
    ]


def test_a_checkpoint_is_the_same_wherever_it_lies(trained, tiny) -> None:
    config, state = trained
    moved = tiny.beside("moved").state(config.state_id)
    shutil.move(state.path, moved.path)
    checkpoint.load_weights(moved, GPT(config.model), ALONE)
