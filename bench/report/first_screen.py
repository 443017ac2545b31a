"""The first screen of findings: what an experiment says about its paper's claims, in three sentences and one table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bench.analysis.results import FaceSet, Results
from bench.papers.judge import Finding, findings_on
from bench.papers.paper import Paper
from bench.papers.verdict import ONE_SEED, Verdict
from bench.report.claim_words import (
    is_smoke,
    measured_text,
    own_paper,
    paper_text,
    probability_text,
    set_name,
    verdict_text,
)
from bench.report.forest import ForestRow, draw_forest, forest_rows
from bench.report.markdown import escape, text_grid
from bench.report.page import Picture
from bench.report.words import listed

MOST = 8  # claims
FOREST = "claims"  # the name of the picture's files
HEAD = ("Claim", "Paper", "Measured [95% interval]", "Verdict", "Probability")


@dataclass(frozen=True)
class Screen:
    """At most MOST claims of one paper, judged on one test set of an experiment."""

    results: Results
    paper: Paper
    test: FaceSet
    findings: tuple[Finding, ...]

    @property
    def forest(self) -> list[ForestRow]:
        """The rows of the picture of these claims."""
        return forest_rows(self.findings)


def first_screen(results: Results) -> Screen | None:
    """Return what an experiment says of its own paper's leading claims; None where it judges none of them.

    Questions that the paper does not ask
    are left out; claims whose intervals are about seeds, too, come before those about single trainings.
    """
    paper, test = own_paper(results), main_test(results)
    judged = [one for one in findings_on(results, test, [paper]) if one.estimate and one.claim.rule != "asked"]
    judged = [one for one in judged if one.claim.headline]
    judged.sort(key=lambda one: one.estimate is not None and not one.estimate.covers_training)
    return Screen(results, paper, test, tuple(judged[:MOST])) if judged else None


def main_test(results: Results) -> FaceSet:
    """Return the set that a first screen is about: the paper's own, else the first with originals, else the first."""
    own = [test for test in results.test if test.dataset == own_paper(results).reference]
    return [*own, *(test for test in results.test if test.truth), results.test[0]][0]


def by_weight(experiments: Sequence[Results]) -> list[Results]:
    """Return experiments by how many runs they have, the main one first and smoke runs last."""
    return sorted(experiments, key=lambda one: (is_smoke(one), -sum(len(row.runs) for row in one.rows)))


def sentences(screen: Screen) -> list[str]:
    """Return three sentences, plain: what was trained and tested, what was found, and what an interval is about."""
    return [_done(screen), _found(screen), _caution(screen)]


def _done(screen: Screen) -> str:
    results = screen.results
    counts = sorted({len(row.runs) for row in results.rows if any(run.trained for run in row.runs)})
    seeds = f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else f"{counts[0]} seeds" if counts else "no seed"
    seeds = "one seed" if counts == [1] else seeds
    notes = [part for part in results.profile_note.rstrip(".").split(", ") if part and "iterations" not in part]
    budget = ", ".join([f"{results.iterations:,} iterations of batch {results.batch}", *notes])
    return (
        f"{results.title}: {len(results.rows)} rows with {seeds} each were trained on {results.train.faces:,} faces of "
        f"{set_name(results.train)} ({budget}) and tested on {screen.test.faces:,} faces of {set_name(screen.test)}, "
        f"protocol {results.protocol}."
    )


def _found(screen: Screen, named: bool = True) -> str:
    """Say how many claims have which verdict and, if `named`, which."""
    by_verdict: dict[Verdict, list[str]] = {}
    for one in screen.findings:
        by_verdict.setdefault(one.verdict, []).append(one.text)
    parts = [
        f"{len(texts)} {'is' if len(texts) == 1 else 'are'} {verdict}" + (f" ({'; '.join(texts)})" if named else "")
        for verdict in Verdict
        if (texts := by_verdict.get(verdict))
    ]
    count = len(screen.findings)
    what = "one claim" if count == 1 else f"{count} claims"
    return f"Of {what} of {screen.paper.name} on {set_name(screen.test)}, {listed(parts)}."


def _caution(screen: Screen) -> str:
    alone = any(ONE_SEED in one.remarks for one in screen.findings)
    about = "images and, but where a line says otherwise, seeds" if alone else "images and seeds"
    return (
        f"Intervals are 95% intervals over {about}; the budget is not the paper's, so a longer training may change any "
        "of these verdicts."
    )


def claims_section(screen: Screen, files: Collection[str]) -> list[str]:
    """Return paragraphs for an experiment's own page: what was found, the forest plot among `files`, the table."""
    figure = [forest_figure(screen)] if f"{FOREST}.png" in files else []
    return [escape(_found(screen, named=False)), *figure, screen_table(screen), escape(_caution(screen))]


def cells(screen: Screen) -> list[list[str]]:
    """Return the table's cells, a line a claim, as Markdown; HEAD names the columns."""
    return [
        [
            escape(one.text),
            escape(paper_text(one, screen.test)),
            escape(measured_text(one)),
            verdict_text(one),
            probability_text(one),
        ]
        for one in screen.findings
    ]


def forest_picture(screen: Screen) -> Picture | None:
    """Return the forest plot; None with less than two claims of one unit."""
    rows = screen.forest
    if len(rows) < 2:
        return None
    about = (
        "Diamonds are the paper's values; an interval within the grey band confirms one. Where there is no band, the "
        "paper claims a sign alone."
    )
    return Picture(lambda: draw_forest(rows), "Claims: what was measured beside what the paper says", about)


def forest_figure(screen: Screen, folder: str = "") -> str:
    """Return the forest plot's place in a page, as Markdown; its files lie in `folder`."""
    drawn = forest_picture(screen)
    return f"![{drawn.alt}]({folder}{FOREST}.png)\n\n{drawn.about} [PDF]({folder}{FOREST}.pdf)" if drawn else ""


def screen_table(screen: Screen) -> str:
    """Return the table as Markdown."""
    return text_grid(HEAD, cells(screen))
