"""Where Ray 2.60 behaves as no run of a person's may; each is undone for as long as a run needs.

Ray offers no option for any of them, so its functions are wrapped.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ray._private import services
from ray._private import worker as ray_worker
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayTaskError

OF_DEATHS = ("A worker died or was killed", "has been marked dead", "Raylet is terminated")
"""What Ray prints of processes and nodes that died: pages where one line says what comes of it."""


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Starts Ray's own processes in process groups of their own.

    What ends a command often sends SIGTERM to its whole group (`timeout`, Slurm, systemd): Ray's
    servers would be gone before the trainings, which they connect, had saved.
    """

    class Apart(services.ConsolePopen):
        def __init__(self, *command: Any, **options: Any) -> None:
            super().__init__(*command, process_group=0, **options)

    with _replaced(services, "ConsolePopen", lambda _: Apart):
        yield


@contextlib.contextmanager
def quiet_about_deaths() -> Iterator[None]:
    """Leaves out what Ray prints of dead processes and nodes; the run says what it does about them.

    Everything else that Ray has to say is printed.
    """

    def quiet(printed: Any) -> Any:
        def prints(data: dict[str, Any], *arguments: Any, **named: Any) -> None:
            text = "\n".join(map(str, data.get("lines", ())))
            if not any(words in text for words in OF_DEATHS):
                printed(data, *arguments, **named)

        return prints

    with _replaced(ray_worker, "print_to_stdstream", quiet):
        yield


@contextlib.contextmanager
def deaths_of_all_kinds() -> Iterator[None]:
    """Lets Tune take every way in which Ray ends a process for the death of one.

    Tune takes a process that Ray's memory monitor ended for a bug of its own, and stops the whole
    experiment.
    """

    def told(known: Any) -> Any:
        def failed(self: Any, *, exception: Exception, **named: Any) -> None:
            if not isinstance(exception, RayTaskError | RayActorError):
                exception = RayActorError(error_msg=str(exception))
            known(self, exception=exception, **named)

        return failed

    with _replaced(RayActorManager, "_actor_task_failed", told):
        yield


@contextlib.contextmanager
def _replaced(owner: Any, name: str, wrap: Callable[[Any], Any]) -> Iterator[None]:
    known = getattr(owner, name)
    setattr(owner, name, wrap(known))
    try:
        yield
    finally:
        setattr(owner, name, known)
