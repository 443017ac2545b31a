"""Bars of runs that go on in other processes: what they show is sent now and then, and drawn here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from bench.core.progress import Bar

Step = tuple[str, int, int, dict[str, float], bool]  # title, total, done, figures, whether the bar has come to its end


class FarBar:
    """A bar that is drawn elsewhere: `send` gets its steps, one in so many `seconds` and the last."""

    def __init__(self, send: Callable[[Step], None], seconds: float, title: str, total: int) -> None:
        self._send, self._seconds, self._title, self._total = send, seconds, title, total
        self._figures: dict[str, float] = {}
        self._done, self._sent = 0, -math.inf

    def update(self, done: int) -> None:
        self._done = done
        if time.monotonic() - self._sent > self._seconds:
            self._step()

    def show(self, **figures: float) -> None:
        self._figures |= figures

    def __enter__(self) -> FarBar:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._step(ended=True)

    def _step(self, ended: bool = False) -> None:
        self._sent = time.monotonic()
        self._send((self._title, self._total, self._done, dict(self._figures), ended))


class Bars:
    """The bars of several runs, each under a key."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bars: dict[Any, Bar] = {}

    def show(self, key: Any, step: Step) -> None:
        """Show what a far bar has sent."""
        title, total, done, figures, ended = step
        if key not in self._bars:
            self._bars[key] = Bar(title, total, quiet=self._quiet)
        self._bars[key].show(**figures)
        self._bars[key].update(done)
        if ended:
            self.end(key)

    def end(self, key: Any) -> None:
        """Close the bar of a run that has ended, if it is open."""
        if key in self._bars:
            self._bars.pop(key).__exit__(None, None, None)

    def end_all(self) -> None:
        """Close every bar that is open."""
        for key in list(self._bars):
            self.end(key)
