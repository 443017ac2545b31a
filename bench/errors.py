"""Errors a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Say in one line what was found, what was expected and the way out.

    The command line prints the message and exits with code 2; nothing else in the project catches it by accident.
    """


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a hint for a misspelt name: the nearest known one, else all of them.

    >>> suggest("sparnett", ["sparnet", "bicubic"])
    "did you mean 'sparnet'?"
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    return "known: " + (", ".join(known) or "none")
