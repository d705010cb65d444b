"""Cross-entropy without the whole logits: a few tokens at a time, never all of them in fp32.

A vocabulary of 50,304 makes logits 50 times as large as the hidden states they come from. For the
mean loss their gradient is known as soon as they are, so each chunk's is taken at once and only the
gradients of the hidden states and of the output matrix remain.

Shapes: N tokens, D width, V vocabulary.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK_ELEMENTS = 2**25
"""Logits held at once, in elements: 128 MiB in fp32."""


def mean_loss(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
    """The mean cross-entropy; differentiable in `hidden_ND` and `weight_VD`, once.

    Args:
        hidden_ND: [N, D], fp32 or bf16.
        weight_VD: [V, D], of the same dtype.
        targets_N: int64 [N].

    Returns:
        fp32 scalar, nats.
    """
    return _MeanLoss.apply(hidden_ND, weight_VD, targets_N)


def token_losses(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
    """The cross-entropy of each token, fp32 [N]; call it without gradients."""
    losses = [
        F.cross_entropy((hidden_ND[part] @ weight_VD.T).float(), targets_N[part], reduction="none")
        for part in _chunks(hidden_ND, weight_VD)
    ]
    return torch.cat(losses)


class _MeanLoss(torch.autograd.Function):
    """Computes its gradients on the way forward; backward only scales them."""

    @staticmethod
    def forward(ctx: Any, hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
        total = hidden_ND.new_zeros((), dtype=torch.float32)
        hidden_grad = torch.empty_like(hidden_ND)
        weight_grad = torch.zeros_like(weight_VD, dtype=torch.float32)
        for part in _chunks(hidden_ND, weight_VD):
            hidden, targets = hidden_ND[part], targets_N[part]
            of_target = torch.arange(len(targets), device=targets.device), targets
            log_p = (hidden @ weight_VD.T).log_softmax(dim=-1, dtype=torch.float32)
            total -= log_p[of_target].sum()
            # d loss / d logits = (softmax - one-hot) / N
            grad = log_p.exp_()
            grad[of_target] -= 1.0
            grad = grad.div_(len(hidden_ND)).to(hidden.dtype)
            hidden_grad[part] = grad @ weight_VD
            weight_grad += grad.T @ hidden
        ctx.save_for_backward(hidden_grad, weight_grad.to(weight_VD.dtype))
        return total / len(hidden_ND)

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, Tensor, None]:
        hidden_grad, weight_grad = ctx.saved_tensors
        return hidden_grad * scale, weight_grad * scale, None


def _chunks(hidden_ND: Tensor, weight_VD: Tensor) -> Iterator[slice]:
    """As many tokens at a time as `CHUNK_ELEMENTS` allows, evenly."""
    count = -(-hidden_ND.shape[0] * weight_VD.shape[0] // CHUNK_ELEMENTS)
    size = -(-hidden_ND.shape[0] // count)
    for start in range(0, hidden_ND.shape[0], size):
        yield slice(start, start + size)
