"""How long the report of a large sweep takes, and what the page weighs.

    python benchmarks/report.py [--trials 1000] [--design grid|random|both] [FOLDER]

Writes a sweep of so many trials with 300 evaluation rows a state, 500 updates and 300 rows of what
was read, then builds its report in a process of its own and opens the page in Chromium. Beside
every time stands that to parse the same rows with `json.loads`, line by line, and to open a page of
nothing but plotly, taken in the same run: ratios say more than seconds do on a machine that others
use.
"""

import argparse
import itertools
import json
import math
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from plotly.offline import get_plotlyjs

ROOT = Path(__file__).parents[1]
SETS = {"prose": "d0", "code": "d1"}
DOMAINS = (None, "first", "second")
SEEDS = 4
UPDATES = 500
EVALUATIONS = 50
TOKENS_PER_STEP = 4096
SCHEDULES = ("cosine", "wsd", "infinite_cosine", "constant", "infinite_inverse_sqrt")
TARGETS = {"seconds": 20.0, "GiB": 2.0, "MB": 25.0, "interactive": 3.0}


def factors(design: str, trials: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """The settings, each with every seed."""
    settings = math.ceil(trials / SEEDS)
    if design == "random":
        drawn = [
            {
                "max_lr": float(f"{10 ** rng.uniform(-3.5, -2):.4g}"),
                "replay_fraction": round(rng.uniform(0, 0.5), 4),
                "schedule": str(rng.choice(SCHEDULES)),
            }
            for _ in range(settings)
        ]
    else:
        replays = [0, 0.005, 0.01, 0.05, 0.25, 0.5, 0.1, 0.02, 0.15, 0.3]
        peaks = [float(f"{5e-4 * 1.8**number:.3g}") for number in range(5)]
        drawn = [
            {"max_lr": peak, "replay_fraction": replay, "schedule": schedule}
            for peak, replay, schedule in itertools.product(peaks, replays, SCHEDULES)
        ][:settings]
    for setting in drawn:
        for seed in range(SEEDS):
            yield {**setting, "seed": seed}


def eval_steps() -> list[int]:
    """Steps at which a state is evaluated, first and last included, closer together at first."""
    early = [0, 1, 2, 4, 8, 16, 32]
    even = np.linspace(40, UPDATES, EVALUATIONS - len(early)).round().astype(int)
    return [*early, *map(int, even)]


def write_state(
    folder: Path, name: str, start: tuple[float, float], end: tuple[float, float], **given: Any
) -> None:
    """One complete state whose losses bump, then fall or rise to where they end."""
    rng, peak, replay = given["rng"], given["peak"], given["replay"]
    folder = folder / name
    folder.mkdir(parents=True)
    steps = eval_steps()
    held_out = [{"name": one, "corpus": f"{one}-valid"} for one in SETS]
    configuration = {
        "label": name,
        "total_steps": UPDATES,
        "schedule": {
            "type": "cosine",
            "max_lr": peak,
            "min_lr": peak / 10,
            "warmup_fraction": 0.02,
        },
        "evaluation": {"datasets": held_out, "final_window_steps": 50},
        "stream": [{"name": one} for one in SETS],
    }
    (folder / "config.json").write_text(json.dumps(configuration))
    status = {"status": "complete", "step": UPDATES, "reason": ""}
    (folder / "status.json").write_text(json.dumps(status))

    share = np.array(steps) / UPDATES
    done = (1 - np.exp(-6 * share)) / (1 - math.exp(-6))
    bump = 0.2 * share / 0.02 * np.exp(1 - share / 0.02)
    lines = []
    curves = [a + (b - a) * done + bump for a, b in zip(start, end, strict=True)]
    noise = rng.normal(0, 0.003, (len(steps), len(SETS), len(DOMAINS))) * (share > 0)[:, None, None]
    for at, step in enumerate(steps):
        for which, dataset in enumerate(SETS):
            for part, domain in enumerate(DOMAINS):
                loss = float(curves[which][at] + noise[at, which, part] + 0.1 * part)
                row = {
                    "step": step,
                    "tokens": step * TOKENS_PER_STEP,
                    "dataset": dataset,
                    "domain": domain,
                    "loss": loss,
                    "bits_per_byte": loss / math.log(2),
                    "num_tokens": 65_536,
                }
                lines.append(json.dumps(row))
    (folder / "eval.jsonl").write_text("\n".join(lines) + "\n")

    updates = np.arange(1, UPDATES + 1)
    rates = peak * np.minimum(updates / 10, 0.55 + 0.45 * np.cos(np.pi * updates / UPDATES))
    losses = end[1] + (start[1] - end[1]) * np.exp(-updates / 100) + rng.normal(0, 0.05, UPDATES)
    speeds = rng.normal(41_000, 900, UPDATES)
    (folder / "train.jsonl").write_text(
        "".join(
            json.dumps(
                {
                    "step": step,
                    "tokens": step * TOKENS_PER_STEP,
                    "lr": rate,
                    "loss": loss,
                    "grad_norm": 0.1 + loss / 7,
                    "tokens_per_second": speed,
                    "mfu": None,
                    "elapsed_seconds": step * 0.0998,
                }
            )
            + "\n"
            for step, rate, loss, speed in zip(
                updates.tolist(), rates.tolist(), losses.tolist(), speeds.tolist(), strict=True
            )
        )
    )

    lines, read = [], dict.fromkeys(SETS, 0)
    for since, step in itertools.pairwise(steps):
        for dataset, part in (("prose", replay), ("code", 1 - replay)):
            samples = round((step - since) * 32 * part)
            for domain in DOMAINS:
                row = {
                    "step": step,
                    "since": since,
                    "source": dataset,
                    "domain": domain,
                    "tokens": samples * 128 if domain is None else samples * 64,
                    "samples": samples if domain is None else None,
                    "first_sample": read[dataset] if domain is None else None,
                    "epoch": (read[dataset] + samples) / 1e6 if domain is None else None,
                }
                lines.append(json.dumps(row))
            read[dataset] += samples
    (folder / "data.jsonl").write_text("\n".join(lines) + "\n")


def planned(name: str, stage: str, parent: str | None, replay: float) -> dict[str, Any]:
    """A state as plan.json lists it."""
    tokens = UPDATES * TOKENS_PER_STEP
    sources = {"prose": round(tokens * replay), "code": round(tokens * (1 - replay))}
    return {
        "state": name,
        "label": name,
        "parent": parent,
        "base": None,
        "stage": stage,
        "role": "d0" if stage == "upstream" else "d1",
        "first_step": 0,
        "steps": UPDATES,
        "horizon_steps": UPDATES,
        "ends_stage": True,
        "annealed": True,
        "may_stop": True,
        "tokens": tokens,
        "stage_tokens": tokens,
        "flops": 6.0 * 191_040 * tokens,
        "source_tokens": sources,
        "sources": [
            {"source": one, "order": "original", "offset": 0, "seen": seen}
            for one, seen in (("prose", 16_000), ("code", None))
        ],
    }


def write_sweep(storage: Path, design: str, trials: int) -> Path:
    """A finished sweep as a result tree; returns its folder."""
    rng = np.random.default_rng(7)
    states, listed, axes = [], [], {}
    for seed in range(SEEDS):
        write_state(
            storage / "states", f"up-{seed}", (5.6, 5.6), (2.0, 3.0), rng=rng, peak=3e-3, replay=1.0
        )
        states.append(planned(f"up-{seed}", "upstream", None, 1.0))
    for number, chosen in enumerate(itertools.islice(factors(design, trials, rng), trials)):
        peak, replay, seed = chosen["max_lr"], chosen["replay_fraction"], chosen["seed"]
        d0 = 2.0 + 0.3 * (peak / 3e-3) ** 0.4 * math.exp(-3 * replay**0.45)
        d1 = 1.6 + 0.3 * math.exp(-peak / 2e-3) + 0.1 * replay
        name = f"{number:012x}"
        write_state(
            storage / "states", name, (2.0, 3.0), (d0, d1), rng=rng, peak=peak, replay=replay
        )
        states.append(planned(name, "downstream", f"up-{seed}", replay))
        label = " ".join(f"{axis}={value}" for axis, value in chosen.items())
        path = [f"up-{seed}", name]
        listed.append(
            {
                "trial": label,
                "factors": chosen,
                "baseline": None,
                "center": False,
                "states": path,
                "stage_ends": path,
            }
        )
        for axis, value in chosen.items():
            axes.setdefault(axis, {})[value] = None
    tokens = UPDATES * TOKENS_PER_STEP
    ordered = {
        axis: list(values) if axis == "schedule" else sorted(values)
        for axis, values in axes.items()
    }
    plan = {
        "version": 2,
        "name": f"large-{design}",
        "design": design,
        "axes": ordered,
        "center": None,
        "datasets": {
            name: {
                "role": role,
                "path": "json",
                "train": f"{name}-train",
                "validation": f"{name}-valid",
                "documents": 40_000,
                "tokens": 10_000_000,
                "bytes": 10_000_000,
                "validation_tokens": 65_536,
                "domains": [domain for domain in DOMAINS if domain],
            }
            for name, role in SETS.items()
        },
        "stages": [
            {"role": role, "dataset": name, "steps": UPDATES, "tokens": tokens}
            for name, role in SETS.items()
        ],
        "model": {"name": "gpt-200k", "parameters": 191_040},
        "tokenizer": "bytes",
        "sequence_length": 128,
        "global_batch_size": 32,
        "precision": "fp32",
        "trials": listed,
        "states": states,
        "stopping": {"type": "none"},
        "tokens": {"alone": 2 * trials * tokens, "pretrained_once": 3, "planned": 1},
        "environment": {"submitted": "2026-11-26T03:30:00+00:00"},
    }
    folder = storage / "sweeps" / f"large-{design}"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps(plan))
    return folder


