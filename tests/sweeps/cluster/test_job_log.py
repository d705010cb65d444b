"""A log that is told from its beginning again and again is written once."""

import pytest

from sweeps.cluster.job_log import Log

OF_RAY = "2026-11-26 INFO Runtime env is setting up.\nRunning entrypoint for job x: python -m y\n"
OF_THE_RUN = "one\ntwo Running entrypoint for job z\nthree\n"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("breaks_at", range(0, len(OF_RAY + OF_THE_RUN), 5))
def test_each_line_is_written_once_wherever_the_connection_breaks(size, breaks_at):
    whole = OF_RAY + OF_THE_RUN
    written: list[str] = []
    log = Log(written.append)
    for told in (whole[:breaks_at], whole[: breaks_at // 2], whole):
        log.begin()
        for start in range(0, len(told), size):
            log.take(told[start : start + size])
    assert "".join(written) == OF_THE_RUN
    assert "" not in written
