"""Stop at a place of one's own choosing when asked by Ctrl-C or SIGTERM."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn

from bench.core.errors import UserError, reason

log = logging.getLogger("fsr")


class Interrupted(Exception):  # noqa: N818 - it tells what happened, it is no error
    """Somebody asked to stop and the work is saved; `signum` is the signal."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message, signum)
        self.signum = signum

    def __str__(self) -> str:
        return str(self.args[0])


class Pressed(KeyboardInterrupt):
    """Ctrl-C, as distinct from a KeyboardInterrupt that somebody's code raises."""


class EndedError(Exception):
    """Code of a method would have ended the program."""


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Keep code of others from ending the program: what would becomes EndedError, which says where.

    That is sys.exit, os._exit, and any exception that is no Exception; Ctrl-C passes.
    """
    before, handler = getattr(_inside, "process", None), signal.getsignal(signal.SIGINT)
    ours = handler is signal.default_int_handler and threading.current_thread() is threading.main_thread()
    os._exit, _inside.process = _exit, os.getpid()
    try:
        if ours:
            signal.signal(signal.SIGINT, _press)
        yield
    except (Exception, Pressed):
        raise
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        place = [frame for frame in frames if frame.filename != __file__ and "_sitebuiltins" not in frame.filename][-1:]
        where = "".join(f"{Path(frame.filename).name}, line {frame.lineno}, " for frame in place)
        raise EndedError(f"{where}ended the program ({reason(error)})") from error
    finally:
        _inside.process = before
        if ours:
            signal.signal(signal.SIGINT, handler)


@contextlib.contextmanager
def guarded(what: str) -> Iterator[None]:
    """Turn what somebody else's code raises into a UserError that begins with `what`: a method's name, say."""
    try:
        with contained():
            yield
    except UserError:
        raise
    except Exception as error:
        log.debug("%s", what, exc_info=True)
        raise UserError(f"{what} failed ({reason(error)})") from error


_inside, _end = threading.local(), os._exit


def _exit(status: int) -> NoReturn:
    """Stand in for os._exit, which ends the processes that code of others has forked, but not the one it runs in."""
    if getattr(_inside, "process", None) == os.getpid():
        raise SystemExit(status)
    _end(status)


def _press(signum: int, frame: FrameType | None) -> None:
    raise Pressed


class Stop:
    """Within this context SIGINT and SIGTERM set `asked` and nothing else; a second SIGINT interrupts at once.

    Outside the main thread, where Python takes no signal handlers, it does nothing.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._old: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self.signum is not None

    def check(self, message: str) -> None:
        """Raise Interrupted with `message` when a signal has come."""
        if self.signum is not None:
            raise Interrupted(message, self.signum)

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._old[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for signum, old in self._old.items():
            signal.signal(signum, old)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.signum == signal.SIGINT == signum:
            raise Pressed
        self.signum = signum
