"""The page of all claims: what each committed experiment says about each, on every test set, and where its runs are."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

from scipy.special import chdtri

from bench.analysis.claims import covers_training, emphasis, spread_of
from bench.analysis.results import FaceSet, Results
from bench.metrics.catalogue import get_metric
from bench.papers.judge import Finding
from bench.papers.paper import papers
from bench.papers.verdict import RULES, Verdict
from bench.report.claim_words import (
    is_smoke,
    judged,
    measured_text,
    paper_text,
    probability_text,
    set_name,
    verdict_text,
)
from bench.report.markdown import escape, text_grid
from bench.report.table import DASH
from bench.report.words import caption, failing, listed, none_fails, suffix
from bench.runs.records import read_experiment_record, read_run_record

_MIXED = "not the same on all test sets"
_CAUTION = (
    "Each interval stands for itself, as of a claim that was asked beforehand: about one in twenty misses the true "
    "value by chance. Test sets are scored by the same trainings: that a claim holds on all of them is no replication. "
    "No experiment repeats a paper's training: the budget of each is said with it, and a smaller one may well shrink "
    "or turn differences. [What intervals assume](../../docs/statistics.md)."
)


def claims_page(experiments: Sequence[Results], drawn: Mapping[str, Collection[str]]) -> str:
    """Return the page about experiments, which go by their folders' names; `drawn` are the files of their reports.

    Smoke runs come last. The same results give the same text.
    """
    order = sorted(experiments, key=lambda one: (is_smoke(one), one.folder.name))
    full = [one for one in order if not is_smoke(one)]
    findings = {one.folder.name: judged(one) for one in full}
    parts = ["# All claims", _about(findings)]
    parts.append("\n".join(f"- [{escape(one.folder.name)}](#{_anchor(one)}): {_progress(one)}" for one in order))
    if full:
        parts += ["## How verdicts are found", "\n".join(f"- {rule}" for rule in RULES), _CAUTION]
    for results in order:
        files = drawn.get(results.folder.name, ())
        if is_smoke(results):
            parts += _smoke(results)
        else:
            parts += _experiment(results, findings[results.folder.name], files)
    return "\n\n".join(parts) + "\n"


def _about(findings: Mapping[str, Mapping[FaceSet, Sequence[Finding]]]) -> str:
    """Say whose claims are judged."""
    judged = {one.paper.name: one.paper for tests in findings.values() for some in tests.values() for one in some}
    cited = [f"[{escape(paper.citation)}]({paper.url})" for paper in [*judged.values()] or papers()]
    return (
        "What the experiments in [results/reference](../../results/reference) say about the claims of "
        f"{listed(cited)}. `fsr report --reference` writes this page: each number is computed from the scores of "
        "single images. A claim leads to the table that shows its numbers, and the last table of an experiment leads "
        "to every run."
    )


def _anchor(results: Results) -> str:
    return results.folder.name.lower().replace(".", "")


def _smoke(results: Results) -> Iterator[str]:
    yield f"## {escape(results.folder.name)}"
    yield (
        f"[{escape(results.title)}]({results.folder.name}/index.md), profile {escape(results.profile)}"
        + (f" ({escape(results.profile_note)})" if results.profile_note else "")
        + f". It shows that everything runs; its numbers are no findings. {_progress(results)}"
    )


def _experiment(
    results: Results, findings: Mapping[FaceSet, Sequence[Finding]], files: Collection[str]
) -> Iterator[str]:
    name = results.folder.name
    yield f"## {escape(name)}"
    yield f"{escape(results.title)}. {escape(caption(results))} {_budget(results)} {_progress(results)}"
    pages = {"table1": "Table 1", "table2": "Table 2", "table3": "Table 3", "image-by-image": "where rows break down"}
    there = {"index": "report"} | {page: title for page, title in pages.items() if f"{page}.md" in files}
    links = [f"[{title}]({name}/{page}.md)" for page, title in there.items()]
    yield f"All of it: {', '.join(links)}, [runs](#runs-of-{_anchor(results)})."
    yield "### In short"
    yield from _in_short(findings)
    for test, some in findings.items():
        yield f"### {escape(name)}: {escape(set_name(test))}"
        yield from _leading(results, test)
        for paper in dict.fromkeys(one.paper.name for one in some):
            yield _claims(results, test, [one for one in some if one.paper.name == paper], files)
    yield f"### Runs of {escape(name)}"
    yield _runs(results)


def _progress(results: Results) -> str:
    runs = [run for row in results.rows for run in row.runs]
    done = [run for run in runs if all(run.scored(test, results.protocol) for test in results.test)]
    return f"{len(done)} of {len(runs)} runs are finished and scored."


def _budget(results: Results) -> str:
    """Say what the caption does not: the networks' options, the learning rate, seeds a row, devices of training."""
    record = read_experiment_record(results.folder)
    changed = [f"{name} {value:g}" for name, value in record.options.items() if isinstance(value, int | float)]
    changed.append(f"learning rate {record.training.learning_rate:g}")
    counts: dict[int, list[str]] = {}
    for row in results.rows:
        counts.setdefault(len(row.runs), []).append(row.label)
    trained = ", ".join(
        f"{count} of {'every row' if len(counts) == 1 else listed(labels)}"
        for count, labels in sorted(counts.items(), reverse=True)
    )
    records = [read_run_record(run.folder) for row in results.rows for run in row.runs if run.trained]
    where = listed(list(dict.fromkeys(record.device for record in records if record and record.device)))
    return escape(
        f"Set for all rows: {', '.join(changed)}. Seeds planned: {trained}."
        + (f" Trained on {where}." if where else "")
    )


