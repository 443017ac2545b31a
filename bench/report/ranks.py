"""A ranking as JSON values and as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.analysis.ranks import ENOUGH, Blocks, Ranking
from bench.analysis.significance import NO_DIFFERENCE
from bench.core.text_table import text_table
from bench.metrics.spec import Metric


def rank_json(blocks: Blocks, ranking: Ranking, metric: Metric, files: Sequence[object]) -> dict[str, Any]:
    """Return a ranking as plain JSON values; without a test p and the critical difference are null."""
    tested = ranking.blocks >= ENOUGH
    return {
        "metric": metric.name,
        "over": blocks.over,
        "blocks": ranking.blocks,
        "block_names": list(blocks.names),
        "left_out": list(blocks.left_out),
        "ranks": [{"row": row, "rank": mean} for row, mean in zip(ranking.rows, ranking.average, strict=True)],
        "friedman_p": ranking.p if tested else None,
        "critical_difference": ranking.critical if tested else None,
        "no_difference": [list(group) for group in ranking.groups],
        "cautions": list(blocks.cautions),
        "files": [str(file) for file in files],
    }


def rank_text(blocks: Blocks, ranking: Ranking, metric: Metric, level: float) -> str:
    """Return a ranking as text: the ranks, the test, and the rows between which no difference can be claimed."""
    rows = [[row, f"{mean:.2f}"] for row, mean in zip(ranking.rows, ranking.average, strict=True)]
    table = text_table(["row", "rank"], rows, align="lr")
    lines = [
        f"Average ranks of {metric.title} over {_count(blocks)}, 1 the best: {', '.join(blocks.names)}",
        *(f"Left out: {block}" for block in blocks.left_out),
        "",
        table,
        "",
        *_test_lines(blocks, ranking, level),
        *(f"Caution: {caution}." for caution in blocks.cautions),
    ]
    return "\n".join(lines)


def _test_lines(blocks: Blocks, ranking: Ranking, level: float) -> list[str]:
    if ranking.blocks < ENOUGH:
        hint = "" if blocks.over == "images" else "; --over images ranks over the images of one test set"
        return [f"{_count(blocks)}: too few for a test, which takes {ENOUGH}{hint}."]
    lines = [f"Friedman's test: p = {ranking.p:.2g}"]
    if ranking.p >= 1 - level:
        return [f"{lines[0]}: {NO_DIFFERENCE} between any rows."]
    lines.append(f"Critical difference of two ranks (Nemenyi, {100 * level:g}%): {ranking.critical:.2f}")
    lines += [f"  {NO_DIFFERENCE}: {', '.join(group)}" for group in ranking.groups]
    return lines


def _count(blocks: Blocks) -> str:
    count = len(blocks.values.T)
    return f"{count} {blocks.over}" if count != 1 else f"1 {blocks.over.removesuffix('s')}"
