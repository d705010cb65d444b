"""Which settings a sweep compares: the grid, or each axis around the centre, and the baselines."""

import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from sweeps.spec import FACTORS, Baseline, SweepSpec, plain


def settings(spec: SweepSpec) -> Iterator[tuple[str, dict[str, Any], Baseline | None]]:
    """Every setting but the seed: its label, its factors, and which baseline it is.

    The factors of a baseline are those of the centre, or the first of an axis without one.
    """
    axes = {name: values for name, values in spec.axes.given().items() if name in FACTORS}
    center = spec.center.given()
    if spec.design == "grid":
        names = [name for name in FACTORS if name in axes]
        for values in itertools.product(*(axes[name] for name in names)):
            chosen = dict(zip(names, values, strict=True))
            label = ",".join(f"{name}={_shown(value)}" for name, value in chosen.items())
            yield label or "center", center | chosen, None
    else:
        yield "center", center, None
        for name in FACTORS:
            for value in axes.get(name, ()):
                if value != center[name]:
                    yield f"{name}={_shown(value)}", center | {name: value}, None
    first = {name: center.get(name, axes[name][0] if name in axes else None) for name in FACTORS}
    for baseline in spec.baselines:
        yield baseline, first, baseline


def with_seed(spec: SweepSpec, label: str, seed: int) -> str:
    """The label of a replicate, where there are several."""
    return f"{label},seed={seed}" if len(spec.seeds) > 1 else label


def _shown(value: object) -> str:
    """As short as it can be without two values looking alike: 0.05, 3e-05, 1/3, cosine."""
    shown = plain(value)
    if not isinstance(shown, float):
        return str(shown)
    short = f"{shown:g}"
    if isinstance(value, Fraction):
        return short if Fraction(short) == value else str(value)
    return short if float(short) == shown else repr(shown)
