"""`fsr compare`: two scores on the same faces, two runs, or two rows of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from bench.cli import complete
from bench.cli.common import Json, Plugins, argument, option, results_folder, show
from bench.core.errors import UserError
from bench.core.text_table import text_table

HEAD = ("A", "B", "A - B", "95% interval", "images", "A better", "B better")


def compare(
    a: Annotated[str, argument("A", "a file of `fsr score --json`, a run's folder, or a row of --experiment")],
    b: Annotated[str, argument("B", "the same kind of thing, on the same faces")],
    *,
    experiment: Annotated[
        str | None,
        option("EXPERIMENT", "A and B are rows of these results, labels or method ids", complete=complete.results),
    ] = None,
    json: Json = False,
    plugin: Plugins,
) -> int:
    if experiment is not None:
        from bench.analysis.compare_rows import compare_rows
        from bench.analysis.results import read_results

        result = compare_rows(read_results(results_folder(experiment)), a, b)
        show(json, result, lambda: _rows_text(result))
    elif Path(a).is_dir() and Path(b).is_dir():
        from bench.analysis.compare_rows import compare_runs

        result = compare_runs(Path(a), Path(b))
        show(json, result, lambda: _rows_text(result))
    else:
        from bench.analysis.compare import compare_scores

        _check_files(a, b)
        result = compare_scores(Path(a), Path(b))
        show(json, result, lambda: _text(result))
    return 0


def _check_files(a: str, b: str) -> None:
    """Raise UserError where one is a folder and the other is not, or where a name is no path at all."""
    folders = [name for name in (a, b) if Path(name).is_dir()]
    if folders:
        raise UserError(f"{folders[0]}: a folder, and the other is none; expected two runs' folders or two files")
    for name in (a, b):
        if not Path(name).exists():
            raise UserError(
                f"{name}: no such file; for rows of an experiment add --experiment, as in --experiment ablation"
            )


def _numbers(row: Mapping[str, Any]) -> list[str]:
    """Return the cells of a difference: means, difference, interval, images, wins and losses."""
    from bench.metrics.catalogue import get_metric

    decimals = get_metric(row["metric"]).decimals
    means = ["-" if row[side] is None else f"{row[side]:.{decimals}f}" for side in ("a", "b")]
    difference, low, high = (
        "-" if value is None else f"{value:+.{decimals}f}" for value in (row["difference"], *row["ci95"])
    )
    return [*means, difference, f"[{low}, {high}]", *(str(row[key]) for key in ("n", "wins", "losses"))]


def _rows_text(result: Mapping[str, Any]) -> str:
    from bench.metrics.catalogue import get_metric

    body = []
    for row in result["differences"]:
        over = "seeds, images" if row["covers_training"] else "images"
        seeds = " and ".join(map(str, row["seeds"]))
        body.append([row["test"], get_metric(row["metric"]).title, row["protocol"], *_numbers(row), seeds, over])
    lines = [f"A: {result['a']}", f"B: {result['b']}"]
    lines.append(text_table(["test set", "metric", "protocol", *HEAD, "seeds", "interval over"], body))
    if not all(row["covers_training"] for row in result["differences"]):
        lines.append("Intervals over images alone are about these trainings, not about other seeds")
    return "\n".join(lines)


def _text(result: Mapping[str, Any]) -> str:
    from bench.metrics.catalogue import get_metric

    body = [[get_metric(row["metric"]).title, row["protocol"], *_numbers(row)] for row in result["metrics"]]
    unpaired, failing = result["unpaired"], result["failures"]
    lines = [*(f"{side.upper()} {result[side]}: {result['about'][side]}" for side in "ab")]
    lines.append(text_table(["metric", "protocol", *HEAD], body))
    lines.append("Intervals are over images alone: they are about these two, not about other seeds of either")
    lines.append(f"{result['paired']} images paired; {unpaired[0]} of A and {unpaired[1]} of B have no partner")
    if result["identical"]:
        lines.append("A and B are identical on every image: scores of the same pictures")
    if any(failing):
        lines.append(f"A fails on {failing[0]} faces and B on {failing[1]}: each score names its own")
    return "\n".join(lines)
