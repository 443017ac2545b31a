"""`fsr score`: metrics with intervals, then protocols beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from bench.cli import complete
from bench.cli.common import ChangedCode, Data, Device, Json, Plugins, argument, option, several, show
from bench.core.errors import UserError
from bench.core.limits import within
from bench.core.text_table import text_table

SCALE = within(2, 64)
_NAMED = 8  # failing faces


def score(
    method: Annotated[str | None, argument("METHOD", "its id, see `fsr methods`", complete.methods)] = None,
    *,
    weights: Annotated[
        Path | None, option("FOLDER", "a run, its weights, or a torch checkpoint with the method's own names")
    ] = None,
    checkpoint: Annotated[
        Path | None, option("FILE", "weights as the method's authors released them, or with its own names")
    ] = None,
    data: Data = None,
    split: Annotated[str | None, option("NAME", "train, val or test (default)")] = None,
    faces: Annotated[int | None, option("N", "at most so many faces", rule=within(1, 10**9))] = None,
    degradation: Annotated[
        str | None,
        option(
            "NAME",
            "how LR is made: pil-bicubic (default), matlab-bicubic, torch-antialias, area, no-antialias, real-world",
            complete=complete.degradations,
        ),
    ] = None,
    scale: Annotated[
        int | None,
        option("N", "of a method that is not trained, or of --checkpoint: 2, 4, 8 (default) or 16", rule=SCALE),
    ] = None,
    sr: Annotated[Path | None, option("DIR", "score these pictures (a folder or archive) instead")] = None,
    hr: Annotated[Path | None, option("DIR", "their originals, of the same names")] = None,
    lr: Annotated[Path | None, option("DIR", "what they were made from, of the same names")] = None,
    metric: Annotated[
        list[str],
        several(
            "NAME",
            "a metric (again for more), `all`, or pyiqa:<name> (default: psnr, ssim, niqe-pooled)",
            complete=complete.metrics,
        ),
    ],
    protocol: Annotated[
        str | None,
        option(
            "NAME", "a protocol (default: that of reported tables), a TOML file, or all", complete=complete.protocols
        ),
    ] = None,
    changed_code: ChangedCode = False,
    device: Device = "auto",
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.analysis.score import score_method, score_pairs
    from bench.core.provenance import choose_device
    from bench.data.cards import default_dataset
    from bench.data.degrade import DEFAULT as DEFAULT_DEGRADATION
    from bench.metrics.catalogue import DEFAULT

    rules: dict[str, Any] = {"metrics": metric or DEFAULT} | ({"protocol": protocol} if protocol else {})
    of_a_method = {
        "weights": weights, "data": data, "split": split, "faces": faces, "degradation": degradation, "scale": scale,
        "changed-code": changed_code or None, "checkpoint": checkpoint,
    }  # fmt: skip
    if sr:
        given = [f"--{name}" for name, value in of_a_method.items() if value is not None]
        if method or given:
            raise UserError(f"{method or given[0]}: not together with --sr, which scores pictures as they are")
        result = score_pairs(sr, hr, lr, **rules, quiet=json)
    elif checkpoint and not method:
        raise UserError(f"--checkpoint {checkpoint}: name its method before it (see `fsr methods`)")
    elif hr or lr or not (method or weights):
        raise UserError("give a method (see `fsr methods`), or pictures: --sr FOLDER --hr FOLDER")
    else:
        result = score_method(
            method,
            weights,
            data or default_dataset(),
            split or "test",
            faces,
            choose_device(device),
            degradation=degradation or DEFAULT_DEGRADATION,
            scale=scale,
            changed_code=changed_code,
            quiet=json,
            checkpoint=checkpoint,
            **rules,
        )
    show(json, result, lambda: score_text(result))
    return 0


def score_text(result: Mapping[str, Any]) -> str:
    """Return scores as tables for a terminal: metrics with intervals, then protocols beside each other."""
    changed = [f"{result['label']}: {result['changed_code']}"] if result.get("changed_code") else []
    authors = result.get("authors_weights")
    whose = (
        [f"{result['label']}: {authors['file']}, SHA-256 {authors['sha256']};", authors["warning"]] if authors else []
    )
    lines = [*whose, *changed, f"protocol {result['protocol']}", _metric_table(result["metrics"])]
    lines += [f"{result['method']}: {result['chance']}"] if result.get("chance") else []
    lines += [f"{result['method']}: {_samples(result)}"] if result.get("samples") else []
    lines += [_failures(result["failures"], result["metrics"])] if result["failures"] else []
    for name, why in result["unavailable"].items():
        lines.append(f"{name}: - ({why})")
    if "protocols" in result:
        lines += ["", "the same pictures under every protocol", _protocol_table(result["protocols"])]
    return "\n".join(lines)


def _samples(result: Mapping[str, Any]) -> str:
    """Say how far apart several samples of a face are."""
    from bench.report.words import samples_note
    from bench.runs.records import SamplesRecord

    return samples_note(SamplesRecord(**result["samples"]), result["dataset"], result["protocol"])


def _failures(failing: Sequence[Mapping[str, Any]], metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Return which faces were failed on, the worst first; --json has them all."""
    from bench.runs.failures import LIMIT

    def word(face: Mapping[str, Any]) -> str:
        if not face["finite"]:
            return f"{face['image']} (NaN or infinity)"
        psnr, reference = ("-" if face[key] is None else f"{face[key]:.1f}" for key in ("psnr", "interpolation"))
        return f"{face['image']} ({psnr} dB, interpolated {reference})"

    more = f" and {len(failing) - _NAMED} more" if len(failing) > _NAMED else ""
    head = f"fails on {len(failing)} of {max(values['n'] for values in metrics.values())} faces"
    why = f"NaN, infinity or more than {LIMIT:g} dB below plain bicubic interpolation, the worst first"
    return f"{head} ({why}): {', '.join(map(word, failing[:_NAMED]))}{more}"


