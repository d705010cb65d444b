"""How fast a sweep trains, from what has been trained so far."""

LEAST_SECONDS = 10.0
"""A pace is not told before it was watched for so long: the first rows come one by one."""


class Pace:
    """Tokens a second, counted from the first that were trained.

    What comes before them, starting machines and processes and the first compilation, comes once.
    What comes between states is part of the pace.
    """

    def __init__(self, tokens: int) -> None:
        """Begins to watch.

        Args:
            tokens: Trained already.
        """
        self._tokens = tokens
        self._since: float | None = None
        self._now, self._trained = 0.0, tokens

    def note(self, tokens: int, now: float) -> None:
        """Takes note of how many tokens are trained by now, in seconds of any one clock."""
        if self._since is None and tokens != self._tokens:
            self._tokens, self._since = tokens, now
        self._now, self._trained = now, tokens

    def seconds(self, tokens: int) -> float | None:
        """How long so many more tokens will take; None before that can be said."""
        if self._since is None or self._now - self._since < LEAST_SECONDS:
            return None
        done = self._trained - self._tokens
        return tokens * (self._now - self._since) / done if done > 0 else None
