"""The findings page: on one screen, what the committed experiments say about the paper's claims."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from bench.analysis.results import FaceSet, Results, read_results
from bench.core import paths
from bench.core.errors import UserError
from bench.core.files import write_bytes, write_text
from bench.report.all_claims import claims_page
from bench.report.claim_words import is_smoke
from bench.report.draw import draw_report
from bench.report.first_screen import FOREST, by_weight, first_screen, forest_figure, screen_table, sentences
from bench.report.hero import hero
from bench.report.interactive.writer import ALL, page_of_all
from bench.report.markdown import escape
from bench.report.words import seed_notes

PAGE, CLAIMS, FACES = "README.md", "claims.md", "faces.webp"


def report_reference() -> list[Path]:
    """Redraw every experiment in results/reference/ into reports/reference/ and write the pages of findings there.

    One page for the browser, which git does not keep, is about all of them. Returns the files written, the findings
    page first. Raises UserError when there is no such experiment or a run is
    damaged, and as `draw_report` does.
    """
    out = paths.reports() / "reference"
    experiments = read_reference()
    files = {one.folder.name: draw_report(one, out / one.folder.name, interactive=False) for one in experiments}
    drawn = {name: [file.name for file in some] for name, some in files.items()}
    write_text(out / CLAIMS, claims_page(experiments, drawn))
    write_text(out / PAGE, findings_page(experiments, drawn))
    write_bytes(out / ALL, page_of_all(by_weight(experiments)))
    picture = hero(main) if (main := _main(experiments)) else None
    if picture is not None:
        write_bytes(out / FACES, picture)
    pages = [out / PAGE, out / CLAIMS, out / ALL, *([out / FACES] if picture is not None else [])]
    return [*pages, *(file for some in files.values() for file in some)]


def read_reference() -> list[Results]:
    """Read every experiment in results/reference/, each knowing its kin.

    Raises UserError when there is none, or a run is damaged.
    """
    folder = paths.results() / "reference"
    folders = sorted(path.parent for path in folder.glob("*/experiment.json"))
    if not folders:
        raise UserError(f"{folder}: no results there; keep some by `fsr archive NAME` first")
    experiments = with_kin([read_results(folder) for folder in folders])
    for error in (error for results in experiments for error in results.damaged):
        raise UserError(error)
    return experiments


def with_kin(experiments: Sequence[Results]) -> list[Results]:
    """Return experiments that know which of the others have the same budget, and so how seeds vary."""
    return [
        dataclasses.replace(one, kin=tuple(other for other in experiments if other is not one and one.is_alike(other)))
        for one in experiments
    ]


def _main(experiments: Sequence[Results]) -> Results | None:
    """Return the experiment of most runs that is no smoke run."""
    return next((one for one in by_weight(experiments) if not is_smoke(one)), None)


def findings_page(experiments: Sequence[Results], drawn: Mapping[str, Collection[str]]) -> str:
    """Return the first screen: what the main experiment says of its paper's claims, drawn and as a table, and links.

    The same results give the same text.
    """
    main = _main(experiments)
    parts, screen = ["# Findings"], first_screen(main) if main else None
    if main is not None and screen is None:
        parts.append(escape(f"{main.title}: no leading claim of a paper is scored yet."))
    if main is not None and screen is not None:
        parts.append(escape(" ".join(sentences(screen))))
        if f"{FOREST}.png" in drawn.get(main.folder.name, ()):
            parts.append(forest_figure(screen, f"{main.folder.name}/"))
        parts += [screen_table(screen), *_remarks(main, screen.test)]
    parts.append(_links(experiments, main, drawn))
    return "\n\n".join(parts) + "\n"


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
