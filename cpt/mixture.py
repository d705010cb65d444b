"""Which sample comes next: an exact mixture in closed form, and a shuffle in closed form.

A stage reads one stream of samples, numbered from 0; global batch `s` is samples
`s * global_batch_size` onwards, whatever the number of workers. `locate` says which source
sample `i` comes from and its index in that source, by integer arithmetic alone, so the whole
resume state of the loader is one integer and the counts of every prefix are exact.

Replay with share f: sample i is replay iff floor((i + 1) f) > floor(i f); its index among the
replayed is floor(i f), else its index among the new is i - floor(i f). Every source is read in
its own order without gaps, and after n samples floor(n f) of them are replay. Several sources are
split off one after the other by the same rule, each from what the ones before it left; what they
round off gathers in the last, so with k sources a count may be up to k - 1 samples off its share.

This is compute-equivalent replay (arXiv 2403.08763, section 4.2): the share comes out of the
stage's budget. GPT-NeoX (PR #1200) reached nearly the same order with a greedy blender.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]


def locate(samples: Int64s, weights: Sequence[Fraction]) -> tuple[Int64s, Int64s]:
    """Where samples of a mixed stream come from.

    Args:
        samples: Indices in the stream, shape [n], at least 0.
        weights: Share of each source, positive; they need not sum to one.

    Returns:
        The number of the source and the index in that source, both of shape [n].

    Raises:
        ValueError: No weights, or one that is not positive.
    """
    _check(weights)
    source = np.full(samples.shape, len(weights) - 1, dtype=np.int64)
    index = np.zeros(samples.shape, dtype=np.int64)
    undecided = np.ones(samples.shape, dtype=bool)
    rest = samples.astype(np.int64)
    remaining = sum(weights, Fraction(0))
    for number, weight in enumerate(weights[:-1]):
        share = weight / remaining
        before, after = _floor_times(rest, share), _floor_times(rest + 1, share)
        taken = undecided & (after > before)
        source[taken] = number
        index[taken] = before[taken]
        undecided &= ~taken
        rest = rest - before
        remaining -= weight
    index[undecided] = rest[undecided]
    return source, index


def counts(num_samples: int, weights: Sequence[Fraction]) -> list[int]:
    """How many of the first `num_samples` come from each source; sums to `num_samples`.

    Raises:
        ValueError: No weights, or one that is not positive.
    """
    _check(weights)
    result = []
    rest, remaining = num_samples, sum(weights, Fraction(0))
    for weight in weights[:-1]:
        taken = rest * weight // remaining
        result.append(taken)
        rest -= taken
        remaining -= weight
    return [*result, rest]


def shuffled(index: Int64s, size: int, seed: int, epoch: int) -> Int64s:
    """The position in the corpus of the `index`-th sample of an epoch, in shuffled order.

    A keyed bijection of range(size), computed for one index at a time: a four-round Feistel
    network on the smallest even number of bits that holds `size`, walked until it lands below
    `size` (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). Nothing is stored,
    so a corpus of any length has an order that depends on the seed and epoch alone.

    Args:
        index: Numbers in [0, size), shape [n].
        size: Samples in the corpus, at least 1.
        seed: The run's seed.
        epoch: How often the corpus was read before; each epoch has its own order.

    Returns:
        Positions in [0, size), shape [n].
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << half) - 1)
    keys = np.random.SeedSequence([seed, epoch]).generate_state(4, np.uint64).astype(np.uint64)
    result = index.astype(np.uint64)
    outside = np.ones(result.shape, dtype=bool)
    while outside.any():
        result[outside] = _feistel(result[outside], half, mask, keys)
        outside = result >= np.uint64(size)
    return result.astype(np.int64)


def _feistel(
    values: NDArray[np.uint64], half: int, mask: np.uint64, keys: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    left: NDArray[np.uint64] = values >> np.uint64(half)
    right: NDArray[np.uint64] = values & mask
    for key in keys:
        left, right = right, left ^ (_mixed(right + key) & mask)
    return (left << np.uint64(half)) | right


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014); wraps modulo 2^64."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _floor_times(values: Int64s, share: Fraction) -> Int64s:
    """floor(values * share), exactly: the product is split so that int64 cannot overflow."""
    p, q = share.numerator, share.denominator
    if q >= 1 << 31:
        return np.array([value * p // q for value in values.tolist()], dtype=np.int64)
    whole, part = np.divmod(values, q)
    product: Int64s = whole * p + part * p // q
    return product


def _check(weights: Sequence[Fraction]) -> None:
    if not weights or any(weight <= 0 for weight in weights):
        raise ValueError(f"weights: got {[str(w) for w in weights]}; each must be above 0")
