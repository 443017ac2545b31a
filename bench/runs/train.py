"""One training run, readable top to bottom.

A run can be killed at any moment: its state (weights, optimiser, average, curve) is replaced in one step every few
seconds, batch k depends on the seed and k alone, and a run that goes on from its state ends with the same bytes as one
that was never stopped (on one kind of device).
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from bench.core.errors import LeftAloneError
from bench.core.provenance import code_of, describe_device, environment, now
from bench.core.stop import Stop
from bench.models import weights
from bench.models.memory import peak_memory_of_process, reset_peak_memory
from bench.runs.behaviour import load_network, probe_of
from bench.runs.config import RunConfig
from bench.runs.digests import digests_of
from bench.runs.evaluate import psnr_of
from bench.runs.given import NOTHING, Given, absences
from bench.runs.priors import faces_without
from bench.runs.records import ObjectiveRecord, RunState
from bench.runs.store import CURVE
from bench.runs.trainee import Trainee, batches_of

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from bench.core.progress import Bar
    from bench.runs.store import Run

CHECKPOINT_SECONDS = float(os.environ.get("FSR_CHECKPOINT_SECONDS", "10"))
_CHECK_EVERY = 25  # iterations between looks at the loss: each look makes a GPU wait


def train(run: Run, faces: np.ndarray, val: np.ndarray, device: torch.device, bar: Bar, given: Given = NOTHING) -> None:
    """Train `run` to its last iteration, from its saved state if there is one, and write its weights and curve.

    `faces` and `val` are uint8 [N, H, W, 3], `given` what its method's objective asks for beside them. Raises Diverged
    when the loss becomes NaN or infinite (the last good state is kept), Interrupted when asked to stop (the state is
    saved first), UserError for a bad checkpoint.
    """
    config, training = run.config, run.config.training
    assert training is not None
    torch.set_float32_matmul_precision("high")  # TF32 on CUDA; no effect on a CPU
    trainee = Trainee(config, device, given)
    batches = batches_of(config, faces, device, given.landmarks)
    state, code, before = run.load_state(), code_of(trainee.model), run.record().code
    if state is not None and before not in (None, code):
        way_out = "restore that code, delete the folder to train from the start, or let fsr run go on by --changed-code"
        raise LeftAloneError(f"{run.state}: begun by code {before} of method '{config.method}', now {code}; {way_out}")
    if state is None:
        run.drop_scores()
    began, elapsed = time.monotonic(), trainee.restore(state)
    saved_at = began
    run.write(
        status=RunState.RUNNING,
        error=None,
        started=run.record().started or now(),
        device=describe_device(device),
        environment=environment(),
        code=code,
        digests={},
    )
    with Stop() as stop:
        while trainee.iteration < training.iterations:
            number = trainee.number
            loss = trainee.step(*batches[number], batches.landmarks_of(number))
            bar.update(max(trainee.iteration, 0))
            last = trainee.iteration == training.iterations
            if last or (trainee.iteration > 0 and trainee.iteration % training.validate_every == 0):
                trainee.add_point(psnr_of(trainee.network, val, config, device))
                run.write_curve(trainee.curve)
                run.write(progress=trainee.progress(time.monotonic() - began))
                bar.show(loss=trainee.curve[-1]["loss"], psnr=trainee.curve[-1]["psnr"])
            elif trainee.iteration % _CHECK_EVERY == 0:
                trainee.check()
                bar.show(loss=float(loss))
            if stop.asked or (not last and time.monotonic() - saved_at > CHECKPOINT_SECONDS):
                trainee.check()
                saved_at = time.monotonic()
                run.save_state(trainee.state(elapsed + saved_at - began))
                run.write(progress=trainee.progress(saved_at - began))
                stop.check(f"{config.name} is saved at iteration {trainee.iteration} of {training.iterations}")
    seconds = elapsed + time.monotonic() - began
    weights.save(run.weights, trainee.network.state_dict(), {"run": config.name})
    run.write(
        trained=now(),
        objective=_objective_of(trainee, config, given),
        digests=digests_of(run.folder),
        probe=probe_of(load_network(run.record(), run.folder), config.scale),
        train_seconds=round(seconds, 3),
        seconds_per_iteration=round(seconds / training.iterations, 5),
    )
    run.drop_state()


def _objective_of(trainee: Trainee, config: RunConfig, given: Given) -> ObjectiveRecord:
    last = trainee.curve[-1] if trainee.curve else {}
    return ObjectiveRecord(
        terms={name: value for name, value in last.items() if name not in CURVE},
        stage=trainee.stage,
        left_out=(*getattr(trainee.objective, "left_out", ()), *absences(config)),
        without_landmarks=faces_without(given.landmarks) if given.landmarks is not None else 0,
        teacher=given.taught_by,
    )


@dataclass(frozen=True)
class Probe:
    """What a run takes: the median seconds of an iteration, and the memory of its process at the peak in MiB.

    `network` is what the iterations left, as it is scored.

    On CUDA the memory is what torch's allocator has given out; on a CPU it is the whole process with its libraries, or
    0 where the system does not tell.
    """

    seconds: float
    memory: float
    network: nn.Module


def probe(config: RunConfig, faces: np.ndarray, device: torch.device, steps: int = 10, most: float = 5.0) -> Probe:
    """Measure up to `steps` training iterations of `config`, or as many as fit into `most` seconds.

    Of more than two, two are measured at least. One more before them warms up; nothing is written.
    """
    reset_peak_memory(device)
    trainee, batches = Trainee(config, device), batches_of(config, faces, device)
    trainee.iteration = 0  # a stage before is another kind of step
    times: list[float] = []
    while len(times) < min(3, steps + 1) or (len(times) <= steps and sum(times) < most):
        start = time.perf_counter()
        trainee.step(*batches[trainee.iteration])
        trainee.check()  # waits for the device
        times.append(time.perf_counter() - start)
    return Probe(statistics.median(times[1:]), peak_memory_of_process(device), trainee.network)
