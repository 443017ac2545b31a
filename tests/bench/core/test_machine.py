"""What a process does with the machine."""

from __future__ import annotations

import contextlib
import gc

from bench.core.machine import uncollected


def test_circles_are_not_searched_for_within_and_are_again_after_a_failure() -> None:
    with contextlib.suppress(ValueError), uncollected():
        with uncollected():
            pass
        assert not gc.isenabled(), "the inner block found it off, and leaves it so"
        raise ValueError
    assert gc.isenabled()
