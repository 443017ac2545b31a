"""Tables for terminals."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(
    head: Sequence[str], rows: Sequence[Sequence[object]], *, align: str = "l", widths: Sequence[int | None] = ()
) -> str:
    """Return a table whose cells are shown as they are.

    `align` has an "l" or "r" a column, the last of which is that of all further ones; `widths` are the most characters
    of a line of each column, None for as many as there are.
    """
    from tabulate import tabulate  # where numbers are trained and scored nobody needs tables

    letters = align.ljust(len(head), align[-1])
    return tabulate(
        rows,
        head,
        tablefmt="simple",
        disable_numparse=True,
        colalign=["right" if letter == "r" else "left" for letter in letters] if rows else None,
        maxcolwidths=list(widths) or None,
    )
