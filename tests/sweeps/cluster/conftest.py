"""A cluster of one machine, for whoever submits to it or asks the doctor of it."""

from collections.abc import Iterator

import pytest

from tests.sweeps.cluster.lone_head import LoneHead, lone_head


@pytest.fixture(scope="module")
def cluster() -> Iterator[LoneHead]:
    """A head that serves jobs, and a launcher file that names it."""
    with lone_head() as head:
        head.start_ray()
        head.write_down(head.cluster_file())
        yield head