def parse_rows(storage: Path) -> tuple[int, float]:
    """How many rows the tree has, and processor seconds to parse each line and keep none."""
    rows, began = 0, time.process_time()
    for path in storage.glob("states/*/*.jsonl"):
        for line in path.read_bytes().splitlines():
            json.loads(line)
            rows += 1
    return rows, time.process_time() - began


def build(folder: Path) -> tuple[float, float, float]:
    """Seconds from start to end of the command, processor seconds, and its peak memory in GiB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = (
        "import resource, sys; from pathlib import Path; from analysis.report import write_report; "
        "write_report(Path(sys.argv[1])); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, used, int(done.stdout) / 2**20


WHEN_READY = """
  window.opened = performance.now();
  new MutationObserver((_, observer) => {
    if (document.documentElement?.dataset.drawn === "yes") {
      window.ready = performance.now(); observer.disconnect();
    }
  }).observe(document, {subtree: true, attributes: true, childList: true});
"""


def opened(report: Path, program: str) -> dict[str, Any]:
    """Seconds from opening to interactive and until a sort is done; complaints and requests."""
    from playwright.sync_api import sync_playwright

    complaints: list[str] = []
    requests: list[str] = []
    bare = report.with_name("plotly-alone.html")
    bare.write_text(
        f"<!doctype html><title>bare</title><script>{get_plotlyjs()}</script>"
        '<script>document.documentElement.dataset.drawn = "yes"</script>'
    )
    with sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = chromium.new_context(viewport={"width": 1400, "height": 900}).new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.add_init_script(WHEN_READY)
        page.goto(bare.as_uri())
        page.wait_for_function("window.ready !== undefined", timeout=120_000)
        alone = page.evaluate("window.ready")
        page.goto(report.as_uri())
        page.wait_for_function("window.ready !== undefined", timeout=120_000)
        ready = page.evaluate("window.ready")
        sorted_in = page.evaluate(
            """() => new Promise((done) => {
              const button = document.querySelector("#trials th:nth-child(2) button");
              const began = performance.now();
              button.click();
              requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
            })"""
        )
        nodes = page.evaluate("document.querySelectorAll('*').length")
        chromium.close()
    outside = [url for url in requests if not url.startswith(("file:", "data:"))]
    return {
        "interactive": ready / 1000,
        "plotly alone": alone / 1000,
        "sorted": sorted_in / 1000,
        "nodes": nodes,
        "complaints": complaints,
        "requests": outside,
    }


def measured(folder: Path) -> Iterator[str]:
    """Rows of the table for one sweep."""
    rows, parsing = parse_rows(folder.parents[1])
    seconds, used, memory = build(folder)
    report = folder / "report.html"
    size = report.stat().st_size / 1e6
    yield f"| {rows:,} rows parsed line by line, processor s | | {parsing:.1f} |"
    yield f"| report built, s | under {TARGETS['seconds']:.0f} | {seconds:.1f} |"
    yield f"| of which on a processor, s | | {used:.1f} |"
    yield f"| times the parsing | | {used / parsing:.2f} |"
    yield f"| peak memory, GiB | under {TARGETS['GiB']:.0f} | {memory:.2f} |"
    yield f"| the file, MB | under {TARGETS['MB']:.0f} | {size:.1f} |"
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if program is None:
        yield "| no Chromium on the path | | |"
        return
    found = opened(report, program)
    target = f"under {TARGETS['interactive']:.0f}"
    yield f"| interactive in Chromium after, s | {target} | {found['interactive']:.2f} |"
    yield f"| a page of plotly alone, s | | {found['plotly alone']:.2f} |"
    yield f"| the table of settings sorted, s | | {found['sorted']:.2f} |"
    yield f"| elements of the page | | {found['nodes']:,} |"
    yield f"| complaints on the console | 0 | {len(found['complaints'])} |"
    yield f"| requests to a network | 0 | {len(found['requests'])} |"


def main() -> None:
    """Writes the sweeps and prints a table for each."""
    parser = argparse.ArgumentParser(description="What the report of a large sweep takes.")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--design", choices=("grid", "random", "both"), default="both")
    parser.add_argument("folder", type=Path, nargs="?")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="rewarm-report-"))
    designs = ("grid", "random") if arguments.design == "both" else (arguments.design,)
    for design in designs:
        storage = folder / design
        sweep = storage / "sweeps" / f"large-{design}"
        if not sweep.exists():
            write_sweep(storage, design, arguments.trials)
        print(f"\n| {design}, {arguments.trials:,} trials | target | found |\n|---|---|---|")
        for row in measured(sweep):
            print(row, flush=True)
    if arguments.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
