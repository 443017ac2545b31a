"""Data sets that were renamed, in the results of experiments: stand-ins that had the name of what they stand in for.

Which faces are meant is known by their fingerprint, so results on other faces keep the name. No value changes, and
neither does the id of a run, of which its test sets are no part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.core.files import write_bytes
from bench.core.names import listed
from bench.data.cards import read_card, renamed
from bench.runs.records import (
    EXPERIMENT_FILE,
    RUN_FILE,
    ExperimentRecord,
    FaceSetRecord,
    LayoutError,
    read_experiment_record,
    read_run_record,
    write_experiment_record,
    write_run_record,
)
from bench.runs.scores import sheet_path


def check_names(folder: Path, record: ExperimentRecord) -> None:
    """Raise LayoutError where an experiment's results have a data set under a name that it has no more."""
    for test, name in _renamed_tests(record).items():
        way_out = f"it only stands in for {test.dataset}; bring the results up: fsr migrate {folder}"
        raise LayoutError(f"{folder / EXPERIMENT_FILE}: test set {test.dataset} is called '{name}' now, for {way_out}")


def rename(folder: Path) -> list[Path]:
    """Give the test sets in an experiment's results their names of today; return the records that were replaced.

    experiment.json is replaced last and a run's run.json before its old files go, so that what was interrupted goes on
    when it is called again.
    """
    record = read_experiment_record(folder)
    tests = _renamed_tests(record)
    known = {**renamed(), **{(test.dataset, test.fingerprint): name for test, name in tests.items()}}
    runs = [path for path in listed(folder, f"*/{RUN_FILE}") if _rename_run(path.parent, known)]
    names = {test.dataset: name for test, name in tests.items()} | _renamed_in(record.audits)
    if not names:
        return runs
    record = dataclasses.replace(
        record,
        test=tuple(_renamed(test, tests) for test in record.test),
        pictured=record.pictured and _renamed(record.pictured, tests),
        audits=tuple(_renamed_audit(audit, names) for audit in record.audits),
    )
    write_experiment_record(folder, record)
    return [*runs, folder / EXPERIMENT_FILE]


def _renamed_tests(record: ExperimentRecord) -> dict[FaceSetRecord, str]:
    """Return the test sets that have a former name, and today's; of the first faces of a set its audit knows."""
    whole = {audit["dataset"]: audit["splits"].get("test", {}).get("fingerprint", "") for audit in record.audits}
    names, found = renamed(), {}
    for test in (*record.test, *([record.pictured] if record.pictured else [])):
        keys = ((test.dataset, print_) for print_ in (test.fingerprint, whole.get(test.dataset, "")))
        if name := next((names[key] for key in keys if key in names), None):
            found[test] = name
    return found


def _renamed_in(audits: tuple[Any, ...]) -> dict[str, str]:
    """Return former names of data sets that audits were made beside, and today's."""
    beside = {(place.partition("/")[0], print_) for audit in audits for place, print_ in audit.get("sets", {}).items()}
    return {dataset: name for (dataset, print_), name in renamed().items() if (dataset, print_) in beside}


def _renamed(test: FaceSetRecord, names: Mapping[FaceSetRecord, str]) -> FaceSetRecord:
    return dataclasses.replace(test, dataset=names.get(test, test.dataset))


def _rename_run(folder: Path, known: Mapping[tuple[str, str], str]) -> bool:
    """Rename the files of a run's scores, and their digests; tell whether there was one."""
    record, moved = read_run_record(folder), {}
    for (dataset, fingerprint), name in known.items():
        old = sheet_path(folder, dataset, fingerprint)
        if old.exists():
            moved[old] = old.with_name(old.name.replace(dataset, name, 1))
    if record is None or not moved:
        return False
    for old, new in moved.items():
        write_bytes(new, old.read_bytes())
    names = {old.relative_to(folder).as_posix(): new.relative_to(folder).as_posix() for old, new in moved.items()}
    digests = {names.get(name, name): digest for name, digest in record.digests.items()}
    write_run_record(folder, dataclasses.replace(record, digests=digests))
    for old in moved:
        old.unlink()
    return True


def _renamed_audit(audit: Any, names: Mapping[str, str]) -> Any:
    """Return an audit with the data sets' names of today, and the words of the card that it has now."""
    if name := names.get(audit["dataset"]):
        card = read_card(name)
        audit = {**audit, "dataset": name, "title": card.title, "stands_for": card.stands_for}
    sets = {_place(place, names): print_ for place, print_ in audit.get("sets", {}).items()}
    leaks = [
        {**leak, "train": _place(leak["train"], names), "test": _place(leak["test"], names)}
        for leak in audit.get("leakage", ())
    ]
    return {**audit, "sets": sets, "leakage": leaks}


def _place(place: str, names: Mapping[str, str]) -> str:
    """Return "dataset/split" with the data set's name of today."""
    dataset, *split = place.split("/")
    return "/".join([names.get(dataset, dataset), *split])
