"""How fast a training step is, beside the published way to train the same network: `fsr bench train`."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.core.text_table import text_table
from bench.speed.contenders import Contender, Precision, native_precisions, ours, published, variants
from bench.speed.defaults import check_batch, defaults
from bench.speed.memory import step_memory
from bench.speed.peak import conv_peak
from bench.speed.published import write_files
from bench.speed.timing import alternate, machine, made_up_faces, note_of, seconds_of, wait

REFERENCE = "reference"
_FACES = 256
_TURN = 1.5  # seconds of a turn at most, about
_TURNS = 5  # of each contender at least, where a step is short enough
_STEPS = 3  # of which the parts of a step are the median
_SPLIT = ("data", "forward", "backward", "step")


def measure_train(
    device: torch.device | str = "cpu",
    *,
    batch: int = 8,
    width: float = 1.0,
    precision: Precision | None = None,
    seconds: float = 60.0,
    ladder: bool = False,
) -> dict[str, Any]:
    """Train a network our way and the published way in turn for about `seconds` in all, on made-up faces.

    Without `precision` ours is timed in fp32 and, where the processor computes in it, in bf16; with `ladder` the steps
    between the published way and ours are timed too, and `torch.compile` where there is a compiler. Returns ratio (the
    last precision's images a second over the reference's), all ratios, and a part a contender: seconds a step and its
    split, FLOP/s and their share of the peak (the fastest convolution, or the fastest training where that is faster),
    peak memory.
    """
    check_batch(batch)
    device = torch.device(device)
    result, options = machine(device), {"width": width}
    precisions = [precision] if precision else native_precisions(device)
    torch.set_float32_matmul_precision("high")  # as in training
    faces = made_up_faces(_FACES)
    with tempfile.TemporaryDirectory() as folder:
        contenders = {REFERENCE: published(write_files(faces, Path(folder)), batch, options, device)}
        result["workers"] = contenders[REFERENCE].workers
        for name, steps in variants(precisions, ladder).items():
            contenders[name] = ours(faces, batch, options, device, **steps)
        parts = _parts(contenders, _time(contenders, seconds, device), batch, device)
        del contenders
        gc.collect()  # ends the workers while their files are there
    return {**_summary(parts, precisions[-1], device), "batch": batch, "width": width, **result}


def train_text(result: Mapping[str, Any]) -> str:
    """Return the measurement as a table for a terminal."""
    head = ["", "images/s", "ratio", "data", "forward", "backward", "step (ms)", "GFLOP/s", "of peak", "MiB"]
    body = []
    for name, part in result["parts"].items():
        times = [f"{part['split'][key] * 1e3:,.1f}" if part["split"] else "-" for key in _SPLIT]
        memory = "-" if part["memory_mib"] is None else f"{part['memory_mib']:,.0f}"
        speed = [f"{part['flops'] / 1e9:,.0f}", f"{part['share_of_peak']:.0%}", memory]
        body.append([name, f"{part['images_per_second']:.2f}", f"{part['ratio']:.2f}", *times, *speed])
    goal = "" if result["goal"] is None else f" (goal: {result['goal']:g})"
    lines = [
        f"{result['method']}, width {result['width']:g}, batches of {result['batch']} on {result['device']}; "
        f"the reference reads with {result['workers']} workers",
        text_table(head, body, align="lr"),
        f"{result['precision']}: {result['ratio']:.2f} times the reference{goal}; "
        f"data are {result['data_share']:.1%} of a step (goal: at most {result['data_goal']:.0%})",
    ]
    if any(part["share_of_peak"] == 1 for part in result["parts"].values()):
        lines.append("of peak 100%: no convolution that was timed alone was faster than training itself")
    return "\n".join([*lines, *note_of(result)])


def _time(contenders: Mapping[str, Contender], seconds: float, device: torch.device) -> dict[str, float]:
    """Return each contender's seconds a step: the median over turns of several steps."""
    steps, turn = {}, min(_TURN, seconds / _TURNS / len(contenders))
    for name, contender in contenders.items():
        contender.train(1)
        steps[name] = max(1, round(turn / seconds_of(partial(contender.train, 1), device)))
    turns = {name: partial(contender.train, steps[name]) for name, contender in contenders.items()}
    return {name: value / steps[name] for name, value in alternate(turns, seconds, device, warm=True).items()}