def _metric_table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    from bench.metrics.catalogue import get_metric

    body = []
    for name, values in metrics.items():
        spec = get_metric(name)
        notes = [f"{values[kind]} {kind}" for kind in ("infinite", "undefined") if kind in values]
        left = f"without {' and '.join(notes)}" if notes else ""
        failing = f"{values['failures']} failures" if "failures" in values else ""
        about = "; ".join(filter(None, (failing, left, values.get("remark"), spec.caution)))
        body.append([spec.title, spec.unit, *_numbers(values, spec.decimals), values["n"], about])
    head = ["metric", "unit", "mean", "95% interval", "images", ""]
    return text_table(head, body, widths=[None] * 5 + [60])


def _protocol_table(protocols: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return a row a protocol: each metric that more than one protocol scores, and how far from the first it is."""
    from bench.metrics.catalogue import get_metric

    first = next(iter(protocols.values()))
    names = [name for name in first if sum(name in values for values in protocols.values()) > 1]
    body = []
    for protocol, values in protocols.items():
        cells = []
        for name in names:
            decimals, mean, base = get_metric(name).decimals, values[name]["mean"], first[name]["mean"]
            known = mean is not None and base is not None
            cells += [_numbers(values[name], decimals)[0], f"{mean - base:+.{decimals}f}" if known else "-"]
        body.append([protocol, *cells])
    head = [title for name in names for title in (get_metric(name).title, "difference")]
    return text_table(["protocol", *head], body)


def _numbers(values: Mapping[str, Any], decimals: int) -> tuple[str, str]:
    if values["mean"] is None:
        return "∞" if values.get("infinite") else "-", "-"
    low, high = values["ci95"]
    interval = f"[{low:.{decimals}f}, {high:.{decimals}f}]" if low is not None and high is not None else "-"
    return f"{values['mean']:.{decimals}f}", interval