def _in_short(findings: Mapping[FaceSet, Sequence[Finding]]) -> Iterator[str]:
    """Yield the headline claims by what was found on all test sets, and a table of their numbers."""
    claims: dict[str, dict[FaceSet, Finding]] = {}
    for test, some in findings.items():
        for finding in some:
            if finding.claim.headline:
                named = "" if finding.paper == some[0].paper else f" ({finding.paper.name})"
                claims.setdefault(finding.text + named, {})[test] = finding
    by_verdict: dict[str, list[str]] = {}
    for text, found in claims.items():
        verdicts = dict.fromkeys(finding.verdict for finding in found.values())
        each = "; ".join(f"{test.dataset} {finding.verdict}" for test, finding in found.items())
        kind, claim = (next(iter(verdicts)), text) if len(verdicts) == 1 else (_MIXED, f"{text} ({each})")
        by_verdict.setdefault(kind, []).append(claim)
    order = [*(one for one in Verdict if one != Verdict.NOT_RUN), _MIXED, Verdict.NOT_RUN]
    yield "\n".join(
        f"- **{kind.capitalize()}**: {'; '.join(map(escape, by_verdict[kind]))}."
        for kind in order
        if kind in by_verdict
    )
    head = ["Claim", *(escape(set_name(test)) for test in findings)]
    body = [[escape(text), *(_short(found.get(test), test) for test in findings)] for text, found in claims.items()]
    yield text_grid(head, body)


def _short(finding: Finding | None, test: FaceSet) -> str:
    """Return a cell of the table in short: what was measured, what the paper says, the verdict."""
    if finding is None:
        return DASH
    if finding.verdict == Verdict.NOT_RUN:
        return finding.verdict
    paper = [f"paper {escape(paper_text(finding, test))}"] if finding.claim.rule != "asked" else []
    return "<br>".join([escape(measured_text(finding)), *paper, verdict_text(finding)])


def _leading(results: Results, test: FaceSet) -> Iterator[str]:
    """Yield in words which rows lead, by how much the seeds of one row differ, and which rows fail on faces."""
    metric, lines = "psnr" if test.truth else "niqe-pooled", []
    title, unit = get_metric(metric).title, get_metric(metric).unit
    marks = sorted(emphasis(results, test, metric).items())
    labels = [results.rows[place].label for place, mark in marks if mark.place == "best" or mark.tied]
    if labels:
        remark = ", between which no difference can be claimed" if len(labels) > 1 else ""
        remark += "" if covers_training(results, test, metric) else ", for these seeds alone"
        lines.append(f"Best {title}: {listed(labels)}{remark}.")
    if (spread := spread_of(results, test, metric)) and spread.sd > 0:
        low, high = (spread.sd * math.sqrt(spread.own / chdtri(spread.own, tail)) for tail in (0.025, 0.975))
        text = f"The {title} of one row's seeds has a standard deviation of {spread.sd:.3f} {unit}".rstrip()
        text += f" (95% interval {low:.3f} to {high:.3f}, all rows of several seeds together)"
        apart = [f"{label} of {sd:.3f}" for label, sd in spread.deviant.items()]
        lines.append(text + (f", but {listed(apart)}." if apart else "."))
    if lines:
        yield escape(" ".join(lines))
    if failures := [text for row in results.rows for text in failing(results, row, test)]:
        yield "\n".join(f"- {escape(text)}" for text in failures)
    elif sound := none_fails(results, [test]):
        yield escape(sound)


def _claims(results: Results, test: FaceSet, findings: Sequence[Finding], files: Collection[str]) -> str:
    head = [f"Claim of {findings[0].paper.name}", "Paper", "Measured [95% interval]", "Verdict", "Probability", "Seeds"]
    body = [
        [
            _linked(results, test, finding, files),
            escape(paper_text(finding, test)),
            escape(measured_text(finding)),
            verdict_text(finding),
            probability_text(finding),
            escape(_seeds(finding)),
        ]
        for finding in findings
    ]
    return text_grid(head, body)


def _linked(results: Results, test: FaceSet, finding: Finding, files: Collection[str]) -> str:
    """Return the claim, leading to the first of its tables that is drawn; without numbers it leads nowhere."""
    if finding.verdict == Verdict.NOT_RUN:
        return escape(finding.text)
    tables = [f"{table}{suffix(results, test)}" for table in finding.claim.shown]
    tables += ["table2", "table1"] if test.truth else ["table3"]
    file = next((name for name in (f"{table}.md" for table in tables) if name in files), "index.md")
    return f"[{escape(finding.text)}]({results.folder.name}/{file})"


def _seeds(finding: Finding) -> str:
    """Say how many seeds of each row are scored, of how many; of more than two rows their sum."""
    rows = finding.rows
    if finding.claim.kind == "every":
        return "; ".join(f"{row.scored} of {row.planned} {row.label}" for row in rows)
    if len(rows) > 2:
        return f"{sum(row.scored for row in rows)} of {sum(row.planned for row in rows)}"
    return "; ".join(f"{row.label}: {row.scored} of {row.planned}" for row in rows)


def _runs(results: Results) -> str:
    head = ["Row", "Seed", "Run", "Status", "Iterations", "Trained on", "Seconds"]
    body = []
    for row in results.rows:
        for run in row.runs:
            record = read_run_record(run.folder)
            training = record.config.training if record else None
            seconds = record.train_seconds if record else None
            link = f"[`{run.name}`](../../results/reference/{results.folder.name}/{run.name}/)"
            body.append(
                [
                    escape(row.label),
                    str(run.seed) if record else DASH,
                    link if record else f"`{run.name}`",
                    run.status,
                    f"{training.iterations:,}" if training else DASH,
                    escape(record.device) if record and training else DASH,
                    DASH if seconds is None else f"{seconds:,.0f}",
                ]
            )
    return text_grid(head, body)
