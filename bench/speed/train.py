"""How fast a training step is, beside SPARNet's published way of training: `fsr bench train`."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tabulate import tabulate
from torch.utils.flop_counter import FlopCounterMode

from bench.core.errors import UserError
from bench.speed.contenders import Contender, Ours, Precision, Published, native_precisions, variants
from bench.speed.memory import step_memory
from bench.speed.reference_loader import write_files
from bench.speed.timing import Split, alternate, machine, made_up_faces, note_of, wait

GOALS = {("cpu", "fp32"): 1.3, ("cpu", "bf16"): 2.0, ("cuda", "bf16"): 6.0}  # our images a second over the reference's
DATA_GOAL = 0.03  # of a step
REFERENCE = "reference"
_FACES = 256
_TURN = 1.5  # seconds of a turn at most, about
_TURNS = 5  # of each contender at least, where a step is short enough
_STEPS = 3  # of which the parts of a step are the median


def measure_train(
    device: torch.device | str = "cpu",
    *,
    batch: int = 8,
    width: float = 1.0,
    precision: Precision | None = None,
    seconds: float = 60.0,
    ladder: bool = False,
) -> dict[str, Any]:
    """Train SPARNet our way and the published way in turn for about `seconds` in all, on made-up faces.

    Without `precision` ours is timed in fp32 and, where the processor computes in it, in bf16; with `ladder` the steps
    between the published way and ours are timed too, and `torch.compile` where there is a compiler. Returns ratio (the
    last precision's images a second over the reference's), all ratios, and a part a contender: seconds a step and its
    split, FLOP/s and their share of the peak that a convolution reaches here, peak memory.
    """
    if batch < 1:
        raise UserError(f"--batch {batch}: expected at least 1")
    device = torch.device(device)
    found = machine(device)
    precisions = [precision] if precision else native_precisions(device)
    torch.set_float32_matmul_precision("high")  # as in training
    faces = made_up_faces(_FACES)
    with tempfile.TemporaryDirectory() as folder:
        published = Published(write_files(faces, Path(folder)), batch, width, device)
        found["workers"] = published.workers
        contenders: dict[str, Contender] = {REFERENCE: published}
        for name, options in variants(precisions, ladder).items():
            contenders[name] = Ours(faces, batch, width, device, **options)
        step_seconds = _time(contenders, seconds, device)
        parts = _parts(contenders, step_seconds, batch, device)
        del contenders, published
        gc.collect()  # ends the workers while their files are there
    return {**_summary(parts, precisions[-1], device), "batch": batch, "width": width, **found}


def train_text(found: Mapping[str, Any]) -> str:
    """Return the measurement as a table for a terminal."""
    head = ["", "images/s", "ratio", "data", "forward", "backward", "step (ms)", "GFLOP/s", "of peak", "MiB"]
    body = []
    for name, part in found["parts"].items():
        times = [f"{part['split'][key] * 1e3:,.1f}" if part["split"] else "-" for key in _SPLIT]
        memory = "-" if part["memory_mib"] is None else f"{part['memory_mib']:,.0f}"
        body.append([name, f"{part['images_per_second']:.2f}", f"{part['ratio']:.2f}", *times])
        body[-1] += [f"{part['flops'] / 1e9:,.0f}", f"{part['share_of_peak']:.0%}", memory]
    goal = "" if found["goal"] is None else f" (goal: {found['goal']:g})"
    return "\n".join(
        [
            f"SPARNet, width {found['width']:g}, batches of {found['batch']} on {found['device']}; "
            f"the reference reads with {found['workers']} workers",
            tabulate(body, head, tablefmt="simple", disable_numparse=True, stralign="right", colalign=("left",)),
            f"{found['precision']}: {found['ratio']:.2f} times the reference{goal}; "
            f"data are {found['data_share']:.1%} of a step (goal: at most {DATA_GOAL:.0%})",
            *note_of(found),
        ]
    )


_SPLIT = ("data", "forward", "backward", "step")


def conv_peak(precision: Precision, device: torch.device, batch: int = 8) -> float:
    """Return the FLOP/s of a convolution that suits the device: 3x3, 128 to 128 channels, 64x64, channels last."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    layout = torch.channels_last
    x = torch.randn(batch, 128, 64, 64, device=device).to(dtype).contiguous(memory_format=layout)
    weight = (torch.randn(128, 128, 3, 3, device=device) / 34).to(dtype).contiguous(memory_format=layout)
    times = []
    with torch.no_grad():
        for _ in range(12):
            wait(device)
            start = time.perf_counter()
            F.conv2d(x, weight, padding=1)
            wait(device)
            times.append(time.perf_counter() - start)
    return 2 * batch * 64 * 64 * 128 * 128 * 9 / min(times)


