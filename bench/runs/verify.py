"""Whether runs are what was written: records, digests, curves, scores and weights; and how sound their networks are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.core.errors import UserError
from bench.core.names import listed
from bench.core.stop import guarded
from bench.models import weights
from bench.runs.behaviour import load_network
from bench.runs.digests import damage, missing
from bench.runs.evaluate import Enlarger, low_resolution
from bench.runs.records import ExperimentRecord, RunRecord, RunState, read_experiment_record, read_run_record
from bench.runs.scores import read_scores
from bench.runs.soundness import LIMIT, deviation, trial_pictures

_FACES = 1  # that get frames of every hue
_WITHOUT = "no weights kept, network not checked"


@dataclass(frozen=True)
class Verdict:
    """One run: what is `wrong` with it, a line each, what cannot be said (`notes`), and how `sound` its network is."""

    run: str
    label: str
    wrong: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sound: str = ""


def verify(folder: Path) -> list[Verdict]:
    """Return a verdict on every run of the experiment in `folder`; raise UserError where experiment.json is damaged."""
    experiment = read_experiment_record(folder)
    faces = _faces(folder)
    return [
        _verify(experiment.run_folder(folder, name), row.label, experiment, faces)
        for row in experiment.rows
        for name in row.runs
    ]


def verify_json(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return verdicts as plain values."""
    return [asdict(verdict) for verdict in verdicts]


def verify_text(name: str, verdicts: Sequence[Verdict]) -> str:
    """Return verdicts as lines for a terminal."""
    bad = sum(bool(verdict.wrong) for verdict in verdicts)
    without = sum(_WITHOUT in verdict.notes for verdict in verdicts)
    head = f"{name}: {len(verdicts)} runs, {f'{bad} damaged' if bad else 'none damaged'}"
    lines = [head + (f"; of {without} no weights are kept: their networks are not checked" if without else "")]
    for verdict in verdicts:
        whole = "ok (record, curve, scores)" if _WITHOUT in verdict.notes else "ok"
        state = "damaged" if verdict.wrong else whole
        lines.append("; ".join(filter(None, (f"{verdict.run}: {state}", *verdict.notes, verdict.sound))))
        lines += [f"  {line}" for line in verdict.wrong]
    return "\n".join(lines)


def _verify(folder: Path, label: str, experiment: ExperimentRecord, faces: np.ndarray) -> Verdict:
    try:
        record = read_run_record(folder)
    except UserError as error:
        return Verdict(folder.name, label, (str(error),))
    if record is None:
        return Verdict(folder.name, label, notes=("not run",))
    wrong = [*_identity(folder, record), *damage(folder, record.digests).values()]
    wrong += missing(folder, record.digests).values()
    finished = record.status is RunState.FINISHED
    notes = [] if finished else [str(record.status)]
    notes += ["no digest kept (fsr migrate adds them)"] if finished and not record.digests else []
    wrong += _scores(folder, record, experiment)
    sound = ""
    try:
        files = weights.find(folder)
        for path in files:
            weights.check_whole(path)
        notes += [_WITHOUT] if finished and not files and record.config.has_weights else []
        has_network = bool(files) or not (record.config.has_weights or record.config.is_of_pictures)
        if finished and has_network and len(faces):
            sound = _soundness(folder, record, faces)
    except UserError as error:
        wrong += [] if str(error) in wrong else [str(error)]
    return Verdict(folder.name, label, tuple(wrong), tuple(notes), sound)


def _identity(folder: Path, record: RunRecord) -> Iterator[str]:
    config = record.config
    for what, name, expected in (
        ("id", record.id, config.id),
        ("name", record.name, config.name),
        ("folder", folder.name, config.name),
    ):
        if name != expected:
            yield f"{folder}: its {what} is {name}, its config's {expected}; restore it, or move it away"


def _scores(folder: Path, record: RunRecord, experiment: ExperimentRecord) -> Iterator[str]:
    """Give what is wrong with the scores of a run: files, faces, numbers."""
    try:
        scores = read_scores(folder)
    except UserError as error:
        yield str(error)
        return
    for test in experiment.test if record.status is RunState.FINISHED else ():
        sheet = scores.on(test.dataset, test.fingerprint)
        where = f"{folder / 'scores'}: {test.dataset}"
        if len(set(sheet.images)) != len(sheet.images):
            yield f"{where}: a face is there twice"
        if sheet.images and len(sheet.images) != test.faces:
            yield f"{where}: {len(sheet.images)} faces, expected {test.faces}"
        for metric in ("psnr", "ssim"):
            odd = sum(map(math.isnan, sheet.values(metric, experiment.protocol).values()))
            if odd:
                yield f"{where}: {odd} values of {metric} are no numbers"


def _soundness(folder: Path, record: RunRecord, faces: np.ndarray) -> str:
    """Return one line on the largest output of a run's network on pictures that unsound ones break down on."""
    with guarded(f"{folder}: method '{record.config.method}'"):
        largest = worst_outputs(load_network(record, folder), record, faces)
    beyond = int((largest > LIMIT).sum())
    many = f", beyond it on {beyond} of {len(largest)} trial pictures" if beyond else ""
    return f"largest output {float(largest.max()):.3g} (limit {LIMIT:g}){many}"


def worst_outputs(model: torch.nn.Module, record: RunRecord, faces: np.ndarray) -> torch.Tensor:
    """Return the largest |2 sr - 1| of each trial picture that is made of HR `faces`, uint8 [N, H, W, 3]: [M]."""
    lr = low_resolution(trial_pictures(faces), record.config.scale)
    enlarge = Enlarger(model, torch.device("cpu"), record.config.chance)
    return torch.cat([deviation(sr) for sr in enlarge(lr)])


def _faces(folder: Path) -> np.ndarray:
    """Return the first faces that the experiment shows, uint8 [N, H, W, 3]."""
    faces = []
    for path in listed(folder / "samples", "*_hr.*")[:_FACES]:
        with Image.open(path) as picture:
            faces.append(np.asarray(picture.convert("RGB")))
    return np.stack(faces) if faces else np.empty((0, 1, 1, 3), np.uint8)
