"""`python -m cpt STATE_DIR` or `torchrun ... -m cpt STATE_DIR`: trains what its config.json says.

STATE_DIR is `<storage>/states/<state_id>`; the parent state it names lies below the same
`<storage>`, and so do the token stores unless --token-storage names another place. Run it again to
go on after an interruption. SIGTERM saves and leaves; a second one leaves at once.
"""

import argparse
import sys
from pathlib import Path

from cpt.leaving import EXIT_INTERRUPTED, Leave, LeavingError
from cpt.parsing import ConfigError
from cpt.records import ResultTree, StateDir
from cpt.token_store import StoreError
from cpt.train import DivergedError, read_config, train


def main() -> int:
    """Exit status: 0 trained, 1 failed, 2 refused, 75 saved and left."""
    parser = argparse.ArgumentParser(prog="python -m cpt", description="Trains a state to its end.")
    parser.add_argument("state_dir", metavar="STATE_DIR", type=Path)
    parser.add_argument(
        "--token-storage",
        metavar="URI",
        help="directory or URI of the token stores; default: <storage>/tokens",
    )
    arguments = parser.parse_args()
    state = StateDir(arguments.state_dir.resolve())
    if not state.config.is_file():
        print(f"{state.config} does not exist; STATE_DIR must hold a config.json", file=sys.stderr)
        return 2
    try:
        config = read_config(state)
        if config.state_id != state.path.name:
            raise ConfigError(
                [
                    f"{state.path.name} is not the id of the configuration in it; that is "
                    f"{config.state_id}"
                ]
            )
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    leave = Leave()
    leave.on_sigterm()
    try:
        train(config, ResultTree(state.path.parent.parent, arguments.token_storage), leave=leave)
    except LeavingError as error:
        print(f"{error}; the same command goes on from there", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (DivergedError, StoreError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
