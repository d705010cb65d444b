"""Ten damaged token stores of each kind of file: none is read."""

import random
import shutil
from pathlib import Path

import pytest

from cpt.token_store import META, StoreError, TokenStore
from tests.cpt.damage import OF_A_FILE


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", ["data", "meta"])
def test_a_damaged_store_is_not_read(tiny, tmp_path: Path, kind: str, seed: int) -> None:
    chance = random.Random(seed)
    store = tmp_path / tiny.corpora["held out"]
    shutil.copytree(tiny.tree.tokens(store.name), store)
    TokenStore(store)
    data = sorted(path.name for path in store.iterdir() if path.suffix != ".json")
    file = store / (META if kind == "meta" else chance.choice(data))
    damage = OF_A_FILE[seed % len(OF_A_FILE)]
    damage(file, chance)
    with pytest.raises(StoreError) as refused:
        TokenStore(store)
    assert str(store) in str(refused.value)
