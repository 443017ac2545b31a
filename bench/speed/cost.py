"""What methods cost side by side: parameters, multiply-adds, latency, throughput, peak memory (`fsr bench cost`)."""

from __future__ import annotations

import gc
import logging
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tabulate import tabulate

from bench.core.errors import UserError, reason, suggest
from bench.core.machine import busy_cores, cores
from bench.core.provenance import describe_device, environment
from bench.models import registry
from bench.models.cost import DTYPES, HR_SIZE, Dtype, count_multiply_adds, count_parameters, latency
from bench.models.memory import peak_memory
from bench.speed.memory import training_memory

log = logging.getLogger("fsr")
BATCHES = (1, 16)
_QUIET = 0.25  # busy cores before the first measurement, by the load average of the last minute


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
    says why there is none. Raises UserError for a method, an option or a type that is unknown.
    """
    if dtype not in DTYPES:
        raise UserError(f"dtype '{dtype}': {suggest(dtype, DTYPES)}")
    device, load, given = torch.device(device), busy_cores(), options or {}
    wanted = list(dict.fromkeys(methods)) or registry.names()
    _check(wanted, given)
    records = []
    for place, method in enumerate(wanted, 1):
        log.info("%d/%d %s", place, len(wanted), method)
        records.append(_describe(method, given, device, dtype, training, least_seconds))
    return {
        "device": describe_device(device),
        "dtype": dtype,
        "threads": torch.get_num_threads(),
        "cores": cores(),
        "load_before": load,
        "least_seconds": least_seconds,
        "environment": environment(),
        "methods": records,
    }


def cost_text(found: Mapping[str, Any]) -> str:
    """Return the measurement as a table for a terminal."""
    training = any(one["training_memory_mib"] for one in found["methods"])
    head = ["method", "parameters (M)", "mult-adds (G)", "executed (G)"]
    head += [f"batch {batch} (ms)" for batch in BATCHES] + [f"images/s at {BATCHES[-1]}"]
    head += [f"batch {batch} (MiB)" for batch in BATCHES] + ([f"training {BATCHES[-1]} (MiB)"] if training else [])
    body = [_row(one, training) for one in found["methods"] if not one["error"]]
    load = found["load_before"]
    lines = [
        f"{found['device']}, {found['dtype']}: one {HR_SIZE}x{HR_SIZE} image; ms: median of a forward pass "
        "(interquartile range); MiB: allocated at the peak, weights included",
        tabulate(body, head, tablefmt="simple", disable_numparse=True, stralign="right", colalign=("left",)),
        *(f"{one['id']}: {one['error']}" for one in found["methods"] if one["error"]),
    ]
    if load is not None and load > _QUIET:
        lines.append(
            f"the machine was not quiet (load {load:.1f} on {found['cores']} cores): times are upper bounds; "
            "measure again when nothing else runs"
        )
    return "\n".join(lines)


def parse_options(given: Sequence[str]) -> dict[str, Any]:
    """Return `name=value` texts as options; a value is TOML, or a text as it stands. Raises UserError without a "="."""
    found: dict[str, Any] = {}
    for one in given:
        name, equals, text = one.partition("=")
        if not equals:
            raise UserError(f"--option {one}: expected name=value, e.g. width=0.125")
        try:
            found[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            found[name] = text
    return found


def _check(methods: Sequence[str], options: Mapping[str, Any]) -> None:
    """Raise UserError for an unknown method, an option that none of them has, and values that one of them refuses."""
    known: set[str] = set()
    for method in methods:
        registry.get(method)
        try:
            known |= set(registry.options(method))
        except UserError:  # it cannot be imported: its record tells
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
    found = registry.options(method, {name: value for name, value in {"scale": scale, **given}.items() if name in own})
    if found.get("scale", scale) not in spec.scales:
        raise UserError(f"--option scale={found['scale']}: method '{method}' supports {list(spec.scales)}")
    return found


def _describe(
    method: str, given: Mapping[str, Any], device: torch.device, dtype: Dtype, training: bool, least_seconds: float
) -> dict[str, Any]:
    """Return the record of one method."""
    record: dict[str, Any] = {
        "id": method,
        "title": registry.get(method).title,
        "options": {},
        "input": None,
        "parameters": None,
        "multiply_adds": None,
        "multiply_adds_executed": None,
        "latency": [],
        "peak_memory_mib": {},
        "training_memory_mib": {},
        "device": describe_device(device),
        "dtype": dtype,
        "error": None,
    }
    try:
        record["options"] = options = _options_of(method, given)
        record |= _measure(method, options, device, dtype, least_seconds)
        if training and registry.get(method).trainable:
            batch = BATCHES[-1]
            record["training_memory_mib"] = {str(batch): training_memory(method, options, batch, device, dtype)}
    except Exception as error:  # out of memory, a network that fails: the other methods go on
        record["error"] = str(error) if isinstance(error, UserError) else reason(error)
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
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
                "batch": one.batch,
                "median_ms": one.median * 1e3,
                "iqr_ms": one.iqr * 1e3,
                "passes": one.passes,
                "images_per_second": one.images_per_second,
            }
            for one in times
        ],
        "peak_memory_mib": {str(batch): peak_memory(model, lr, dtype) for batch, lr in inputs.items()},
    }


def _row(one: Mapping[str, Any], training: bool) -> list[str]:
    cells = [one["id"], f"{one['parameters'] / 1e6:.3f}"]
    cells += [f"{one[key] / 1e9:.3f}" for key in ("multiply_adds", "multiply_adds_executed")]
    cells += [f"{_short(time['median_ms'])} ({_short(time['iqr_ms'])})" for time in one["latency"]]
    cells += [_short(one["latency"][-1]["images_per_second"])]
    memory = [*one["peak_memory_mib"].values(), *one["training_memory_mib"].values()]
    cells += [_short(mib) for mib in memory]
    return cells + ["-"] * (training and not one["training_memory_mib"])


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
