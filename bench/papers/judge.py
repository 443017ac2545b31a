"""The paper's claims held against what was measured: which hold, which are reversed, which cannot be told."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from bench.analysis.agreement import order_agreement
from bench.analysis.claims import gain, groups_of, scores_of
from bench.analysis.factorial import effects
from bench.analysis.intervals import Estimate, widened
from bench.analysis.power import seed_spread
from bench.analysis.results import FaceSet, Results, RowResult
from bench.metrics.catalogue import get_metric
from bench.papers.published import ledger
from bench.report.ablation import PUBLISHED, PUBLISHED_ON
from bench.report.comparison import published_number
from bench.report.factorial import factorial_page
from bench.report.subpage import suffix
from bench.report.table import DASH, Cell, gain_cell

Rule = Literal["value", "sign", "small", "none", "asked"]
HOLDS, DIRECTION, REVERSED, UNKNOWN = "holds", "holds in direction", "reversed", "cannot be told"
GAIN, LOSS = "a gain", "a loss"  # where nothing was claimed
NOT_RUN = "not run yet"
ALONE = "these trainings alone"
AS_IN = "trainings as in"
WORSE = "worse than Bicubic"
RULES = (
    "**holds**: the 95% interval of the difference lies on the paper's side of 0 and contains the paper's value.",
    "**holds in direction**: it lies on the paper's side of 0 but does not contain the paper's value, which is then "
    "said to be more or less.",
    "**reversed**: it lies on the other side of 0.",
    "**cannot be told**: it contains 0. Where all of it is less than the paper's value, that is said.",
    "Where the paper gives no value, or one that cannot be compared (NIQE), the side of 0 alone decides; where it "
    "claims nothing (not asked), that side is **a gain** or **a loss**.",
    'That an interaction is small ("under") holds where the interval lies within that bound on both sides of 0, is '
    "reversed where it lies beyond it, and cannot be told otherwise. The bound is the paper's largest, rounded up.",
    "That there is no difference holds where the interval contains 0, and is reversed where it does not; from one "
    "training a row it cannot be told, for two trainings of one network differ too.",
    "That every row is better than Bicubic holds where the interval of each lies on that side of 0, is reversed where "
    "one lies on the other, and cannot be told otherwise. The row that is told is the one with the least gain. Rows "
    "that change a setting are not among them: of one that is worse than Bicubic its own line says so.",
    "The order of Models 1-8 is compared by Spearman's rank correlation of their mean PSNR with the paper's Table 1 "
    "(the paper's value is 1: the same order); its interval is a bootstrap's.",
    f"**{ALONE}**: a row has one training, so that the interval is over images and says nothing of other trainings.",
    f"**{AS_IN} an experiment**: a row has one training, and the interval is widened by how much trainings vary in "
    "that experiment, which has the same budget and faces: all its rows of several trainings together, as if all "
    "varied alike (pooled standard deviation, Student's t). All other intervals are over images and trainings.",
    "A value of the paper with (Helen) behind it was printed for Helen alone.",
)

_MODULES = ("ESEM", "PA", "FEM")
_WITH = {1: (0, 0, 0), 2: (0, 0, 1), 3: (0, 1, 0), 4: (1, 0, 0), 5: (1, 1, 0), 6: (1, 0, 1), 7: (0, 1, 1), 8: (1, 1, 1)}
_MODELS = {f"msfnet-{number}": tuple(map(bool, has)) for number, has in _WITH.items()}
_WIDE = "wide"  # the row that was widened to the size of another
_NAMES = {"bicubic": "Bicubic", "sparnet": "SPARNet", _WIDE: "SPARNet-wide"}
_NAMES |= {name: f"Model {number}" for number, name in enumerate(_MODELS, start=1)}


@dataclass(frozen=True)
class Claim:
    """What the paper says, or what is asked. `rule` and `value` (of "small" the bound) decide, see `judge`.

    `tables` are the names of tables that show the numbers, the best first.
    """

    text: str
    rule: Rule
    value: float
    paper: str
    unit: str
    tables: tuple[str, ...]
    headline: bool = False


@dataclass(frozen=True)
class Finding:
    """What was found about a claim on one test set.

    `verdict` is one of the constants above and `remark` what must be added; `trainings` says how many of each row are
    scored.
    """

    claim: Claim
    measured: str
    verdict: str
    remark: str
    trainings: str


@dataclass(frozen=True)
class _Pair:
    """A claim about the PSNR, or another metric, of the row `a` less that of the row `b`."""

    text: str
    a: str
    b: str
    metric: str = "psnr"
    rule: Rule = "value"
    table: str = ""
    headline: bool = False


_PAIRS = (
    _Pair("Model 8 over Model 1", "msfnet-8", "msfnet-1", table="gains", headline=True),
    _Pair("Model 8 over SPARNet", "msfnet-8", "sparnet", headline=True),
    _Pair("Model 8 over SPARNet, SSIM", "msfnet-8", "sparnet", "ssim"),
    _Pair("Model 8 over SPARNet-wide, which has its size", "msfnet-8", _WIDE, "psnr", "sign", "capacity", True),
    _Pair("Size alone: SPARNet-wide over SPARNet", _WIDE, "sparnet", "psnr", "asked", "capacity", True),
    _Pair("Size alone: SPARNet-wide over Model 1", _WIDE, "msfnet-1", "psnr", "asked", "gains"),
    _Pair("SPARNet over Bicubic", "sparnet", "bicubic"),
    _Pair("SPARNet over Bicubic, SSIM", "sparnet", "bicubic", "ssim"),
    _Pair(
        "No difference: Model 1 less SPARNet, the same network", "msfnet-1", "sparnet", "psnr", "none", "gains", True
    ),
)


def findings_on(results: Results, test: FaceSet, alike: Sequence[Results] = ()) -> list[Finding]:
    """Return a finding a claim on one test set; where a row has no scores yet the verdict is "not run yet".

    A claim about a row that the experiment does not have is left out. How much trainings of a row with one vary is
    taken from the experiments `alike`, which have the same budget.
    """
    return list(_all_findings(results, test, alike))


def _all_findings(results: Results, test: FaceSet, alike: Sequence[Results]) -> Iterator[Finding]:
    if test.truth:
        metrics = [name for name in results.metrics if name in ("psnr", "ssim")]
        if "psnr" in metrics:
            yield from _effects(results, test)
            yield from _variants(results, test, alike)
        for pair in _PAIRS:
            if pair.metric in metrics:
                yield from _pair(results, test, pair, alike)
        if "psnr" in metrics:
            yield from _order(results, test)
    else:
        metrics = [name for name in results.metrics if name.startswith("niqe")]
        for metric, (a, b) in product(metrics, (("msfnet-8", "sparnet"), ("sparnet", "bicubic"))):
            text = f"{_NAMES[a]} below {_NAMES[b]}, {get_metric(metric).title}"
            yield from _pair(results, test, _Pair(text, a, b, metric, "sign", headline=True), alike)
    for metric in metrics:
        yield from _better_than_bicubic(results, test, metric)


def judge(found: Cell, rule: Rule, value: float) -> tuple[str, str]:
    """Return the verdict on a measured difference, and what must be added to it; RULES says how."""
    low, high = found.interval or (-math.inf, math.inf)  # a single image has no interval
    if rule == "none":
        return (REVERSED if low > 0 or high < 0 else HOLDS), ""
    if rule == "small":
        return (HOLDS if -value < low and high < value else REVERSED if low > value or high < -value else UNKNOWN), ""
    if value < 0:
        low, high = -high, -low
    verdict = HOLDS if low > 0 else REVERSED if high < 0 else UNKNOWN
    if rule == "asked":
        return {HOLDS: GAIN, REVERSED: LOSS}.get(verdict, UNKNOWN), ""
    if rule == "sign" or verdict == REVERSED or low <= abs(value) <= high:
        return verdict, ""
    size = "less than the paper's" if high < abs(value) else "more than the paper's"
    return (DIRECTION if verdict == HOLDS else verdict), size


def find_row(results: Results, name: str) -> RowResult | None:
    """Return the row of the method `name` as it is, or the one that was widened; None when the experiment has none."""
    if name == _WIDE:
        return next((row for row in results.rows if row.match), None)
    return results.plain(name)


def _effects(results: Results, test: FaceSet) -> Iterator[Finding]:
    """Yield main effects and interactions on PSNR beside those that follow from the paper's Table 1."""
    if (rows := _present(results, _MODELS)) is None:
        return
    cells = {has: published_number(name, "psnr", PUBLISHED_ON, ("Table 1",)) for name, has in _MODELS.items()}
    theirs = effects({has: one.value for has, one in cells.items() if one is not None})
    bound = math.ceil(100 * max(abs(value) for effect, value in theirs.items() if len(effect) > 1)) / 100
    measured = _measured_effects(results, test)
    tables = (f"effects{suffix(results, test)}",)
    for effect, value in theirs.items():
        names = [_MODULES[place] for place in effect]
        paper = _paper_text(value, 3, "dB", PUBLISHED_ON, test)
        if len(names) == 1:
            claim = Claim(f"Main effect of {names[0]}", "value", value, paper, "dB", tables, headline=True)
        else:
            text = f"Interaction {' x '.join(names)} under {bound:.2f} dB"
            claim = Claim(text, "small", bound, paper, "dB", tables)
        yield _judged(results, test, claim, rows, measured.get(frozenset(names)))


