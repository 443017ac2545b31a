"""Runs kept in the repository: results/reference/<experiment>/, small enough to be committed.

A kept run has its run.json and curve.csv as they were, its scores packed with six digits, and scores on the default
faces besides. Some keep their weights: fp16, in parts under 16 MB, with a model card. Kept pictures show the default
faces, never a photograph, as WebP: of a row's first run alone, in the levels that the picture grid shows. A run that
two experiments share is kept once: the later one refers to it. What was kept before stays (`bench.runs.merge`).
"""

from __future__ import annotations

import dataclasses
import filecmp
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from bench.core import paths
from bench.core.errors import UserError, suggest
from bench.core.files import held, write_bytes, write_text
from bench.core.modes import make_folder
from bench.core.names import listed
from bench.core.paths import check_name
from bench.core.stop import guarded
from bench.data.cards import default_dataset
from bench.models import weights
from bench.runs.behaviour import load_network, probe_of
from bench.runs.config import RunConfig
from bench.runs.digests import check, digests_of
from bench.runs.evaluate import evaluate, low_resolution
from bench.runs.merge import drop_runs, make_way, merge_records, merge_run_records
from bench.runs.model_card import model_card
from bench.runs.networks import reference, run_record
from bench.runs.pictures import shown_levels, write_webp
from bench.runs.prepare import prepare
from bench.runs.records import (
    EXPERIMENT_FILE,
    RUN_FILE,
    ExperimentRecord,
    FaceSetRecord,
    RunState,
    read_experiment_record,
    read_run_record,
    scored_faces,
    write_experiment_record,
    write_run_record,
)
from bench.runs.renamed import check_names
from bench.runs.scores import ScoreSheet, of_today, read_scores, write_sheet
from bench.runs.store import Run

if TYPE_CHECKING:
    from torch import nn

    from bench.data.store import FaceStore

log = logging.getLogger("fsr")
FACES = 32  # default faces that kept runs are scored on
PICTURED = 6
METRICS = ("psnr", "ssim")


def archive(name: str, keep_weights: Sequence[str] = (), replace: bool = False) -> list[Path]:
    """Copy the finished runs of the experiment `name` to results/reference/; return the folders of the kept runs.

    Methods named in `keep_weights` keep the weights of their first seed, and a model card. Calling again brings what
    has finished since; runs and scores that were kept before stay, those of seeds that this folder lacks in their rows.
    With `replace` goes what this experiment has not. Raises UserError for an unknown experiment or method, and where
    less would be kept than before.
    """
    source, target = paths.results() / check_name("experiment", name), reference() / name
    if source.resolve() == target.resolve() or name == reference().name:
        raise UserError(f"{source}: what is kept already; expected an experiment beside {reference()}")
    record = read_experiment_record(source)
    check_names(source, record)
    methods = [row.method for row in record.rows if not row.foreign]
    for method in keep_weights:
        if method not in methods:
            raise UserError(f"--weights {method}: no row of that method: {suggest(method, methods)}")
    with held(target):
        return _archive(source, target, record, keep_weights, replace)


def _archive(
    source: Path, target: Path, record: ExperimentRecord, keep_weights: Sequence[str], replace: bool
) -> list[Path]:
    before = read_experiment_record(target) if (target / EXPERIMENT_FILE).exists() else None
    if before and not replace:
        record = merge_records(record, before, target)
    *_, test = prepare(default_dataset(), sizes={"train": 1, "val": 1, "test": FACES}, quiet=True)
    pictured = FaceSetRecord(test.dataset, FACES, test.fingerprint_of(FACES))
    record = dataclasses.replace(record, samples=tuple(test.names[:PICTURED]), pictured=pictured)
    _write_faces(test, target / "samples", record.scale)
    kept = []
    for row in record.rows:
        asked = row.method in keep_weights and not row.match and not row.foreign
        for place, run in enumerate(row.runs):
            if not is_scored(source / run, record) or not make_way(source / run, target / run, replace):
                continue
            with_weights = (asked and place == 0) or bool(weights.find(target / run))
            kept.append(_keep(source / run, target, test, first=place == 0, with_weights=with_weights))
            if with_weights:
                write_text(kept[-1] / "README.md", model_card(kept[-1], record, row.label))
        if asked and not weights.find(record.run_folder(target, row.runs[0])):
            log.warning("--weights %s: its first seed, %s, has not finished in %s", row.method, row.runs[0], source)
    write_experiment_record(target, share_runs(target, record))
    drop_runs(target, record, replace)
    return [record.run_folder(target, folder.name) for folder in kept]


