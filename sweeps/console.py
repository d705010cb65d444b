"""What commands say with, and how they end."""

import contextlib
import enum
from collections.abc import Iterator

from rich.console import Console

from cpt.leaving import EXIT_INTERRUPTED
from cpt.parsing import ConfigError

# Names and reasons are shown as they are: `[x]` is no markup, `:x:` no emoji.
out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)


class Exit(enum.IntEnum):
    """Exit statuses, a contract with scripts and schedulers."""

    DONE = 0
    FAILED = 1
    REFUSED = 2
    INTERRUPTED = EXIT_INTERRUPTED


def say(text: str) -> None:
    """A line of output."""
    out.print(text, markup=False, soft_wrap=True)


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """Turns a module that the installation lacks into a sentence.

    Raises:
        ConfigError: One of this extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            [
                f"this command needs {error.name}, which is not installed: "
                f"pip install 'rewarm[{name}]'."
            ]
        ) from error
