"""The driver of a simulated cluster, as a process whose memory and time can be told apart.

With `sweep FILE` it is `rewarm run` with a stub for its training, with `bare TRIALS` Ray Tune with
as many trials that do nothing.
"""

import argparse
import functools
import logging
import sys
from pathlib import Path

from benchmarks.scaling.stub import nothing, training


def sweep(asked: argparse.Namespace) -> int:
    """`rewarm run FILE --address ADDRESS`."""
    from sweeps import launch
    from sweeps.running import run_sweep
    from sweeps.sweep_file import load

    stub = training(asked.seconds, asked.notes)
    launch.run = functools.partial(launch.run, function=stub)  # type: ignore[assignment]
    spec, submitted = load(Path(asked.what), [])
    return run_sweep(spec, submitted, asked.address, retry_failed=False)


def bare(asked: argparse.Namespace) -> int:
    """Tune with the settings that `sweeps.launch` makes for it, and nothing of ours."""
    # Its import sets them.
    from sweeps import launch  # noqa: F401 # isort: skip
    import ray
    from ray import tune

    ray.init(address=asked.address, log_to_driver=False, logging_level=logging.ERROR)
    storage = asked.notes.parent / "bare-tune"
    tune.Tuner(
        tune.with_resources(nothing(asked.seconds, asked.notes), {"cpu": 1}),
        param_space={"number": tune.grid_search(range(int(asked.what)))},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(name="tune", storage_path=str(storage), verbose=0),
    ).fit()
    ray.shutdown()
    return 0


def main() -> None:
    """Runs one of both."""
    parser = argparse.ArgumentParser(description="The driver of a simulated cluster.")
    parser.add_argument("kind", choices=("sweep", "bare"))
    parser.add_argument("what")
    parser.add_argument("--address", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--notes", type=Path, required=True)
    asked = parser.parse_args()
    sys.exit({"sweep": sweep, "bare": bare}[asked.kind](asked))


if __name__ == "__main__":
    main()
