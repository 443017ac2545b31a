"""From results to the records of a page: rows, sets, means and differences, each from the one rule of intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence

from bench.analysis.claims import combined, emphasis, gain, scores_of
from bench.analysis.results import FaceSet, Results, RowResult, RunResult
from bench.metrics.catalogue import get_metric
from bench.metrics.protocol import PROTOCOLS
from bench.report.claim_words import set_name
from bench.report.columns import Measure, multiply_adds, parameters, seconds
from bench.report.first_screen import main_test
from bench.report.interactive.answer import answer, budget, caution, claims, leading
from bench.report.interactive.pictures import faces_of
from bench.report.interactive.record import (
    Cell,
    Interval,
    PageData,
    PageExperiment,
    PageMetric,
    PageRow,
    Scores,
    Set,
    interval,
    number,
)
from bench.report.interactive.series import curves, curves_about, effects, images_of
from bench.report.interactive.together import together
from bench.report.style import row_style
from bench.report.table import Cell as TableCell
from bench.report.words import problems, row_status


def gather(title: str, experiments: Sequence[Results]) -> PageData:
    """Return what a page about experiments holds, in their order."""
    made = tuple(_experiment(results) for results in experiments)
    keys = {key for one in made for columns in one.scores.values() for key in columns}
    metrics, protocols = ({key.split("@")[place] for key in keys} for place in (0, 1))
    specs = {name: get_metric(name) for name in sorted(metrics, key=lambda name: (name not in ("psnr", "ssim"), name))}
    return PageData(
        title,
        {n: PageMetric(n, spec.title, spec.unit, spec.decimals, spec.higher_is_better) for n, spec in specs.items()},
        {name: PROTOCOLS[name].source if name in PROTOCOLS else "" for name in sorted(protocols)},
        made if len(made) < 2 else (*made, together(made)),
    )


def key_of(test: FaceSet) -> str:
    """Return what names a set of faces on the page: the same faces have the same key in every experiment."""
    return f"{test.dataset}-{test.fingerprint[:8]}"


def _experiment(results: Results) -> PageExperiment:
    base, test = results.base, main_test(results)
    shown = [*results.test, *([results.drawn] if results.drawn and results.drawn not in results.test else [])]
    images = {key_of(one): images_of(results, one) for one in shown if one.truth}
    faces = {key_of(one): faces_of(results, one) for one in shown if one.truth}
    return PageExperiment(
        name=results.folder.name,
        title=results.title,
        profile=results.profile,
        budget=budget(results),
        answer=answer(results, test),
        caution=caution(results, test),
        protocol=results.protocol,
        base=None if base is None else results.rows.index(base),
        best=None if (best := leading(results, test)) is None else results.rows.index(best),
        seen=key_of(test),
        pictured=next((key for key, some in faces.items() if some), key_of(test)),
        claims=claims(results, test),
        sets=tuple(
            Set(key_of(one), one.dataset, set_name(one), one.faces, one.fingerprint, one.truth) for one in shown
        ),
        rows=tuple(_row(results, row) for row in results.rows),
        scores={key_of(one): dict(_scores(results, one)) for one in results.test},
        curves=curves(results),
        curves_about=curves_about(results),
        effects={key_of(one): effects(results, one) for one in results.test},
        images={key: found for key, found in images.items() if found is not None},
        faces=faces,
    )


def _row(results: Results, row: RowResult) -> PageRow:
    style = row_style(results, row)
    failing = {key_of(test): text for test in results.test for text in Measure(results, test, "").failing(row)}
    size, work, time = (_filled(field.fill([row])) for field in (parameters(), multiply_adds(), seconds()))
    return PageRow(
        label=row.label,
        method=row.method,
        foreign=row.foreign,
        status=row_status(row, results),
        parameters=None if size is None else int(size),
        multiply_adds=None if work is None else int(work),
        seconds=None if time is None else float(f"{time:.4g}"),
        about="\n".join(filter(None, [_ran(results), *map(_about, row.runs), row.foreign, *problems(row, results)])),
        failing=failing,
        color=style.color,
        dark=style.on_dark,
        symbol=style.symbol,
        dash=style.dash,
    )


def _filled(cells: Sequence[TableCell]) -> float | None:
    value = cells[0].value
    return float(value) if isinstance(value, int | float) else None


def _scores(results: Results, test: FaceSet) -> Iterator[tuple[str, Scores]]:
    """Yield every metric and protocol that any row is scored by, the experiment's own protocol first."""
    known = {column for row in results.rows for run in row.runs for column in run.columns(test)}
    for metric, protocol in sorted(known, key=lambda one: (one[1] != results.protocol, one[1], one[0])):
        cells = tuple(_cells(results, test, metric, protocol))
        if any(cells):
            yield f"{metric}@{protocol}", Scores(cells, tuple(_gains(results, test, metric, protocol)))


def _cells(results: Results, test: FaceSet, metric: str, protocol: str) -> Iterable[Cell | None]:
    marks = emphasis(results, test, metric) if protocol == results.protocol else {}
    for place, row in enumerate(results.rows):
        scores = scores_of(results, row, test, metric, protocol)
        if scores is None:
            yield None
            continue
        means = [float(mean) for mean in scores.mean(axis=1)]
        finite = all(map(math.isfinite, means))
        mean, found = statistics.fmean(means), combined(results, [(row, 1.0)], test, metric, protocol)
        low, high = (found.low, found.high) if found and finite else (math.nan, math.nan)
        spread = statistics.stdev(means) if len(means) > 1 and finite else None
        mark = marks.get(place)
        stands_out = " ".join(filter(None, [mark.place, "tied" if mark.tied else ""])) if mark else ""
        yield Cell((number(mean), number(low), number(high)), number(spread, 6), len(means), stands_out)


def _gains(results: Results, test: FaceSet, metric: str, protocol: str) -> Iterator[tuple[Interval | None, ...]]:
    base, own = results.base, protocol == results.protocol
    for place, row in enumerate(results.rows):
        yield tuple(
            _gain(results, place, other, test, metric, protocol) if own or base in (row, results.rows[other]) else None
            for other in range(len(results.rows))
        )


def _gain(results: Results, place: int, other: int, test: FaceSet, metric: str, protocol: str) -> Interval | None:
    """Return how far a row lies above another: that of a pair is estimated once, as tables show it, and turned."""
    row, base = results.rows[place], results.rows[other]
    if base is results.base or (row is not results.base and place > other):
        return interval(gain(results, row, base, test, metric, protocol))
    found = interval(gain(results, base, row, test, metric, protocol))
    if found is None:
        return None
    mean, high, low = (0.0 - value if isinstance(value, float) else None for value in found)
    return mean, low, high


def _ran(results: Results) -> str:
    return budget(results)[:1].upper() + budget(results)[1:]


def _about(run: RunResult) -> str:
    """Say where numbers of a run come from."""
    commit = run.environment.get("commit", "")
    return ", ".join(filter(None, [f"{run.name}: {run.status}", f"commit {commit}" if commit else "", run.device]))
