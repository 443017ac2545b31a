"""`fsr compare`: two scores on the same faces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from bench.cli.common import Json, Plugins, argument, show
from bench.core.text_table import text_table


def compare(
    a: Annotated[Path, argument("A", "what `fsr score --json` printed")],
    b: Annotated[Path, argument("B", "the same of another method on the same faces")],
    *,
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.analysis.compare import compare_scores

    result = compare_scores(a, b)
    show(json, result, lambda: _text(result))
    return 0


def _text(result: Mapping[str, Any]) -> str:
    from bench.metrics.catalogue import get_metric

    body = []
    for row in result["metrics"]:
        spec = get_metric(row["metric"])
        low, high = ("-" if bound is None else f"{bound:+.{spec.decimals}f}" for bound in row["ci95"])
        means = [f"{row[side]:.{spec.decimals}f}" for side in ("a", "b")]
        body.append(
            [
                *(spec.title, row["protocol"], *means),
                *(f"{row['difference']:+.{spec.decimals}f}", f"[{low}, {high}]"),
                *(row["n"], row["wins"], row["losses"]),
            ]
        )
    head = ["metric", "protocol", "A", "B", "A - B", "95% interval", "images", "A better", "B better"]
    unpaired, failing = result["unpaired"], result["failures"]
    lines = [*(f"{side.upper()} {result[side]}: {result['about'][side]}" for side in "ab"), text_table(head, body)]
    lines.append("Intervals are over images alone: they are about these two, not about other seeds of either")
    lines.append(f"{result['paired']} images paired; {unpaired[0]} of A and {unpaired[1]} of B have no partner")
    if result["identical"]:
        lines.append("A and B are identical on every image: scores of the same pictures")
    if any(failing):
        lines.append(f"A fails on {failing[0]} faces and B on {failing[1]}: each score names its own")
    return "\n".join(lines)
