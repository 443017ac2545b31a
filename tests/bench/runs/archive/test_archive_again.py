"""Runs that were kept before: what joins them, what stays, and what goes with the word alone."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from bench.analysis.results import read_results
from bench.core import paths
from bench.core.errors import UserError
from bench.core.files import read_json, write_json
from bench.models import weights
from bench.runs import archive, networks
from bench.runs.scores import read_scores, write_sheet
from tests.bench.report.fabricate import change
from tests.bench.runs.archive.kept import NAME, contents


def test_calling_again_brings_what_has_finished_since(root: Path) -> None:
    whole = read_results(paths.results() / NAME)
    late = whole.rows[1].runs[1].folder
    record = json.loads((late / "run.json").read_text())
    (late / "run.json").write_text(json.dumps({**record, "status": "running"}))
    assert late.name not in [folder.name for folder in archive.archive(NAME)]
    assert [run.status for run in read_results(networks.reference() / NAME).rows[1].runs] == ["finished", "not run"]
    (late / "run.json").write_text(json.dumps(record))
    assert late.name in [folder.name for folder in archive.archive(NAME)]


def test_a_second_machine_s_seeds_join_those_of_the_first(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each machine's record names its own seeds; what the other has archived stays, in its row."""
    own, kept = paths.results() / NAME, networks.reference() / NAME
    record = read_json(own / "experiment.json")
    _, tiny, wide = record["rows"]
    for seed, name in ((1, tiny["runs"][1]), (0, tiny["runs"][0])):
        rows = [{**tiny, "runs": [name]}] + ([wide] if seed else [])
        write_json(own / "experiment.json", {**record, "rows": rows, "seeds": [seed]})
        (own / name).rename(root / name)
        for other in set(tiny["runs"]) - {name}:
            shutil.move(root / other, own / other) if (root / other).exists() else None
        (root / name).rename(own / name)
        archive.archive(NAME, ["tiny"])
        shutil.move(own / name, root / name)
        if seed:
            before = contents(kept / name)
    found = read_results(kept)
    assert {row.label: [run.name for run in row.runs] for row in found.rows} == {
        "Tiny": tiny["runs"],
        "Wide": wide["runs"],
    }
    assert found.seeds == (0, 1) and all(run.scored(found.test[0], "sparnet") for row in found.rows for run in row.runs)
    assert contents(kept / tiny["runs"][1]) == before and weights.find(kept / tiny["runs"][0])


def test_nothing_kept_gets_smaller(root: Path) -> None:
    own, kept = paths.results() / NAME, networks.reference() / NAME
    archive.archive(NAME, ["tiny"])
    name = read_results(kept).rows[1].runs[0].name
    tensors, about = weights.load(own / name / "weights.safetensors")
    weights.save_parts(kept / name, tensors, about)
    (sheet,) = (sheet for sheet in read_scores(kept / name).values() if sheet.dataset == "photos")
    more = {**sheet.columns, "lpips@sparnet": (1.0, 2.0, 3.0)}
    write_sheet(kept / name, dataclasses.replace(sheet, columns=more), packed=True)
    with pytest.raises(UserError, match=r"damaged or edited: its SHA-256 begins with"):
        archive.archive(NAME)
    change(kept / name / "run.json", digests={})
    change(kept / "experiment.json", metrics=["psnr", "lpips"])
    before = (kept / name / "weights.safetensors").read_bytes()
    archive.archive(NAME)
    assert (kept / name / "weights.safetensors").read_bytes() == before
    assert read_scores(kept / name).on("photos", sheet.fingerprint).columns.keys() == more.keys()
    assert {*read_results(own).metrics, "lpips"} == {*read_results(kept).metrics}, "a metric that only it has stays"


def test_another_training_is_refused_without_the_word(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    own, kept = paths.results() / NAME, networks.reference() / NAME
    archive.archive(NAME)
    late = read_results(own).rows[1].runs[1].folder
    change(late / "run.json", trained="2030-01-01T00:00:00+00:00")
    before = contents(kept / late.name)
    archive.archive(NAME)
    assert contents(kept / late.name) == before and "--replace takes that of 2030" in caplog.text
    archive.archive(NAME, replace=True)
    assert read_json(kept / late.name / "run.json")["trained"].startswith("2030")
    test = read_json(own / "experiment.json")["test"][0]
    for changed in ({"test": [{**test, "faces": 2}]}, {"protocol": "dic"}):
        change(own / "experiment.json", **changed)
        with pytest.raises(UserError, match=r"kept with another (test set photos|protocol, test set)"):
            archive.archive(NAME)


def test_runs_of_no_row_go_with_the_word_alone(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    own, kept = paths.results() / NAME, networks.reference() / NAME
    archive.archive(NAME)
    bicubic, tiny, wide = read_json(own / "experiment.json")["rows"]
    change(own / "experiment.json", rows=[bicubic, {**wide, "label": "Tiny"}])
    archive.archive(NAME)
    assert len(read_results(kept).rows) == 2 and all((kept / name).exists() for name in tiny["runs"])
    assert caplog.text.count("of no row any more, stays; --replace removes it") == 2
    other = shutil.copytree(kept, kept.with_name("other"))
    shutil.rmtree(other / tiny["runs"][0])
    change(other / "experiment.json", rows=[tiny], elsewhere={tiny["runs"][0]: NAME})
    archive.archive(NAME, replace=True)
    assert (kept / tiny["runs"][0]).exists() and not (kept / tiny["runs"][1]).exists()
    assert f"stays for {other}" in caplog.text
    change(own / "experiment.json", rows=[bicubic, tiny, wide])
    merged = archive.merge_records(*map(archive.read_experiment_record, (own, other)), other)
    assert merged.elsewhere == {tiny["runs"][0]: NAME}, "a shared run is still looked for where it is kept"
