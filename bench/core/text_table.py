"""Tables for terminals."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int | None = None, widths: Sequence[int | None] = ()
) -> str:
    """Return a table of texts as they are: the first `left` columns (None: all) on the left, the others on the right.

    `widths` are the most characters of a line of each column, None for as many as there are.
    """
    from tabulate import tabulate  # training needs no tables

    align = ["left" if left is None or place < left else "right" for place in range(len(head))]
    return tabulate(
        rows,
        head,
        tablefmt="simple",
        disable_numparse=True,
        colalign=align if rows else None,
        maxcolwidths=[*widths, *[None] * (len(head) - len(widths))] if widths else None,
    )
