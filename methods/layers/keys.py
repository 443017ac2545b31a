"""Names of authors' tensors, translated by rules."""

from __future__ import annotations

import re
from collections.abc import Sequence


def rename(key: str, rules: Sequence[tuple[str, str]]) -> str | None:
    r"""Return `key` as the first of `rules` whose pattern matches all of it writes it; None where none does.

    A rule is a regular expression and what stands in its place, groups as \1; "" in its place: left out knowingly.
    """
    for pattern, ours in rules:
        if match := re.fullmatch(pattern, key):
            return match.expand(ours)
    return None
