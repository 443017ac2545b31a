"""What tables and pages say in words: faces, captions, notes, and how far each row has come."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.analysis.claims import covers_training, spread_of
from bench.analysis.failures import failures_of, reference_row
from bench.analysis.results import FaceSet, Results, RowResult, RunResult
from bench.core.errors import UserError
from bench.metrics.catalogue import get_metric
from bench.metrics.protocol import get_protocol
from bench.report.table import TIED, number_cell
from bench.runs.failures import LIMIT
from bench.runs.records import LEVELS, ObjectiveRecord, RunState, SamplesRecord

_SEEDS = 5  # of which each is said how many faces it fails on


def listed(names: Sequence[str]) -> str:
    """Return names as in a sentence: "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def on(test: FaceSet) -> str:
    """Say which faces a table is about."""
    return f"{test.dataset} ({test.faces:,} faces)"


def suffix(results: Results, test: FaceSet) -> str:
    """Return what a file's name ends with where there are several test sets."""
    return f"-{test.dataset}" if len(results.test) > 1 else ""


def caption(results: Results) -> str:
    """Say what a table shows and how it was made: data, protocol, budget, seeds, profile."""
    seeds = ", ".join(map(str, results.seeds))
    seeds += f" ({fewer})" if (fewer := "; ".join(_fewer_seeds(results))) else ""
    return (
        f"Trained on {on(results.train)}, tested on {listed([on(test) for test in results.test])}. "
        f"Protocol {results.protocol}; {results.iterations:,} iterations of batch {results.batch}; "
        + (f"{'seed' if len(results.seeds) == 1 else 'seeds'} {seeds}; " if results.seeds else "")
        + f"profile {results.profile}"
        + (f": {results.profile_note.rstrip('.')}." if results.profile_note else ".")
    )


def _fewer_seeds(results: Results) -> list[str]:
    """Say which trained rows have scores of fewer seeds than the experiment has, and of how many."""
    counts: dict[int, list[str]] = {}
    for row in results.rows:
        names = {run.name for test in results.test for run in row.scored_runs(test, results.protocol) if run.trained}
        if 0 < len(names) < len(results.seeds) and not row.foreign:
            counts.setdefault(len(names), []).append(row.label)
    return [f"{count} seed{'s'[: count - 1]} for {listed(labels)}" for count, labels in sorted(counts.items())]


def devices(results: Results) -> list[str]:
    """Return the devices that the finished rows were timed on, each once."""
    runs = [run for row in results.rows for run in row.runs if run.status is RunState.FINISHED]
    return list(dict.fromkeys(run.device for run in runs if run.device))


def measured_note(results: Results) -> str:
    """Say what a measured number is the mean of, and under which protocol."""
    spread = ", then over seeds, ± the standard deviation over seeds" if len(results.seeds) > 1 else ""
    try:
        source = f": {get_protocol(results.protocol).source}"
    except UserError:
        source = ""
    return f"Measured: mean over images{spread}. Protocol {results.protocol}{source}."


def claim_note(results: Results) -> str:
    """Say what bold, underlined and the mark of a tie mean, and which rows are left out of it."""
    text = (
        "Bold: better than every other row. Underlined: the second best mean. "
        f"{TIED}: the best mean, where no row is bold, and those not distinguishable from it: their difference from it "
        "has p above 0.05, by the rule of the intervals and after Holm's correction."
    )
    apart = any(row.foreign for row in results.rows)
    return text + (" Rows that were made elsewhere are no part of these comparisons." if apart else "")


def seed_notes(results: Results, tests: Sequence[FaceSet], metrics: Sequence[str]) -> list[str]:
    """Say what intervals cover: seeds or these trainings alone, from where it is known, and whose seeds are apart."""
    alone, borrowed, apart = list[str](), dict[str, None](), dict[str, dict[str, None]]()
    for test, metric in itertools.product(tests, metrics):
        spread = spread_of(results, test, metric)
        if not covers_training(results, test, metric):
            alone.append(test.dataset)
        elif spread is not None:
            kin = [one.folder.name for one in results.kin if spread_of(one, test, metric) is spread]
            borrowed |= dict.fromkeys(kin)
            for label in spread.deviant if not kin else ():
                apart.setdefault(label, {})[f"{get_metric(metric).title} on {test.dataset}"] = None
    texts = []
    if alone:
        texts.append(
            "One seed a row: nothing tells how seeds vary. Every interval is over images and about these very "
            "trainings, not about their methods, and no row is bold."
        )
    if borrowed:
        texts.append(f"One seed a row: how much seeds vary is taken from {listed(list(borrowed))}, of the same budget.")
    texts += [
        f"The seeds of {label} vary more than those of the other rows ({listed(list(where))}): its intervals rest on "
        "its own seeds."
        for label, where in apart.items()
    ]
    return texts


