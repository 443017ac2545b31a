"""The findings page: on one screen, what the committed experiments say about the paper's claims."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from bench.analysis.results import FaceSet, Results, read_results
from bench.core import paths
from bench.core.errors import UserError
from bench.core.files import write_bytes, write_text
from bench.papers.judge import Finding
from bench.papers.paper import paper_of
from bench.report.all_claims import claims_page, is_smoke, judged, measured_text, paper_text, set_name, verdict_text
from bench.report.draw import draw_report
from bench.report.interactive.writer import ALL, page_of_all
from bench.report.markdown import escape, text_grid
from bench.report.words import seed_notes

PAGE, CLAIMS = "README.md", "claims.md"
MOST = 8  # claims on the first screen


def report_reference() -> list[Path]:
    """Redraw every experiment in results/reference/ into reports/reference/ and write the pages of findings there.

    One page for the browser, which git does not keep, is about all of them. Returns the files written, the findings
    page first. Raises UserError when there is no such experiment or a run is
    damaged, and as `draw_report` does.
    """
    out = paths.reports() / "reference"
    folders = sorted(path.parent for path in (paths.results() / "reference").glob("*/experiment.json"))
    if not folders:
        raise UserError(f"{paths.results() / 'reference'}: no results there; keep some by `fsr archive NAME` first")
    experiments = with_kin([read_results(folder) for folder in folders])
    for error in (error for results in experiments for error in results.damaged):
        raise UserError(error)
    files = {one.folder.name: draw_report(one, out / one.folder.name, interactive=False) for one in experiments}
    drawn = {name: [file.name for file in some] for name, some in files.items()}
    write_text(out / CLAIMS, claims_page(experiments, drawn))
    write_text(out / PAGE, findings_page(experiments, drawn))
    write_bytes(out / ALL, page_of_all(_by_weight(experiments)))
    return [out / PAGE, out / CLAIMS, out / ALL, *(file for some in files.values() for file in some)]


def with_kin(experiments: Sequence[Results]) -> list[Results]:
    """Return experiments that know which of the others have the same budget, and so how seeds vary."""
    return [
        dataclasses.replace(one, kin=tuple(other for other in experiments if other is not one and one.is_alike(other)))
        for one in experiments
    ]


def _by_weight(experiments: Sequence[Results]) -> list[Results]:
    """Return experiments by how many runs they have, smoke runs last."""
    return sorted(experiments, key=lambda one: (is_smoke(one), -sum(len(row.runs) for row in one.rows)))


def findings_page(experiments: Sequence[Results], drawn: Mapping[str, Collection[str]]) -> str:
    """Return the first screen: what was done, the claims of the paper as the main experiment judges them, and links.

    The main experiment is the one of most runs that is no smoke run; its set is the paper's own where it has that.
    The same results give the same text.
    """
    main = next((one for one in _by_weight(experiments) if not is_smoke(one)), None)
    parts = ["# Findings"]
    if main is not None:
        paper = paper_of(row.method for row in main.rows)
        test = next((test for test in main.test if test.dataset == paper.reference), main.test[0])
        findings = [one for one in judged(main)[test] if one.paper == paper and one.claim.headline][:MOST]
        parts += [_done(main, test), _table(findings, test), *_remarks(main, test)]
    parts.append(_links(experiments, main, drawn))
    return "\n\n".join(parts) + "\n"


def _done(results: Results, test: FaceSet) -> str:
    """Say in three sentences what was trained, what it was tested on, and what intervals are."""
    counts = sorted({len(row.runs) for row in results.rows if any(run.trained for run in row.runs)})
    seeds = f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else f"{counts[0]} seeds" if counts else "no seed"
    note = f" ({results.profile_note})" if results.profile_note else ""
    return escape(
        f"{results.title}: {len(results.rows)} rows, {seeds} a row, each trained on {results.train.faces:,} faces of "
        f"{results.train.dataset} for {results.iterations:,} iterations of batch {results.batch}{note}. Tested on "
        f"{test.faces:,} faces of {set_name(test)}, protocol {results.protocol}. Brackets are 95% intervals over "
        "images and seeds; the budget is not the paper's, and a longer training may change any line."
    )


def _table(findings: Sequence[Finding], test: FaceSet) -> str:
    head = ["Claim", "Verdict", "Measured [95% interval]", "Paper"]
    body = [
        [escape(one.text), verdict_text(one), escape(measured_text(one)), escape(paper_text(one, test))]
        for one in findings
    ]
    return text_grid(head, body)


def _remarks(results: Results, test: FaceSet) -> list[str]:
    """Say what must be known of seeds, if anything."""
    notes = seed_notes(results, [test], ["psnr" if test.truth else "niqe-pooled"])
    return [escape(" ".join(notes))] if notes else []


def _links(experiments: Sequence[Results], main: Results | None, drawn: Mapping[str, Collection[str]]) -> str:
    """Lead to the reports, the main experiment's first, to all claims, and to what intervals and verdicts are."""
    order = sorted(experiments, key=lambda one: (one is not main, is_smoke(one), one.folder.name))
    reports = [
        f"[{escape(one.folder.name)}]({one.folder.name}/index.md)" + (" (a smoke run)" if is_smoke(one) else "")
        for one in order
    ]
    failing = [
        f"[faces that rows fail on]({one.folder.name}/image-by-image.md)"
        for one in order[:1]
        if "image-by-image.md" in drawn.get(one.folder.name, ())
    ]
    more = [
        f"[every claim on every test set]({CLAIMS}), [how verdicts are found]({CLAIMS}#how-verdicts-are-found)",
        "[what intervals assume](../../docs/statistics.md)",
        *failing,
        f"reports: {', '.join(reports)}",
    ]
    return "\n".join(f"- {line[0].upper() + line[1:]}" for line in more)
