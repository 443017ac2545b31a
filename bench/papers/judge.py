"""The one judge of claims: what papers say, held against what was measured, with every number computed from scores."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.agreement import agreement
from bench.analysis.claims import gain, scores_of, spread_of
from bench.analysis.factorial import effects, factorial_rows, measured_effects
from bench.analysis.failures import failures_of
from bench.analysis.intervals import Estimate
from bench.analysis.results import FaceSet, Results, RowResult
from bench.metrics.catalogue import get_metric
from bench.papers.paper import Claim, Paper, Printed, RowName, Rule
from bench.papers.verdict import APART, AS_IN, FAILS, ONE_SEED, Verdict, band_of, judge, sign_probability


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
    `probability` is the chance that the sign is the paper's, None where no sign is claimed or nothing tells of seeds.
    `seeds` are the fewest that are scored of a trained row among them. `band` is what the interval must lie
    within to confirm the claim; None where a side of 0 decides.
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
    probability: float | None = None
    seeds: int = 0
    band: tuple[float, float] | None = None


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
        scores = scores_of(self.results, row, self.test, self.metric)
        return Counted(row.label, 0 if scores is None else len(scores), len(row.runs))

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
    estimate = agreement(case.results, rows, case.test, case.metric, [number.value for number in printed])
    yield _judged(case, rows, estimate, None)


def _changed(case: _Case) -> Iterator[Finding]:
    """Judge each row that changes an option or the training of a method, held against the method as it is."""
    floor = case.find(case.claim.against)
    for row in case.results.rows:
        plain = case.results.plain(row.method)
        if plain is None or row is plain or row.match or row.foreign:
            continue
        over = case.gain(row, floor) if floor else None
        worse = floor and over and judge(over, "sign", case.sign)[0] == Verdict.CONTRADICTED
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
    worst = next(
        (one for one in (Verdict.CONTRADICTED, Verdict.INCONCLUSIVE) if one in verdicts.values()), Verdict.CONFIRMED
    )
    named = ", ".join(label for label, verdict in verdicts.items() if verdict == worst)
    decided = worst if gains[least].covers_training else Verdict.INCONCLUSIVE
    remarks = {Verdict.CONTRADICTED: f"worse: {named}", Verdict.INCONCLUSIVE: f"no difference: {named}"}
    said = (
        remarks.get(worst, ""),
        f"so far: {counted.scored} of {counted.planned} rows" if len(gains) < len(rows) else "",
        case.stands_in,
        _of_seeds(case, rows, gains[least]),
        _failing(case, [base, *rows]),
    )
    yield dataclasses.replace(
        finding,
        verdict=decided,
        estimate=gains[least],
        label=least,
        remarks=tuple(filter(None, said)),
        probability=sign_probability(gains[least], "sign", case.sign),
        seeds=_fewest(case, [row for row in [base, *rows] if row is base or row.label in gains]),
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
        finding = _finding(case, Verdict.NOT_RUN, None, published, counted, (), titles)
        return dataclasses.replace(finding, seeds=_fewest(case, rows))
    comparable = published is not None and (claim.value is not None or not case.stands_in)
    rule: Rule = "sign" if claim.rule == "value" and not comparable else claim.rule
    value = published.value if published else case.sign
    verdict, added = judge(estimate, rule, value, claim.tolerance)
    if not estimate.covers_training:
        verdict, added = Verdict.INCONCLUSIVE, ""
    said = (*remarks, added, case.stands_in, _of_seeds(case, rows, estimate), _failing(case, rows))
    finding = _finding(case, verdict, estimate, published, counted, tuple(filter(None, said)), titles)
    chance = sign_probability(estimate, rule, value)
    band = band_of(rule, value, claim.tolerance)
    return dataclasses.replace(finding, probability=chance, seeds=_fewest(case, rows), band=band)


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


def _fewest(case: _Case, rows: Iterable[RowResult]) -> int:
    trained = (row for row in rows if any(run.trained for run in row.runs))
    return min((case.counted(row).scored for row in trained), default=0)


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
