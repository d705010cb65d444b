"""The lean loss against torch's own, and against its promise."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from cpt import loss
from cpt.loss import mean_loss, token_losses

TOKENS, WIDTH, VOCABULARY = 50, 16, 96


def inputs(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(TOKENS, WIDTH, generator=random).to(dtype).requires_grad_()
    weight = torch.randn(VOCABULARY, WIDTH, generator=random).to(dtype).requires_grad_()
    return hidden, weight, torch.randint(VOCABULARY, (TOKENS,), generator=random)


def of_torch(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy((hidden @ weight.T).float(), targets)


@pytest.fixture(params=["whole", "in chunks"])
def _chunks(request, monkeypatch) -> None:
    """17 tokens at a time: 50 is no multiple of it."""
    if request.param == "in chunks":
        monkeypatch.setattr(loss, "CHUNK_ELEMENTS", 17 * VOCABULARY)


@pytest.mark.usefixtures("_chunks")
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 4e-3)], ids=str
)
def test_loss_and_gradients_are_those_of_torch(dtype, tolerance) -> None:
    """Half the loss is taken, so that the gradient coming in is not 1."""
    gradients = []
    for function in (mean_loss, of_torch):
        hidden, weight, targets = inputs(dtype)
        value = function(hidden, weight, targets) / 2
        value.backward()
        gradients.append((value, hidden.grad, weight.grad))
    for mine, theirs in zip(*gradients, strict=True):
        assert mine.dtype == theirs.dtype
        torch.testing.assert_close(mine, theirs, atol=tolerance, rtol=tolerance)


@pytest.mark.usefixtures("_chunks")
def test_the_mean_of_the_token_losses_is_the_mean_loss() -> None:
    with torch.no_grad():
        each = token_losses(*inputs())
        assert each.shape == (TOKENS,)
        assert each.dtype == torch.float32
        torch.testing.assert_close(each.mean(), mean_loss(*inputs()))


class _LargestFloat32(TorchDispatchMode):
    """The most elements that any fp32 result had."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float32:
                self.elements = max(self.elements, tensor.numel())
        return result


def test_all_logits_never_stand_in_fp32_at_once(monkeypatch) -> None:
    monkeypatch.setattr(loss, "CHUNK_ELEMENTS", 17 * VOCABULARY)
    hidden, weight, targets = inputs(torch.bfloat16)
    with _LargestFloat32() as lean:
        mean_loss(hidden, weight, targets).backward()
    with _LargestFloat32() as plain:
        of_torch(hidden, weight, targets).backward()
    assert plain.elements == TOKENS * VOCABULARY
    assert lean.elements <= 17 * VOCABULARY
