"""Faces that a network fails on, which a mean hides: NaN, infinity, or a picture far worse than plain interpolation."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.core.errors import UserError
from bench.runs.records import ExperimentRecord, FaceSetRecord, RunRecord, read_run_record
from bench.runs.scores import Scores, read_scores

LIMIT = 3.0  # dB below the reference
_ALIKE = 20 * math.log10(255)  # dB, one grey level off everywhere: no reference is taken to be nearer than this


@dataclass(frozen=True)
class Failure:
    """A face, its PSNR and the reference's in dB (NaN: there is none); `broken`: the picture held NaN or infinity."""

    face: str
    psnr: float
    reference: float
    broken: bool = False

    @property
    def below(self) -> bool:
        """Whether the face lies more than LIMIT below the reference."""
        return self.psnr < min(self.reference, _ALIKE) - LIMIT

    @property
    def loss(self) -> float:
        """How far the face lies below the reference in dB; infinity where that cannot be said."""
        loss = self.reference - self.psnr
        return math.inf if math.isnan(loss) else loss


@dataclass(frozen=True)
class Failing:
    """The faces of a test set that a run fails on, the worst first, and what the row is called that they are told by.

    `failures` is None where the run was not scored on the set, or cannot fail on it: without ground truth and without
    NaN or infinity nothing is known.
    """

    test: FaceSetRecord
    failures: tuple[Failure, ...] | None
    reference: str = ""

    def __str__(self) -> str:
        """Say in a line how many there are and which is the worst; "" where there is none."""
        if not self.failures:
            return ""
        worst, count = self.failures[0], f"{len(self.failures)} of {self.test.faces:,} faces of {self.test.dataset}"
        psnr, reference = ("-" if math.isnan(value) else f"{value:.1f}" for value in (worst.psnr, worst.reference))
        values = [f"{psnr} dB", f"{self.reference} {reference}"] if self.reference else [f"{psnr} dB"]
        values += ["NaN or infinity"] if worst.broken else []
        why = f"NaN, infinity or more than {LIMIT:g} dB below {self.reference or 'plain interpolation'}"
        return f"fails on {count} ({why}), the worst {worst.face} ({', '.join(values)})"


def failures(
    psnr: Sequence[float] | np.ndarray | None,
    reference: Sequence[float] | np.ndarray | None,
    names: Sequence[str],
    broken: Collection[str] = (),
) -> tuple[Failure, ...]:
    """Return the faces `names` that one run fails on, the worst first.

    `psnr` and `reference` (Bicubic's) are in dB under the same protocol, [images] each in the order of the names, None
    where they are not known: then those that are `broken` are all. A face fails that is broken, whose PSNR is NaN, or
    lies more than LIMIT below the reference. Raises ValueError when they are not equally long.
    """
    ours, theirs = (
        np.full(len(names), np.nan) if some is None else np.asarray(some, float) for some in (psnr, reference)
    )
    fails = ours < np.minimum(theirs, _ALIKE) - LIMIT
    if psnr is not None:
        fails |= np.isnan(ours)
    every = zip(names, ours.tolist(), theirs.tolist(), fails.tolist(), strict=True)
    failing = [Failure(name, value, base, name in broken) for name, value, base, bad in every if bad or name in broken]
    return tuple(sorted(failing, key=lambda failure: (-failure.loss, failure.face)))


def failures_beside(
    ours: Mapping[str, float], theirs: Mapping[str, float], broken: Collection[str]
) -> tuple[Failure, ...]:
    """Return the faces that a run fails on by its PSNR and the reference's, both face -> dB, the worst first."""
    names = sorted(ours.keys() | set(broken))
    psnr, reference = ([values.get(name, math.nan) for name in names] for values in (ours, theirs))
    return failures(psnr if ours else None, reference, names, broken)


class Failures:
    """The failures of the runs of the experiment in `folder`, as kept scores tell them."""

    def __init__(self, folder: Path, experiment: ExperimentRecord) -> None:
        self._experiment = experiment
        self._label, self._reference = "", Scores()
        for row in experiment.rows:
            runs = [experiment.run_folder(folder, name) for name in row.runs]
            records = [read_run_record(run) for run in runs]
            if runs and not row.foreign and all(record and not record.config.training for record in records):
                self._label, self._reference = row.label, _read(runs[0])
                return

    def of(self, run: Path, record: RunRecord, more: Sequence[FaceSetRecord] = ()) -> tuple[Failing, ...]:
        """Return what a run fails on, for each test set of the experiment and for `more`."""
        scores = _read(run)
        return tuple(self._on(scores, record, test) for test in (*self._experiment.test, *more))

    def _on(self, scores: Scores, record: RunRecord, test: FaceSetRecord) -> Failing:
        broken = record.broken.get(test.fingerprint, ())
        ours, theirs = (
            side.on(test.dataset, test.fingerprint).values("psnr", self._experiment.protocol)
            for side in (scores, self._reference)
        )
        known = bool(broken or ours)
        return Failing(test, failures_beside(ours, theirs, broken) if known else None, self._label if theirs else "")


def _read(run: Path) -> Scores:
    """Return a run's scores; none where they are damaged, which reports and `fsr verify` tell."""
    try:
        return read_scores(run)
    except UserError:
        return Scores()