def cautions(metrics: Iterable[str]) -> list[str]:
    """Return what must be known of metrics to read their numbers."""
    specs = [get_metric(metric) for metric in metrics]
    return [f"{spec.title}: {spec.caution.rstrip('.')}." for spec in specs if spec.caution]


def lower_is_better(metrics: Iterable[str]) -> str:
    """Return the titles of the metrics of which less is better."""
    specs = [get_metric(metric) for metric in metrics]
    return ", ".join(spec.title for spec in specs if not spec.higher_is_better)


def own_notes(results: Results) -> list[str]:
    """Say of each row with a widened network, or with options or settings of training of its own, what it is."""
    controls = [f"{row.label}: {widened(results, row)}." for row in results.rows if row.match]
    changed = []
    for row in results.rows:
        changes = {"built": row.options, "trained": row.training}
        parts = [f"{how} with {_settings(settings)}" for how, settings in changes.items() if settings]
        changed += [f"{row.label}: {' and '.join(parts)}."] if parts else []
    return controls + changed + [f"{row.label}: {text}." for row in results.rows for text in _objective(row, results)]


def widened(results: Results, row: RowResult) -> str:
    """Say what a control is: "sparnet, widened to about as many parameters as Model 8 has"."""
    labels = {other.method: other.label for other in reversed(results.rows)}
    return f"{row.method}, widened to about as many {row.match_by} as {labels.get(row.match, row.match)} has"


def _objective(row: RowResult, results: Results) -> list[str]:
    """Say what a row was trained with beyond the budget of all rows, and what of its objective it does without."""
    about = next((run.objective for run in row.runs if run.objective != ObjectiveRecord()), ObjectiveRecord())
    texts = []
    if about.teacher:
        teacher = about.teacher.rpartition("-s")[0]
        texts.append(f"taught by {teacher}, which was trained before it for {results.iterations:,} iterations too")
    if about.stage:
        texts.append(f"{about.stage:,} steps of a part of it go before the {results.iterations:,} iterations")
    if about.without_landmarks:
        texts.append(
            f"no landmarks were found on {about.without_landmarks:,} of {results.train.faces:,} training faces"
        )
    return texts + [f"left out of its objective: {text}" for text in about.left_out]


def row_status(row: RowResult, results: Results) -> str:
    """Say in a word how far a row has come.

    "finished"; "partial" when some of its runs or test sets are missing; else what keeps it from having any number:
    "damaged", "failed", "running", "interrupted", "not scored" or "not run", the first that applies to one of its runs.
    """
    scored = [run.scored(test, results.protocol) for run in row.runs for test in results.test]
    if any(scored):
        return "finished" if all(scored) else "partial"
    states = {run.status for run in row.runs}
    for state in (RunState.DAMAGED, RunState.FAILED, RunState.RUNNING, RunState.INTERRUPTED):
        if state in states:
            return str(state)
    return "not scored" if states & {RunState.FINISHED, RunState.TRAINED} else "not run"


def problems(row: RowResult, results: Results) -> tuple[str, ...]:
    """Return a line for every run of a row that has no number, or not on every test set, or draws."""
    lines = [line for run in row.runs for line in _problems_of(run, results)]
    return tuple(dict.fromkeys(lines)) or (() if row.runs else ("No run is planned for this row.",))


def _problems_of(run: RunResult, results: Results) -> list[str]:
    if run.status is RunState.DAMAGED:
        return [f"{run.name} is damaged and left out: {run.error}."]
    if run.status is RunState.FAILED:
        return [f"{run.name} failed: {run.error.rstrip('.') or 'no reason recorded'}."]
    if run.status in (RunState.RUNNING, RunState.INTERRUPTED):
        last = run.curve[-1].iteration if run.curve else 0
        how = "has not finished" if run.status is RunState.RUNNING else "was interrupted"
        return [f"{run.name} {how} (last validated at iteration {last} of {results.iterations})."]
    if run.status is RunState.TRAINED:
        return [f"{run.name} is trained and not scored yet; run the experiment again."]
    if run.status is RunState.NOT_RUN:
        return ["Not run yet; run the experiment again to train what is missing."]
    lines = [f"{run.name}: {run.chance}."] if run.chance else []
    if run.outdated:
        lines.append(
            f"{run.name} was scored when protocol {listed(run.outdated)} said something else; run the experiment again."
        )
    several = {test.dataset: run.samples[test.fingerprint] for test in results.test if test.fingerprint in run.samples}
    lines += [f"{run.name}: {samples_note(of, name, results.protocol)}." for name, of in several.items()]
    for test in results.test:
        count = run.scored_faces(test, results.protocol)
        if count != test.faces:
            why = run.not_scored.get(test.fingerprint)
            lines.append(
                f"Not scored on {test.dataset}: {why}."
                if why
                else f"{run.name} is scored on {count} of the {test.faces} faces of {test.dataset}."
            )
    return lines


