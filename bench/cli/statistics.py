"""`fsr power` and `fsr rank`."""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.common import Command, show, written
from bench.core import paths
from bench.core.errors import UserError, suggest

if TYPE_CHECKING:
    from bench.analysis.ranks import Ranking
    from bench.report.power import Asked, Comparison
    from bench.runs.results import FaceSet, Results, RowResult

log = logging.getLogger("fsr")
_GAINS = (0.05, 0.1, 0.3)  # dB, for PSNR
_BASELINES = ("sparnet", "msfnet-1")


def _power(options: argparse.Namespace) -> int:
    from bench.metrics.catalogue import get_metric
    from bench.report.power import Asked
    from bench.report.power_text import Setting, power_json, power_text
    from bench.report.ranks import find_row

    metric, results = get_metric(options.metric), _open(options.experiment)
    test = _test_set(results, options.data)
    base = find_row(results, options.baseline) if options.baseline else _baseline(results)
    rows = [find_row(results, name) for name in options.row] or [row for row in results.rows if row is not base]
    gains = tuple(options.gain) or (_GAINS if metric.name == "psnr" else ())
    asked = Asked(gains, options.level, options.power, options.seed_sd)
    found = _comparisons(results, rows, base, test, options, asked)
    protocol = options.protocol or results.protocol
    setting = Setting(options.experiment, test.dataset, metric, protocol, base.label, asked)
    show(options, power_json(setting, found), lambda: power_text(setting, found))
    return 0


def _comparisons(
    results: Results,
    rows: Sequence[RowResult],
    base: RowResult,
    test: FaceSet,
    options: argparse.Namespace,
    asked: Asked,
) -> list[Comparison]:
    """Compare each row that is scored with the baseline; raise UserError where none, or one that was named, is not."""
    from bench.analysis.claims import scores_of
    from bench.report.power import compare

    scores = {row.label: scores_of(results, row, test, options.metric, options.protocol) for row in (base, *rows)}
    protocol = options.protocol or results.protocol
    missing = [label for label, values in scores.items() if values is None]
    needed = {base.label, *(row.label for row in rows if options.row)}
    if needed & set(missing) or len(missing) > len(rows):
        what = f"no complete scores of {options.metric} under protocol {protocol} on {test.dataset}"
        raise UserError(f"{results.folder}: {what} for {', '.join(missing)}; run the experiment, or choose --row")
    found = []
    for row in rows:
        a, b = scores[row.label], scores[base.label]
        if row is not base and a is not None and b is not None:
            found.append(compare(row.label, a, b, (_trained(row), _trained(base)), asked))
    if not found:
        raise UserError(f"{results.folder}: nothing to compare {base.label} with; choose another row with --row")
    return found


def _rank(options: argparse.Namespace) -> int:
    from bench.analysis.ranks import rank
    from bench.metrics.catalogue import get_metric
    from bench.report.ranks import data_set_blocks, image_blocks, rank_json, rank_text

    metric = get_metric(options.metric)
    experiments = {name: _open(name) for name in options.experiment}
    if options.over == "images":
        if len(experiments) > 1:
            raise UserError("--over images takes one experiment: its blocks are the images of one test set")
        (results,) = experiments.values()
        test = _test_set(results, options.data)
        blocks = image_blocks(results, test, options.row, metric.name, options.protocol)
    else:
        if options.data:
            raise UserError("--data goes with --over images: data sets are ranked over all test sets")
        blocks = data_set_blocks(experiments, options.row, metric.name, options.protocol)
    if not blocks.names or not blocks.values.size:
        raise UserError(f"nothing to rank: {'; '.join(blocks.left_out) or f'no row has {metric.name} everywhere'}")
    ranking = rank(blocks.values, blocks.rows, metric.higher_is_better, options.level)
    files = _draw(ranking, options.out) if options.out else []
    text = "\n".join([rank_text(blocks, ranking, metric, options.level), *([written(files)] if files else [])])
    show(options, rank_json(blocks, ranking, metric, files), lambda: text)
    return 0


