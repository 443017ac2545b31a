"""Several samples of each face from a method that draws at random: the means of their scores, and how they differ."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from bench.metrics.scoring import Scorer, Scores
from bench.runs.records import LEVELS, SamplesRecord

if TYPE_CHECKING:
    from torch import Tensor

    from bench.metrics.protocol import Protocol

DISTANCES = ("lpips-alex", "lpips-vgg")  # metrics that, where they are asked for, also tell two samples apart


class SampleScorer:
    """A Scorer of each of `count` samples, side by side; `make` returns one for some metrics, or for all asked."""

    def __init__(self, make: Callable[[Sequence[str] | None], Scorer], count: int, protocol: Protocol) -> None:
        self._scorers = [make(None) for _ in range(count)]
        asked = {metric.name for metric in self._scorers[0].metrics}
        self._apart = make([name for name in DISTANCES if name in asked]) if count > 1 else None
        self._protocol, self._levels = protocol, list[torch.Tensor]()

    def add(self, samples: Sequence[Tensor], hr: np.ndarray | None, lr: np.ndarray | None) -> None:
        """Score samples of the same faces, each a finite [b, 3, H, W]; the rest is as in Scorer.add."""
        first = self._scorers[0]
        for scorer, sr in zip(self._scorers, samples, strict=True):
            scorer.unavailable |= first.unavailable  # which is told once
            scorer.add(sr, hr, lr)
        if self._apart is None:
            return
        self._apart.unavailable |= first.unavailable
        shown = [self._protocol.to_uint8(sr) for sr in samples]
        self._levels.append(torch.stack(shown).float().std(0).mean((1, 2, 3)).double().cpu())
        pairs = itertools.combinations(zip(samples, shown, strict=True), 2)
        for (sample, _), (_, other) in pairs if self._apart.metrics else ():
            self._apart.add(sample, other.permute(0, 2, 3, 1).cpu().numpy())

    def finish(self) -> tuple[Scores, SamplesRecord | None]:
        """Return each face's mean scores over its samples, and with several how these differ."""
        every = [scorer.finish() for scorer in self._scorers]
        if self._apart is None:
            return every[0], None
        values = {key: np.stack([scores.values[key] for scores in every]) for key in every[-1].values}
        means = {key: samples.mean(0) for key, samples in values.items()}
        spread = {f"{metric}@{protocol}": samples for (protocol, metric), samples in values.items()}
        diversity = {metric: column for (_, metric), column in self._apart.finish().values.items()}
        record = SamplesRecord(
            len(every),
            _means({name: _deviation(samples) for name, samples in spread.items()}),
            _means({LEVELS: torch.cat(self._levels).numpy(), **diversity}),
        )
        return Scores(means, every[-1].unavailable, every[-1].remarks), record


def _deviation(samples: np.ndarray) -> np.ndarray:
    """Return the standard deviation over samples, [N, faces] -> [faces]; NaN where a score is not finite."""
    with np.errstate(invalid="ignore"):
        deviation: np.ndarray = np.std(samples, axis=0, ddof=1)
    return deviation


def _means(columns: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the mean of each column over the faces that have a value; columns without any are left out."""
    finite = {name: column[np.isfinite(column)] for name, column in columns.items()}
    return {name: float(column.mean()) for name, column in finite.items() if len(column)}
