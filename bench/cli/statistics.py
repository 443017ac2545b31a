"""`fsr power` and `fsr rank`."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli import complete
from bench.cli.common import Json, Plugins, argument, check_out_file, option, results_folder, several, show, written
from bench.core.errors import UserError, suggest
from bench.core.limits import within

if TYPE_CHECKING:
    from bench.analysis.ranks import Ranking
    from bench.analysis.results import FaceSet, Results, RowResult
    from bench.analysis.study import Comparison
    from bench.report.power import Setting

log = logging.getLogger("fsr")
PROBABILITY = within(above=0, below=1)
_GAINS = (0.05, 0.1, 0.3)  # dB, for PSNR
Rows = Annotated[list[str], several("ROW", "only this row, a label or method id (again for more)", "--row")]
Metric = Annotated[str, option("NAME", "a metric of the scores", complete=complete.metrics)]
Protocol = Annotated[
    str | None, option("NAME", "a protocol of the scores (default: the experiment's)", complete=complete.protocols)
]


def power(
    experiment: Annotated[
        str, argument("EXPERIMENT", "a folder under results/, e.g. ablation or reference/quick", complete.results)
    ],
    *,
    baseline: Annotated[str | None, option("ROW", "compare with this row (default: the paper's baseline)")] = None,
    gain: Annotated[
        list[float],
        several(
            "X",
            "a gain to see, in the metric's unit (again for more; default for PSNR: 0.05, 0.1 and 0.3 dB)",
            rule=within(above=0, most=1e6),
        ),
    ],
    power: Annotated[float, option("P", "the chance of seeing it", rule=PROBABILITY)] = 0.8,
    seed_sd: Annotated[
        float | None,
        option("SD", "the deviation over seeds of a method's mean, instead of what is measured", rule=within(0, 1e6)),
    ] = None,
    row: Rows,
    metric: Metric = "psnr",
    protocol: Protocol = None,
    data: Annotated[str | None, option("NAME", "a data set that was tested on (default: the first)")] = None,
    level: Annotated[float, option("P", "of the interval", rule=PROBABILITY)] = 0.95,
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.analysis.claims import find_row
    from bench.analysis.study import Asked
    from bench.metrics.catalogue import get_metric
    from bench.report.power import Setting, power_json, power_text

    measure, results = get_metric(metric), _open(experiment)
    test = _test_set(results, data)
    base = find_row(results, baseline) if baseline else _baseline(results)
    rows = [find_row(results, name) for name in row] or [other for other in results.rows if other is not base]
    gains = tuple(gain) or (_GAINS if measure.name == "psnr" else ())
    asked = Asked(gains, level, power, seed_sd)
    setting = Setting(experiment, test.dataset, measure, protocol or results.protocol, base.label, asked)
    comparisons = _comparisons(results, rows, base, test, setting, named=bool(row))
    show(json, power_json(setting, comparisons), lambda: power_text(setting, comparisons))
    return 0


def rank(
    experiment: Annotated[list[str], argument("EXPERIMENT", "folders under results/", complete.results)],
    *,
    over: Annotated[
        Literal["data", "images"],
        typer.Option(help="rank within data sets, or within the images of one test set, which tells about it alone"),
    ] = "data",
    out: Annotated[Path | None, option("CD.png", "draw the critical-difference diagram, PNG and PDF")] = None,
    row: Rows,
    metric: Metric = "psnr",
    protocol: Protocol = None,
    data: Annotated[
        str | None, option("NAME", "with --over images: a data set that was tested on (default: the first)")
    ] = None,
    level: Annotated[float, option("P", "1 less the p that is small enough", rule=PROBABILITY)] = 0.95,
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.analysis import ranks
    from bench.metrics.catalogue import get_metric
    from bench.report.ranks import rank_json, rank_text

    measure = get_metric(metric)
    experiments = {name: _open(name) for name in experiment}
    if over == "images":
        if len(experiments) > 1:
            raise UserError("--over images takes one experiment: its blocks are the images of one test set")
        (results,) = experiments.values()
        blocks = ranks.image_blocks(results, _test_set(results, data), row, measure.name, protocol)
    else:
        if data:
            raise UserError("--data goes with --over images: data sets are ranked over all test sets")
        blocks = ranks.data_set_blocks(experiments, row, measure.name, protocol)
    if not blocks.names or not blocks.values.size:
        raise UserError(f"nothing to rank: {'; '.join(blocks.left_out) or f'no row has {measure.name} everywhere'}")
    ranking = ranks.rank(blocks.values, blocks.rows, measure.higher_is_better, level)
    files = _draw(ranking, out) if out else []
    text = "\n".join([rank_text(blocks, ranking, measure, level), *([written(files)] if files else [])])
    show(json, rank_json(blocks, ranking, measure, files), lambda: text)
    return 0


def _comparisons(
    results: Results, rows: Sequence[RowResult], base: RowResult, test: FaceSet, setting: Setting, *, named: bool
) -> list[Comparison]:
    """Compare each row that is scored with the baseline; raise UserError where none, or one that was named, is not."""
    from bench.analysis.claims import gain, scores_of
    from bench.analysis.study import compare
    from bench.report.words import failing

    metric, protocol = setting.metric.name, setting.protocol
    scores = {row.label: scores_of(results, row, test, metric, protocol) for row in (base, *rows)}
    missing = [label for label, values in scores.items() if values is None]
    if base.label in missing or (missing and named) or len(missing) > len(rows):
        what = f"no complete scores of {metric} under protocol {protocol} on {test.dataset}"
        raise UserError(f"{results.folder}: {what} for {', '.join(missing)}; run the experiment, or choose --row")
    reference, base_is_trained = scores[base.label], _trained(base)
    assert reference is not None
    comparisons = [
        compare(row.label, estimate, values, reference, (_trained(row), base_is_trained), setting.asked).cautioned(
            *(text.rstrip(".") for side in (base, row) for text in failing(results, side, test))
        )
        for row in rows
        if (values := scores[row.label]) is not None
        and (estimate := gain(results, row, base, test, metric, protocol, setting.asked.level)) is not None
    ]
    if not comparisons:
        raise UserError(f"{results.folder}: nothing to compare {base.label} with; choose another row with --row")
    return comparisons


def _draw(ranking: Ranking, out: Path) -> list[Path]:
    """Write the critical-difference diagram as PNG and PDF beside each other; none for too few blocks to test."""
    from bench.core.files import write_bytes
    from bench.report.rank_diagram import draw_ranks
    from bench.report.style import figure_bytes

    if out.suffix not in (".png", ".pdf"):
        raise UserError(f"--out {out}: expected a name that ends in .png or .pdf; both are written")
    check_out_file(out)
    if math.isnan(ranking.critical):
        log.warning("fsr: no diagram is drawn: without a test nothing tells which rows to join")
        return []
    figure = draw_ranks(ranking)
    files = [out.with_suffix(f".{kind}") for kind in ("png", "pdf")]
    for file in files:
        write_bytes(file, figure_bytes(figure, file.suffix[1:]))
    return files


def _open(experiment: str) -> Results:
    from bench.analysis.results import read_results

    return read_results(results_folder(experiment))


def _test_set(results: Results, name: str | None) -> FaceSet:
    """Return the test set of this data set; without a name the first."""
    known = [test.dataset for test in results.test]
    if name is not None and name not in known:
        raise UserError(f"{results.folder}: not tested on '{name}': {suggest(name, known)}")
    return results.test[known.index(name) if name else 0]


def _baseline(results: Results) -> RowResult:
    """Return the row that others are compared with where none is named: the paper's baseline, else the experiment's."""
    from bench.papers.paper import paper_of

    named = (*paper_of(row.method for row in results.rows).baselines, results.baseline)
    rows = [row for method in named if (row := results.plain(method)) is not None]
    if not rows:
        known = ", ".join(row.label for row in results.rows)
        raise UserError(f"{results.folder}: no baseline is among its rows; give --baseline, one of: {known}")
    return rows[0]


def _trained(row: RowResult) -> bool:
    return any(run.trained for run in row.runs)
