"""A model and its optimizer: what one update does."""

import torch
from torch.distributed.fsdp import FSDPModule

from cpt.config import RunConfig
from cpt.optimizer import clip, make_optimizer, set_lr
from cpt.parallel import Workers
from cpt.placement import place


class Learner:
    """A placed model without weights yet, and a fresh optimizer.

    Attributes:
        model: See `cpt.placement.place`.
        optimizer: See `cpt.optimizer.make_optimizer`.
    """

    def __init__(self, config: RunConfig, team: Workers) -> None:
        self._config, self._team = config, team
        self.model = place(config, team)
        self.optimizer = make_optimizer(self.model, config.optimizer)

    def backward(
        self, batch: torch.Tensor, *, weight: float = 1.0, rounds: int = 1
    ) -> torch.Tensor:
        """Adds the gradient of the mean loss of this rank's part of a batch.

        Args:
            batch: int64 [sequences, T + 1], on any device.
            weight: Of this part beside those of the other ranks: 1 where all are equally long.
            rounds: Micro-batches that the rank with the longest part needs. FSDP gathers weights in
                each, so every rank goes as many rounds.

        Returns:
            That loss times the weight, fp32 scalar on the device, without gradient.
        """
        total = torch.zeros((), device=self._team.device)
        micro_batches = batch.split(self._config.micro_batch_size or len(batch))
        shares = [weight * (len(one) / len(batch)) for one in micro_batches]
        missing = max(0, rounds - len(micro_batches))
        micro_batches, shares = micro_batches + (batch[:1],) * missing, shares + [0.0] * missing
        for number, (micro_batch, share) in enumerate(zip(micro_batches, shares, strict=True), 1):
            if isinstance(self.model, FSDPModule):
                # Gradients are summed over the workers once, with the last micro-batch.
                self.model.set_requires_gradient_sync(number == len(micro_batches))
            loss = self.model.mean_loss(micro_batch.to(self._team.device, non_blocking=True))
            loss = loss * share
            loss.backward()
            total += loss.detach()
        return total

    def step(self, lr: float) -> torch.Tensor:
        """Clips the gradient, updates the weights, and clears the gradient.

        Returns:
            The gradient's L2 norm before clipping, over all ranks, fp32 scalar.
        """
        grad_norm = clip(self.model, self._config.optimizer.max_grad_norm)
        set_lr(self.optimizer, lr)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return grad_norm
