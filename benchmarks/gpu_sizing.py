"""What training a model takes of one NVIDIA GPU's memory, and how fast it goes there.

    PYTHONPATH=. python benchmarks/gpu_sizing.py MODEL ... [--micro-batches 4 16] [--steps 20]

Each model at context 2048 with its blocks' activations kept and computed again, compiled, as
`gpu.py` measures it. The most memory is a line in the tokens of a micro-batch: what the weights,
gradients and Adam's moments take, and what every token adds; two micro-batches give both. Needs
torch 2.11 or later, no Ray. Without a GPU it exits with status 2.
"""

import argparse
import sys

import torch
from gpu import Measured, measure, rewarm_update, run_config

from cpt.parallel import Workers, workers


def cells(model: str, asked: argparse.Namespace, team: Workers) -> None:
    """Prints a row for each micro-batch, and the line through the first and the last."""
    for checkpointing in (False, True):
        found: dict[int, Measured] = {}
        for sequences in asked.micro_batches:
            # A second shape would be compiled for all shapes, and be slower.
            torch.compiler.reset()
            config = run_config(
                model,
                asked.context,
                sequences,
                checkpointing=checkpointing,
                precision=asked.precision,
            )
            what = f"{model} | {asked.precision} | {'again' if checkpointing else 'kept'}"
            measured = measure(rewarm_update, config, team, asked.steps)
            if measured is None:
                print(f"| {what} | {sequences} | out of memory | | |", flush=True)
                continue
            found[sequences] = measured
            print(
                f"| {what} | {sequences} | {measured.tokens_per_second:,.0f} | {measured.mfu:.1%} "
                f"| {measured.memory / 2**30:.2f} |",
                flush=True,
            )
        if len(found) > 1:
            low, high = min(found), max(found)
            per_sequence = (found[high].memory - found[low].memory) / (high - low)
            fixed = found[low].memory - low * per_sequence
            parameters = config.model.num_parameters
            print(
                f"{what}: {parameters:,} parameters, {fixed / parameters:.1f} bytes each, and "
                f"{per_sequence / asked.context / 2**10:.0f} KiB a token",
                flush=True,
            )


def main() -> None:
    """Measures on one GPU."""
    parser = argparse.ArgumentParser(description="A model's need of a GPU.")
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--micro-batches", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=20)
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        print("benchmarks/gpu_sizing.py needs an NVIDIA GPU; torch finds none.", file=sys.stderr)
        sys.exit(2)
    with workers() as team:
        print(f"{torch.cuda.get_device_name(team.device)}, torch {torch.__version__}")
        print("| model | precision | activations | sequences | tokens/s | MFU | peak GiB |")
        print("|---|---|---|---|---|---|---|", flush=True)
        for model in asked.models:
            cells(model, asked, team)


if __name__ == "__main__":
    main()