def _parts(
    contenders: Mapping[str, Contender], step_seconds: Mapping[str, float], batch: int, device: torch.device
) -> dict[str, dict[str, Any]]:
    flops = _flops(contenders[REFERENCE])
    parts: dict[str, dict[str, Any]] = {}
    for name, contender in contenders.items():
        seconds, compiled = step_seconds[name], contender.compiled
        parts[name] = {
            "images_per_second": batch / seconds,
            "ratio": step_seconds[REFERENCE] / seconds,
            "seconds": seconds,
            "split": None if compiled else _split(contender, device),
            "flops": flops / seconds,
            "memory_mib": None if compiled else _memory(contender, device),
        }
    for precision in {contender.precision for contender in contenders.values()}:
        alike = [name for name, contender in contenders.items() if contender.precision == precision]
        peak = max(_conv_peak(contenders[REFERENCE], precision, device), *(parts[name]["flops"] for name in alike), 0)
        for name in alike:
            parts[name] |= {"peak_flops": peak, "share_of_peak": parts[name]["flops"] / peak}
    return parts


def _conv_peak(contender: Contender, precision: Precision, device: torch.device) -> float:
    ((lr, _),) = contender.batches(1)
    return conv_peak(contender.network, lr.to(device), torch.bfloat16 if precision == "bf16" else torch.float32)


def _summary(parts: Mapping[str, Mapping[str, Any]], precision: Precision, device: torch.device) -> dict[str, Any]:
    reached, own = parts[precision], defaults("train")
    goal = own["goal"].get(device.type, {}).get(precision)
    share = reached["split"]["data"] / sum(reached["split"].values())
    return {
        "method": own["method"],
        "ratio": reached["ratio"],
        "precision": precision,
        "goal": goal,
        "within_goal": None if goal is None else reached["ratio"] >= goal,
        "ratios": {name: part["ratio"] for name, part in parts.items()},
        "data_share": share,
        "data_goal": own["data_share"],
        "data_within_goal": share <= own["data_share"],
        "parts": parts,
    }


def _split(contender: Contender, device: torch.device) -> dict[str, float]:
    """Return the median seconds of the parts of a step; the wait for a batch is "data", the loss is backward's."""
    seconds: dict[str, list[float]] = {name: [] for name in _SPLIT}
    last = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal last
        wait(device)
        now = time.perf_counter()
        seconds[name].append(now - last)
        last = now

    hooks = [
        contender.network.register_forward_hook(lambda *_: lap("forward")),
        contender.optimiser.register_step_pre_hook(lambda *_: lap("backward")),
        contender.optimiser.register_step_post_hook(lambda *_: lap("step")),
    ]
    for lr, hr in contender.batches(_STEPS):
        lap("data")
        contender.step(lr, hr)
        last = time.perf_counter()
    for hook in hooks:
        hook.remove()
    return {name: statistics.median(values) for name, values in seconds.items()}


def _flops(contender: Contender) -> int:
    """Count the floating-point operations of a step's convolutions and matrix products, forward and backward."""
    ((lr, hr),) = contender.batches(1)
    with FlopCounterMode(display=False) as counter:
        contender.step(lr, hr)
    return int(counter.get_total_flops())


def _memory(contender: Contender, device: torch.device) -> float:
    """Return the peak memory in MiB of a step: weights, optimiser, batch, gradients and all in between."""
    ((lr, hr),) = contender.batches(1)
    lr, hr = lr.to(device), hr.to(device)
    return step_memory(contender.network, contender.optimiser, (lr, hr), partial(contender.step, lr, hr), device)
