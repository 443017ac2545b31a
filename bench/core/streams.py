"""Standard streams that any text can be written to, whatever terminal, file or closed pipe is behind them."""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys

_PLAIN = {
    **{"×": "x", "–": "-", "—": "-", "−": "-", "±": "+/-", "…": "...", "µ": "u", "μ": "u", "·": ".", "²": "2"},  # noqa: RUF001
    **{"≥": ">=", "≤": "<=", "≈": "~", "→": "->", "’": "'", "‘": "'", "“": '"', "”": '"', "\u00a0": " ", "\u202f": " "},  # noqa: RUF001
    "∞": "inf",
}


def prepare_streams() -> None:
    """Let what is written be written: a closed stream leads nowhere, and a letter that one lacks is shown by others.

    Files that are opened later must not take the place of a closed stream, whose output they would get.
    """
    codecs.register_error("fsr", _replace)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(nowhere, True)
            setattr(sys, name, _Nowhere(os.fdopen(nowhere, f"{mode}b", closefd=False)))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="fsr")


class _Nowhere(io.TextIOWrapper):
    """A stream in the place of one that was closed."""


def finish_output() -> None:
    """Write what standard output still holds; raise OSError where that cannot be, or it was closed from the start."""
    sys.stdout.flush()
    if isinstance(sys.stdout, _Nowhere):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "standard output")


def lost_output() -> OSError | None:
    """Return why standard output cannot be written, if so; what is still to be written is then let go."""
    lost: OSError | None = None
    try:
        sys.stdout.flush()
        if _reader_has_gone():
            lost = BrokenPipeError()
    except OSError as error:
        lost = error
    if lost is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
    return lost


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for letters that cannot be encoded, and where to go on (an error handler of codecs)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte of a file's name that is no text
        return f"\\x{ord(letter) - 0xDC00:x}"
    return _PLAIN.get(letter) or letter.encode("ascii", "backslashreplace").decode()


def _reader_has_gone() -> bool:
    """Tell whether standard output is a pipe that nobody reads any more."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return False
