"""Kept runs: small copies that say the same, and weights that give the scores beside them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.analysis.results import read_results, read_run
from bench.cli.main import main
from bench.core import paths
from bench.core.errors import UserError
from bench.core.files import read_json, write_json
from bench.data.store import open_split
from bench.models import registry
from bench.report.build import build_report
from bench.report.faces import draw_faces, grid_bytes
from bench.runs import archive, networks
from bench.runs.evaluate import low_resolution, to_tensor
from bench.runs.pictures import write_webp
from bench.runs.scores import make_sheet, read_scores, write_sheet
from bench.runs.store import Run
from tests.bench.conftest import TINY
from tests.bench.report.fabricate import change
from tests.bench.runs.archive.kept import FACES, NAME, PICTURED, write_quickly


def test_a_kept_experiment_says_what_the_whole_one_says(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["archive", NAME, "--weights", "tiny", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    whole, kept = read_results(paths.results() / NAME), read_results(networks.reference() / NAME)
    assert sorted(told["runs"]) == sorted(run.name for row in whole.rows for run in row.runs)
    for row, copy in zip(whole.rows, kept.rows, strict=True):
        for run, twin in zip(row.runs, copy.runs, strict=True):
            assert (twin.name, twin.status, twin.curve, twin.device) == (run.name, run.status, run.curve, run.device)
            for key, sheet in run.scores.items():
                assert twin.scores[key].images == sheet.images
                for name, values in sheet.columns.items():
                    assert twin.scores[key].columns[name] == pytest.approx(values, rel=5e-6)


def test_no_photograph_is_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "write_webp", write_webp)
    archive.archive(NAME, ["tiny"])
    photos = {face.tobytes() for split in ("train", "val", "test") for face in open_split("photos", split).faces}
    default = {face.tobytes() for face in open_split("synthfaces", "test").faces}
    pictures = list((networks.reference() / NAME).rglob("*.webp"))
    large = [picture for picture in pictures if picture.name.endswith("_hr.webp")]
    assert len(large) == PICTURED
    for path in large:
        with Image.open(path) as file:
            face = np.asarray(file.convert("RGB")).tobytes()
        assert face in default and face not in photos
    assert {path.name.split("_")[0].removesuffix(".webp") for path in pictures} == {
        f"synthfaces-{i}" for i in range(PICTURED)
    }
    assert build_report(networks.reference() / NAME, root / "report").files
    assert (root / "report" / "faces.webp").exists()


def test_kept_pictures_are_those_that_the_grid_shows(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each row's first run alone, and rounded as the grid rounds: it has the same bytes as one of whole pictures."""
    grids, sizes = [], []
    for levels in (lambda picture: picture, archive.shown_levels):
        monkeypatch.setattr(archive, "shown_levels", levels)
        archive.archive(NAME)
        kept = read_results(networks.reference() / NAME)
        made = draw_faces(kept)
        assert made is not None
        grids.append(grid_bytes(made))
        pictures = [np.asarray(Image.open(path)) for path in (networks.reference() / NAME).glob("*/samples/*.webp")]
        sizes.append({bool((picture % 3).any()) for picture in pictures})
    assert grids[0] == grids[1] and sizes == [{True}, {False}]
    pictured = {run.name for row in kept.rows for run in row.runs if (run.folder / "samples").exists()}
    assert pictured == {row.runs[0].name for row in kept.rows} != {run.name for row in kept.rows for run in row.runs}


def test_kept_weights_give_the_scores_beside_them(root: Path) -> None:
    archive.archive(NAME, ["tiny"])
    network, second = networks.archived_networks()
    assert network.psnr > second.psnr and {network.label, second.label} == {"Tiny", "Wide"}
    assert (network.experiment, network.method) == (NAME, "tiny")
    kept = read_results(networks.reference() / NAME)
    scores = next(run for row in kept.rows for run in row.runs if run.name == network.folder.name)
    expected = scores.values(kept.pictured, "sparnet", "psnr")
    model, config = network.load(torch.device("cpu")), networks.run_record(network.folder).config
    sheet = archive.default_scores(config, model, open_split("synthfaces", "test"))
    found = sheet.rounded().values("psnr", "sparnet")
    assert found == expected and len(found) == FACES
    faces = open_split("synthfaces", "test").faces[:1]
    sr = network.load(torch.device("cpu"))(to_tensor(low_resolution(faces, 8)))
    assert sr.shape == (1, 3, 128, 128)
    card = (network.folder / "README.md").read_text()
    assert "research only" in card and f"{np.mean(list(expected.values())):.3f}" in card and "photos (6 faces" in card


