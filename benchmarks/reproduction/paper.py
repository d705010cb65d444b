"""What arXiv 2403.08763 (v4) measured, in nats per token: with 405M parameters, and with 10B.

Table 2 (replay), table 12 (peaks), section 6.3 (references), table 4 (10B, `weak-larger`) and
figure 8 (the dip). A loss is a pair: on D0, the Pile, and on D1, SlimPajama (weak) or German Common
Crawl (strong). One seed.
"""

from collections.abc import Mapping
from typing import Any

Pair = tuple[float, float]

REPLAY: Mapping[str, Mapping[Any, Pair]] = {
    "weak": {
        0: (2.44, 2.50),
        0.005: (2.27, 2.50),
        0.01: (2.26, 2.50),
        0.05: (2.23, 2.51),
        0.1: (2.21, 2.51),
        0.5: (2.16, 2.54),
    },
    "strong": {
        0: (3.56, 1.11),
        0.01: (2.83, 1.12),
        0.05: (2.57, 1.12),
        0.1: (2.46, 1.13),
        0.25: (2.33, 1.16),
        0.5: (2.24, 1.22),
    },
    "weak-larger": {0: (1.98, 2.00), 0.05: (1.79, 2.00)},
}
"""By the share of replay."""

PEAKS: Mapping[str, Mapping[str, Pair]] = {
    "weak": {
        "not re-warmed": (2.42, 2.55),
        "0.5": (2.43, 2.51),
        "1": (2.44, 2.50),
        "2": (2.48, 2.50),
    },
    "strong": {
        "not re-warmed": (3.22, 1.21),
        "0.5": (3.47, 1.13),
        "1": (3.56, 1.11),
        "2": (3.63, 1.11),
    },
}
"""By the peak, in peaks of pre-training; without replay."""

REFERENCES: Mapping[str, Mapping[str, Pair]] = {
    "weak": {"D1 alone": (2.51, 2.53), "union": (2.17, 2.53)},
    "strong": {"D1 alone": (3.97, 1.17), "union": (2.26, 1.25)},
    "weak-larger": {"D1 alone": (2.08, 2.05), "union": (1.72, 2.02)},
}
PRETRAINED: Mapping[str, tuple[float, float | None]] = {
    "weak": (2.17, 2.70),
    "strong": (2.17, None),
    "weak-larger": (1.75, 2.24),
}
"""The model that trials start from; its loss on German is not told."""

RISES: Mapping[str, Mapping[str, float]] = {
    "unchanged": {"1": 0.1, "2": 0.2},
    "weak": {"1": 0.35, "2": 0.45},
}
"""The largest rise of D0 loss after re-warming, by the peak in peaks of pre-training."""
