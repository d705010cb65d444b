"""Two sweeps over replay whose endings are typed; a step is 10 tokens, a final window 20 steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cpt.files import read_json, write_json


class Pair:
    """The sweeps `one` and `other`, trials first."""

    def __init__(self, tree, folder: Path) -> None:
        self._trees = {name: tree(folder / name) for name in ("one", "other")}

    def trial(
        self,
        sweep: str,
        seed: int,
        forgetting: float,
        adaptation: float,
        replay: float | None = 0.05,
        *,
        name: str | None = None,
        status: str = "complete",
        baseline: str | None = None,
    ) -> None:
        """A trial from D0 at 2 and D1 at 3 nats."""
        self._trees[sweep].add(
            name or f"{sweep} {baseline or ''} {replay} {seed}",
            replay,
            seed,
            {
                "prose": [(0, 2.0), (100, 2.0 + forgetting)],
                "code": [(0, 3.0), (100, 3 - adaptation)],
            },
            status=status,
            baseline=baseline,
        )

    def write(
        self,
        seeds: Mapping[str, Sequence[int]],
        replay: Sequence[float] = (0.05,),
        changes: Mapping[str, Mapping[str, object]] | None = None,
    ) -> list[Path]:
        """Writes both; `changes` replaces fields of a sweep's plan."""
        folders = []
        for name, tree in self._trees.items():
            tree.axes = {"replay_fraction": list(replay), "seed": list(seeds[name])}
            folder = tree.write()
            plan = (
                read_json(folder / "plan.json")
                | {"name": name}
                | dict((changes or {}).get(name, {}))
            )
            write_json(folder / "plan.json", plan)
            folders.append(folder)
        return folders


@pytest.fixture
def pair(typed, tmp_path: Path) -> Pair:
    """Trees to type into."""
    return Pair(type(typed), tmp_path)


@pytest.fixture
def three_seeds(pair) -> list[Path]:
    """Seeds 0, 1, 2 in both; forgetting differs by 0.10, 0.12 and 0.14, adaptation by nothing."""
    for seed, base, change in ((0, 0.2, 0.10), (1, 0.5, 0.12), (2, 0.3, 0.14)):
        pair.trial("one", seed, base, 0.6 + base)
        pair.trial("other", seed, base + change, 0.6 + base)
    return pair.write({"one": [0, 1, 2], "other": [0, 1, 2]})


def other_tokenizer(folder: Path, *, same_text: bool = True) -> None:
    """Makes a sweep one that another tokenizer packed, of the same text or of some other."""
    storage = folder.parents[1]
    for path in (folder / "plan.json", *storage.glob("states/*/config.json")):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("-valid", "-valid-words"), encoding="utf-8")
    set_text(folder, "text" if same_text else "another")
    plan = read_json(folder / "plan.json") | {"tokenizer": "words.json"}
    write_json(folder / "plan.json", plan)


def set_text(folder: Path, text: str) -> None:
    """Records the held-out text of both data sets, as plans do from now on."""
    plan = read_json(folder / "plan.json")
    for name, dataset in plan["datasets"].items():
        dataset["validation_text"] = f"{text} of {name}"
    write_json(folder / "plan.json", plan)
