"""What is said of claims in words and cells: the paper's value, what was measured, the verdict, the probability."""

from __future__ import annotations

from bench.analysis.results import FaceSet, Results
from bench.metrics.catalogue import get_metric
from bench.papers.judge import Finding, findings_on
from bench.papers.paper import Paper, paper_of, papers
from bench.papers.verdict import Verdict
from bench.report.markdown import escape
from bench.report.table import DASH, gain_cell

SMOKE = ("quick",)  # profiles that show that everything runs, no more
_SURE = 0.9999  # nearer to 0 or 1 than this is not known


def own_paper(results: Results) -> Paper:
    """Return the paper that prints most of an experiment's methods."""
    return paper_of(row.method for row in results.rows)


def is_smoke(results: Results) -> bool:
    """Tell whether an experiment shows that everything runs, no more."""
    return results.profile in SMOKE


def judged(results: Results) -> dict[FaceSet, list[Finding]]:
    """Judge the claims of every paper on every test set, those of the experiment's own paper first."""
    own = own_paper(results)
    order = sorted(papers(), key=lambda paper: paper != own)
    return {test: findings_on(results, test, order) for test in results.test}


def set_name(test: FaceSet) -> str:
    """Return a test set's name as papers print it, or what it stands in for."""
    stands_in = next(filter(None, (paper.stands_in(test.dataset) for paper in papers())), "")
    named = f"{test.dataset} ({stands_in})" if stands_in else test.dataset
    return next((paper.datasets[test.dataset] for paper in papers() if test.dataset in paper.datasets), named)


def paper_text(finding: Finding, test: FaceSet) -> str:
    """Return the paper's value, with its data set where that is another one."""
    number, claim = finding.published, finding.claim
    if number is None:
        return {"sign": "implied", "asked": "not asked"}.get(claim.rule, DASH)
    if not number.dataset:
        return f"{number.value:g}"
    text = f"{number.value:+.{number.decimals}f} {unit_of(finding)}".rstrip()
    least = "at least " if claim.kind == "every" else ""
    return f"{least}{text}" + (f" ({finding.paper.datasets[number.dataset]})" if number.dataset != test.dataset else "")


def measured_text(finding: Finding) -> str:
    """Return what was measured, with its interval and unit."""
    if finding.estimate is None:
        return Verdict.NOT_RUN
    decimals = 2 if finding.claim.kind == "order" else get_metric(finding.metric).decimals
    text = f"{gain_cell(finding.estimate, decimals).text} {unit_of(finding)}".rstrip()
    return f"{finding.label}: {text}" if finding.label else text


def unit_of(finding: Finding) -> str:
    """Return the unit of what a claim measures."""
    return "" if finding.claim.kind == "order" else get_metric(finding.metric).unit


def probability_text(finding: Finding) -> str:
    """Return the chance that the sign is the paper's, in percent; a dash where there is none."""
    chance = finding.probability
    if chance is None:
        return DASH
    return f"> {_SURE:.2%}" if chance > _SURE else f"< {1 - _SURE:.2%}" if chance < 1 - _SURE else f"{chance:.2%}"


def verdict_words(finding: Finding) -> str:
    """Return the verdict and what must be added to it."""
    return "; ".join([str(finding.verdict), *finding.remarks])


def verdict_text(finding: Finding) -> str:
    """Return the verdict and what must be added to it, as Markdown."""
    plain = finding.verdict in (Verdict.NOT_RUN, Verdict.INCONCLUSIVE)
    text = str(finding.verdict) if plain else f"**{finding.verdict}**"
    return f"{text}, {escape('; '.join(finding.remarks))}" if finding.remarks else text
