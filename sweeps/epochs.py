"""How often each data set is read, and each source of one that has several."""

from collections import Counter
from typing import Any

from cpt.config import RunConfig
from sweeps.plan import Plan, Trial


class Epochs:
    """Epochs of a plan; what one stage reads is counted once, however many trials pass through.

    A source is called as its rows call it, e.g. `slimpajama/c4`.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        length = plan.spec.sequence_length
        self._sizes: Counter[str] = Counter()
        for name, facts in plan.datasets.items():
            for part, source in facts.sources.items():
                size = max((source.tokens - 1) // length, 1)
                self._sizes[name] += size
                if part:
                    self._sizes[f"{name}/{part}"] = size
        self._read: dict[Any, list[int]] = {}

    def of(self, trial: Trial) -> dict[str, float]:
        """Epochs along a trial's path: sequences read / sequences there are, in all its stages.

        Replay counts too; what is not read has 0.
        """
        read: Counter[str] = Counter()
        for end in trial.stage_ends:
            config = self._plan.states[end].config
            for source, sequences in zip(config.stream, self._sequences(config), strict=True):
                for label in {source.name, source.label}:
                    read[label] += sequences
        return {name: round(read[name] / size, 4) for name, size in self._sizes.items()}

    def ranges(self) -> dict[str, tuple[float, float]]:
        """The least and the most that any trial reads, in epochs."""
        trials = [self.of(trial) for trial in self._plan.trials]
        return {
            name: (min(epochs[name] for epochs in trials), max(epochs[name] for epochs in trials))
            for name in self._sizes
        }

    def _sequences(self, config: RunConfig) -> list[int]:
        """What a stage reads of each of its sources."""
        key = config.end_step, tuple(map(tuple, config.shares))
        if key not in self._read:
            self._read[key] = config.source_samples()
        return self._read[key]
