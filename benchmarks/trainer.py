"""What rewarm's trainer costs and gains on a CPU, beside other ways to train the same model.

    python benchmarks/trainer.py [plain|hf|fsdp|checkpoint|all] [--steps N] [--rounds N] [FOLDER]

    plain       `plain_gpt.py`: the well-known minimal loop, eager in fp32 and compiled in bf16
    hf          `hf_trainer.py`: transformers.Trainer, by default and in its fastest setting here
                (needs `pip install transformers accelerate`)
    fsdp        two workers of one thread each, sharded, against one of two threads
    checkpoint  `checkpoint_cost.py`: what saving costs, and how long resuming takes

Real text, byte by byte; one set of shapes; two threads. Everyone trains the same weights on the
same batches with the same AdamW, and must reach the same loss, or the exit status is 1. Steps are
timed after a warm-up of 10, the contenders take turns, and a ratio is that of the medians, with the
least and most of a round. Needs two cores that are otherwise idle. FOLDER, a temporary one by
default, keeps the packed text and the results.
"""

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from checkpoint_cost import resuming, saving
from compared import Report, print_table, tokens_per_second
from contest import REWARM, WARM_UP_STEPS, Arena, Contender, FailedError, load, machine, make_arena

from cpt.config import RunConfig
from cpt.model_config import PRESETS, ModelConfig


@dataclass(frozen=True)
class Shape:
    """A model and its batch.

    Attributes:
        name: As printed.
        model: Without a vocabulary yet.
        context: Tokens of a sequence.
        batch: Sequences of a step.
        times: Steps are so short that this many as many are timed.
    """

    name: str
    model: ModelConfig
    context: int
    batch: int
    times: int = 1

    def config(self, arena: Arena, steps: int) -> RunConfig:
        """Trains `times` x `steps` after the warm-up."""
        total = WARM_UP_STEPS + self.times * steps
        return arena.config(self.model, self.context, self.batch, total)


MEDIUM = Shape(
    "6 layers of 256, 8 x 256 tokens",
    ModelConfig(num_layers=6, hidden_size=256, num_heads=8),
    context=256,
    batch=8,
)
SMALL = Shape(
    "4 layers of 128, 12 x 64 tokens",
    ModelConfig(num_layers=4, hidden_size=128, num_heads=4),
    context=64,
    batch=12,
    times=8,
)
TEN_MILLION = Shape("gpt-10m, 16 x 256 tokens", PRESETS["gpt-10m"], context=256, batch=16)

EAGER = Contender("plain loop, eager fp32", ("benchmarks/plain_gpt.py",))
COMPILED = Contender(
    "plain loop, compiled bf16", ("benchmarks/plain_gpt.py", "--autocast", "--compile")
)
TRANSFORMERS = Contender("transformers.Trainer, default", ("benchmarks/hf_trainer.py",))
ATTENTION, SCREENING_STEPS = ("sdpa", "eager"), 15
SHARDED = Contender(
    "two workers, FSDP",
    ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "cpt"),
    threads=1,
)


def contest(
    arena: Arena,
    report: Report,
    shape: Shape,
    others: Sequence[tuple[Contender, float]],
    steps: int,
    rounds: int,
) -> None:
    """Rewarm against others in turn, each with the ratio to reach."""
    config = shape.config(arena, steps)
    contenders = [REWARM, *(other for other, _ in others)]
    print(f"{shape.name}, {config.total_steps} steps, {rounds} rounds; {load()} ...", flush=True)
    mine, *theirs = arena.in_turn(contenders, config, rounds)
    for (other, target), trainings in zip(others, theirs, strict=True):
        report.compare(shape.name, config, (REWARM, mine), (other, trainings), target)
    for contender, trainings in zip(contenders, (mine, *theirs), strict=True):
        report.first_updates(shape.name, contender, trainings)


