"""experiment.json and a few test faces: what reports need to know of an experiment beside its run folders."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.core.files import held, sweep, write_json
from bench.runs.experiment import SAMPLES, Faces, Job, Row, RowRun, data_reference
from bench.runs.store import LAYOUT

if TYPE_CHECKING:
    from bench.data.store import FaceStore


def write_experiment(job: Job, faces: Faces, planned: Sequence[RowRun]) -> None:
    """Write experiment.json and a few test faces: what the report needs to know beside the run folders."""
    with held(job.folder):  # two commands may be at work on one experiment
        sweep(job.folder / "samples")
        _write_experiment(job, faces, planned)


def _write_experiment(job: Job, faces: Faces, planned: Sequence[RowRun]) -> None:
    from bench.runs.audit import audit
    from bench.runs.evaluate import low_resolution, write_png

    training = job.profile.training
    used = faces.sizes
    count = min(SAMPLES, used.test)
    hr = faces.test.faces[:count]
    for name, large, small in zip(faces.test.names, hr, low_resolution(hr, job.experiment.scale), strict=False):
        write_png(job.folder / "samples" / f"{name}_hr.png", large)
        write_png(job.folder / "samples" / f"{name}_lr.png", small)
    write_json(
        job.folder / "experiment.json",
        {
            "layout": LAYOUT,
            "name": job.name,
            "title": job.experiment.title,
            "kind": job.experiment.kind,
            "scale": job.experiment.scale,
            "protocol": job.experiment.protocol,
            "metrics": list(job.experiment.metrics),
            "profile": job.profile_name,
            "profile_note": job.profile.note,
            "options": dict(job.profile.options),
            "training": dataclasses.asdict(training),
            "iterations": training.iterations,
            "batch": training.batch,
            "seeds": sorted({row_run.run.config.seed for row_run in planned if row_run.run.config.training}),
            "baseline": job.experiment.baseline,
            "rows": [_describe_row(job, row, planned) for row in job.experiment.rows],
            "train": _described(faces.train, used.train),
            "val": _described(faces.val, used.val),
            "test": [{**_described(one.store, one.count), "truth": one.store.has_truth} for one in faces.tests],
            "samples": faces.test.names[:count],
            "audits": [audit(name) for name in dict.fromkeys([job.data, *job.tests])],
        },
    )


def _describe_row(job: Job, row: Row, planned: Sequence[RowRun]) -> dict[str, Any]:
    """Return a row's label, method, runs, and which of the experiment's factors it has."""
    own = [row_run for row_run in planned if row_run.row is row]
    options = own[0].run.config.options
    about: dict[str, Any] = {
        "label": own[0].label,
        "method": row.method,
        "runs": [row_run.run.config.name for row_run in own],
    }
    if row.match:
        about["match"] = row.match
    elif row.options:
        about["options"] = dict(row.options)
    if row.training:
        about["training"] = dict(row.training)
    if all(option in options for option in job.experiment.factors.values()):
        about["modules"] = {column: bool(options[option]) for column, option in job.experiment.factors.items()}
    return about


def _described(store: FaceStore, count: int) -> dict[str, Any]:
    return dataclasses.asdict(data_reference(store, count))
