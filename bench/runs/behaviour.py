"""Whether code still makes of a run's weights the network that was trained.

A hash of the code (`bench.core.provenance.code_of`) changes with every harmless edit, so a run is bound by what its
network does: run.json keeps a probe, some numbers of its output for a fixed picture. Where weights are used again their
probe is taken anew. Threads and memory formats moved its values by 3e-6 at most, rounding of weights to fp16 by 3e-4
(measured on the committed networks); code that does otherwise moves them by more than TOLERANCE.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from bench.core.errors import LeftAloneError, UserError
from bench.core.provenance import code_of
from bench.data.store import SIZE
from bench.models import registry, weights
from bench.runs import digests
from bench.runs.chance import Generators

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.runs.records import RunRecord
    from bench.runs.store import Run

log = logging.getLogger("fsr")
TOLERANCE = 1e-3  # of a value of the probe: absolute up to 1, relative above
_WAY_OUT = (
    "restore that code, delete the folder to run it again, or (score, upscale) take what it is now by --changed-code"
)
_CLAMP = 4.0  # the exact output of a network that breaks down on the picture is chance
_LEVELS = (0.2, 0.8)


def probe_picture(side: int) -> Tensor:
    """Return float32 [1, 3, side, side] in [0, 1]: colour gradients over eight flat patches of saturated colours."""
    y, x = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")
    corners = torch.cartesian_prod(*[torch.tensor(_LEVELS)] * 3)  # [8, 3]
    patches = corners[(8 * torch.arange(side)) // side].T[:, None].expand(3, side, side)
    return torch.where(y < 0.5, torch.stack([x, 1 - y, 1 - x]), patches)[None]


@torch.no_grad()
def probe_of(model: nn.Module, scale: int) -> tuple[float, ...] | None:
    """Return 48 numbers of the output of `model`, on a CPU in float32: means over 3x3 parts, then seven pixels, in RGB.

    None for a network that cannot be held to them: it draws from what cannot be seeded, or needs another device.
    """
    lr, found = probe_picture(SIZE // scale), []
    try:
        own = copy.deepcopy(model).cpu().float().eval()
        for _ in range(2):
            with Generators(own, torch.device("cpu")).seeded(0):
                sr = torch.nan_to_num(own(lr).float(), posinf=_CLAMP, neginf=-_CLAMP).clamp(-_CLAMP, _CLAMP)
            places = torch.arange(1, 8) * (sr.shape[-1] - 1) // 8
            parts = F.adaptive_avg_pool2d(sr, 3)[0].flatten(), sr[0, :, places, places.flip(0)].flatten()
            found.append([round(value, 6) for value in torch.cat(parts).tolist()])
    except Exception as error:  # whatever a method needs that this machine's CPU has not
        log.debug("no probe: %s", error)
        return None
    return tuple(found[0]) if _difference(found[0], found[1]) <= TOLERANCE else None


def changed_since(record: RunRecord, model: nn.Module) -> str:
    """Return in what way `model`, which has a run's weights, is not the network that its record tells of; "" if it is.

    A record without a probe is held to the hash of the code alone.
    """
    code, config = code_of(model), record.config
    change = f"method '{config.method}' ({registry.get(config.method).source}): code {record.code}, now {code}, "
    probe = probe_of(model, config.scale) if record.probe else None
    if record.probe and probe:
        difference = _difference(record.probe, probe)
        return f"{change}and its output differs by up to {difference:.2g}" if difference > TOLERANCE else ""
    return "" if record.code in (None, code) else f"{change}and no probe was kept (fsr migrate may add it)"


def load_network(record: RunRecord, folder: Path, files: Sequence[Path] = (), *, check: bool = True) -> nn.Module:
    """Build the network of the run in `folder` with its weights, or those in `files`, on the CPU, ready for use.

    Raises UserError where a trained run has no weights, LeftAloneError where with its own ones it is not the network
    any more that the record tells of, unless there is no `check`.
    """
    model = registry.build(record.config.method, record.config.options)
    own = weights.find(folder) if record.config.has_weights else []
    if files := files or own:
        if set(files) <= set(own):
            digests.check(folder, record.digests, "weights")
        weights.load_into(model, *files)
        check = check and set(files) <= set(own)
    elif record.config.has_weights:
        raise UserError(f"{folder}: no weights there; expected a run's folder with weights.safetensors")
    if check and (change := changed_since(record, model)):
        raise LeftAloneError(f"{folder}: {change}; {_WAY_OUT}")
    return model.eval()


def accept_code(run: Run) -> None:
    """Let a run that was begun by other code than its method has now go on by this one; its record keeps both."""
    with run.claim() as mine:
        record = run.record()
        if not mine or record.code is None or run.trained:
            return
        code = code_of(registry.build(run.config.method, run.config.options))
        if code != record.code:
            log.warning("%s: goes on by changed code, %s after %s", run.folder, code, record.code)
            run.write(code=code, earlier_code=(*record.earlier_code, record.code))


def _difference(a: tuple[float, ...] | list[float], b: tuple[float, ...] | list[float]) -> float:
    """Return the largest difference of two probes, relative where values are beyond 1."""
    if len(a) != len(b):
        return float("inf")
    return max(abs(x - y) / max(1.0, abs(x)) for x, y in zip(a, b, strict=True))