def is_scored(folder: Path, experiment: ExperimentRecord) -> bool:
    """Tell whether a run has finished and every face is scored: by PSNR, or by any metric without ground truth."""
    record = read_run_record(folder)
    if record is None or record.status is not RunState.FINISHED:
        return False
    check(folder, record.digests, "curve", whole=True)
    scores = of_today(read_scores(folder, record.digests), record.rules)
    return all(scored_faces(scores, test, experiment.protocol) == test.faces for test in experiment.test)


def share_runs(folder: Path, record: ExperimentRecord) -> ExperimentRecord:
    """Remove the runs of a kept experiment that another one beside it holds too, byte for byte; refer to them there."""
    elsewhere = {name: place for name, place in record.elsewhere.items() if not (folder / name).is_dir()}
    for name in record.run_names:
        for other in sorted(folder.parent.glob(f"*/{name}")):
            if other.parent != folder and (folder / name).is_dir() and _holds(other, folder / name):
                elsewhere[name] = other.parent.name
                shutil.rmtree(folder / name)
    return dataclasses.replace(record, elsewhere=elsewhere)


def _holds(other: Path, folder: Path) -> bool:
    """Tell whether every file of `folder` is in `other`, with the same bytes, and their records agree."""
    files = [path.relative_to(folder) for path in listed(folder, "**/*") if path.is_file() and path.name != RUN_FILE]
    plain = [dataclasses.replace(run_record(place), digests={}, probe=None) for place in (other, folder)]
    if plain[0] != plain[1]:
        return False
    _, different, missing = filecmp.cmpfiles(folder, other, [str(path) for path in files], shallow=False)
    return not different and not missing


def _keep(source: Path, target: Path, test: FaceStore, *, first: bool, with_weights: bool) -> Path:
    """Copy one run, and score it on the default faces with the weights that are kept."""
    folder = target / source.name
    make_folder(folder)
    if (source / "curve.csv").exists():
        write_bytes(folder / "curve.csv", (source / "curve.csv").read_bytes())
    if with_weights and not weights.find(folder):  # kept ones are of the same training, and no smaller
        tensors, about = weights.load(source / "weights.safetensors")
        weights.save_parts(folder, halved(tensors), about)
    record, kept = run_record(source), read_run_record(folder)
    check(source, record.digests)
    if kept and kept.digests:
        check(folder, kept.digests)
        write_run_record(folder, dataclasses.replace(kept, digests={}))  # they do not hold while files are replaced
    scores, before = read_scores(source), read_scores(folder)
    if not record.config.is_of_pictures:  # whose program is not at hand
        model = load_network(record, source)
        if with_weights:
            weights.load_into(model, *weights.find(folder))
            record = dataclasses.replace(record, probe=probe_of(model, record.config.scale))
        more = default_scores(record.config, model, test, folder if first else None)
        own = scores.on(more.dataset, more.fingerprint)  # where the experiment's own faces are the default ones
        scores.put(more.merged(own) if own.images else more)
    for sheet in scores.values():
        larger = sheet.rounded().completed(before.on(sheet.dataset, sheet.fingerprint))
        write_sheet(folder, larger, packed=True)
    record = dataclasses.replace(record, digests=digests_of(folder))
    write_run_record(folder, merge_run_records(record, kept))  # last: it says that all is there
    return folder


def halved(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors with matrices and kernels as fp16; vectors stay, for a running variance may be tiny."""
    return {name: x.half() if x.dtype == torch.float32 and x.ndim > 1 else x for name, x in tensors.items()}


def default_scores(config: RunConfig, model: nn.Module, test: FaceStore, pictures: Path | None = None) -> ScoreSheet:
    """Score a run's network on the first default faces; write its first pictures into the folder `pictures`, if any."""
    run, shown = Run(Path(), config), PICTURED if pictures else 0
    with guarded(f"method '{config.method}'"):
        result = evaluate(run, model, test, FACES, torch.device("cpu"), pictures=shown, metrics=METRICS)
    if pictures:
        for name, picture in zip(test.names, result.pictures, strict=False):
            write_webp(pictures / "samples" / f"{name}.webp", shown_levels(picture))
    return result.scores


def _write_faces(test: FaceStore, folder: Path, scale: int) -> None:
    """Write the default faces that pictures show, and their small versions."""
    shutil.rmtree(folder, ignore_errors=True)
    lr = low_resolution(test.faces[:PICTURED], scale)
    for name, large, small in zip(test.names, test.faces[:PICTURED], lr, strict=False):
        write_webp(folder / f"{name}_hr.webp", large)
        write_webp(folder / f"{name}_lr.webp", small)
