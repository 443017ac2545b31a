"""All metrics by name. A metric is a file here with a tuple METRICS of specs; any of pyiqa's is `pyiqa:<name>`, and
NIQE with pristine pictures of one's own `niqe-pooled:FILE.json` (see bench.metrics.niqe_refit)."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.core.errors import UserError, suggest
from bench.core.text_table import text_table
from bench.metrics.spec import Metric

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
    found = [metric for name in MODULES for metric in importlib.import_module(f"bench.metrics.{name}").METRICS]
    return {metric.name: metric for metric in found}


def get_metric(name: str) -> Metric:
    """Return the metric `name`; raise UserError with the nearest name when there is none."""
    if name.startswith(PYIQA):
        from bench.metrics.pyiqa import pyiqa_metric

        return pyiqa_metric(name.removeprefix(PYIQA))
    known = catalogue()
    convention, _, file = name.partition(":")
    if file and convention.startswith("niqe") and convention in known:
        from bench.metrics.niqe_refit import refitted_metric

        return refitted_metric(convention, file)
    if name not in known:
        raise UserError(f"unknown metric '{name}': {suggest(name, known)}; any of pyiqa's is {PYIQA}<name>")
    return known[name]


def get_metrics(names: Iterable[str]) -> tuple[Metric, ...]:
    """Return the metrics `names`, each once; `all` stands for all of the suite's own."""
    wanted = [one for name in names for one in (catalogue() if name == "all" else [name])]
    return tuple(get_metric(name) for name in dict.fromkeys(wanted))


def describe_metrics() -> list[dict[str, Any]]:
    """Return what each of the suite's own metrics is, in the order of tables."""
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
        }
        for metric in catalogue().values()
    ]


def metrics_text(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the metrics as a table for a terminal."""
    body = [
        [
            one["name"],
            one["unit"],
            "higher" if one["higher_is_better"] else "lower",
            " ".join(one["needs"]).upper() or "-",
            ". ".join(filter(None, (one["source"].rstrip("."), one["caution"].rstrip(".")))) + ".",
        ]
        for one in found
    ]
    head = ["metric", "unit", "better", "needs", ""]
    return text_table(head, body, widths=[None] * 4 + [80])
