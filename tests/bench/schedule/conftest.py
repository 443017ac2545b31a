"""The small experiment when nothing happens to it: what every disturbed one must equal."""

from __future__ import annotations

import pytest

from tests.bench.schedule.small import finish, make, outcome


@pytest.fixture(scope="package")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the outcome of the small experiment, run by two processes on this machine."""
    root = make(tmp_path_factory.mktemp("undisturbed"))
    finish(root, "--jobs", "2")
    files = outcome(root)
    assert len(files) == 13, "weights and curves of four trained runs, scores of five"
    return files
