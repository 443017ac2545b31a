"""Runs kept in the repository: results/reference/<experiment>/, small enough to be committed.

A kept run has its run.json and curve.csv as they were, scores.csv.gz with six digits a score, and scores on the default
faces besides. Some keep their weights: fp16, in parts under 16 MB, with a model card. Kept pictures show the default
faces, never a photograph.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core import paths
from bench.core.errors import UserError, suggest
from bench.core.files import read_csv, write_bytes, write_csv, write_text
from bench.models import registry, weights
from bench.runs.records import (
    EXPERIMENT_FILE,
    RUN_FILE,
    FaceSetRecord,
    read_experiment_record,
    read_run_record,
    write_experiment_record,
)
from bench.runs.store import SCORE, Run

if TYPE_CHECKING:
    import torch
    from torch import nn

    from bench.analysis.results import Results, RowResult, RunResult
    from bench.data.store import FaceStore

FACES = 32  # default faces that kept runs are scored on
PICTURED = 6
METRICS = ("psnr", "ssim")
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
        folders = {path.parent for path in place.glob("*/*/weights*.safetensors")}
        if folders:
            break
    return sorted(map(open_run, folders), key=lambda one: (-one.psnr, str(one.folder)))


def open_run(folder: Path) -> ArchivedNetwork:
    """Return the finished run in `folder`; raise UserError when it is none or has no weights."""
    from bench.analysis.results import read_run

    record = read_run_record(folder)
    if record is None:
        raise UserError(f"{folder / RUN_FILE}: no such file")
    if not weights.find(folder):
        raise UserError(f"{folder}: no weights there; expected a run's folder with weights.safetensors")
    config = record.config
    label, psnr, experiment = registry.get(config.method).title, -math.inf, folder.resolve().parent
    if (experiment / EXPERIMENT_FILE).exists():
        about = read_experiment_record(experiment)
        label = next((row.label for row in about.rows if config.name in row.runs), label)
        scores = read_run(folder).values(about.test[0], about.protocol, "psnr")
        psnr = sum(scores.values()) / len(scores) if scores else psnr
    return ArchivedNetwork(folder, experiment.name, label, config.method, config.options, config.scale, psnr)


def archive(name: str, keep_weights: Sequence[str] = ()) -> list[Path]:
    """Copy the finished runs of the experiment `name` to results/reference/; return the folders of the kept runs.

    Methods named in `keep_weights` keep the weights of their first seed, and a model card. Calling again brings what
    has finished since. Raises UserError for an unknown experiment or method.
    """
    from bench.analysis.results import read_results
    from bench.data.cards import default_dataset
    from bench.runs.prepare import prepare

    source, target = paths.results() / name, reference() / name
    results = read_results(source)
    methods = [row.method for row in results.rows]
    for method in keep_weights:
        if method not in methods:
            raise UserError(f"--weights {method}: no row of that method: {suggest(method, methods)}")
    *_, test = prepare(default_dataset(), sizes={"train": 1, "val": 1, "test": FACES}, quiet=True)
    record = dataclasses.replace(
        read_experiment_record(source),
        samples=tuple(test.names[:PICTURED]),
        pictured=FaceSetRecord(test.dataset, FACES, test.fingerprint_of(FACES)),
    )
    write_experiment_record(target, record)
    _write_faces(test, target / "samples", record.scale)
    kept = []
    for row in results.rows:
        for place, run in enumerate(row.runs):
            if all(run.scored(one, results.protocol) for one in results.test):
                with_weights = place == 0 and row.method in keep_weights and not row.match
                kept.append(_keep(run, target, test, first=place == 0, with_weights=with_weights))
                if with_weights:
                    write_text(kept[-1] / "README.md", model_card(read_results(target), row, run))
    return kept


def _keep(run: RunResult, target: Path, test: FaceStore, *, first: bool, with_weights: bool) -> Path:
    """Copy one run, and score it on the default faces with the weights that are kept."""
    folder = target / run.name
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("run.json", "curve.csv"):
        if (run.folder / name).exists():
            write_bytes(folder / name, (run.folder / name).read_bytes())
    if with_weights:
        tensors, about = weights.load(run.folder / "weights.safetensors")
        weights.save_parts(folder, halved(tensors), about)
    what = itemgetter("fingerprint", "image", "metric", "protocol")
    rows = [_rounded(row) for row in read_csv(run.folder / "scores.csv", SCORE)]
    known = set(map(what, rows))  # an experiment on the default faces has scores on them
    more = default_scores(run.folder, folder if with_weights else run.folder, test, folder if first else None)
    write_csv(folder / "scores.csv.gz", SCORE, [*rows, *(row for row in more if what(row) not in known)])
    return folder


def halved(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors with matrices and kernels as fp16; vectors stay, for a running variance may be tiny."""
    import torch

    return {name: one.half() if one.dtype == torch.float32 and one.ndim > 1 else one for name, one in tensors.items()}


