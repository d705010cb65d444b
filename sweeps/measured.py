"""The tariff of a sweep with the throughput of this machine in it: where planning meets torch."""

import dataclasses
from collections.abc import Callable

from cpt.parsing import ConfigError
from cpt.throughput import Throughput, measure
from sweeps.cost import Tariff, given_tariff
from sweeps.plan import Plan
from sweeps.words import counted


def measured_tariff(plan: Plan, say: Callable[[str], None]) -> Tariff:
    """Trains the sweep's model for a few seconds as one worker of the sweep would.

    Args:
        plan: Gives the model, the shapes and the threads of a worker.
        say: Told what was measured, and what the sweep file says instead.

    Raises:
        ConfigError: The model and one pass do not fit into memory.
    """
    spec, given = plan.spec, given_tariff(plan.spec)
    state = next(iter(plan.states.values()))
    share = spec.global_batch_size // spec.resources.most_workers
    # This machine may have no GPU, though the cluster does; what was measured is said.
    use_gpu = None if spec.resources.gpus_per_worker > 0 else False
    try:
        found = measure(state.config, share, spec.resources.cpus_per_worker, use_gpu=use_gpu)
    except MemoryError as error:
        raise ConfigError([f"micro_batch_size: {error}; lower it, or the model."]) from error
    say(_told(found, given))
    return dataclasses.replace(given, tokens_per_second=found.tokens_per_second, measured=True)


def _told(found: Throughput, given: Tariff) -> str:
    where = found.device if found.device != "cpu" else counted(found.threads, "thread")
    text = (
        f"measured {found.tokens_per_second:,.0f} tokens/s on this machine, {where}, "
        f"{counted(found.steps, 'step')} of {counted(found.sequences, 'sequence')}"
    )
    if given.tokens_per_second is None:
        return text
    return f"{text}; cost.tokens_per_second in the spec says {given.tokens_per_second:,.0f}"
