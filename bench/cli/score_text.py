"""What `fsr score` prints: metrics with intervals, then protocols beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.core.text_table import text_table
from bench.metrics.catalogue import get_metric


def score_text(result: Mapping[str, Any]) -> str:
    """Return scores as tables for a terminal: metrics with intervals, then protocols beside each other."""
    lines = [f"protocol {result['protocol']}", _metric_table(result["metrics"])]
    for name, why in result["unavailable"].items():
        lines.append(f"{name}: - ({why})")
    if "protocols" in result:
        lines += ["", "the same pictures under every protocol", _protocol_table(result["protocols"])]
    return "\n".join(lines)


def _metric_table(found: Mapping[str, Mapping[str, Any]]) -> str:
    body = []
    for name, one in found.items():
        spec = get_metric(name)
        notes = [f"{one[kind]} {kind}" for kind in ("infinite", "undefined") if kind in one]
        left = f"without {' and '.join(notes)}" if notes else ""
        body.append(
            [
                spec.title,
                spec.unit,
                *_numbers(one, spec.decimals),
                one["n"],
                "; ".join(filter(None, (left, spec.caution))),
            ]
        )
    head = ["metric", "unit", "mean", "95% interval", "images", ""]
    return text_table(head, body, widths=[None] * 5 + [60])


def _protocol_table(protocols: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return a row a protocol: each metric that more than one protocol scores, and how far from the first it is."""
    first = next(iter(protocols.values()))
    names = [name for name in first if sum(name in found for found in protocols.values()) > 1]
    body = []
    for protocol, found in protocols.items():
        cells = []
        for name in names:
            decimals, mean, base = get_metric(name).decimals, found[name]["mean"], first[name]["mean"]
            known = mean is not None and base is not None
            cells += [_numbers(found[name], decimals)[0], f"{mean - base:+.{decimals}f}" if known else "-"]
        body.append([protocol, *cells])
    head = [one for name in names for one in (get_metric(name).title, "difference")]
    return text_table(["protocol", *head], body)


def _numbers(one: Mapping[str, Any], decimals: int) -> tuple[str, str]:
    if one["mean"] is None:
        return "∞" if one.get("infinite") else "-", "-"
    low, high = one["ci95"]
    interval = f"[{low:.{decimals}f}, {high:.{decimals}f}]" if low is not None and high is not None else "-"
    return f"{one['mean']:.{decimals}f}", interval
