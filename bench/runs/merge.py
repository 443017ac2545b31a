"""What becomes of runs that are kept already when an experiment is archived again: nothing gets smaller unasked.

A campaign goes on on several machines, each with some of its seeds: what one archives joins what the others did.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
from pathlib import Path

from bench.core.errors import UserError
from bench.runs.records import (
    EXPERIMENT_FILE,
    RUN_FILE,
    ExperimentRecord,
    RowRecord,
    RunRecord,
    read_experiment_record,
    read_run_record,
)

log = logging.getLogger("fsr")
_SAME = ("protocol", "scale", "training", "train", "val")


def merge_records(record: ExperimentRecord, kept: ExperimentRecord, folder: Path) -> ExperimentRecord:
    """Return `record` with the kept seeds of its rows, kept rows and metrics that it has not, and where runs are kept.

    `folder` is that of the kept experiment. Raises UserError where the two were not trained, or tested, on the same.
    """
    differ = [name for name in _SAME if getattr(record, name) != getattr(kept, name)]
    differ += [f"test set {test.dataset}" for test in kept.test if test not in record.test]
    if differ:
        way_out = "rename the new experiment's folder, or let go of the kept one by --replace"
        raise UserError(f"{folder / EXPERIMENT_FILE}: kept with another {', '.join(differ)}; {way_out}")
    runs = {name: read_run_record(kept.run_folder(folder, name)) for name in kept.run_names}
    there = {name: run for name, run in runs.items() if run is not None}
    seeds = tuple(sorted({*record.seeds, *kept.seeds}))
    rows = [_with_seeds(row, there, seeds) for row in record.rows]
    named, labels = {name for row in rows for name in row.runs}, {row.label for row in rows}
    for row in kept.rows:
        own = tuple(name for name in row.runs if name in there and name not in named)
        if own and row.label not in labels:
            rows.append(dataclasses.replace(row, runs=own))
    metrics = tuple(dict.fromkeys((*record.metrics, *kept.metrics)))
    merged = dataclasses.replace(record, rows=tuple(rows), seeds=seeds, metrics=metrics)
    elsewhere = {name: kept.elsewhere[name] for name in merged.run_names if name in kept.elsewhere}
    return dataclasses.replace(merged, elsewhere=elsewhere)


def _with_seeds(row: RowRecord, there: dict[str, RunRecord], seeds: tuple[int, ...]) -> RowRecord:
    """Return the row with those runs that are `there` and differ from one of its own in nothing but the seed."""
    for run in there.values():
        names = [dataclasses.replace(run.config, seed=seed).name for seed in seeds]
        if not set(names).isdisjoint(row.runs):
            return dataclasses.replace(row, runs=tuple(name for name in names if name in there or name in row.runs))
    return row


def merge_run_records(record: RunRecord, kept: RunRecord | None) -> RunRecord:
    """Return the record of a run with what is known of the faces that it was scored on before."""
    if kept is None:
        return record
    return dataclasses.replace(
        record,
        unavailable={**kept.unavailable, **record.unavailable},
        broken={**kept.broken, **record.broken},
        samples={**kept.samples, **record.samples},
    )


def make_way(source: Path, folder: Path, replace: bool) -> bool:
    """Tell whether the run in `source` may be written into `folder`: no run is there, or the same training of it.

    Another training of the same config is removed with `replace`, else it stays.
    """
    kept, new = read_run_record(folder), read_run_record(source)
    if kept is None or new is None or kept.trained == new.trained:
        return True
    if replace:
        shutil.rmtree(folder)
    else:
        log.warning("%s: stays as trained %s; --replace takes that of %s", folder, kept.trained, new.trained)
    return replace


def drop_runs(folder: Path, record: ExperimentRecord, replace: bool) -> None:
    """Remove, with `replace`, kept runs that no row of `record` names; else, or where another needs them, say so."""
    named = set(record.run_names)
    for run in sorted(path.parent for path in folder.glob(f"*/{RUN_FILE}")):
        if run.name in named:
            continue
        if users := [path.parent for path in folder.parent.glob(f"*/{EXPERIMENT_FILE}") if _refers(path.parent, run)]:
            log.warning("%s: of no row any more, stays for %s", run, users[0])
        elif replace:
            shutil.rmtree(run)
            log.warning("%s: removed, of no row any more", run)
        else:
            log.warning("%s: of no row any more, stays; --replace removes it", run)


def _refers(folder: Path, run: Path) -> bool:
    return read_experiment_record(folder).elsewhere.get(run.name) == run.parent.name
