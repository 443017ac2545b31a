"""Lines of progress where there is no terminal."""

from __future__ import annotations

import logging

import pytest

from bench.core import progress
from bench.core.progress import Bar


@pytest.mark.parametrize(
    ("seconds", "done", "rate"),
    [(30.0, 10, "3.00 s each"), (30.0, 100, "0.30 s each"), (2.0, 400, "5 ms each"), (2.0, 46606, "0.0429 ms each")],
)
def test_a_rate_has_a_unit_that_fits(
    seconds: float, done: int, rate: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with caplog.at_level(logging.INFO, "fsr"), Bar("hash", done) as bar:
        clock[0] += seconds
        bar.update(done)
    assert caplog.messages[-1] == f"hash: {done} of {done}, {rate}"
