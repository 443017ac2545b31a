"""All metrics by name: the suite's own, then pyiqa's, then NIQE refitted (`niqe-pooled:FILE.json`).

A metric of ours is a file here with a tuple METRICS of specs.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.core.errors import UserError, suggest
from bench.core.text_table import text_table
from bench.metrics import niqe_refit, pyiqa
from bench.metrics.spec import Metric, UnavailableError

# In the order of tables. What a module needs beside numpy it imports when a value is computed.
MODULES = (
    "psnr",
    "ssim",
    "lpips",
    "niqe",
    "identity",
    "facenet",
    "landmarks",
    "detection",
    "consistency",
)
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
    if file and convention in niqe_refit.CONVENTIONS:
        return niqe_refit.refitted_metric(convention, file)
    if metric := pyiqa.pyiqa_metric(name.removeprefix(PYIQA)):
        return metric
    if not pyiqa.is_installed():
        if name.startswith(PYIQA):
            raise UnavailableError(f"pyiqa is not installed: {pyiqa.INSTALL}")
        raise UserError(f"unknown metric '{name}': {suggest(name, own)}; pyiqa has more: {pyiqa.INSTALL}")
    if name.startswith(PYIQA):
        raise UserError(f"pyiqa has no metric '{name[len(PYIQA) :]}': {suggest(name[len(PYIQA) :], pyiqa_names())}")
    raise UserError(f"unknown metric '{name}': {suggest(name, [*own, *pyiqa_names()])}")


def pyiqa_names() -> list[str]:
    """Return the names of pyiqa's metrics, as in pyiqa; none where it is not installed."""
    return list(pyiqa.pyiqa_metrics())


def get_metrics(names: Iterable[str]) -> tuple[Metric, ...]:
    """Return the metrics `names`, each once; `all` stands for all of the suite's own."""
    wanted = {
        metric.name: metric for name in names for metric in map(get_metric, catalogue() if name == "all" else [name])
    }
    return tuple(wanted.values())


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


def metrics_text(metrics: Sequence[Mapping[str, Any]]) -> str:
    """Return the metrics as two tables for a terminal: ours, then pyiqa's."""

    def table(rows: list[list[str]], last: str) -> str:
        head = ["metric", "unit", "better", "needs", last]
        return text_table(head, rows, widths=[None] * 4 + [80])

    rows: dict[bool, list[list[str]]] = {False: [], True: []}
    for metric in metrics:
        theirs = metric["name"].startswith(PYIQA)
        about = ". ".join(filter(None, (metric["source"].rstrip("."), metric["caution"].rstrip(".")))) + "."
        if theirs:
            about = "; ".join(filter(None, (metric["weights"], metric["caution"])))
        better = "higher" if metric["higher_is_better"] else "lower"
        rows[theirs].append([metric["name"], metric["unit"], better, " ".join(metric["needs"]).upper() or "-", about])
    if not rows[True]:
        return f"{table(rows[False], '')}\n\npyiqa has more metrics: {pyiqa.INSTALL} ({pyiqa.LICENCE})"
    note = (
        f"pyiqa's metrics ({pyiqa.LICENCE}, used where asked for alone), by these names or without `pyiqa:`\n"
        "offline: needs no weights; cached: has run here; download: gets its weights when it first scores"
    )
    return f"{table(rows[False], '')}\n\n{note}\n{table(rows[True], 'weights')}"