def _measured_effects(results: Results, test: FaceSet) -> Mapping[frozenset[str], Cell]:
    """Return the effects on PSNR that the page of factorial effects shows; nothing where a row has no scores."""
    page = factorial_page(results)
    for table in page.tables if page else ():
        keys = [(column.key, column.dataset) for column in table.columns]
        if ("psnr", test.dataset) in keys:
            place = keys.index(("psnr", test.dataset))
            return {frozenset(str(row.cells[0].value).split(" × ")): row.cells[place] for row in table.rows}  # noqa: RUF001
    return {}


def _variants(results: Results, test: FaceSet, alike: Sequence[Results]) -> Iterator[Finding]:
    """Yield what each row that changes an option or the training of a method gives over the method as it is."""
    bicubic = find_row(results, "bicubic")
    for row in results.rows:
        plain = results.plain(row.method)
        if plain is None or row is plain or row.match:
            continue
        text = f"{row.label}: gain over {plain.label}"
        claim = Claim(text, "asked", 1.0, "not asked", "dB", _tables_of(test), headline=True)
        told, chance = _difference(results, (row, plain), test, "psnr", alike)
        found = _judged(results, test, claim, [row, plain], gain_cell(told, 3), chance)
        over = gain(results, row, bicubic, test, "psnr") if bicubic else None
        worse = [WORSE] if over is not None and over.high < 0 else []
        yield dataclasses.replace(found, remark="; ".join([*worse, *filter(None, [found.remark])]))


