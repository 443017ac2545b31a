"""The one judge of claims: what papers say, held against what was measured, with every number computed from scores."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.analysis.agreement import order_agreement
from bench.analysis.claims import gain, scores_of, spread_of
from bench.analysis.factorial import effects, factorial_rows, measured_effects
from bench.analysis.failures import failures_of
from bench.analysis.intervals import Estimate
from bench.analysis.results import FaceSet, Results, RowResult
from bench.metrics.catalogue import get_metric
from bench.papers.paper import Claim, Paper, Printed, RowName, Rule
from bench.runs.failures import LIMIT


class Verdict(StrEnum):
    """What was found about a claim, or, where nothing is claimed, about a question ("a gain", "a loss")."""

    HOLDS = "holds"
    DIRECTION = "holds in direction"
    REVERSED = "reversed"
    GAIN = "a gain"
    LOSS = "a loss"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not scored yet"


ONE_SEED = "one seed a row: these trainings alone"
APART = "seeds apart"
AS_IN = "seeds vary as in"
FAILS = "fails on faces"
RULES = (
    f"**{Verdict.HOLDS}**: the 95% interval of the difference lies on the paper's side of 0 and contains the paper's "
    "value.",
    f"**{Verdict.DIRECTION}**: it lies on the paper's side of 0 but does not contain the paper's value, which is then "
    "said to be more or less.",
    f"**{Verdict.REVERSED}**: it lies on the other side of 0.",
    f"**{Verdict.INCONCLUSIVE}**: it contains 0. Where all of it is less than the paper's value, that is said.",
    "Where the paper gives no value, or one that cannot be compared (NIQE), the side of 0 alone decides; where it "
    f"claims nothing (not asked), that side is **{Verdict.GAIN}** or **{Verdict.LOSS}**.",
    'That an interaction is small ("under") holds where the interval lies within that bound on both sides of 0, is '
    "reversed where it lies beyond it, and is inconclusive otherwise. The bound is the paper's largest, rounded up.",
    "That there is no difference holds where the interval contains 0, and is reversed where it does not.",
    "That every row is better than another holds where the interval of each lies on that side of 0, is reversed where "
    "one lies on the other, and is inconclusive otherwise. The row shown is the one with the least gain. Rows that "
    "change a setting are not among them: where one is worse, its own line says so.",
    "The order of rows is compared by Spearman's rank correlation of their means with the paper's table (the paper's "
    "value is 1: the same order); its interval is a bootstrap's.",
    f"**{ONE_SEED}**: no row has two seeds, so that nothing tells how they vary; the interval is over images and about "
    "these very trainings, and the verdict is inconclusive.",
    f"**{AS_IN} an experiment**: no row has two seeds here; how much they vary is taken from that experiment, which "
    "has the same budget and training faces.",
    f"**{APART}**: that row's seeds vary more than those of the others, and its own variance is taken.",
    f"**{FAILS}**: how many each row fails on, all its seeds together: NaN or infinity in the output, or more than "
    f"{LIMIT:g} dB below the row without training. Differences hold these faces with their scores.",
    "A value of the paper with a data set's name behind it was printed for that set alone.",
    "**stand-in for** a set: the faces are not that set's. The paper's values are shown and not held against ours: the "
    "side of 0 alone decides.",
)


@dataclass(frozen=True)
class Counted:
    """A row of a verdict: its label, and how many of its seeds are scored, of how many."""

    label: str
    scored: int
    planned: int


@dataclass(frozen=True)
class Finding:
    """What was found about a claim on one test set.

    `estimate` is None where it is not scored yet, of the row `label` where the claim is about many; `published` is the
    paper's value, None where it prints none. `remarks` are what must be added to the verdict, `rows` what it rests on.
    """

    paper: Paper
    claim: Claim
    text: str
    metric: str
    verdict: Verdict
    estimate: Estimate | None
    published: Printed | None
    rows: tuple[Counted, ...]
    remarks: tuple[str, ...] = ()
    label: str = ""


@dataclass(frozen=True)
class _Case:
    """A claim and what it is judged by: experiment, test set, metric."""

    paper: Paper
    claim: Claim
    results: Results
    test: FaceSet
    metric: str

    @property
    def sign(self) -> float:
        return 1.0 if get_metric(self.metric).higher_is_better else -1.0

    def gain(self, row: RowResult, base: RowResult) -> Estimate | None:
        return _finite(gain(self.results, row, base, self.test, self.metric))

    def printed(self, method: str, dataset: str) -> Printed | None:
        return self.paper.find(method, self.claim.metric, dataset, self.claim.tables)

    @property
    def datasets(self) -> Iterable[str]:
        """The data sets whose printed numbers count: the test set, or what it stands in for, else the reference set."""
        return dict.fromkeys((self.paper.counterpart(self.test.dataset), self.paper.reference))

    @property
    def stands_in(self) -> str:
        return self.paper.stands_in(self.test.dataset)

    def counted(self, row: RowResult) -> Counted:
        return Counted(row.label, len(row.scored_runs(self.test, self.results.protocol)), len(row.runs))

    def find(self, name: RowName | None) -> RowResult | None:
        """Return the row that a claim names; None when the experiment has none."""
        if name is None or not name.match:
            return self.results.plain(name.method) if name else None
        asked = (name.method, name.match, name.match_by)
        own = (row for row in self.results.rows if not row.foreign)
        return next((row for row in own if (row.method, row.match, row.match_by) == asked), None)


def findings_on(results: Results, test: FaceSet, papers: Sequence[Paper]) -> list[Finding]:
    """Return what was found about the claims of papers on one test set, in their order.

    A claim about a row that the experiment does not have is left out.
    """
    judges = {"difference": _difference, "effect": _effect, "order": _order, "every": _every, "changed": _changed}
    return [
        finding
        for paper in papers
        for claim in paper.claims
        for metric in _metrics(results, test, paper, claim)
        for finding in judges[claim.kind](_Case(paper, claim, results, test, metric))
    ]


def judge(estimate: Estimate, rule: Rule, value: float) -> tuple[Verdict, str]:
    """Return the verdict on a measured difference, and how its size compares; RULES says how.

    `value` is the paper's, of "small" the bound, and of "sign" and "asked" any number of the right sign.
    """
    low, high = estimate.low, estimate.high
    if math.isnan(low):  # a single image has no interval
        low, high = -math.inf, math.inf
    if rule == "none":
        return (Verdict.REVERSED if low > 0 or high < 0 else Verdict.HOLDS), ""
    if rule == "small":
        within, beyond = -value < low and high < value, low > value or high < -value
        return (Verdict.HOLDS if within else Verdict.REVERSED if beyond else Verdict.INCONCLUSIVE), ""
    if value < 0:
        low, high = -high, -low
    verdict = Verdict.HOLDS if low > 0 else Verdict.REVERSED if high < 0 else Verdict.INCONCLUSIVE
    if rule == "asked":
        return {Verdict.HOLDS: Verdict.GAIN, Verdict.REVERSED: Verdict.LOSS}.get(verdict, verdict), ""
    if rule == "sign" or verdict == Verdict.REVERSED or low <= abs(value) <= high:
        return verdict, ""
    size = "less than the paper's" if high < abs(value) else "more than the paper's"
    return (Verdict.DIRECTION if verdict == Verdict.HOLDS else verdict), size


def _metrics(results: Results, test: FaceSet, paper: Paper, claim: Claim) -> list[str]:
    """Return the experiment's metrics that a claim is about, on the test sets that have what they need."""
    if claim.datasets and not {test.dataset, paper.counterpart(test.dataset)} & {*claim.datasets}:
        return []
    names = [name for name in results.metrics if name == claim.metric or name.startswith(f"{claim.metric}-")]
    return [name for name in names if bool(get_metric(name).needs) == test.truth]


