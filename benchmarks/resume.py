"""Goes on with an interrupted state, in a fresh process; prints how long it took, as JSON.

    python benchmarks/resume.py STATE_DIR

`imports` are seconds before `cpt.train.train` is called, `resume` those from the call to the first
new row. STATE_DIR must have one step left, so that its first new row is its last.
"""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Imports within, to be timed."""
    began = time.time()
    from cpt.records import ResultTree, StateDir
    from cpt.train import read_config, train

    imported = time.time()
    state = StateDir(Path(sys.argv[1]).resolve())
    config = read_config(state)
    called = time.time()
    train(config, ResultTree(state.path.parent.parent))
    first_row = state.train_rows.stat().st_mtime
    print(json.dumps({"imports": imported - began, "resume": first_row - called}))


if __name__ == "__main__":
    main()