def plain(arena: Arena, report: Report, steps: int, rounds: int) -> None:
    """The plain loop, eager in fp32 and compiled in bf16."""
    for shape in (MEDIUM, SMALL):
        contest(arena, report, shape, [(EAGER, 2.5), (COMPILED, 1.0)], steps, rounds)


def hf(arena: Arena, report: Report, steps: int, rounds: int) -> None:
    """transformers.Trainer by default, and in the fastest of its settings."""
    for shape in (MEDIUM, SMALL):
        fastest = fastest_setting(arena, shape)
        contest(arena, report, shape, [(TRANSFORMERS, 2.0), (fastest, 1.3)], steps, rounds)


def fastest_setting(arena: Arena, shape: Shape) -> Contender:
    """Tries them all for a few steps, which also compiles them."""
    config = shape.config(arena, SCREENING_STEPS)
    print(f"{shape.name}: settings of transformers.Trainer, {load()}", flush=True)
    rates = {}
    for bf16, compiled, attention in itertools.product((False, True), (False, True), ATTENTION):
        flags = ["--bf16"] * bf16 + ["--compile"] * compiled + ["--attention", attention]
        name = f"{'bf16' if bf16 else 'fp32'}{', compiled' * compiled}, {attention} attention"
        setting = Contender(f"transformers, {name}", (*TRANSFORMERS.command, *flags))
        took = arena.train_once(setting, config)
        rates[setting] = tokens_per_second([took], config)
        print(f"  {name}: {rates[setting]:,.0f} tokens/s", flush=True)
    return max(rates, key=lambda setting: rates[setting])


def fsdp(arena: Arena, report: Report, steps: int, rounds: int) -> None:
    """Two workers of a thread each, against one of two."""
    for shape in (MEDIUM, TEN_MILLION):
        config = shape.config(arena, steps)
        print(f"{shape.name}, {config.total_steps} steps; {load()} ...", flush=True)
        two, one = arena.in_turn([SHARDED, REWARM], config, rounds)
        report.compare(shape.name, config, (SHARDED, two), (REWARM, one), 0.9)
        report.first_updates(shape.name, SHARDED, two)


def checkpoint(arena: Arena, _: Report, steps: int, rounds: int) -> None:
    """Saving four times against never, and going on after an interruption."""
    interval, shape = max(steps // 4, 1), TEN_MILLION
    never = shape.config(arena, steps)
    print(f"{shape.name}, saving every {interval} of {steps} steps; {load()} ...", flush=True)
    rows = [*saving(arena, never, interval, rounds)]
    for compiled in ("never", "always"):
        three = arena.config(shape.model, shape.context, shape.batch, 3, compile=compiled)
        rows += resuming(arena, three, rounds)
    print_table(f"{shape.name} | median | least | most | target", rows)


COMPARISONS: dict[str, Callable[[Arena, Report, int, int], None]] = {
    "plain": plain,
    "hf": hf,
    "fsdp": fsdp,
    "checkpoint": checkpoint,
}
STEPS = {"plain": 60, "hf": 60, "fsdp": 40, "checkpoint": 200}
"""Timed by default."""


def measure(arena: Arena, names: Sequence[str], steps: int | None, rounds: int) -> list[str]:
    """Runs some comparisons and prints them; what went wrong, in sentences."""
    print(machine())
    faults = []
    for name in names:
        report = Report()
        try:
            COMPARISONS[name](arena, report, steps or STEPS[name], rounds)
        except FailedError as error:
            report.faults.append(str(error))
        report.show()
        faults += report.faults
    return faults


def main() -> None:
    """Measures in FOLDER or a temporary one."""
    parser = argparse.ArgumentParser(description="What the trainer costs and gains on a CPU.")
    parser.add_argument("which", nargs="?", default="all", choices=[*COMPARISONS, "all"])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    names = list(COMPARISONS) if asked.which == "all" else [asked.which]
    with tempfile.TemporaryDirectory(prefix="rewarm-trainer-") as aside:
        folder = asked.folder or Path(aside)
        faults = measure(make_arena(folder.resolve()), names, asked.steps, asked.rounds)
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
