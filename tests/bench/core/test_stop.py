"""Code of a method does not end the program; Ctrl-C does."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import pytest

from bench.core.stop import EndedError, Pressed, Stop, contained


def interrupt() -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.parametrize("end", [lambda: sys.exit(0), lambda: os._exit(0), interrupt], ids=["sys", "os", "keyboard"])
def test_code_of_others_does_not_end_the_program(end: Callable[[], object]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(EndedError, match=r"test_stop\.py, line \d+, ended the program \(\w+"), contained():
        with pytest.raises(EndedError), contained():
            end()
        end()
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_passes_and_other_errors_stay_what_they_are(request: pytest.FixtureRequest) -> None:
    request.addfinalizer(functools.partial(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT)))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    with pytest.raises(Pressed), contained():
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(Pressed), contained(), Stop():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), contained():
        raise ZeroDivisionError


def test_a_process_that_code_of_others_forks_ends_as_it_wants() -> None:
    with contained():
        child = os.fork()
        if child == 0:
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
