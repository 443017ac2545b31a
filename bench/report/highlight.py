"""Which rows a figure shows in colour: those that its reader came for. The others are drawn faint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from bench.analysis.results import Results, RowResult
from bench.papers.paper import paper_of
from bench.report.words import listed


def highlights(
    results: Results, rows: Sequence[RowResult], value: Callable[[RowResult], float], best: str
) -> Mapping[RowResult, str]:
    """Return those of `rows` that matter, in their order, and what each is.

    They are the baseline, the full model (the row with all modules; where rows have none, the one that most of the
    paper's headline claims are about), the controls of its size, and the row of the highest `value`, which is what
    `best` says. Rows that were made elsewhere never matter.
    """
    own = [row for row in rows if not row.foreign]
    top = max(own, key=value, default=None)
    proposed = _proposed(results)
    found = {}
    for row in own:
        plain = row is results.plain(row.method)
        full = all(row.modules.values()) if row.modules else not results.modules and row.method in proposed
        what = {
            "the baseline": row is results.base,
            "all modules" if row.modules else "the paper's own": full and plain,
            f"widened to {_titles(results).get(row.match, row.match)}'s {row.match_by}": bool(row.match),
            best: row is top,
        }
        if any(what.values()):
            found[row] = ", ".join(text for text, holds in what.items() if holds)
    return found


def in_words(shown: Mapping[RowResult, str], count: int) -> str:
    """Say which rows are in colour and why, of `count` rows in all."""
    text = f"In colour: {listed([f'{row.label} ({why})' for row, why in shown.items()])}."
    return text if len(shown) == count else f"{text} The other {count - len(shown)} are grey."


def _proposed(results: Results) -> set[str]:
    """Return the method that most of the paper's headline claims are about, under both of its names."""
    paper = paper_of(row.method for row in results.rows)
    about = Counter(claim.row.method for claim in paper.claims if claim.headline and claim.row)
    return {name for method, _ in about.most_common(1) for name in (method, paper.aliases.get(method, method))}


def _titles(results: Results) -> Mapping[str, str]:
    return {row.method: row.label for row in reversed(results.rows)}