def test_scores_on_the_default_faces_that_are_there_are_kept(root: Path) -> None:
    folder = read_results(paths.results() / NAME).rows[1].runs[0].folder
    store = open_split("synthfaces", "test")
    mine = {("sparnet", "psnr"): [12.5] * FACES, ("sparnet", "niqe-pooled"): [3.25] * FACES}
    names = store.names[:FACES]
    sheet = make_sheet("synthfaces", store.fingerprint_of(FACES), names, mine)
    Run(folder.parent, networks.run_record(folder).config).add_scores([sheet])
    archive.archive(NAME)
    kept = read_run(networks.reference() / NAME / folder.name)
    faces = read_results(networks.reference() / NAME).pictured
    assert kept.values(faces, "sparnet", "psnr") == dict.fromkeys(names, 12.5)
    assert len(kept.values(faces, "sparnet", "ssim")) == FACES
    assert kept.values(faces, "sparnet", "niqe-pooled") == dict.fromkeys(names, 3.25)


def test_what_is_not_there_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match="no row of that method: did you mean 'tiny'"):
        archive.archive(NAME, ["tinny"])
    with pytest.raises(UserError, match=r"experiment\.json: no such file"):
        archive.archive("other")
    folder = read_results(paths.results() / NAME).rows[1].runs[0].folder
    assert networks.open_run(folder).label == "Tiny"
    (folder / "weights.safetensors").unlink()
    with pytest.raises(UserError, match="no weights there"):
        networks.open_run(folder)


@pytest.mark.parametrize("name", ["/tmp/x", "../results/small", "small/", ".", "..", "", "a\\b", "reference", ".x"])
def test_names_are_names_not_paths(root: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["archive", name]) == 2
    assert "expected a" in capsys.readouterr().err and not (paths.results() / "reference").exists()


