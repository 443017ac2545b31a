"""Finished runs whose weights are at hand: what `fsr upscale` and others may enlarge with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core import paths
from bench.core.errors import UserError
from bench.core.names import listed
from bench.models import registry, weights
from bench.runs.records import EXPERIMENT_FILE, RUN_FILE, RunRecord, read_experiment_record, read_run_record
from bench.runs.scores import read_scores

if TYPE_CHECKING:
    import torch
    from torch import nn

CAME_WITH_CODE = Path(__file__).parents[2] / "results" / "reference"


@dataclass(frozen=True)
class ArchivedNetwork:
    """A finished run whose weights are at hand; `psnr` is its mean over the first test set in dB."""

    folder: Path
    experiment: str
    label: str
    method: str
    options: Mapping[str, Any]
    scale: int
    psnr: float

    def load(self, device: torch.device) -> nn.Module:
        """Build the network with its weights, ready to super-resolve."""
        model = registry.build(self.method, self.options)
        weights.load_into(model, *weights.find(self.folder))
        return model.to(device).eval()


def reference() -> Path:
    """Return the folder of kept experiments."""
    return paths.results() / "reference"


def archived_networks() -> list[ArchivedNetwork]:
    """Return the kept runs that have weights, the best first: the root's, or else those that came with the code."""
    for place in (reference(), CAME_WITH_CODE):
        folders = {path.parent for path in listed(place, "*/*/weights*.safetensors")}
        if folders:
            break
    return sorted(map(open_run, folders), key=lambda network: (-network.psnr, str(network.folder)))


def open_run(folder: Path) -> ArchivedNetwork:
    """Return the finished run in `folder`; raise UserError when it is none or has no weights."""
    config = run_record(folder).config
    if not weights.find(folder):
        raise UserError(f"{folder}: no weights there; expected a run's folder with weights.safetensors")
    label, psnr, experiment = registry.get(config.method).title, -math.inf, folder.resolve().parent
    if (experiment / EXPERIMENT_FILE).exists():
        about = read_experiment_record(experiment)
        label = next((row.label for row in about.rows if config.name in row.runs), label)
        sheet = read_scores(folder).on(about.test[0].dataset, about.test[0].fingerprint)
        mean = sheet.mean("psnr", about.protocol)
        psnr = psnr if mean is None else mean
    return ArchivedNetwork(folder, experiment.name, label, config.method, config.options, config.scale, psnr)


def run_record(folder: Path) -> RunRecord:
    """Return the record of a run that was started; raise UserError where there is none."""
    record = read_run_record(folder)
    if record is None:
        raise UserError(f"{folder / RUN_FILE}: no such file")
    return record
