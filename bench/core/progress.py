"""Progress bars on standard error: tqdm's on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Any

log = logging.getLogger("fsr")
_LINE_SECONDS = 15.0


class Bar:
    """A bar that shows what is done, how far it is, its figures and the time left.

    Without a terminal, or without tqdm, it logs a line every 15 seconds and one at the end.
    """

    def __init__(self, title: str, total: int, *, start: int = 0, quiet: bool = False) -> None:
        self.title, self.total, self.done = title, total, start
        self._figures: dict[str, float] = {}
        self._first, self._began = start, time.monotonic()
        self._said = self._began
        self._quiet = quiet
        self._tqdm = _terminal_bar(title, total, start) if not quiet and sys.stderr.isatty() else None

    def update(self, done: int) -> None:
        """Say that `done` of the total are done."""
        if self._tqdm is not None:
            self._tqdm.update(done - self.done)
        self.done = done
        if self._tqdm is None and time.monotonic() - self._said > _LINE_SECONDS:
            self._say()

    def show(self, **figures: float) -> None:
        """Show figures (loss, psnr) beside the bar."""
        self._figures |= figures
        if self._tqdm is not None:
            self._tqdm.set_postfix_str(self._text(), refresh=False)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._tqdm is not None:
            self._tqdm.close()
        elif kind is None:
            self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        each = (self._said - self._began) / max(self.done - self._first, 1)
        rate = f"{each:.2f} s each" if each >= 0.1 else f"{1000 * each:.3g} ms each"
        left = f", {(self.total - self.done) * each:.0f} s left" if self.done < self.total else ""
        if not self._quiet:
            log.info("%s: %d of %d, %s%s%s", self.title, self.done, self.total, self._text(", "), rate, left)

    def _text(self, end: str = "") -> str:
        units = {"psnr": "{:.2f} dB", "loss": "{:.4f}"}
        parts = [f"{name} {units.get(name, '{:g}').format(value)}" for name, value in self._figures.items()]
        return ", ".join(parts) + (end if parts else "")


def _terminal_bar(title: str, total: int, start: int) -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, initial=start, desc=title, unit="it", dynamic_ncols=True, leave=True)
