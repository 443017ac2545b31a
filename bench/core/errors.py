"""Errors a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Say in one line what was found, what was expected and the way out.

    The command line prints the message and exits with code 2; nothing else in the project catches it by accident.
    """


class LeftAloneError(UserError):
    """What is asked of a run cannot be done as things are; the run itself has not failed, and its record stays."""


def reason(error: BaseException) -> str:
    """Return an exception of somebody else's code as one line: its type and the first line of its text."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a hint for a misspelt name: the nearest known one, else all of them.

    >>> suggest("psnrr", ["psnr", "ssim"])
    "did you mean 'psnr'?"
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    return "known: " + (", ".join(known) or "none")


def check_known(what: str, name: str, known: Iterable[str]) -> str:
    """Return `name` where it is a known one; else raise UserError: "unknown metric 'pnsr': did you mean 'psnr'?"."""
    known = list(known)
    if name not in known:
        raise UserError(f"unknown {what} '{name}': {suggest(name, known)}")
    return name