def _pair(results: Results, test: FaceSet, pair: _Pair, alike: Sequence[Results]) -> Iterator[Finding]:
    spec, rows = get_metric(pair.metric), _present(results, (pair.a, pair.b))
    if rows is None:
        return
    sign = 1.0 if spec.higher_is_better else -1.0
    theirs = _paper_gain(pair.a, pair.b, pair.metric, test)
    silent = {"sign": "implied", "asked": "not asked"}.get(pair.rule, DASH)
    paper = _paper_text(*theirs, test) if theirs else silent
    tables = (*([f"{pair.table}{suffix(results, test)}"] if pair.table else []), *_tables_of(test))
    rule = "sign" if pair.rule == "value" and theirs is None else pair.rule
    claim = Claim(pair.text, rule, theirs[0] if theirs else sign, paper, spec.unit, tables, pair.headline)
    told, chance = _difference(results, (rows[0], rows[1]), test, pair.metric, alike)
    yield _judged(results, test, claim, rows, gain_cell(told, spec.decimals), chance)


def _difference(
    results: Results, rows: tuple[RowResult, RowResult], test: FaceSet, metric: str, alike: Sequence[Results]
) -> tuple[Estimate | None, str]:
    """Return how far the first row lies above the second, and what must be said of rows with one training."""
    told, alone = gain(results, *rows, test, metric), sum(_alone(results, test, row) for row in rows)
    if told is None or not alone:
        return told, ""
    for one in alike:
        if test in one.test and (spread := seed_spread(*groups_of(one, test, metric))):
            return widened(told, *spread, trainings=alone), f"{AS_IN} {one.folder.name}"
    return told, ALONE


def _tables_of(test: FaceSet) -> tuple[str, ...]:
    return ("table2", "table1") if test.truth else ("table3",)


def _better_than_bicubic(results: Results, test: FaceSet, metric: str) -> Iterator[Finding]:
    """Find the row that changes no setting with the least gain over Bicubic, and all such that lie below it."""
    spec, bicubic = get_metric(metric), find_row(results, "bicubic")
    if bicubic is None:
        return
    sign = 1.0 if spec.higher_is_better else -1.0
    others = [row for row in results.rows if row.match or row is results.plain(row.method)]
    others.remove(bicubic)
    gains = {row.label: gain_cell(gain(results, row, bicubic, test, metric), spec.decimals) for row in others}
    gains = {label: cell for label, cell in gains.items() if cell.value is not None}
    least = min(gains, key=lambda label: sign * float(gains[label].value or 0), default="")
    verdicts = {label: judge(cell, "sign", sign)[0] for label, cell in gains.items()}
    worst = next((one for one in (REVERSED, UNKNOWN) if one in verdicts.values()), HOLDS)
    named = ", ".join(label for label, one in verdicts.items() if one == worst) if worst != HOLDS else ""
    remark = f"{'worse' if worst == REVERSED else 'not told apart'}: {named}" if named else ""
    theirs = [_paper_gain(row.method, "bicubic", metric, test) for row in others if not row.match]
    printed = min((one for one in theirs if one), key=lambda one: sign * one[0], default=None)
    paper = f"at least {_paper_text(*printed, test)}" if printed else DASH
    text = f"Every row better than Bicubic, {spec.title}"
    claim = Claim(text, "sign", sign, paper, spec.unit, _tables_of(test), headline=metric == "psnr")
    counted = f"{len(gains)} of {len(others)} rows"
    if not gains:
        yield Finding(claim, NOT_RUN, NOT_RUN, "", counted)
        return
    alone = any(_alone(results, test, row) for row in others)
    so_far = f"so far: {len(gains)} of {len(others)} rows" if len(gains) < len(others) else ""
    remark = "; ".join(filter(None, [remark, so_far, ALONE if alone else ""]))
    yield Finding(claim, f"{least}: {_with_unit(gains[least].text, spec.unit)}", worst, remark, counted)


