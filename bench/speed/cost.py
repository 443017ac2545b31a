"""What methods cost side by side: parameters, multiply-adds, latency, throughput, peak memory (`fsr bench cost`)."""

from __future__ import annotations

import gc
import logging
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from bench.core.errors import UserError, reason, suggest
from bench.core.text_table import text_table
from bench.models import registry
from bench.models.cost import HR_SIZE, Dtype, count_multiply_adds, count_parameters, latency
from bench.models.memory import peak_memory
from bench.speed.memory import training_memory
from bench.speed.timing import machine, note_of

log = logging.getLogger("fsr")
BATCHES = (1, 16)


def measure_cost(
    methods: Sequence[str] = (),
    device: torch.device | str = "cpu",
    *,
    dtype: Dtype = "float32",
    options: Mapping[str, Any] | None = None,
    training: bool = False,
    least_seconds: float = 1.0,
) -> dict[str, Any]:
    """Measure methods (default: all) one after the other, for 128x128 output in batches of 1 and 16.

    `options` go to every method that has them. Each record of `methods` holds latencies in milliseconds, throughput in
    images/s and peak memory in MiB (2^20 bytes), with `training` that of a training step with 16 faces too; `error`
    says why there is none. Raises UserError for an unknown method or option.
    """
    device, given = torch.device(device), options or {}
    result, wanted = machine(device), list(dict.fromkeys(methods)) or registry.names()
    _check(wanted, given)
    records = []
    for place, method in enumerate(wanted, 1):
        log.info("%d/%d %s", place, len(wanted), method)
        records.append(_describe(method, given, device, dtype, training, least_seconds))
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return {**result, "dtype": dtype, "least_seconds": least_seconds, "methods": records}


def cost_text(result: Mapping[str, Any]) -> str:
    """Return the measurement as a table for a terminal."""
    training = [f"training {BATCHES[-1]} (MiB)"] * any(record["training_memory_mib"] for record in result["methods"])
    head = ["method", "parameters (M)", "mult-adds (G)", "executed (G)"]
    head += [f"batch {batch} (ms)" for batch in BATCHES] + [f"images/s at {BATCHES[-1]}"]
    head += [f"batch {batch} (MiB)" for batch in BATCHES] + training
    body = [_row(record, len(head)) for record in result["methods"] if not record["error"]]
    lines = [
        f"{result['device']}, {result['dtype']}: one {HR_SIZE}x{HR_SIZE} image; ms: median of a forward pass "
        "(interquartile range); MiB: allocated at the peak, weights included",
        text_table(head, body, align="lr"),
        *(f"{record['id']}: {record['error']}" for record in result["methods"] if record["error"]),
    ]
    return "\n".join([*lines, *note_of(result)])


def parse_options(given: Sequence[str]) -> dict[str, Any]:
    """Return `name=value` texts as options; a value is TOML, or a text as it stands. Raises UserError without a "="."""
    options: dict[str, Any] = {}
    for option in given:
        name, equals, text = option.partition("=")
        if not equals:
            raise UserError(f"--option {option}: expected name=value, e.g. width=0.125")
        try:
            options[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            options[name] = text
    return options


def _check(methods: Sequence[str], options: Mapping[str, Any]) -> None:
    """Raise UserError for an unknown method, an option that none of them has, and values that one of them refuses."""
    known: set[str] = set()
    for method in methods:
        registry.get(method)
        try:
            known |= set(registry.options(method))
        except UserError:  # it cannot be imported: its record says so
            continue
        if options:
            registry.check(method, _options_of(method, options))
    for name in options:
        if name not in known:
            raise UserError(f"no method has the option '{name}': {suggest(name, known)}")


def _options_of(method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a method: those `given` that it has, a scale of 8 where it has that, its own."""
    spec, own = registry.get(method), registry.options(method)
    scale = spec.usual_scale
    options = registry.options(
        method, {name: value for name, value in {"scale": scale, **given}.items() if name in own}
    )
    if options.get("scale", scale) not in spec.scales:
        raise UserError(f"--option scale={options['scale']}: method '{method}' supports {list(spec.scales)}")
    return options


def _describe(
    method: str, given: Mapping[str, Any], device: torch.device, dtype: Dtype, training: bool, least_seconds: float
) -> dict[str, Any]:
    """Return the record of one method; where it fails, as for want of memory, its error: the others go on."""
    spec = registry.get(method)
    record: dict[str, Any] = {"id": method, "title": spec.title, "training_memory_mib": {}, "error": None}
    try:
        options = _options_of(method, given)
        record |= {"options": options, **_measure(method, options, device, dtype, least_seconds)}
        if training and spec.trainable:
            batch = BATCHES[-1]
            record["training_memory_mib"] = {str(batch): training_memory(method, options, batch, device, dtype)}
    except Exception as error:
        record["error"] = str(error) if isinstance(error, UserError) else reason(error)
    return record


def _measure(
    method: str, options: Mapping[str, Any], device: torch.device, dtype: Dtype, least_seconds: float
) -> dict[str, Any]:
    model = registry.build(method, options).to(device).eval()
    size = HR_SIZE // int(options.get("scale", 8))
    inputs = {batch: torch.rand(batch, 3, size, size, device=device) for batch in BATCHES}
    count = count_multiply_adds(model, inputs[1])
    times = [latency(model, lr, dtype, least_seconds) for lr in inputs.values()]
    return {
        "input": [size, size],
        "parameters": count_parameters(model),
        "multiply_adds": count.published,
        "multiply_adds_executed": count.executed,
        "latency": [
            {
                "batch": time.batch,
                "median_ms": time.median * 1e3,
                "iqr_ms": time.iqr * 1e3,
                "passes": time.passes,
                "images_per_second": time.images_per_second,
            }
            for time in times
        ],
        "peak_memory_mib": {str(batch): peak_memory(model, lr, dtype) for batch, lr in inputs.items()},
    }


def _row(record: Mapping[str, Any], columns: int) -> list[str]:
    cells = [record["id"], f"{record['parameters'] / 1e6:.3f}"]
    cells += [f"{record[key] / 1e9:.3f}" for key in ("multiply_adds", "multiply_adds_executed")]
    cells += [f"{_short(time['median_ms'])} ({_short(time['iqr_ms'])})" for time in record["latency"]]
    memory = [*record["peak_memory_mib"].values(), *record["training_memory_mib"].values()]
    cells += [_short(number) for number in (record["latency"][-1]["images_per_second"], *memory)]
    return cells + ["-"] * (columns - len(cells))


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
