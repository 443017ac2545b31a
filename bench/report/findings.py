"""The findings page: what the committed experiments say about the paper's claims, every number computed from rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from bench.analysis.claims import covers_training, emphasis, groups_of
from bench.analysis.power import seed_range
from bench.analysis.results import FaceSet, Results, read_results
from bench.core import paths
from bench.core.errors import UserError
from bench.core.files import write_text
from bench.metrics.catalogue import get_metric
from bench.papers.judge import RULES, Finding, Verdict, findings_on
from bench.papers.paper import paper_of, papers
from bench.report.draw import draw_report
from bench.report.markdown import escape, text_grid
from bench.report.table import DASH, gain_cell
from bench.report.words import caption, failing, listed, none_fails, suffix
from bench.runs.records import read_experiment_record, read_run_record

PAGE = "README.md"
SMOKE = ("quick",)  # profiles that show that everything runs, no more
_MIXED = "not the same on all test sets"
_CAUTION = (
    "Each interval stands for itself: about one in twenty misses the true value by chance, and more may "
    "where a row has two or three seeds that differ by more than images make uncertain. No experiment repeats a "
    "paper's training: the budget of each is said with it, and a smaller one may well shrink or turn differences."
)


def report_reference() -> list[Path]:
    """Redraw every experiment in results/reference/ into reports/reference/ and write the findings page there.

    Returns the files written, the findings page first. Raises UserError when there is no such experiment or a run is
    damaged, and as `draw_report` does.
    """
    out = paths.reports() / "reference"
    folders = sorted(path.parent for path in (paths.results() / "reference").glob("*/experiment.json"))
    if not folders:
        raise UserError(f"{paths.results() / 'reference'}: no results there; keep some by `fsr archive NAME` first")
    experiments = [read_results(folder) for folder in folders]
    for error in (error for results in experiments for error in results.damaged):
        raise UserError(error)
    files = {one.folder.name: draw_report(one, out / one.folder.name) for one in experiments}
    drawn = {name: [file.name for file in some] for name, some in files.items()}
    write_text(out / PAGE, findings_page(experiments, drawn))
    return [out / PAGE, *(file for some in files.values() for file in some)]


def findings_page(experiments: Sequence[Results], drawn: Mapping[str, Collection[str]]) -> str:
    """Return the page about experiments, which go by their folders' names; `drawn` are the files of their reports.

    Smoke runs come last. The same results give the same text.
    """
    order = sorted(experiments, key=lambda one: (_is_smoke(one), one.folder.name))
    full = [one for one in order if not _is_smoke(one)]
    findings = {one.folder.name: _judged(one, full) for one in full}
    parts = ["# Findings", _about(findings)]
    parts.append("\n".join(f"- [{escape(one.folder.name)}](#{_anchor(one)}): {_progress(one)}" for one in order))
    if full:
        parts += ["## How verdicts are found", "\n".join(f"- {rule}" for rule in RULES), _CAUTION]
    for results in order:
        files = drawn.get(results.folder.name, ())
        if _is_smoke(results):
            parts += _smoke(results)
        else:
            parts += _experiment(results, findings[results.folder.name], files)
    return "\n\n".join(parts) + "\n"


def _judged(results: Results, full: Sequence[Results]) -> dict[FaceSet, list[Finding]]:
    """Judge the claims of every paper, those of the experiment's own first; experiments alike tell how seeds vary."""
    own = paper_of(row.method for row in results.rows)
    order = sorted(papers(), key=lambda paper: paper != own)
    alike = [results, *(one for one in full if one is not results and _budget_of(one) == _budget_of(results))]
    return {test: findings_on(results, test, order, alike) for test in results.test}


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


def _is_smoke(results: Results) -> bool:
    return results.profile in SMOKE


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
        yield f"### {escape(name)}: {escape(_set_name(test))}"
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
    for text, judged in claims.items():
        verdicts = dict.fromkeys(finding.verdict for finding in judged.values())
        each = "; ".join(f"{test.dataset} {finding.verdict}" for test, finding in judged.items())
        kind, claim = (next(iter(verdicts)), text) if len(verdicts) == 1 else (_MIXED, f"{text} ({each})")
        by_verdict.setdefault(kind, []).append(claim)
    order = [*(one for one in Verdict if one != Verdict.NOT_RUN), _MIXED, Verdict.NOT_RUN]
    yield "\n".join(
        f"- **{kind.capitalize()}**: {'; '.join(map(escape, by_verdict[kind]))}."
        for kind in order
        if kind in by_verdict
    )
    head = ["Claim", *(escape(_set_name(test)) for test in findings)]
    body = [[escape(text), *(_short(judged.get(test), test) for test in findings)] for text, judged in claims.items()]
    yield text_grid(head, body)