def _difference(case: _Case) -> Iterator[Finding]:
    row, base = case.find(case.claim.row), case.find(case.claim.against)
    if row is not None and base is not None:
        published = _printed_gain(case, row.method, base.method) if case.claim.tables else None
        yield _judged(case, (row, base), case.gain(row, base), published)


def _effect(case: _Case) -> Iterator[Finding]:
    rows, names = factorial_rows(case.results), case.results.modules
    if not rows or not {*case.claim.effect} <= {*names}:
        return
    effect = tuple(sorted(names.index(name) for name in case.claim.effect))
    printed = {cell: _printed(case, row.method) for cell, row in rows.items()}
    known = {cell: number for cell, number in printed.items() if number is not None}
    published = None
    if len(known) == len(rows):
        value = effects({cell: number.value for cell, number in known.items()})[effect]
        published = dataclasses.replace(next(iter(known.values())), value=value)
    estimate = measured_effects(case.results, case.test, case.metric).get(effect)
    yield _judged(case, tuple(rows.values()), estimate, published)


def _order(case: _Case) -> Iterator[Finding]:
    rows = [row for method in case.claim.methods if (row := case.results.plain(method)) is not None]
    printed = [number for row in rows if (number := _printed(case, row.method)) is not None]
    if not len(rows) == len(printed) == len(case.claim.methods):
        return
    scores = [scores_of(case.results, row, case.test, case.metric) for row in rows]
    groups = [values for values in scores if values is not None]
    whole = len(groups) == len(rows)
    estimate = order_agreement(groups, [number.value for number in printed]) if whole else None
    yield _judged(case, rows, estimate, None)


def _changed(case: _Case) -> Iterator[Finding]:
    """Judge each row that changes an option or the training of a method, held against the method as it is."""
    floor = case.find(case.claim.against)
    for row in case.results.rows:
        plain = case.results.plain(row.method)
        if plain is None or row is plain or row.match or row.foreign:
            continue
        over = case.gain(row, floor) if floor else None
        worse = floor and over and judge(over, "sign", case.sign)[0] == Verdict.REVERSED
        remarks = [f"worse than {floor.label}"] if floor and worse else []
        titles = {"row": row.label, "base": plain.label}
        yield _judged(case, (row, plain), case.gain(row, plain), None, remarks, titles)


