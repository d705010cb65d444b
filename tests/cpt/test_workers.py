"""Which device a worker takes; the sums it does there come in one order."""

import pytest
import torch

from cpt.parallel import _the_same_sums, workers

ON_GPU = torch.cuda.is_available()


def test_a_gpu_that_is_there_is_not_touched_by_a_worker_that_was_given_none() -> None:
    with workers(use_gpu=False) as team:
        assert team.device == torch.device("cpu")
        assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.skipif(ON_GPU, reason="has a GPU")
def test_a_worker_that_was_given_a_gpu_does_not_train_without() -> None:
    with pytest.raises(ValueError, match=r"torch .* finds none; install"), workers(use_gpu=True):
        pass
    with workers() as team:
        assert team.device.type == "cpu"


def test_the_order_of_sums_is_left_as_it_was_found() -> None:
    fills = torch.utils.deterministic.fill_uninitialized_memory
    with _the_same_sums():
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory == fills