def default_scores(
    run_folder: Path, weights_folder: Path, test: FaceStore, pictures: Path | None = None
) -> list[dict[str, Any]]:
    """Score a run on the first default faces; write its first pictures into the folder `pictures`, if given.

    Returns score rows with six digits a value.
    """
    import torch

    from bench.runs.complete import write_samples
    from bench.runs.evaluate import evaluate

    record = read_run_record(run_folder)
    assert record is not None  # only finished runs are kept
    config = record.config
    model = registry.build(config.method, config.options)
    if config.training is not None:
        weights.load_into(model, *weights.find(weights_folder))
    run = Run(run_folder.parent, config)
    samples = PICTURED if pictures else 0
    found = evaluate(run, model, test, FACES, torch.device("cpu"), samples=samples, metrics=METRICS)
    if pictures:
        write_samples(dataclasses.replace(run, experiment=pictures.parent), test.names, found.pictures)
    return list(map(_rounded, found.rows))


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "value": f"{float(row['value']):.6g}"}


def _write_faces(test: FaceStore, folder: Path, scale: int) -> None:
    """Write the default faces that pictures show, and their small versions."""
    from bench.runs.evaluate import low_resolution, write_png

    shutil.rmtree(folder, ignore_errors=True)
    for name, large, small in zip(
        test.names, test.faces[:PICTURED], low_resolution(test.faces[:PICTURED], scale), strict=False
    ):
        write_png(folder / f"{name}_hr.png", large)
        write_png(folder / f"{name}_lr.png", small)


def model_card(results: Results, row: RowResult, run: RunResult) -> str:
    """Return the page that says what a kept network is, what it was trained on and how well it does."""
    record = read_run_record(results.folder / run.name)
    assert record is not None and record.config.training is not None
    config, training = record.config, record.config.training
    kept = next(one for its in results.rows for one in its.runs if one.name == run.name)
    scores = [
        f"| {test.dataset} | {test.faces:,} | {_mean(kept, test, results, 'psnr', 3)} | "
        f"{_mean(kept, test, results, 'ssim', 4)} |"
        for test in (*results.test, results.pictured)
        if test.truth
    ]
    files = [path.name for path in weights.find(results.folder / run.name)]
    data = f"{results.train.dataset} ({results.train.faces:,} faces, {results.train.fingerprint[:12]})"
    return "\n".join(
        [
            f"# {row.label}, seed {run.seed}",
            "",
            f"`{config.method}` for x{config.scale} face super-resolution with the options "
            + ", ".join(f"`{name} = {value}`" for name, value in config.options.items())
            + ".",
            "",
            f"- **Files**: {', '.join(files)}: kernels and matrices fp16, vectors fp32. `fsr upscale` reads them.",
            f"- **Trained on** {data}: {training.iterations:,} iterations of batch {training.batch}, Adam "
            f"{training.learning_rate:g} {tuple(training.betas)}, {training.schedule}; "
            f"{(record.train_seconds or 0) / 60:.0f} minutes on {record.device}. Budget: {results.profile_note}.",
            f"- **Parameters** {record.parameters:,}; multiply-adds {(record.multiply_adds or 0) / 1e9:.3f} G.",
            "- **Licence**: for research only, as the photographs that it was trained on.",
            "- **Not for** telling who somebody is: what it adds to a face is made up.",
            "",
            f"Scores of these weights on the default faces ({results.pictured.dataset}), and of the fp32 weights that "
            f"they were rounded from on the others; protocol {results.protocol}:",
            "",
            "| test faces | number | PSNR (dB) | SSIM |",
            "|---|---|---|---|",
            *scores,
            "",
        ]
    )


def _mean(run: RunResult, test: Any, results: Results, metric: str, decimals: int) -> str:
    values = list(run.values(test, results.protocol, metric).values())
    return f"{sum(values) / len(values):.{decimals}f}" if values else "-"
