"""Which sample comes next: an exact mixture in closed form, and a shuffle in closed form.

A stage reads one stream of samples, numbered from 0; global batch `s` is samples
`s * global_batch_size` onwards, whatever the number of workers. `locate` says which source
sample `i` comes from and its index in that source, by integer arithmetic alone, so the whole
resume state of the loader is one integer and the counts of every prefix are exact. Every source
is read in its own order without gaps: the index of a sample is its source's count before it.

A stream consists of data sets, and a data set of sources: weights come in groups, one for each
data set. Both are parted by a tree of cuts in two; of n samples at a cut, one side takes a count
that never falls, and rises by at most one from n to n + 1:

- **Data sets** are cut off one after the other with floor(n f). Replay with share f: sample i is
  replay iff floor((i + 1) f) > floor(i f), so floor(n f) of every n are replay. What several data
  sets round off gathers in the last: with k of them a count may be up to k - 1 samples off.
- **Sources of one data set** are cut by Huffman's tree, which joins the two lightest first, with
  floor(n f + 1/2): the nearest count. No source is ever 2 samples off its share of its data set.
  For a node that is e off hands f e to its side with share f, and each cut adds at most 1/2. In
  Huffman's tree a node weighs no less than the children of its sibling, so a node with children
  has at most 2/3 of its parent: it is at most 1/2 (1 + 2/3 + (2/3)^2 + ...) = 3/2 off, and a
  source below it, with a share f < 1 of it, less than 1/2 + 3/2.

This is compute-equivalent replay (arXiv 2403.08763, section 4.2): the share comes out of the
stage's budget. GPT-NeoX (PR #1200) reached nearly the same order with a greedy blender.
"""

import functools
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Groups = Sequence[Sequence[Fraction]]


def locate(samples: Int64s, groups: Groups) -> tuple[Int64s, Int64s]:
    """Where samples of a mixed stream come from.

    Args:
        samples: Indices in the stream, shape [n], at least 0.
        groups: Weights of the sources, a group for each data set; positive, of any sum.

    Returns:
        The number of the source, counted through all groups, and the index in that source, both
        of shape [n].

    Raises:
        ValueError: No weights, or one that is not positive.
    """
    source = np.empty(samples.shape, dtype=np.int64)
    index = np.empty(samples.shape, dtype=np.int64)
    undecided = [(_tree(_frozen(groups)), np.arange(samples.size), samples.astype(np.int64))]
    while undecided:
        node, places, rest = undecided.pop()
        if isinstance(node, int):
            source[places] = node
            index[places] = rest
            continue
        before, is_taken = node.taken(rest)
        for child, mine, count in (
            (node.side, is_taken, before),
            (node.other, ~is_taken, rest - before),
        ):
            undecided.append((child, places[mine], count[mine]))
    return source, index


def counts(num_samples: int, groups: Groups) -> list[int]:
    """How many of the first `num_samples` come from each source; sums to `num_samples`.

    Raises:
        ValueError: No weights, or one that is not positive.
    """
    result = [0] * sum(map(len, groups))
    undecided = [(_tree(_frozen(groups)), num_samples)]
    while undecided:
        node, rest = undecided.pop()
        if isinstance(node, int):
            result[node] = rest
            continue
        taken = (rest * node.p + node.r) // node.q
        undecided += [(node.side, taken), (node.other, rest - taken)]
    return result


@dataclass(frozen=True)
class _Cut:
    """Of n samples, floor((n p + r) / q) go to `side`, the rest to `other`; 0 <= r < q."""

    p: int
    q: int
    r: int
    side: "_Node"
    other: "_Node"

    def taken(self, samples: Int64s) -> tuple[Int64s, NDArray[np.bool_]]:
        """How many samples before each go to `side`, and whether it does itself.

        The quotient of floats is at most one off below 2^50; the remainder it leaves, reckoned
        modulo 2^64, is small enough to be exact, and says which.
        """
        p, q, r = self.p, self.q, self.r
        if q >= 1 << 61 or (samples.size and int(samples.max()) >= 1 << 50):
            pairs = [divmod(sample * p + r, q) for sample in samples.tolist()]
            before = np.array([quotient for quotient, _ in pairs], dtype=np.int64)
            return before, np.array([rest + p >= q for _, rest in pairs], dtype=bool)
        before = (samples * (p / q) + r / q).astype(np.int64)
        rest = samples * p - before * q + r
        low, high = rest < 0, rest >= q
        before += high
        before -= low
        rest += q * low
        rest -= q * high
        return before, rest >= q - p


_Node = int | _Cut


def _frozen(groups: Groups) -> tuple[tuple[Fraction, ...], ...]:
    return tuple(tuple(group) for group in groups)


@functools.lru_cache(maxsize=256)
def _tree(groups: tuple[tuple[Fraction, ...], ...]) -> _Node:
    """The cuts of a stream; its leaves are the numbers of the sources."""
    weights = [weight for group in groups for weight in group]
    if not weights or not all(groups) or any(weight <= 0 for weight in weights):
        shown = [[str(weight) for weight in group] for group in groups]
        raise ValueError(f"weights: got {shown}; each must be above 0")
    first = len(weights) - len(groups[-1])
    node = _huffman(groups[-1], first)
    remaining = sum(groups[-1], Fraction(0))
    for group in reversed(groups[:-1]):
        first -= len(group)
        mine = sum(group, Fraction(0))
        remaining += mine
        share = mine / remaining
        node = _Cut(share.numerator, share.denominator, 0, _huffman(group, first), node)
    return node


def _huffman(weights: Sequence[Fraction], first: int) -> _Node:
    """Joins the two lightest until one is left; of equal ones those that stand first."""
    heap: list[tuple[Fraction, int, _Node]] = [
        (weight, number, first + number) for number, weight in enumerate(weights)
    ]
    heapq.heapify(heap)
    joined = len(weights)
    while len(heap) > 1:
        light, _, side = heapq.heappop(heap)
        heavy, _, other = heapq.heappop(heap)
        share = light / (light + heavy)
        p, q = share.numerator, share.denominator
        heapq.heappush(heap, (light + heavy, joined, _Cut(2 * p, 2 * q, q, side, other)))
        joined += 1
    return heap[0][2]


def shuffled(
    index: Int64s, size: int, seed: int, epoch: int, family: tuple[int, ...] = ()
) -> Int64s:
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
        family: A family of orders beside those of training.

    Returns:
        Positions in [0, size), shape [n].
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << half) - 1)
    sequence = np.random.SeedSequence([seed, epoch], spawn_key=family)
    keys = sequence.generate_state(4, np.uint64).astype(np.uint64)
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
