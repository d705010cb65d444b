"""Stand-in until the real one is merged."""

from pathlib import Path

from cpt.token_store import TokenStore, read_meta


class TokenLibrary:
    def __init__(self, path):
        self.workplace = Path(path)
        self.workplace.mkdir(parents=True, exist_ok=True)

    @classmethod
    def at(cls, where):
        return cls(where)

    def open(self, i):
        return TokenStore(self.workplace / i)

    def find(self, i):
        return TokenStore(self.workplace / i) if (self.workplace / i).exists() else None

    def publish(self, aside, i):
        try:
            aside.rename(self.workplace / i)
        except OSError:
            if not (self.workplace / i).exists():
                raise

    def corpora(self):
        for p in self.workplace.glob("*/meta.json"):
            yield read_meta(p.parent)

    def set_aside(self, i):
        n = 1
        while (a := self.workplace / f"{i}.damaged-{n}").exists():
            n += 1
        return (self.workplace / i).rename(a)


def library(tree):
    return TokenLibrary(tree.storage / "tokens")