def _draw(ranking: Ranking, out: Path) -> list[Path]:
    """Write the critical-difference diagram as PNG and PDF beside each other; none for too few blocks to test."""
    from bench.core.files import write_bytes
    from bench.report.curves import figure_bytes
    from bench.report.rank_diagram import draw_ranks

    if out.suffix not in (".png", ".pdf"):
        raise UserError(f"--out {out}: expected a name that ends in .png or .pdf; both are written")
    if math.isnan(ranking.critical):
        log.warning("fsr: no diagram is drawn: without a test nothing tells which rows to join")
        return []
    figure = draw_ranks(ranking)
    files = [out.with_suffix(f".{kind}") for kind in ("png", "pdf")]
    for file in files:
        write_bytes(file, figure_bytes(figure, file.suffix[1:]))
    return files


def _open(name: str) -> Results:
    """Read the results of an experiment by its folder's name under results/."""
    from bench.runs.results import read_results

    found = [*paths.results().glob("*/experiment.json"), *paths.results().glob("reference/*/experiment.json")]
    known = [path.parent.relative_to(paths.results()).as_posix() for path in found]
    if name not in known:
        raise UserError(f"no results of '{name}' in {paths.results()}: {suggest(name, known)}")
    return read_results(paths.results() / name)


def _test_set(results: Results, name: str | None) -> FaceSet:
    """Return the test set of this data set; without a name the first."""
    known = [test.dataset for test in results.test]
    if name is not None and name not in known:
        raise UserError(f"{results.folder}: not tested on '{name}': {suggest(name, known)}")
    return results.test[known.index(name) if name else 0]


def _baseline(results: Results) -> RowResult:
    """Return the row that others are compared with where none is named: SPARNet's, else Model 1's."""
    for method in _BASELINES:
        for row in results.rows:
            if row.method == method and row.match == "":
                return row
    known = ", ".join(row.label for row in results.rows)
    raise UserError(f"{results.folder}: neither SPARNet nor Model 1 is there; give --baseline, one of: {known}")


def _trained(row: RowResult) -> bool:
    return any(run.trained for run in row.runs)


def _add_shared(parser: argparse.ArgumentParser, data: str, level: str) -> None:
    parser.add_argument(
        "--row", action="append", default=[], metavar="ROW", help="only this row, a label or method id; may be repeated"
    )
    parser.add_argument("--metric", default="psnr", metavar="NAME", help="a metric of the scores (default: psnr)")
    parser.add_argument("--protocol", metavar="NAME", help="a protocol of the scores (default: the experiment's)")
    parser.add_argument("--data", metavar="NAME", help=f"{data} (default: the first)")
    parser.add_argument("--level", type=float, default=0.95, help=f"{level} (default: 0.95)")


def _add_power(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", help="a folder under results/, e.g. ablation or reference/quick")
    parser.add_argument("--baseline", metavar="ROW", help="compare with this row (default: SPARNet, else Model 1)")
    parser.add_argument(
        "--gain",
        type=float,
        action="append",
        default=[],
        help="a gain to see, in the metric's unit; may be repeated (default for PSNR: 0.05, 0.1 and 0.3 dB)",
    )
    parser.add_argument("--power", type=float, default=0.8, help="the chance of seeing it (default: 0.8)")
    parser.add_argument(
        "--seed-sd",
        type=float,
        metavar="SD",
        help="the deviation over trainings of a method's mean, instead of what is measured",
    )
    _add_shared(parser, "a data set that was tested on", "of the interval")


def _add_rank(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", nargs="+", help="folders under results/")
    parser.add_argument(
        "--over",
        choices=("data", "images"),
        default="data",
        help="what is ranked within: data sets (default), or the images of one test set, which tells about it alone",
    )
    parser.add_argument("--out", type=Path, metavar="CD.png", help="draw the critical-difference diagram, PNG and PDF")
    _add_shared(parser, "with --over images: a data set that was tested on", "1 less the p that is small enough")


COMMANDS = (
    Command("power", "tell how many images and seeds a gain takes, from measured variances", _power, _add_power),
    Command("rank", "rank rows over data sets, with Friedman's test and critical difference", _rank, _add_rank),
)