def _order(results: Results, test: FaceSet) -> Iterator[Finding]:
    """Compare the order of the eight models with that of the paper's Table 1."""
    rows = _present(results, _MODELS)
    if rows is None:
        return
    claim = Claim("Order of Models 1-8, rank correlation", "value", 1.0, "1", "", _tables_of(test))
    groups, numbers = [], []
    for row in rows:
        theirs = published_number(row.method, "psnr", PUBLISHED_ON, ("Table 1",))
        scores = scores_of(results, row, test, "psnr")
        if scores is not None and theirs is not None:
            groups.append(scores)
            numbers.append(theirs.value)
    found = gain_cell(order_agreement(groups, numbers), 2) if len(groups) == len(rows) else None
    yield _judged(results, test, claim, rows, found)


def _present(results: Results, names: Iterable[str]) -> list[RowResult] | None:
    """Return the rows `names`; None when the experiment lacks one of them."""
    rows = [find_row(results, name) for name in names]
    found = [row for row in rows if row is not None]
    return found if len(found) == len(rows) else None


def _judged(
    results: Results,
    test: FaceSet,
    claim: Claim,
    rows: Sequence[RowResult],
    found: Cell | None,
    chance: str | None = None,
) -> Finding:
    """Return the finding about a claim on `rows`, from a difference or, where there is none, without it.

    `chance` is what must be said of rows with one training, by default that they are these trainings alone.
    """
    trainings = _trainings(results, test, rows)
    if found is None or found.value is None:
        return Finding(claim, NOT_RUN, NOT_RUN, "", trainings)
    verdict, remark = judge(found, claim.rule, claim.value)
    if chance is None:
        chance = ALONE if any(_alone(results, test, row) for row in rows) else ""
    if chance and claim.rule == "none":
        verdict = UNKNOWN
    remark = "; ".join(filter(None, [remark, chance]))
    return Finding(claim, _with_unit(found.text, claim.unit), verdict, remark, trainings)


def _alone(results: Results, test: FaceSet, row: RowResult) -> bool:
    """Tell whether a row has one training alone."""
    runs = row.scored_runs(test, results.protocol)
    return len(runs) == 1 and runs[0].trained


def _trainings(results: Results, test: FaceSet, rows: Sequence[RowResult]) -> str:
    """Say how many trainings of each row are scored, of how many; of more than two rows their sum."""
    counts = [(len(row.scored_runs(test, results.protocol)), len(row.runs)) for row in rows]
    if len(counts) > 2:
        return "{} of {}".format(*(sum(one) for one in zip(*counts, strict=True)))
    return "; ".join(f"{row.label}: {done} of {all_}" for row, (done, all_) in zip(rows, counts, strict=True))


def _paper_gain(a: str, b: str, metric: str, test: FaceSet) -> tuple[float, int, str, str] | None:
    """Return the published difference of two methods, its decimals, unit and data set: the test set's own, or Helen's.

    NIQE of any convention is held against the paper's, for its sign alone.
    """
    spec = get_metric(metric)
    name, tables = ("niqe", ("Table 3",)) if metric.startswith("niqe") else (metric, PUBLISHED)
    for dataset in dict.fromkeys((test.dataset, PUBLISHED_ON)):
        ours, theirs = (published_number(method, name, dataset, tables) for method in (a, b))
        if ours is not None and theirs is not None:
            return ours.value - theirs.value, ours.decimals, spec.unit, dataset
    return None


def _paper_text(value: float, decimals: int, unit: str, dataset: str, test: FaceSet) -> str:
    text = _with_unit(f"{value:+.{decimals}f}", unit)
    return text if dataset == test.dataset else f"{text} ({ledger().datasets[dataset]})"


def _with_unit(text: str, unit: str) -> str:
    return f"{text} {unit}".rstrip()