def samples_note(samples: SamplesRecord, dataset: str, protocol: str) -> str:
    """Say how far apart several samples of a face are: in scores under the protocol, and in pictures."""
    scores = {
        metric: sd for name, sd in samples.spread.items() if (metric := name.removesuffix(f"@{protocol}")) != name
    }
    spread = [
        f"{sd:.2g} {get_metric(name).unit}".rstrip() + f" of {get_metric(name).title}" for name, sd in scores.items()
    ]
    apart = dict(samples.diversity)
    spread += [f"{apart.pop(LEVELS):.2g} grey levels of a pixel"] if LEVELS in apart else []
    between = [f"; two are {value:.2g} apart by {get_metric(name).title}" for name, value in apart.items()]
    about = f"scores on {dataset} are means over {samples.count} samples of each face"
    return f"{about}, whose standard deviation is on average {listed(spread)}{''.join(between)}"


def failing(results: Results, row: RowResult, test: FaceSet) -> tuple[str, ...]:
    """Say in a sentence which faces of a test set the scored runs of a row fail on; nothing where they fail on none."""
    return row.once(("failing", test, results.protocol), lambda: _failing(results, row, test))


def none_fails(results: Results, tests: Sequence[FaceSet]) -> str:
    """Say in a sentence on which test sets no row fails on any face; "" where there is none that is scored."""
    sound = [
        test
        for test in tests
        if any(row.scored_runs(test, results.protocol) for row in results.rows)
        and not any(failing(results, row, test) for row in results.rows)
    ]
    faces = [f"{test.faces:,}{'' if place else ' faces'} of {test.dataset}" for place, test in enumerate(sound)]
    return f"No row fails on any of the {listed(faces)}." if faces else ""


def _failing(results: Results, row: RowResult, test: FaceSet) -> tuple[str, ...]:
    by_run = {run.seed: failures_of(results, run, test) for run in row.scored_runs(test, results.protocol)}
    every = [(failure, seed) for seed, some in by_run.items() for failure in some]
    if not every:
        return ()
    counts = {seed: len(some) for seed, some in by_run.items() if some}
    faces = f"of {test.faces:,} faces of {test.dataset}"
    (seed, count), *more = counts.items()
    where = listed([f"{count} {faces} with seed {seed}", *(f"{count} with seed {seed}" for seed, count in more)])
    if len(counts) > _SEEDS:
        where = f"up to {max(counts.values())} {faces} with each of {len(counts)} of {len(by_run)} seeds"
    reasons, reference = [], reference_row(results)
    below = [(failure, seed) for failure, seed in every if failure.below]
    if below and reference:
        worst, seed = max(below, key=lambda item: item[0].loss)
        reasons.append(
            f"more than {LIMIT:g} dB below {reference.label}, worst {worst.face}"
            f"{f' with seed {seed}' if more else ''} ({worst.psnr:.1f} dB, {reference.label} "
            f"{number_cell(worst.reference, 1).text})"
        )
    if broken := [failure.face for failure, _ in every if failure.broken]:
        whose = broken[0] if len(broken) == 1 else f"{len(broken)} faces"
        reasons.append(
            f"NaN or infinity in the output of {whose}, scored with NaN as black and infinity as the end of the range"
        )
    if undefined := sum(not failure.below and not failure.broken for failure, _ in every):
        reasons.append(f"no PSNR of {undefined}")
    return (f"{row.label} fails on {where}: {'; '.join(reasons)}.",)


def _settings(changes: Mapping[str, Any]) -> str:
    """Return settings in words, e.g. "learning_rate 1e-05, augment rot90 True"."""
    return ", ".join(
        f"{name} {_settings(value) if isinstance(value, Mapping) else value}" for name, value in changes.items()
    )
