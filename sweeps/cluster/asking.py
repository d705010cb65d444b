"""One question to many nodes of a cluster at once, in tasks that take no CPU of those who train."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

AnswerT = TypeVar("AnswerT")

PATIENCE_SECONDS = 60.0
"""For the answer of a living node: a process has to start there, and a mount may hang for ever."""


@dataclass
class Answers(Generic[AnswerT]):
    """What nodes said, by their ids; those that died meanwhile are left out.

    Attributes:
        given: What the function returned there.
        missing: Why there is nothing, of nodes that live.
    """

    given: dict[str, AnswerT] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def ask_nodes(
    function: Callable[..., AnswerT], arguments: Mapping[str, Iterable[Any]]
) -> Answers[AnswerT]:
    """Calls a function on nodes and waits for all of them.

    Args:
        function: Importable on the nodes.
        arguments: Of each node, by its id.
    """
    task = ray.remote(function)
    tasks = {
        task.options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        ).remote(*of_node): node
        for node, of_node in arguments.items()
    }
    answers = Answers[AnswerT]()
    if not tasks:
        return answers
    done, late = ray.wait(list(tasks), num_returns=len(tasks), timeout=PATIENCE_SECONDS)
    for one in done:  # in the order of the tasks
        try:
            answers.given[tasks[one]] = ray.get(one)
        except RayError as error:
            answers.missing[tasks[one]] = reason(error)
    for one in late:
        ray.cancel(one, force=True)
        answers.missing[tasks[one]] = f"none in {PATIENCE_SECONDS:.0f} s"
    living = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
    for node in answers.missing.keys() - living:
        del answers.missing[node]
    return answers


def reason(error: RayError) -> str:
    """Why a task ended without an answer, in a few words."""
    # Imported here: torch takes seconds, and the nodes, which import this module, need none of it.
    from sweeps.failures import failure

    return failure(error).reason
