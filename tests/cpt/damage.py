"""What disks, hands and other programs do to a file, at places that a seed chooses."""

import random
from collections.abc import Callable
from pathlib import Path


def flip(path: Path, chance: random.Random) -> None:
    """One bit of one byte."""
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def truncate(path: Path, chance: random.Random) -> None:
    """Its end is lost."""
    path.write_bytes(path.read_bytes()[: chance.randrange(1, path.stat().st_size)])


def delete(path: Path, chance: random.Random) -> None:
    path.unlink()


def empty(path: Path, chance: random.Random) -> None:
    path.write_bytes(b"")


def replace(path: Path, chance: random.Random) -> None:
    """As many other bytes."""
    path.write_bytes(chance.randbytes(path.stat().st_size))


def cut_out(path: Path, chance: random.Random) -> None:
    """Some bytes of its middle are lost."""
    content = path.read_bytes()
    first, end = sorted(chance.sample(range(len(content)), 2))
    path.write_bytes(content[:first] + content[end:])


def digit(path: Path, chance: random.Random) -> None:
    """One digit is another."""
    content = bytearray(path.read_bytes())
    at = chance.choice([at for at, byte in enumerate(content) if chr(byte).isdigit()])
    content[at] = ord(chance.choice([one for one in "0123456789" if one != chr(content[at])]))
    path.write_bytes(content)


Damage = Callable[[Path, random.Random], None]
OF_A_FILE: tuple[Damage, ...] = (flip, truncate, delete, empty, replace)
OF_ROWS: tuple[Damage, ...] = (truncate, cut_out, digit, flip, delete)
