"""All metrics by name: the suite's own, then pyiqa's, then NIQE refitted (`niqe-pooled:FILE.json`).

A metric of ours is a file here with a tuple METRICS of specs.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable
from typing import Any

from bench.core.errors import UserError, suggest
from bench.metrics import niqe, pyiqa
from bench.metrics.spec import Metric, UnavailableError

# In the order of tables. What a module needs beside numpy it imports when a value is computed.
MODULES = ("psnr", "ssim", "lpips", "niqe", "edges", "faces", "facenet", "detection", "consistency")
PYIQA = "pyiqa:"
DEFAULT = ("psnr", "ssim", "niqe-pooled")


@functools.cache
def catalogue() -> dict[str, Metric]:
    """Return the suite's own metrics: name -> metric."""
    metrics = [metric for name in MODULES for metric in importlib.import_module(f"bench.metrics.{name}").METRICS]
    return {metric.name: metric for metric in metrics}


def get_metric(name: str) -> Metric:
    """Return the metric `name`: of a name that pyiqa has too, ours, and pyiqa's as `pyiqa:<name>`.

    Raises UserError with the nearest name when there is none, UnavailableError for one of pyiqa's without pyiqa.
    """
    own = catalogue()
    if name in own:
        return own[name]
    convention, _, file = name.partition(":")
    if file and convention in niqe.CONVENTIONS:
        return niqe.refitted_metric(convention, file)
    if metric := pyiqa.pyiqa_metric(name.removeprefix(PYIQA)):
        return metric
    installed, theirs = pyiqa.is_installed(), name.startswith(PYIQA)
    if theirs and not installed:
        raise UnavailableError(f"pyiqa is not installed: {pyiqa.INSTALL}")
    if theirs:
        name = name.removeprefix(PYIQA)
        raise UserError(f"pyiqa has no metric '{name}': {suggest(name, pyiqa_names())}")
    more = "" if installed else f"; pyiqa has more: {pyiqa.INSTALL}"
    raise UserError(f"unknown metric '{name}': {suggest(name, [*own, *pyiqa_names()])}{more}")


def pyiqa_names() -> list[str]:
    """Return the names of pyiqa's metrics, as in pyiqa; none where it is not installed."""
    return list(pyiqa.pyiqa_metrics())


def get_metrics(names: Iterable[str]) -> tuple[Metric, ...]:
    """Return the metrics `names`, each once; `all` stands for all of the suite's own."""
    every = [name for given in names for name in (catalogue() if given == "all" else [given])]
    return tuple({metric.name: metric for metric in map(get_metric, every)}.values())


def describe_metrics() -> list[dict[str, Any]]:
    """Return what each metric is, in the order of tables: the suite's own, then pyiqa's."""
    own = [(metric, "", "") for metric in catalogue().values()]
    theirs = [(metric, pyiqa.LICENCE, pyiqa.weights_of(name)) for name, metric in pyiqa.pyiqa_metrics().items()]
    return [
        {
            "name": metric.name,
            "title": metric.title,
            "unit": metric.unit,
            "higher_is_better": metric.higher_is_better,
            "needs": list(metric.needs),
            "protocol": metric.colour,
            "extra": metric.extra,
            "source": metric.source,
            "caution": metric.caution,
            "licence": licence,
            "weights": weights,
        }
        for metric, licence, weights in [*own, *theirs]
    ]
