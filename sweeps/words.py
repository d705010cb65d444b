"""Numbers as people read them."""

from collections.abc import Sequence

_UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "B"), (1e6, "M"))


def counted(number: int, noun: str) -> str:
    """`1 state`, `12 states`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def quantity(number: float) -> str:
    """Tokens or steps: exact below ten million, else four digits: `512,000`, `299.3B`."""
    if abs(number) < 1e7:
        return f"{number:,.0f}"
    scale, unit = next(one for one in _UNITS if abs(number) >= one[0])
    return f"{number / scale:.4g}{unit}" if number / scale < 1e4 else f"{number:.3e}"


def stored(number: float) -> str:
    """Bytes in powers of a thousand: `4.6 MB`, `1.2 TB`."""
    for scale, unit in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= scale:
            return f"{number / scale:,.3g} {unit}"
    return f"{number:,.0f} B"


def hours(number: float) -> str:
    """Three digits of hours; minutes and seconds where they are few."""
    if number >= 1:
        return f"{number:,.0f} h" if number >= 100 else f"{number:.3g} h"
    return f"{number * 60:.3g} min" if number * 60 >= 1 else f"{number * 3600:.2g} s"


def rate(number: float) -> str:
    """A learning rate, three digits."""
    return f"{number:.3g}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