def _every(case: _Case) -> Iterator[Finding]:
    """Judge the least gain over a row among those that change no setting; name all that decide against the claim."""
    base = case.find(case.claim.against)
    if base is None:
        return
    rows = [row for row in case.results.rows if row.match or row is case.results.plain(row.method)]
    rows.remove(base)
    gains = {row.label: estimate for row in rows if (estimate := case.gain(row, base)) is not None}
    printed = [_printed_gain(case, row.method, base.method) for row in rows if not row.match]
    published = min((number for number in printed if number), key=lambda one: case.sign * one.value, default=None)
    counted = Counted("rows", len(gains), len(rows))
    finding = _finding(case, Verdict.NOT_RUN, None, published, (counted,))
    if not gains:
        yield finding
        return
    least = min(gains, key=lambda label: case.sign * gains[label].mean)
    verdicts = {label: judge(estimate, "sign", case.sign)[0] for label, estimate in gains.items()}
    worst = next((one for one in (Verdict.REVERSED, Verdict.INCONCLUSIVE) if one in verdicts.values()), Verdict.HOLDS)
    named = ", ".join(label for label, verdict in verdicts.items() if verdict == worst)
    remarks = {Verdict.REVERSED: f"worse: {named}", Verdict.INCONCLUSIVE: f"no difference: {named}"}
    said = (
        remarks.get(worst, ""),
        f"so far: {counted.scored} of {counted.planned} rows" if len(gains) < len(rows) else "",
        case.stands_in,
        _of_seeds(case, rows, gains[least]),
        _failing(case, [base, *rows]),
    )
    yield dataclasses.replace(
        finding, verdict=worst, estimate=gains[least], label=least, remarks=tuple(filter(None, said))
    )


def _judged(
    case: _Case,
    rows: Sequence[RowResult],
    estimate: Estimate | None,
    published: Printed | None,
    remarks: Sequence[str] = (),
    titles: Mapping[str, str] | None = None,
) -> Finding:
    """Return the finding about an estimate; one that is about these very trainings is inconclusive."""
    claim = case.claim
    if claim.value is not None and claim.rule == "value":
        published = Printed(claim.value, 0, "")
    counted = tuple(map(case.counted, rows))
    if _finite(estimate) is None or estimate is None:
        return _finding(case, Verdict.NOT_RUN, None, published, counted, (), titles)
    comparable = published is not None and (claim.value is not None or not case.stands_in)
    rule: Rule = "sign" if claim.rule == "value" and not comparable else claim.rule
    bound = claim.value if rule == "small" else published.value if published else None
    verdict, size = judge(estimate, rule, bound if bound is not None else case.sign)
    if not estimate.covers_training:
        verdict = Verdict.INCONCLUSIVE
    said = (*remarks, size, case.stands_in, _of_seeds(case, rows, estimate), _failing(case, rows))
    return _finding(case, verdict, estimate, published, counted, tuple(filter(None, said)), titles)


def _finding(
    case: _Case,
    verdict: Verdict,
    estimate: Estimate | None,
    published: Printed | None,
    rows: tuple[Counted, ...],
    remarks: tuple[str, ...] = (),
    titles: Mapping[str, str] | None = None,
) -> Finding:
    text = case.claim.text.format(**{"metric": get_metric(case.metric).title, **(titles or {})})
    return Finding(case.paper, case.claim, text, case.metric, verdict, estimate, published, rows, remarks)


def _of_seeds(case: _Case, rows: Iterable[RowResult], estimate: Estimate) -> str:
    """Say what must be known of how seeds vary: that nothing is, from which experiment it is, or whose are apart."""
    if not estimate.covers_training:
        return ONE_SEED
    spread = spread_of(case.results, case.test, case.metric)
    own = [row.label for row in rows if spread and row.label in spread.deviant]
    kin = next((one for one in case.results.kin if spread and spread_of(one, case.test, case.metric) is spread), None)
    return f"{AS_IN} {kin.folder.name}" if kin else f"{APART}: {', '.join(own)}" if own else ""


def _failing(case: _Case, rows: Iterable[RowResult]) -> str:
    """Name the rows that fail on faces, and on how many of all seeds together."""
    counts = {
        row.label: sum(
            len(failures_of(case.results, run, case.test)) for run in row.scored_runs(case.test, case.results.protocol)
        )
        for row in rows
    }
    named = [f"{label} ({count})" for label, count in counts.items() if count]
    return f"{FAILS}: {', '.join(named)}" if named else ""


def _finite(estimate: Estimate | None) -> Estimate | None:
    return estimate if estimate is not None and math.isfinite(estimate.mean) else None


def _printed(case: _Case, method: str) -> Printed | None:
    return next((number for dataset in case.datasets if (number := case.printed(method, dataset))), None)


def _printed_gain(case: _Case, row: str, base: str) -> Printed | None:
    """Return the printed difference of two methods on one data set."""
    for dataset in case.datasets:
        ours, theirs = case.printed(row, dataset), case.printed(base, dataset)
        if ours is not None and theirs is not None:
            return dataclasses.replace(ours, value=ours.value - theirs.value)
    return None
