"""experiment.json and a few test faces: what reports need to know of an experiment beside its run folders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.core.files import held, sweep
from bench.runs.audit import audit
from bench.runs.experiment import SAMPLES, Faces, Row, RowRun
from bench.runs.job import Job
from bench.runs.pictures import write_png
from bench.runs.records import LAYOUT, ExperimentRecord, FaceSetRecord, RowRecord, write_experiment_record

if TYPE_CHECKING:
    from bench.data.store import FaceStore


def write_experiment(job: Job, faces: Faces, planned: Sequence[RowRun]) -> None:
    """Write experiment.json and a few test faces: what the report needs to know beside the run folders."""
    with held(job.folder):  # two commands may be at work on one experiment
        sweep(job.folder / "samples")
        _write_experiment(job, faces, planned)


def _write_experiment(job: Job, faces: Faces, planned: Sequence[RowRun]) -> None:
    from bench.runs.evaluate import low_resolution

    count = min(SAMPLES, faces.sizes.test)
    hr = faces.test.faces[:count]
    for name, large, small in zip(faces.test.names, hr, low_resolution(hr, job.experiment.scale), strict=False):
        write_png(job.folder / "samples" / f"{name}_hr.png", large)
        write_png(job.folder / "samples" / f"{name}_lr.png", small)
    record = ExperimentRecord(
        layout=LAYOUT,
        name=job.name,
        title=job.experiment.title,
        kind=job.experiment.kind,
        protocol=job.experiment.protocol,
        profile=job.profile_name,
        profile_note=job.profile.note,
        training=job.profile.training,
        seeds=tuple(sorted({row_run.run.config.seed for row_run in planned if row_run.run.config.training})),
        rows=tuple(_describe_row(job, row, planned) for row in job.experiment.rows),
        train=_describe(faces.train, faces.sizes.train),
        val=_describe(faces.val, faces.sizes.val),
        test=tuple(_describe(one.store, one.count) for one in faces.tests),
        scale=job.experiment.scale,
        metrics=job.experiment.metrics,
        options=dict(job.profile.options),
        baseline=job.experiment.baseline,
        samples=tuple(faces.test.names[:count]),
        audits=tuple(audit(name) for name in dict.fromkeys([job.data, *job.tests])),
    )
    write_experiment_record(job.folder, record)


def _describe_row(job: Job, row: Row, planned: Sequence[RowRun]) -> RowRecord:
    """Return a row's label, method, runs, and which of the experiment's factors it has."""
    own = [row_run for row_run in planned if row_run.row is row]
    options, factors = own[0].run.config.options, job.experiment.factors
    return RowRecord(
        label=own[0].label,
        method=row.method,
        runs=tuple(row_run.run.config.name for row_run in own),
        modules=(
            {column: bool(options[option]) for column, option in factors.items()}
            if all(option in options for option in factors.values())
            else {}
        ),
        match=row.match,
        training=dict(row.training),
        options={} if row.match else dict(row.options),
    )


def _describe(store: FaceStore, count: int) -> FaceSetRecord:
    return FaceSetRecord(store.dataset, count, store.fingerprint_of(count), store.has_truth, store.split)