def _time(contenders: Mapping[str, Contender], seconds: float, device: torch.device) -> dict[str, float]:
    """Return each contender's seconds a step: the median over turns of several steps."""
    steps, turn = {}, min(_TURN, seconds / _TURNS / len(contenders))
    for name, one in contenders.items():
        one.train(1)
        start = time.perf_counter()
        one.train(1)
        wait(device)
        steps[name] = max(1, round(turn / (time.perf_counter() - start)))
    turns = {name: lambda one=one, count=steps[name]: one.train(count) for name, one in contenders.items()}
    times = alternate(turns, seconds, device, warm=True)
    return {name: statistics.median(values) / steps[name] for name, values in times.items()}


def _parts(
    contenders: Mapping[str, Contender], step_seconds: Mapping[str, float], batch: int, device: torch.device
) -> dict[str, dict[str, Any]]:
    flops = _flops(contenders[REFERENCE])
    peaks = {one.precision: conv_peak(one.precision, device, batch) for one in contenders.values()}
    found = {}
    for name, one in contenders.items():
        seconds, peak = step_seconds[name], peaks[one.precision]
        found[name] = {
            "images_per_second": batch / seconds,
            "ratio": step_seconds[REFERENCE] / seconds,
            "seconds": seconds,
            "split": None if one.compiled else _split(one, device),
            "flops": flops / seconds,
            "peak_flops": peak,
            "share_of_peak": flops / seconds / peak,
            "memory_mib": None if one.compiled else _memory(one, device),
        }
    return found


def _summary(parts: Mapping[str, Mapping[str, Any]], precision: Precision, device: torch.device) -> dict[str, Any]:
    ours, goal = parts[precision], GOALS.get((device.type, precision))
    share = ours["split"]["data"] / sum(ours["split"].values())
    return {
        "ratio": ours["ratio"],
        "precision": precision,
        "goal": goal,
        "within_goal": None if goal is None else ours["ratio"] >= goal,
        "ratios": {name: part["ratio"] for name, part in parts.items()},
        "data_share": share,
        "data_within_goal": share <= DATA_GOAL,
        "parts": parts,
    }


def _split(one: Contender, device: torch.device) -> dict[str, float]:
    """Return the median seconds of the parts of a step; the wait for a batch is "data"."""
    split = Split(one.network, one.optimiser, device)
    batches = one.batches(_STEPS)
    split.lap()
    for lr, hr in batches:
        split.lap("data")
        one.step(lr, hr)
        split.lap()
    return split.close()


def _flops(one: Contender) -> int:
    """Count the floating-point operations of a step's convolutions and matrix products, forward and backward."""
    ((lr, hr),) = one.batches(1)
    with FlopCounterMode(display=False) as counter:
        one.step(lr, hr)
    return int(counter.get_total_flops())


def _memory(one: Contender, device: torch.device) -> float:
    """Return the peak memory in MiB of a step: weights, optimiser, batch, gradients and all in between."""
    ((lr, hr),) = one.batches(1)
    lr, hr = lr.to(device), hr.to(device)
    return step_memory(one.network, one.optimiser, (lr, hr), lambda: one.step(lr, hr), device)
