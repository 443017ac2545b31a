"""Finished runs whose weights are at hand: what `fsr upscale` and others may enlarge with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core import paths
from bench.core.errors import UserError
from bench.core.names import listed
from bench.models import foreign, registry, weights
from bench.runs.records import EXPERIMENT_FILE, RUN_FILE, RunRecord, read_experiment_record, read_run_record
from bench.runs.scores import read_scores

if TYPE_CHECKING:
    import torch
    from torch import nn

CAME_WITH_CODE = Path(__file__).parents[2] / "results" / "reference"
_NEEDED = "expected a run's folder with run.json and weights.safetensors"
_NAMED = 4  # kept runs in a message


@dataclass(frozen=True)
class NamedWeights:
    """Weights as a user named them: `files` holds all parts, `record` is of the run that they lie in, if it is one."""

    files: tuple[Path, ...]
    record: RunRecord | None

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.files[0].parent


def named_weights(path: Path) -> NamedWeights:
    """Return the weights that `path` names: a run's folder or its run.json, a file of weights, or a part of several.

    Raises UserError for a path that is missing or a folder without weights. What is in a file is not looked at.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; expected a run's folder or a file of weights")
    folder = path if path.is_dir() else path.parent
    whole_run = path.is_dir() or path.name == RUN_FILE or weights.is_run_file(path)
    files = weights.find(folder) if whole_run else [path]
    if not files:
        runs = sorted({file.parent.name for file in listed(folder, "*/*") if weights.is_run_file(file)})
        way_out = f"give one of its runs: {', '.join(runs)}" if runs else _NEEDED + _kept_ones()
        raise UserError(f"{folder}: no weights there; {way_out}")
    return NamedWeights(tuple(files), read_run_record(folder))


def _kept_ones() -> str:
    """Return which kept runs have weights, as the end of a message; "" for none."""
    kept = sorted(map(str, _kept_folders()))
    named = ", ".join(kept[:_NAMED]) + (", ..." if len(kept) > _NAMED else "")
    return f"; kept runs with weights: {named}" if kept else ""


@dataclass(frozen=True)
class ArchivedNetwork:
    """A finished run whose weights are at hand; `psnr` is its mean over the first test set in dB."""

    folder: Path
    files: tuple[Path, ...]
    experiment: str
    label: str
    method: str
    options: Mapping[str, Any]
    scale: int
    psnr: float
    changed_code: bool = False

    def load(self, device: torch.device) -> nn.Module:
        """Build the network with its weights, ready to super-resolve; see bench.runs.behaviour.load_network."""
        from bench.runs.behaviour import load_network

        record = run_record(self.folder)
        return load_network(record, self.folder, self.files, check=not self.changed_code).to(device)

    def with_changed_code(self) -> ArchivedNetwork:
        """Return the network as its method makes it now; its label says so where that is not what was trained."""
        from bench.runs.behaviour import changed_since, load_network

        record = run_record(self.folder)
        if not changed_since(record, load_network(record, self.folder, self.files, check=False)):
            return self
        return dataclasses.replace(self, changed_code=True, label=f"{self.label} (changed code)")


def reference() -> Path:
    """Return the folder of kept experiments."""
    return paths.results() / "reference"


def archived_networks() -> list[ArchivedNetwork]:
    """Return the kept runs that have weights, the best first: the root's, or else those that came with the code."""
    return sorted(map(open_run, _kept_folders()), key=lambda network: (-network.psnr, str(network.folder)))


def _kept_folders() -> set[Path]:
    """Return the folders of the kept runs that have weights: the root's, or else those that came with the code."""
    for place in (reference(), CAME_WITH_CODE):
        if folders := {path.parent for path in listed(place, "*/*/weights*.safetensors")}:
            return folders
    return set()


def open_run(path: Path) -> ArchivedNetwork:
    """Return the finished run whose folder or weights `path` names; raise UserError where there is none."""
    named = named_weights(path)
    if named.record is None:
        kind = "" if path.is_dir() or path.suffix == ".safetensors" else f" {foreign.kind_of(path)}, and"
        raise UserError(f"{path}:{kind} no {RUN_FILE} beside it tells which network it is of; {_NEEDED}")
    folder, config = named.folder, named.record.config
    label, psnr, experiment = registry.get(config.method).title, -math.inf, folder.resolve().parent
    if (experiment / EXPERIMENT_FILE).exists():
        about = read_experiment_record(experiment)
        label = next((row.label for row in about.rows if config.name in row.runs), label)
        sheet = read_scores(folder, named.record.digests).on(about.test[0].dataset, about.test[0].fingerprint)
        mean = sheet.mean("psnr", about.protocol)
        psnr = psnr if mean is None else mean
    return ArchivedNetwork(
        folder, named.files, experiment.name, label, config.method, config.options, config.scale, psnr
    )


def run_record(folder: Path) -> RunRecord:
    """Return the record of a run that was started; raise UserError where there is none."""
    record = read_run_record(folder)
    if record is None:
        raise UserError(f"{folder / RUN_FILE}: no such file")
    return record
