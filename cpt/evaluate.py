"""Losses on held-out sets, per domain and overall."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from cpt.config import HeldOut, RunConfig
from cpt.data import HeldOutSequences, held_out_sequences
from cpt.model import GPT
from cpt.parallel import Workers
from cpt.records import ResultTree
from cpt.rows import EvalRow
from cpt.token_library import library


class Evaluator:
    """The held-out sets of one run."""

    def __init__(self, config: RunConfig, tree: ResultTree, team: Workers) -> None:
        self._config, self._team, self._library = config, team, library(tree)
        self._sets = self._sequences(config.evaluation.datasets)

    def rows(self, model: GPT, step: int) -> list[EvalRow]:
        """Evaluates every set, at step 0 those of later stages too; all ranks must call it."""
        to_come = self._sequences(self._config.evaluation.to_come) if step == 0 else []
        sets = [*self._sets, *to_come]
        return [row for held_out in sets for row in self._rows_of(held_out, model, step)]

    def _sequences(self, held_out: Iterable[HeldOut]) -> list[HeldOutSequences]:
        return [
            held_out_sequences(
                one.name,
                self._library.open(one.corpus),
                self._config.sequence_length,
                self._config.evaluation.tokens_per_dataset,
            )
            for one in held_out
        ]

    def _rows_of(self, held_out: HeldOutSequences, model: GPT, step: int) -> list[EvalRow]:
        sums = self._loss_sums(held_out, model)
        length = self._config.sequence_length
        sizes = torch.bincount(held_out.domain_of, minlength=len(held_out.domains)) * length
        # Nats per byte = nats per token * tokens per byte, for each domain by its own ratio.
        ratios = torch.tensor(held_out.tokens_per_byte, dtype=torch.float64)
        row = {"step": step, "tokens": step * self._config.tokens_per_step}
        rows = [
            EvalRow(
                **row,
                dataset=held_out.name,
                domain=None,
                loss=float(sums.sum() / sizes.sum()),
                bits_per_byte=float(sums.sum() / (sizes / ratios).sum()) / math.log(2),
                num_tokens=int(sizes.sum()),
            )
        ]
        if held_out.domains != ("",):
            rows += [
                EvalRow(
                    **row,
                    dataset=held_out.name,
                    domain=domain,
                    loss=float(loss / size),
                    bits_per_byte=float(loss / size * ratio) / math.log(2),
                    num_tokens=int(size),
                )
                for domain, loss, size, ratio in zip(
                    held_out.domains, sums, sizes, ratios, strict=True
                )
            ]
        return rows

    def _loss_sums(self, held_out: HeldOutSequences, model: GPT) -> Tensor:
        """Summed nats of each domain, float64 [domains], over all ranks.

        FSDP gathers weights in every forward pass, so each rank must do equally many: the last
        batches repeat a sequence with weight 0.
        """
        team = self._team
        sums = torch.zeros(len(held_out.domains), dtype=torch.float64)
        for rows, weights in _batches(
            len(held_out.sequences), self._config.evaluation.batch_sequences, team
        ):
            losses = model.token_losses(held_out.sequences[rows].to(team.device))
            per_sequence = losses.double().sum(dim=1).cpu() * weights
            sums.index_add_(0, held_out.domain_of[rows], per_sequence)
        return team.sum(sums.to(team.device)).cpu()


def _batches(count: int, size: int, team: Workers) -> Sequence[tuple[Tensor, Tensor]]:
    """The row numbers and weights of each of this rank's batches."""
    rounds = math.ceil(count / (size * team.world_size))
    mine = torch.arange(team.rank, rounds * size * team.world_size, team.world_size)
    needed = math.ceil(count / team.world_size)
    mine = mine[:needed]
    weights = (mine < count).double()
    mine = mine.clamp(max=count - 1)
    return list(zip(mine.split(size), weights.split(size), strict=True))
