"""What a group of workers waits for at a rung: Tune's answer, whether its state may go on.

Ray Train tells Tune what a group reports and does not wait for what Tune decides: the group would
train on until it is killed, and for a moment longer, since Ray calls an actor dead before its
process is. Here the worker that writes the rows waits for the answer, as a training inside a Tune
trial does by itself. A state that is ended hears none: it is killed while it waits, and has written
nothing past the rung.
"""

import asyncio
from collections import defaultdict
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


class _Answers:
    """An actor beside the driver; each answer is given once and may be asked for before that."""

    def __init__(self) -> None:
        self._given: defaultdict[tuple[str, int], asyncio.Event] = defaultdict(asyncio.Event)

    async def go_on(self, state: str, rung: int) -> None:
        self._given[state, rung].set()

    async def wait(self, state: str, rung: int) -> None:
        await self._given[state, rung].wait()


class Answers:
    """The driver's end, which lives as long as a run.

    Args:
        name: A name for the run that its workers know too.
    """

    def __init__(self, name: str) -> None:
        here = ray.get_runtime_context().get_node_id()
        self._actor: Any = (
            ray.remote(_Answers)
            .options(
                name=name,
                num_cpus=0,
                # With the driver's machine the run ends anyway; any other may be taken away.
                scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False),
            )
            .remote()
        )

    def go_on(self, state: str, rung: int) -> None:
        """Lets a state go on from a rung; returns at once."""
        self._actor.go_on.remote(state, rung)


def wait_for_answer(name: str, state: str, rung: int) -> None:
    """Called by a worker after its report; returns when the state may go on, else never.

    Args:
        name: Of the run.
        state: Id of the state.
        rung: In tokens.

    Raises:
        RayActorError: The run has ended, or its driver was lost.
    """
    ray.get(ray.get_actor(name).wait.remote(state, rung))
