"""Scores with intervals: of a method on a prepared data set, or of anybody's pictures beside the originals."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.analysis.intervals import estimate
from bench.core.errors import UserError
from bench.core.machine import cores
from bench.core.parallel import ordered_map
from bench.core.progress import Bar
from bench.core.stop import guarded
from bench.data.degrade import DEFAULT, upsample
from bench.data.kin import clusters_of
from bench.data.pairs import read_pairs
from bench.data.store import fingerprint_of, open_split
from bench.metrics.catalogue import get_metric, get_metrics
from bench.metrics.protocol import DEFAULT_PROTOCOL, get_protocols
from bench.metrics.scoring import Scorer, shared_cache, to_levels
from bench.models import registry, weights
from bench.models.authors import load_authors
from bench.models.checkpoint import MARK, WARNING
from bench.runs.behaviour import changed_since, load_network
from bench.runs.config import RunConfig
from bench.runs.evaluate import evaluate, low_resolution
from bench.runs.failures import Failure, failures
from bench.runs.networks import named_weights
from bench.runs.store import Run

if TYPE_CHECKING:
    import torch

    from bench.metrics.protocol import Protocol

log = logging.getLogger("fsr")
_BATCH = 64
_Values = Mapping[tuple[str, str], np.ndarray]  # (protocol, metric) -> a value an image


def score_method(
    method: str | None,
    path: Path | None,
    dataset: str,
    split: str,
    faces: int | None,
    device: torch.device,
    *,
    metrics: Sequence[str],
    protocol: str = DEFAULT_PROTOCOL,
    degradation: str = DEFAULT,
    scale: int | None = None,
    changed_code: bool = False,
    quiet: bool = True,
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """Return scores of `method` on the first `faces` faces of a prepared set, with intervals and a row an image.

    `path` is a run's folder or a file of weights. The options of the network, and the method where none is given, are
    read from run.json beside them; `scale` is for methods without, and for the `checkpoint` of a method's authors,
    which takes the place of `path`: label and result then say whose weights they are. LR is made by `degradation` (see
    bench.data.degrade); `protocol` is a name, a TOML file or `all`. The faces that the method fails on are named. What
    goes on is logged unless `quiet`.
    Raises UserError when a trained method comes without weights, the weights are another network's or for another
    scale, the method's own code fails, or no metric can be had; and, but with `changed_code`, which the label then
    says, where the method does not make the network any more that was trained.
    """
    named = named_weights(path) if path else None
    config = named.record.config if named and named.record else None
    method = method or (config.method if config else None)
    if method is None:
        raise UserError(f"{path}: no run.json beside it tells its method: name it before --weights (see `fsr methods`)")
    if config and config.method != method:
        raise UserError(f"{path}: weights of '{config.method}', not of '{method}'")
    spec = registry.get(method)
    if checkpoint is not None and path is not None:
        raise UserError(f"--checkpoint {checkpoint}: not together with --weights, which are another network's")
    if spec.trainable and path is None and checkpoint is None:
        raise UserError(
            f"method '{method}' is trained: give --weights results/<experiment>/<run>, or --checkpoint FILE"
        )
    given = {"scale": scale} if scale else {}
    options = dict(config.options) if config and config.options else registry.options(method, given)
    if scale and options.get("scale", scale) != scale:
        raise UserError(f"--scale {scale}: {path} was trained for scale {options['scale']}")
    if scale and scale not in spec.scales:
        raise UserError(f"--scale {scale}: method '{method}' supports {list(spec.scales)}")
    rules = get_protocols(protocol)
    store = open_split(dataset, split)
    store.verify()
    if faces is not None and faces < 1:
        raise UserError(f"--faces {faces}: expected at least 1")
    count = min(faces or len(store), len(store))
    change, seed, scale = "", config.seed if config else 0, int(options.get("scale", 8))
    if (named is not None or checkpoint is not None) and not quiet:
        log.info("loading and checking %s (%s)", spec.title, path or checkpoint)
    authors = named.record.authors if named and named.record else None
    with guarded(f"method '{method}'"):
        if named is not None and named.record is not None:
            model = load_network(named.record, named.folder, named.files, check=not changed_code)
            change = changed_since(named.record, model) if changed_code else ""
        elif checkpoint is not None:
            model, authors = load_authors(method, checkpoint, options)
        else:
            model = registry.build(method, options)
            if named is not None:
                weights.load_into(model, *named.files)
        with Bar(f"score {spec.title}", count, quiet=quiet) as bar:
            scored = evaluate(
                Run(
                    Path(),
                    RunConfig(method, options, scale, seed, rules[0].name, samples=config.samples if config else 1),
                ),
                model.to(device),
                store,
                count,
                device,
                degradation=degradation,
                metrics=_with_psnr(metrics, store.has_truth),
                protocols=rules,
                cache=shared_cache(),
                progress=bar.update,
            )
    values = {}
    for name, column in scored.scores.columns.items():
        metric, _, rule = name.rpartition("@")
        values[rule, metric] = np.array(column, float)
    names, reference = store.names[:count], None
    if store.has_truth:
        hr = store.faces[:count]
        reference = _reference(hr, lambda part: low_resolution(hr[part], scale, degradation), scale, rules[0])
    failing = failures(values.get((rules[0].name, "psnr")), reference, names, scored.broken)
    return {
        "method": method,
        "label": spec.title + (f" ({MARK})" if authors else "") + (" (changed code)" if change else ""),
        "changed_code": change,
        "weights": str(path) if path else None,
        "authors_weights": {**dataclasses.asdict(authors), "warning": WARNING} if authors else None,
        "dataset": dataset,
        "split": split,
        "fingerprint": store.fingerprint_of(count),
        "scale": scale,
        "degradation": degradation if store.has_truth else None,
        "chance": scored.chance,
        "samples": dataclasses.asdict(scored.samples) if scored.samples else None,
        **_report(
            values,
            names,
            scored.unavailable,
            scored.remarks,
            metrics,
            failing,
            clusters_of(dataset, split, names),
        ),
    }


def score_pairs(
    sr: Path,
    hr: Path | None,
    lr: Path | None,
    *,
    metrics: Sequence[str],
    protocol: str = DEFAULT_PROTOCOL,
    quiet: bool = True,
) -> dict[str, Any]:
    """Return scores of a folder or archive of super-resolved pictures, with intervals and a row an image.

    They are paired with HR and LR by name (see bench.data.pairs). Raises UserError for pictures that do not match and
    when no metric can be had.
    """
    rules = get_protocols(protocol)
    pairs = read_pairs(sr, hr, lr)
    every = get_metrics(_with_psnr(metrics, pairs.hr is not None))
    scorer = Scorer(every, rules, scale=pairs.scale, cache=shared_cache())
    with Bar("score pictures", len(pairs.sr), quiet=quiet) as bar:
        for start in range(0, len(pairs.sr), _BATCH):
            part = slice(start, start + _BATCH)
            originals, inputs = (None if side is None else side[part] for side in (pairs.hr, pairs.lr))
            scorer.add(to_levels(pairs.sr[part]), originals, inputs)
            bar.update(min(start + _BATCH, len(pairs.sr)))
        scores, reference = scorer.finish(), None
        _asked(scores.values, scores.unavailable, metrics)
    if pairs.hr is not None and pairs.scale > 1 and not any(side % pairs.scale for side in pairs.hr.shape[1:3]):
        small, large = pairs.lr, pairs.hr
        reference = _reference(
            large,
            lambda part: low_resolution(large[part], pairs.scale) if small is None else small[part],
            pairs.scale,
            rules[0],
        )
    failing = failures(scores.values.get((rules[0].name, "psnr")), reference, pairs.names)
    return {
        "sr": str(sr),
        "hr": str(hr) if hr else None,
        "lr": str(lr) if lr else None,
        "scale": pairs.scale if lr else None,
        "fingerprint": None if pairs.hr is None else fingerprint_of(pairs.names, pairs.hr),
        "warnings": list(pairs.warnings),
        **_report(scores.values, pairs.names, scores.unavailable, scores.remarks, metrics, failing),
    }


def _with_psnr(metrics: Sequence[str], has_truth: bool) -> tuple[str, ...]:
    """Return the metrics and PSNR, by which failures are found where there is ground truth."""
    return (*metrics, *(["psnr"] if has_truth else []))


def _reference(hr: np.ndarray, shrink: Callable[[slice], np.ndarray], scale: int, protocol: Protocol) -> np.ndarray:
    """Return the PSNR of plain interpolation of what `shrink` makes of HR, uint8 [N, H, W, 3]: float64 [N]."""
    scorer = Scorer(get_metrics(["psnr"]), [protocol], cache=shared_cache())
    parts = [slice(start, start + _BATCH) for start in range(0, len(hr), _BATCH)]
    enlarged = ordered_map(lambda part: upsample(shrink(part), scale), parts, jobs=cores(), threads=True)
    for part, pictures in zip(parts, enlarged, strict=True):
        scorer.add(to_levels(pictures), hr[part])
    return scorer.finish().values[protocol.name, "psnr"]


def _report(
    values: _Values,
    names: Sequence[str],
    unavailable: Mapping[str, str],
    remarks: Mapping[str, str],
    metrics: Sequence[str],
    failing: Sequence[Failure],
    clusters: Sequence[str] = (),
) -> dict[str, Any]:
    """Return protocol, the `metrics` with intervals, what cannot be had, failures, and a row an image.

    With several protocols `metrics` is of the first and `protocols` has those of each. Raises UserError when none of
    the metrics can be had.
    """
    values = _asked(values, unavailable, metrics)
    summaries: dict[str, dict[str, Any]] = {}
    images = []
    for (protocol, metric), column in values.items():
        remark = {"remark": remarks[metric]} if metric in remarks else {}
        of_metric = summary(metric, column, clusters) | remark
        summaries.setdefault(protocol, {})[metric] = of_metric | ({"failures": len(failing)} if failing else {})
        for name, value in zip(names, column.tolist(), strict=True):
            images.append({"image": name, "metric": metric, "protocol": protocol, "value": _plain(value)})
    protocol = next(iter(summaries))
    return {
        "protocol": protocol,
        "metrics": summaries[protocol],
        **({"protocols": summaries} if len(summaries) > 1 else {}),
        "unavailable": dict(unavailable),
        "failures": [
            {
                "image": failure.face,
                "psnr": _plain(failure.psnr),
                "interpolation": _plain(failure.reference),
                "finite": not failure.broken,
            }
            for failure in failing
        ],
        "images": images,
    }


def _asked(values: _Values, unavailable: Mapping[str, str], metrics: Sequence[str]) -> _Values:
    """Return the values of `metrics` alone; raise UserError when there are none."""
    names = {metric.name for metric in get_metrics(metrics)}
    asked = {key: column for key, column in values.items() if key[1] in names}
    if not asked:
        reasons = "; ".join(f"{name}: {why}" for name, why in unavailable.items())
        raise UserError(f"no metric can be had: {reasons}")
    return asked


def summary(metric: str, values: np.ndarray, clusters: Sequence[str] = ()) -> dict[str, Any]:
    """Return a metric's mean over images with its 95% interval, and what a reader must know beside it.

    `clusters` name the photo or person of each image. The interval is about this network, not about other seeds.

    Images without a finite value are left out of the mean and counted: `infinite` for the PSNR of identical pictures,
    `undefined` where there is nothing to measure. With none left the mean is None.
    """
    spec = get_metric(metric)
    infinite, undefined = int(np.isinf(values).sum()), int(np.isnan(values).sum())
    mean = estimate(values[None], clusters)
    notes = {
        "infinite": infinite,
        "undefined": undefined,
        "parameters": dict(spec.parameters()),
        "caution": spec.caution,
    }
    return {
        "mean": _plain(mean.mean),
        "ci95": [_plain(mean.low), _plain(mean.high)],
        "n": mean.n,
        "unit": spec.unit,
        "higher_is_better": spec.higher_is_better,
        **{key: note for key, note in notes.items() if note},
    }


def _plain(value: float) -> float | None:
    """Return a number as JSON has it: None for what is not finite."""
    return value if math.isfinite(value) else None
