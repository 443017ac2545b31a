"""Faces that a network fails on, which a mean hides: NaN, infinity, or a picture far worse than plain interpolation."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.results import FaceSet, Results, RowResult, RunResult

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


def reference_row(results: Results) -> RowResult | None:
    """Return the row that failures are told by: the first whose method is not trained, Bicubic; None without one."""
    own = (row for row in results.rows if row.runs and not row.foreign)
    return next((row for row in own if not any(run.trained for run in row.runs)), None)


def failures_of(results: Results, run: RunResult, test: FaceSet) -> tuple[Failure, ...]:
    """Return the faces of `test` that a run fails on under the experiment's protocol, the worst first."""
    row, broken = reference_row(results), run.broken.get(test.fingerprint, ())
    ours = run.values(test, results.protocol, "psnr")
    theirs = row.runs[0].values(test, results.protocol, "psnr") if row else {}
    names = sorted(ours.keys() | set(broken))
    psnr, reference = ([values.get(name, math.nan) for name in names] for values in (ours, theirs))
    return failures(psnr if ours else None, reference, names, broken)
