"""Runs whose weights are an authors' checkpoint: named by its SHA-256, imported once, then like any other run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.errors import UserError
from bench.core.files import sha256_kept
from bench.core.names import listed, one_line
from bench.core.provenance import code_of, environment, now
from bench.core.schema import from_dict
from bench.models import registry, weights
from bench.models.checkpoint import Checkpoint
from bench.runs.config import CHECKPOINT
from bench.runs.digests import digests_of
from bench.runs.experiment import Row
from bench.runs.records import RUN_FILE, RunState, read_run_record

if TYPE_CHECKING:
    from torch import nn

    from bench.runs.experiment import RowRun
    from bench.runs.store import Run

_ROW = re.compile(r"\s*(?P<method>[\w.-]+):(?P<file>.*\S.*)")


def checkpoint_row(text: str) -> Row:
    """Return the row that `LABEL=METHOD:FILE` asks for; without a label it is called after its method.

    Label and file may hold "=" and ":": of several readings that with a known method and a file that is there is meant.
    """
    starts = [0, *(match.end() for match in re.finditer(r"=\s*", text))]
    readings = [
        (text[:start].rstrip().removesuffix("="), match) for start in starts if (match := _ROW.match(text, start))
    ]
    if not readings:
        shown = one_line(text)
        raise UserError(f'--checkpoint {shown}: expected LABEL=METHOD:FILE, e.g. "Mine (authors)=mine:net.pth"')
    known = registry.names()

    def unlikely(reading: tuple[str, re.Match[str]]) -> tuple[bool, bool]:
        _, match = reading
        return match["method"] not in known, not Path(match["file"].strip()).expanduser().exists()

    label, match = min(readings, key=unlikely)
    given = {"method": match["method"], "label": label.strip(), "checkpoint": match["file"].strip()}
    return from_dict(Row, given, f"--checkpoint {one_line(text)}").placed(Path())


def checkpoint_of(row: Row, experiment: Path) -> Checkpoint:
    """Return name and SHA-256 of a row's checkpoint; of a file that is gone, those of the run that was made of it.

    Raises UserError where neither is there.
    """
    path = Path(row.checkpoint)
    if path.is_file():
        return Checkpoint(path.name, sha256_kept(path))
    records = [read_run_record(run.parent) for run in listed(experiment, f"{row.method}-*/{RUN_FILE}")]
    known = {record.authors for record in records if record and record.authors and record.config.method == row.method}
    kept = [authors for authors in known if authors.file == path.name]
    if len(kept) != 1:
        what = "a folder" if path.is_dir() else "no regular file" if path.exists() else "no such file"
        raise UserError(f"row {row.title}: checkpoint: {path}: {what}; expected a file of weights")
    return Checkpoint(kept[0].file, kept[0].sha256)


def import_checkpoint(run: Run, path: Path) -> None:
    """Write a checkpoint's tensors, under our names, as the weights of `run`, and what it was into run.json.

    Raises UserError for a file that is not the one that the run is named after, or none of its method.
    """
    from bench.runs.behaviour import probe_of

    model, about = _load(run, path)
    run.drop_scores()
    weights.save(run.weights, model.state_dict(), {"run": run.config.name})
    run.write(
        status=RunState.RUNNING,
        error=None,
        retry=False,
        authors=about,
        code=code_of(model),
        probe=probe_of(model, run.config.scale),
        environment=environment(),
        digests=digests_of(run.folder),
        trained=now(),
    )


def _load(run: Run, path: Path) -> tuple[nn.Module, Checkpoint]:
    from bench.models.authors import load_authors

    model, about = load_authors(run.config.method, path, run.config.options)
    if about.sha256 != run.config.given[CHECKPOINT]:
        raise UserError(f"{path}: the file has changed since this command began; run it again")
    return model, about


def check_checkpoints(row_runs: list[RowRun]) -> None:
    """Read the checkpoints of those runs that lack their weights; raise UserError for one that cannot be imported."""
    for row_run in row_runs:
        if CHECKPOINT in row_run.run.config.given and not row_run.run.trained:
            _load(row_run.run, Path(row_run.row.checkpoint))


def import_checkpoints(row_runs: list[RowRun]) -> None:
    """Import the checkpoints of those runs that lack their weights, so that a bad file is told before anything runs."""
    for row_run in row_runs:
        run = row_run.run
        if CHECKPOINT in run.config.given and not run.trained:
            with run.claim(wait=True):
                run.check()
                if not run.trained:
                    import_checkpoint(run, Path(row_run.row.checkpoint))
