"""The first screen in words: the answer in a few sentences, the claims of the forest plot, and cautions."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench.analysis.claims import covers_training, emphasis, gain, scores_of
from bench.analysis.factorial import measured_effects
from bench.analysis.failures import reference_row
from bench.analysis.intervals import Estimate
from bench.analysis.results import FaceSet, Results, RowResult
from bench.metrics.catalogue import get_metric
from bench.papers.judge import Finding
from bench.papers.verdict import Verdict
from bench.report.claim_words import measured_text, paper_text, set_name
from bench.report.first_screen import first_screen
from bench.report.interactive.record import Claim, interval, number
from bench.report.table import gain_cell
from bench.report.words import listed, seed_notes

_KINDS = {  # how a verdict looks: a word of the style sheet
    Verdict.CONFIRMED: "yes",
    Verdict.CONTRADICTED: "no",
    Verdict.SMALLER: "less",
    Verdict.LOWER: "less",
    Verdict.LARGER: "more",
    Verdict.HIGHER: "more",
}


def answer(results: Results, test: FaceSet) -> tuple[str, ...]:
    """Say in at most three sentences which modules help, which row is best and by how much, and which face is worst."""
    metric = "psnr" if test.truth else "niqe-pooled"
    sentences = [_modules(results, test, metric), *_best(results, test, metric)]
    return tuple(filter(None, sentences)) or ("Nothing is scored yet: run the experiment again.",)


def budget(results: Results) -> str:
    """Say what every row was given."""
    seeds = len({run.seed for row in results.rows for run in row.runs if run.trained})
    return (
        f"profile {results.profile}, {results.iterations:,} iterations of batch {results.batch} on "
        f"{results.train.faces:,} faces of {results.train.dataset}, up to {seeds} {'seed' if seeds == 1 else 'seeds'}"
    )


def caution(results: Results, test: FaceSet) -> str:
    """Say what intervals are about, and what the profile is for."""
    metric = "psnr" if test.truth else "niqe-pooled"
    note = f"Profile {results.profile}: {results.profile_note.rstrip('.')}." if results.profile_note else ""
    return " ".join(
        ["Brackets hold 95% intervals over images and seeds.", *seed_notes(results, [test], [metric]), note]
    ).strip()


def claims(results: Results, test: FaceSet) -> tuple[Claim, ...]:
    """Return the lines of the forest plot: the claims of the findings' first screen."""
    screen = first_screen(results)
    found = screen.findings if screen else ()
    return tuple(_claim(one, one.estimate, test) for one in found if one.estimate is not None)


def _claim(finding: Finding, estimate: Estimate, test: FaceSet) -> Claim:
    effect = interval(estimate)
    assert effect is not None  # findings hold finite estimates alone
    units = {"order": "rank correlation", "every": f"{_unit(finding.metric)}, the least of all rows"}
    return Claim(
        text=finding.text,
        verdict="; ".join([str(finding.verdict), *finding.remarks]),
        kind=_KINDS.get(finding.verdict, "open"),
        measured=measured_text(finding),
        paper=paper_text(finding, test),
        unit=units.get(finding.claim.kind, _unit(finding.metric)),
        effect=effect,
        published=number(finding.published.value) if finding.published else None,
        band=finding.band,
    )


def _unit(metric: str) -> str:
    return get_metric(metric).unit or get_metric(metric).title


def _modules(results: Results, test: FaceSet, metric: str) -> str:
    """Say which modules help and by how much; "" without a full factorial."""
    found = measured_effects(results, test, metric)
    if not found:
        return ""
    sign = 1 if get_metric(metric).higher_is_better else -1
    main = {results.modules[effect[0]]: estimate for effect, estimate in found.items() if len(effect) == 1}
    kinds = {"help": list[str](), "harm": list[str](), "remain open": list[str]()}
    for name, estimate in sorted(main.items(), key=lambda item: -sign * item[1].mean):
        kind = "remain open" if not estimate.excludes_zero else "help" if sign * estimate.mean > 0 else "harm"
        kinds[kind].append(f"{name} ({_shown(estimate, metric)})")
    said = []
    for kind, names in kinds.items():
        verb = kind if len(names) > 1 else {"help": "helps", "harm": "harms", "remain open": "remains open"}[kind]
        said += [f"{listed(names)} {verb}"] if names else []
    alone = "" if covers_training(results, test, metric) else ", in these trainings alone,"
    return f"On {set_name(test)} ({test.faces:,} faces){alone} {'; '.join(said)}."


def leading(results: Results, test: FaceSet) -> RowResult | None:
    """Return the row of the best mean, if any row stands out."""
    metric = "psnr" if test.truth else "niqe-pooled"
    sign = 1 if get_metric(metric).higher_is_better else -1
    ahead = _ahead(results, test, metric)
    return max(ahead, key=lambda row: sign * _mean(results, row, test, metric), default=None)


def _mean(results: Results, row: RowResult, test: FaceSet, metric: str) -> float:
    scores = scores_of(results, row, test, metric)
    return -math.inf if scores is None else float(scores.mean())


def _ahead(results: Results, test: FaceSet, metric: str) -> list[RowResult]:
    """Return the best row, or those of the best mean and not distinguishable from it."""
    marks = emphasis(results, test, metric)
    return [results.rows[place] for place, mark in marks.items() if mark.place == "best" or mark.tied]


def _best(results: Results, test: FaceSet, metric: str) -> Iterator[str]:
    """Say which rows lead, by how much over the baseline, and on which face the leading one is worst."""
    spec, first = get_metric(metric), leading(results, test)
    if first is None:
        return
    over = gain(results, first, results.base, test, metric)
    about = f"{_mean(results, first, test, metric):.{spec.decimals}f} {spec.unit}".rstrip()
    if over is not None and results.base is not None:
        about += f", {_shown(over, metric)} over {results.base.label}"
    alone = "" if covers_training(results, test, metric) else " of these seeds alone"
    others = [row.label for row in _ahead(results, test, metric) if row is not first]
    tied = f", not distinguishable from {listed(others)}" if others else ""
    yield f"{first.label} has the best mean {spec.title} on {set_name(test)}{alone} ({about}){tied}."
    if test.truth:
        yield _worst(results, first, test, metric)


def _worst(results: Results, row: RowResult, test: FaceSet, metric: str) -> str:
    """Say which face a row is worst on."""
    scores = scores_of(results, row, test, metric)
    run, reference, spec = row.scored_runs(test, results.protocol)[0], reference_row(results), get_metric(metric)
    assert scores is not None  # it leads
    names, means = sorted(run.values(test, results.protocol, metric)), scores.mean(axis=0)
    place = int(means.argmin())
    text = f"{means[place]:.1f} {spec.unit}"
    theirs = scores_of(results, reference, test, metric) if reference and reference is not row else None
    if reference is not None and theirs is not None and math.isfinite(theirs[0, place]):
        text += f", {reference.label} {theirs[:, place].mean():.1f} {spec.unit}"
    return f"{row.label} is worst on {names[place]} ({text})."


def _shown(estimate: Estimate, metric: str) -> str:
    return f"{gain_cell(estimate, get_metric(metric).decimals).text} {get_metric(metric).unit}".rstrip()
