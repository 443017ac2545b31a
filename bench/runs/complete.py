"""Bring one run to its end: train it if needed, score it if needed, record what went wrong."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import LeftAloneError, UserError, reason
from bench.core.provenance import code_of, describe_device, environment, now
from bench.core.stop import Interrupted, contained
from bench.metrics.protocol import PROTOCOLS
from bench.runs.authored import import_checkpoint
from bench.runs.config import CHECKPOINT, PICTURES
from bench.runs.given import LANDMARKS, Given, features_of
from bench.runs.outputs import Outputs
from bench.runs.pictures import write_png
from bench.runs.records import RunState

if TYPE_CHECKING:
    import torch
    from torch import nn

    from bench.runs.evaluate import Evaluation, Made
    from bench.runs.experiment import Faces, RowRun, TestSet
    from bench.runs.store import Run

log = logging.getLogger("fsr")
MakeBar = Callable[[str, int], Any]  # title, iterations -> a progress.Bar or one like it


@dataclass(frozen=True)
class Outcome:
    """How a run ended, or that another process is at work on it ("busy").

    `bad_input` tells a user's mistake (a damaged checkpoint) from a run that went wrong, `out_of_memory` what may fit
    with fewer runs beside it.
    """

    run: str
    status: RunState
    error: str = ""
    bad_input: bool = False
    out_of_memory: bool = False


def complete(
    row_run: RowRun, faces: Faces, device: torch.device, samples: int, make_bar: MakeBar, wait: bool = False
) -> Outcome:
    """Train and score one run unless that is done; a failure is recorded in run.json and returned, not raised.

    One process at a time works on a run: another one gets "busy", or its turn with `wait`. Raises Interrupted when
    asked to stop and OSError when the disk can't be written: those concern every run.
    """
    if is_complete(row_run, faces):
        return Outcome(row_run.run.config.name, RunState.CACHED)
    with row_run.run.claim(wait) as mine:
        if not mine:
            return Outcome(row_run.run.config.name, RunState.BUSY)
        return _complete(row_run, faces, device, samples, make_bar)


def _complete(row_run: RowRun, faces: Faces, device: torch.device, samples: int, make_bar: MakeBar) -> Outcome:
    run = row_run.run
    if is_complete(row_run, faces):  # by the process that was waited for
        return Outcome(run.config.name, RunState.CACHED)
    title = row_run.label if run.config.seed == 0 else f"{row_run.label}, seed {run.config.seed}"
    try:
        run.check()
        with contained():
            if not run.trained and CHECKPOINT in run.config.given:
                import_checkpoint(run, Path(row_run.row.checkpoint))
            elif not run.trained:
                _train(run, row_run.teacher, faces, device, title, make_bar)
            if row_run.metrics:
                _score(row_run, faces, device, samples)
            else:
                run.write(status=RunState.FINISHED, error=None)
    except Interrupted:
        raise
    except Exception as error:
        import torch

        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
            raise  # of the disk, not of a file or page that a method wants

        bad_input, no_memory = isinstance(error, UserError), isinstance(error, torch.OutOfMemoryError | MemoryError)
        message = str(error) if bad_input else reason(error)
        message += "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        log.error("%s failed: %s", title, message)
        log.debug("%s", title, exc_info=True)
        if not isinstance(error, LeftAloneError):
            elsewhere = bad_input or no_memory or isinstance(error, ImportError | OSError | torch.AcceleratorError)
            run.write(status=RunState.FAILED, error=message, retry=elsewhere)
        return Outcome(run.config.name, RunState.FAILED, message, bad_input, no_memory)
    return Outcome(run.config.name, RunState.FINISHED)


def is_complete(row_run: RowRun, faces: Faces) -> bool:
    """Tell whether a run is trained and scored on every test set, and its files are those that were written."""
    try:
        row_run.run.check()
    except LeftAloneError:  # told when its turn comes
        return False
    return row_run.run.trained and row_run.run.settled and not unscored(row_run, faces)


def unscored(row_run: RowRun, faces: Faces) -> list[TestSet]:
    """Return the test sets on whose faces a run lacks scores under its own protocol, of metrics that could be had."""
    run = row_run.run
    scores, known, without = run.scores(), run.record().unavailable, run.record().not_scored

    def lacks(test: TestSet, metric: str) -> bool:
        sheet = scores.on(test.store.dataset, test.fingerprint)
        return len(sheet.values(metric, run.config.protocol)) != test.count

    return [
        test
        for test in faces.tests
        if test.fingerprint not in without
        and any(lacks(test, metric) for metric in set(row_run.metrics) - set(known.get(test.fingerprint, {})))
    ]


def _train(run: Run, teacher: Run | None, faces: Faces, device: torch.device, title: str, make_bar: MakeBar) -> None:
    from bench.runs.behaviour import load_network
    from bench.runs.priors import landmarks_of
    from bench.runs.train import train

    training, model, points = run.config.training, None, None
    assert training is not None
    if teacher is not None:
        with teacher.claim(wait=True):
            teacher.check()
            if not teacher.trained:
                _train_teacher(teacher, faces, device, f"{title}, its teacher", make_bar)
        model = load_network(teacher.record(), teacher.folder).to(device).requires_grad_(False)
    if LANDMARKS in run.config.given:
        points = landmarks_of(faces.train, faces.sizes.train)
    with make_bar(title, training.iterations) as bar:
        train_faces, val_faces = faces.train.faces[: faces.sizes.train], faces.val.faces[: faces.sizes.val]
        taught_by, features = teacher.config.name if teacher else "", features_of(run.config, device)
        train(run, train_faces, val_faces, device, bar, Given(points, model, taught_by, features))


def _train_teacher(teacher: Run, faces: Faces, device: torch.device, title: str, make_bar: MakeBar) -> None:
    """Train a teacher; what goes wrong is written into its run.json too, and names it."""
    try:
        _train(teacher, None, faces, device, title, make_bar)
    except (Interrupted, LeftAloneError):
        raise
    except Exception as error:
        if not isinstance(error, OSError):
            message = str(error) if isinstance(error, UserError) else reason(error)
            teacher.write(status=RunState.FAILED, error=message, retry=isinstance(error, UserError))
        error.add_note(f"of the teacher, {teacher.config.name}")
        raise
    teacher.write(status=RunState.FINISHED, error=None)


def _score(row_run: RowRun, faces: Faces, device: torch.device, samples: int) -> None:
    """Score a trained run on the test sets that it has not been scored on, and measure what it costs."""
    from bench.models import cost
    from bench.runs.behaviour import load_network, probe_of
    from bench.runs.evaluate import low_resolution, to_tensor

    run = row_run.run
    if run.config.is_of_pictures:
        return _score_pictures(row_run, faces, device, samples)
    model = load_network(run.record(), run.folder).to(device)
    results = [
        (test, _evaluate(row_run, model, test, device, samples if test.store is faces.test else 0))
        for test in unscored(row_run, faces)
    ]
    lr = to_tensor(low_resolution(faces.test.faces[:1], run.config.scale), device)
    count = cost.count_multiply_adds(model, lr)
    unavailable = {test.fingerprint: dict(result.unavailable) for test, result in results}
    about: dict[str, Any] = {
        "parameters": cost.count_parameters(model),
        "multiply_adds": count.published,
        "multiply_adds_executed": count.executed,
        "seconds_per_image": round(cost.seconds_per_image(model, lr), 6),
        "unavailable": {**run.record().unavailable, **unavailable},
        "chance": next((result.chance for _, result in results if result.chance), run.record().chance),
    }
    if several := {test.fingerprint: result.samples for test, result in results if result.samples}:
        about["samples"] = {**run.record().samples, **several}
    broken = {test.fingerprint: result.broken for test, result in results if result.broken}
    if broken:
        about["broken"] = {**run.record().broken, **broken}
    if run.config.training is None:
        about |= {"device": describe_device(device), "environment": environment()}
    if not run.config.has_weights:
        about |= {"code": code_of(model), "probe": probe_of(model, run.config.scale)}
    run.write(
        status=RunState.FINISHED, error=None, retry=False, scored=now(), scored_on=describe_device(device), **about
    )
    run.add_scores([result.scores for _, result in results])  # last: they make the run complete


def _score_pictures(row_run: RowRun, faces: Faces, device: torch.device, samples: int) -> None:
    """Score pictures that were made elsewhere; a test set of which they are not all there, and sound, is left out."""
    from bench.runs.evaluate import Made

    run, not_scored, results = row_run.run, dict[str, str](), []
    outputs = Outputs(Path(row_run.row.pictures), faces.tests)
    if outputs.digest != run.config.given[PICTURES]:
        raise UserError(f"{outputs.folder}: the pictures have changed since this command began; run it again")
    for test in unscored(row_run, faces):
        try:
            made = Made(outputs.read(test, run.config.scale), device)
        except UserError as error:
            not_scored[test.fingerprint] = str(error)
            if str(error) not in outputs.problems:  # which were told when the run was planned
                log.warning("%s: %s: not scored: %s", row_run.label, test.store.dataset, error)
        else:
            results.append((test, _evaluate(row_run, made, test, device, samples if test.store is faces.test else 0)))
    unavailable = {test.fingerprint: dict(result.unavailable) for test, result in results}
    run.write(
        status=RunState.FINISHED,
        error=None,
        retry=False,
        scored=now(),
        environment=environment(),
        unavailable={**run.record().unavailable, **unavailable},
        not_scored={**run.record().not_scored, **not_scored},
    )
    run.add_scores([result.scores for _, result in results])  # last: they make the run complete


def _evaluate(
    row_run: RowRun, model: nn.Module | Made, test: TestSet, device: torch.device, pictures: int
) -> Evaluation:
    """Score on one test set under every preset, and write the first `pictures` of them."""
    from bench.metrics.scoring import shared_cache
    from bench.runs.evaluate import evaluate

    result = evaluate(
        row_run.run,
        model,
        test.store,
        test.count,
        device,
        pictures=pictures,
        metrics=row_run.metrics,
        protocols=list(PROTOCOLS.values()),
        cache=shared_cache(),
    )
    name, dataset = row_run.run.config.name, test.store.dataset
    if result.chance:
        log.warning("%s: %s", name, result.chance)
    for remark in dict.fromkeys(result.remarks.values()):
        log.warning("%s: %s: %s", name, dataset, remark)
    if broken := len(result.broken):
        log.warning("%s: %s: the output holds NaN or infinity on %d of %d faces", name, dataset, broken, test.count)
    for name, picture in zip(test.store.names, result.pictures, strict=False):
        write_png(row_run.run.samples / f"{name}.png", picture)
    return result
