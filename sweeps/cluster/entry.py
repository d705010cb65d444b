"""What a submitted job runs on the head: `rewarm run`, once versions and the sweep file are there.

    python -m sweeps.cluster.entry ORDER

ORDER is `sweeps.cluster.submission.Order` as JSON. Called by `rewarm submit` alone.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from sweeps.cluster.versions import REWARM, differences, installed

REFUSED = 2
"""As in `sweeps.console`, which this cannot import before it knows what is installed here."""


def faults(spec: str, here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """Why an order cannot be run here, a sentence each.

    Args:
        spec: The sweep file.
        here: Versions of the machine that submitted.
        there: Versions of this one, the head.
    """
    # Code that came along with the job is the submitting machine's own.
    compared = {name: one for name, one in here.items() if name != REWARM or REWARM in there}
    found = differences(compared, there, "the head")
    if not Path(spec).is_file():
        found.append(
            f"SPEC: got {spec!r}, which is not there on the head, in {Path.cwd()}; submit it again."
        )
    return found


def main(order: str) -> None:
    """Runs an order; ends this process with the exit status of `rewarm run`."""
    asked = json.loads(order)
    found = faults(asked["spec"], asked["versions"], installed())
    if not found:
        try:
            # Needs packages that may not be there.
            from sweeps.__main__ import main as rewarm
        except ModuleNotFoundError as error:
            found = [
                f"rewarm on the head needs {error.name}, which is not installed there; install "
                "rewarm[sweep] in setup_commands of the cluster file."
            ]
    if found:
        for fault in found:
            sys.stderr.write(f"refused: {fault}\n")
        sys.exit(REFUSED)
    overrides = [word for one in asked["overrides"] for word in ("--set", one)]
    again = ["--retry-failed"] if asked["retry_failed"] else []
    sys.argv = ["rewarm", "run", asked["spec"], "--address", "auto", *overrides, *again]
    rewarm()


if __name__ == "__main__":
    main(sys.argv[1])
