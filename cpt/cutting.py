"""Which documents of a source are meant, told by a hash of their text.

Equal texts fall on the same side of every cut, and no document moves when others come or go, or
when files are put in another order.
"""

import hashlib
from fractions import Fraction

from cpt.dataset_config import Part


def document_hash(text: str) -> int:
    """The first 8 bytes of the BLAKE2b hash of a text in UTF-8, as a number."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def is_held_out(text: str, share: Fraction | None) -> bool:
    """Whether a text falls into the share that is cut out for validation; None: nothing is."""
    return share is not None and document_hash(text) < held_out_below(share)


def held_out_below(share: Fraction) -> int:
    """Documents whose hash is below it are held out."""
    return int(share * 2**64)


def is_in_part(text: str, part: Part | None) -> bool:
    """Whether a text is of a part; None: every text is.

    The remainder decides, which tells nothing of the size of a hash, so that a share is held out
    of a part as it is of the whole.
    """
    return part is None or document_hash(text) % part.of == part.number - 1