def test_source_and_target_differ(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive.archive(NAME, ["tiny"])
    kept = networks.reference() / NAME
    (paths.results() / "twin").symlink_to(kept)
    for name in (str(kept), f"reference/{NAME}", f"../results/reference/{NAME}"):
        assert main(["archive", name, "--weights", "tiny"]) == 2
    (networks.reference() / "twin").symlink_to(kept)
    assert main(["archive", "twin"]) == 2 and "kept already" in capsys.readouterr().err


def test_records_name_no_file_outside(root: Path) -> None:
    record = read_json(paths.results() / NAME / "experiment.json")
    for key, value in (("elsewhere", {"x": "../.."}), ("rows", [{"label": "x", "method": "x", "runs": ["../../x"]}])):
        write_json(paths.results() / NAME / "experiment.json", {**record, key: value})
        with pytest.raises(UserError, match=r"experiment\.json: .*expected a name, not a path"):
            archive.archive(NAME)


def test_weights_under_edited_code_make_no_row_of_the_old_one(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, record = paths.results() / NAME / read_results(paths.results() / NAME).rows[1].runs[0].name, "code {}, now"
    score = ["score", "--weights", str(run), "--data", "photos", "--device", "cpu", "--json"]
    capsys.readouterr()
    code = read_json(run / "run.json")["code"]
    for edit, refused in (("base + 0.1 * 1 *", False), ("base + 0.3 *", True)):
        edited = root / "edited" / "tiny_method.py"
        edited.parent.mkdir(exist_ok=True)
        edited.write_text(TINY.read_text().replace("base + 0.1 *", edit))
        monkeypatch.setattr(registry, "_plugins", [])
        registry.add_plugin(edited)
        monkeypatch.delitem(registry._entries, "tiny", raising=False)
        monkeypatch.setattr(registry, "_catalogue", None)
        for command in (score, ["archive", NAME, "--weights", "tiny"]):
            assert main(command) == (2 if refused else 0)
            out, err = capsys.readouterr()
            assert (record.format(code) in err and "output differs" in err and str(run) in err) == refused
            if command is score and not refused:
                plain = json.loads(out)
    assert plain["label"] == "Tiny" and not plain["changed_code"]
    assert main([*score, "--changed-code"]) == 0
    changed = json.loads(capsys.readouterr().out)
    assert changed["label"] == "Tiny (changed code)" and changed["metrics"]["psnr"] != plain["metrics"]["psnr"]
    network = networks.open_run(run)
    with pytest.raises(UserError, match="--changed-code"):
        network.load(torch.device("cpu"))
    now = network.with_changed_code()
    assert now.label == "Tiny (changed code)" and now.load(torch.device("cpu")) is not None


def test_migration_adds_a_probe_where_the_kept_pictures_come_out_again(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = paths.results() / NAME
    first, second = (run.folder for run in read_results(own).rows[1].runs)
    probes = [read_json(folder / "run.json")["probe"] for folder in (first, second)]
    for folder in (first, second):
        change(folder / "run.json", probe=None, code="older", digests={})
    for path in (second / "samples").iterdir():
        Image.new("RGB", (128, 128)).save(path)
    assert main(["migrate", str(own)]) == 0
    assert read_json(first / "run.json")["probe"] == pytest.approx(probes[0], abs=1e-5)
    assert networks.run_record(second).probe is None
    assert sorted(networks.run_record(second).digests)[:2] == ["curve.csv", "scores/photos-f54fef67cb91.csv"]
    assert f"{second}: no probe: its pictures differ" in capsys.readouterr().err
    networks.open_run(first).load(torch.device("cpu"))
    with pytest.raises(UserError, match="no probe was kept"):
        networks.open_run(second).load(torch.device("cpu"))


def test_scores_that_a_run_did_not_write_are_neither_drawn_nor_kept(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = read_results(paths.results() / NAME).rows[1].runs[0].folder
    (path,) = (run / "scores").iterdir()
    (sheet,) = read_scores(run).values()
    better = {
        name: tuple(min(value + 1, 1.0) if "ssim" in name else value for value in column if value is not None)
        for name, column in sheet.columns.items()
    }
    packed = write_sheet(run, dataclasses.replace(sheet, columns=better), packed=True)
    path.unlink()
    for gone, message in ((packed, f"{packed}: not written by this run"), (path, f"{path}: no such file, though")):
        for command, code in ((["report", NAME], 1), (["archive", NAME], 2)):
            assert main(command) == code
            assert message in capsys.readouterr().err
        gone.unlink(missing_ok=True)
    assert not (networks.reference() / NAME / run.name / "run.json").exists()


def test_a_row_of_pictures_is_kept_by_its_scores(root: Path) -> None:
    store = open_split("photos", "test")
    for name, face in zip(store.names, store.faces, strict=True):
        write_quickly(root / "theirs" / f"{name}.webp", face)
    job = [str(root / "small.toml"), "--profile", str(root / "short.toml"), "--data", "photos", "--jobs", "2"]
    assert main(["run", *job, "--pictures", f"Theirs={root / 'theirs'}", "--device", "cpu"]) == 0
    archive.archive(NAME, ["tiny"])
    with pytest.raises(UserError, match="--weights pictures: no row of that method"):
        archive.archive(NAME, ["pictures"])
    whole, kept = (read_results(folder / NAME).rows[-1] for folder in (paths.results(), networks.reference()))
    assert kept.label == "Theirs" and kept.foreign == whole.foreign != ""
    (test,) = read_results(networks.reference() / NAME).test
    ours, theirs = (row.runs[0].values(test, "sparnet", "psnr") for row in (whole, kept))
    assert len(theirs) == 3 and theirs == pytest.approx(ours, rel=5e-6)
    folder = kept.runs[0].folder
    assert not list(folder.rglob("*.webp")) and not list(folder.rglob("*.png"))  # they show photographs