def _set_name(test: FaceSet) -> str:
    """Return a test set's name as papers print it, or what it stands in for."""
    stands_in = next(filter(None, (paper.stands_in(test.dataset) for paper in papers())), "")
    named = f"{test.dataset} ({stands_in})" if stands_in else test.dataset
    return next((paper.datasets[test.dataset] for paper in papers() if test.dataset in paper.datasets), named)


def _short(finding: Finding | None, test: FaceSet) -> str:
    """Return a cell of the table in short: what was measured, what the paper says, the verdict."""
    if finding is None:
        return DASH
    if finding.verdict == Verdict.NOT_RUN:
        return finding.verdict
    paper = [f"paper {escape(_paper_text(finding, test))}"] if finding.claim.rule != "asked" else []
    return "<br>".join([escape(_measured(finding)), *paper, _verdict(finding)])


def _leading(results: Results, test: FaceSet) -> Iterator[str]:
    """Yield in words which rows lead, by how much the seeds of one row differ, and which rows fail on faces."""
    metric, lines = "psnr" if test.truth else "niqe-pooled", []
    groups = groups_of(results, test, metric)
    marks = emphasis(results, test, metric)
    if marks:
        labels = [results.rows[place].label for place in sorted(marks)]
        remark = ", between which no difference can be claimed" if len(labels) > 1 else ""
        remark += "" if covers_training(results, test) else ", for these seeds alone"
        lines.append(
            f"Best {get_metric(metric).title} of the {len(groups)} rows with scores: {listed(labels)}{remark}."
        )
    spread = seed_range(*groups) if test.truth else None
    if spread:
        lines.append(
            f"The {get_metric(metric).title} of one row's seeds has a standard deviation between {spread[0]:.3f} "
            f"and {spread[1]:.3f} dB (95% interval, all rows of several seeds together)."
        )
    if lines:
        yield escape(" ".join(lines))
    if failures := [text for row in results.rows for text in failing(results, row, test)]:
        yield "\n".join(f"- {escape(text)}" for text in failures)
    elif sound := none_fails(results, [test]):
        yield escape(sound)


def _budget_of(results: Results) -> tuple[str, int, int, FaceSet, str]:
    """Return what experiments must have in common for their seeds to vary alike."""
    return results.profile, results.iterations, results.batch, results.train, results.protocol


def _claims(results: Results, test: FaceSet, findings: Sequence[Finding], files: Collection[str]) -> str:
    head = [f"Claim of {findings[0].paper.name}", "Paper", "Measured [95% interval]", "Verdict", "Seeds"]
    body = [
        [
            _linked(results, test, finding, files),
            escape(_paper_text(finding, test)),
            escape(_measured(finding)),
            _verdict(finding),
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


def _paper_text(finding: Finding, test: FaceSet) -> str:
    """Return the paper's value, with its data set where that is another one."""
    number, claim = finding.published, finding.claim
    if number is None:
        return {"sign": "implied", "asked": "not asked"}.get(claim.rule, DASH)
    if not number.dataset:
        return f"{number.value:g}"
    text = f"{number.value:+.{number.decimals}f} {_unit(finding)}".rstrip()
    least = "at least " if claim.kind == "every" else ""
    return f"{least}{text}" + (f" ({finding.paper.datasets[number.dataset]})" if number.dataset != test.dataset else "")


def _measured(finding: Finding) -> str:
    if finding.estimate is None:
        return Verdict.NOT_RUN
    decimals = 2 if finding.claim.kind == "order" else get_metric(finding.metric).decimals
    text = f"{gain_cell(finding.estimate, decimals).text} {_unit(finding)}".rstrip()
    return f"{finding.label}: {text}" if finding.label else text


def _unit(finding: Finding) -> str:
    return "" if finding.claim.kind == "order" else get_metric(finding.metric).unit


def _seeds(finding: Finding) -> str:
    """Say how many seeds of each row are scored, of how many; of more than two rows their sum."""
    rows = finding.rows
    if finding.claim.kind == "every":
        return "; ".join(f"{row.scored} of {row.planned} {row.label}" for row in rows)
    if len(rows) > 2:
        return f"{sum(row.scored for row in rows)} of {sum(row.planned for row in rows)}"
    return "; ".join(f"{row.label}: {row.scored} of {row.planned}" for row in rows)


def _verdict(finding: Finding) -> str:
    plain = finding.verdict in (Verdict.NOT_RUN, Verdict.INCONCLUSIVE)
    text = str(finding.verdict) if plain else f"**{finding.verdict}**"
    return f"{text}, {escape('; '.join(finding.remarks))}" if finding.remarks else text


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
