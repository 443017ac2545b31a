"""Real photographs: the committed manifests rebuild the audited faces; a tiny ablation from archives to Table 1."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance, ImageOps

from bench.cli.faces import prepare
from bench.cli.main import main
from bench.core import paths
from bench.core.files import read_json, read_unpacked
from bench.data import scan
from bench.data.cards import manifest_paths, published_audit, read_card
from bench.data.manifest import read_manifest
from bench.data.photoset import PhotoOptions, prepare_photos
from bench.data.scan import ScanOptions
from bench.runs.audit import audit
from tests.bench.conftest import REAL, needs_photos

pytestmark = pytest.mark.photos
EXPERIMENT = """
title = "Tiny"
kind = "ablation"
rows = [{ method = "bicubic" }, { method = "sparnet" }, { method = "msfnet-8" }]
"""


def first_photos(archive: str, count: int, out: Path) -> Path:
    """Copy the first photos of an archive into an archive of their own."""
    with tarfile.open(REAL / archive) as source, tarfile.open(out, "w") as target:
        for member in [one for one in source if one.isfile()][:count]:
            file = source.extractfile(member)
            assert file is not None
            target.addfile(member, io.BytesIO(file.read()))
    return out


@needs_photos
def test_from_celeba_tars_to_table_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    (tmp_path / "tiny.toml").write_text(EXPERIMENT)
    splits = {"celeba_train_2of2.tar": 8, "celeba_val.tar": 2, "celeba_test.tar": 4}
    tars = [str(first_photos(name, count, tmp_path / name)) for name, count in splits.items()]
    settings = ["training.iterations=2", "training.warmup=0", "training.validate_every=1", "training.batch=2"]
    command = ["run", str(tmp_path / "tiny.toml"), "--data", "celeba", "--source", *tars, "--jobs", "1", "--json"]
    for setting in settings:
        command += ["--set", setting]
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out)
    assert [run["status"] for run in result["runs"]] == ["finished"] * 3
    with (paths.reports() / "tiny-celeba" / "table1.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert rows["bicubic"]["images"] == rows["msfnet-8"]["images"] == "4"
    assert 18 < float(rows["bicubic"]["psnr"]) < 28
    assert float(rows["sparnet"]["psnr"]) > 0
    prepared = paths.prepared() / "celeba"
    faces = {split: read_json(prepared / split / "card.json")["faces"] for split in ("train", "test")}
    assert faces == {"train": 8, "test": 4}


SETS = {
    "celeba": ["celeba_train_1of2.tar", "celeba_train_2of2.tar", "celeba_val.tar", "celeba_test.tar"],
    "helen": ["helen_test.tar"],
    "lfw": ["lfw_test.tar"],
    "crowd": ["crowd_photos.tar"],
    "aaf-16": ["web_faces.tar"],
}


def options(*names: str, folder: Path = REAL, **more: object) -> PhotoOptions:
    return PhotoOptions([folder / name for name in names], how=ScanOptions(jobs=2, quiet=True), **more)  # type: ignore[arg-type]


@needs_photos
@pytest.mark.parametrize(
    "name",
    [*(pytest.param(name, marks=pytest.mark.slow) for name in ("celeba", "lfw")), "helen", "crowd", "aaf-16"],
)
def test_the_committed_manifests_rebuild_the_audited_faces(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    monkeypatch.setattr(scan, "make_detector", lambda *_, **__: pytest.fail("a detector was asked"))
    path = published_audit(name)
    assert path is not None
    published, card = read_json(path), read_card(name)
    stores = {store.split: store for store in prepare_photos(name, options(*SETS[name]))}
    assert set(stores) == set(published["splits"])
    for split, store in stores.items():
        assert (store.path / "manifest.csv").read_bytes() == read_unpacked(manifest_paths(name)[split])
    made = audit(name)
    assert {**made, "sets": published["sets"], "leakage": published["leakage"]} == published
    if card.bicubic:
        row = made["splits"]["test"]["bicubic"]
        expected = (card.bicubic.faces, card.bicubic.psnr, card.bicubic.ssim)
        assert (row["faces"], round(row["psnr"], 3), row["ssim"]) == expected
        assert abs(row["psnr"] - card.bicubic.paper_psnr) < 0.05
        # Helen misses the goal of 0.01: no margin brings both numbers near, see its card.
        assert abs(row["ssim"] - card.bicubic.paper_ssim) < (0.0125 if name == "helen" else 0.01)


@needs_photos
@pytest.mark.parametrize("name", [pytest.param("celeba", marks=pytest.mark.slow), "helen"])
def test_detecting_anew_finds_the_faces_of_the_manifest(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a few pixels: batches, versions and machines move MTCNN's boxes, which is why manifests are kept."""
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    first_photos(SETS[name][-1], 12, tmp_path / "some.tar")
    (store,) = prepare_photos(name, options("some.tar", folder=tmp_path, redetect=True))
    known = {row.sha256: row for path in manifest_paths(name).values() for row in read_manifest(path)}
    assert len(store) == 12
    for row in store.rows:
        box = known[row.sha256].box
        assert box is not None
        side = max(box[2] - box[0], box[3] - box[1])
        assert [float(value) for value in row.box.split()] == pytest.approx(box, abs=0.03 * side)


@needs_photos
def test_a_leak_in_celebas_own_partition_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training photo 009014 and test photo 188291 are one photo, cut and toned otherwise, under two identities."""
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    wanted = {"009014.jpg", "000019.jpg", "188291.jpg", "182655.jpg"}
    with tarfile.open(tmp_path / "some.tar", "w") as target:
        for name in SETS["celeba"]:
            with tarfile.open(REAL / name) as source:
                for member in source:
                    if Path(member.name).name in wanted:
                        target.addfile(member, source.extractfile(member))
    given = options("some.tar", folder=tmp_path)
    prepare("celeba", given, quiet=True)
    (pair,) = audit("celeba")["leakage"]
    assert (pair["exact"], pair["near"], pair["identities"]) == (0, 1, 0)
    assert [(leak["train"], leak["test"]) for leak in pair["pairs"]] == [("009014", "188291")]
    stores = {store.split: store for store in prepare("celeba", dataclasses.replace(given, drop_leaks=True))}
    assert "009014" not in stores["train"].names and "188291" in stores["test"].names


CHANGES = {  # -> the share that datasets/README.md says is found
    "JPEG": (lambda photo: _saved(photo, quality=30), 0.96),
    "smaller": (
        lambda photo: photo.resize((photo.width * 3 // 5, photo.height * 3 // 5), Image.Resampling.BICUBIC),
        0.93,
    ),
    "darker": (lambda photo: ImageEnhance.Brightness(photo).enhance(0.7), 0.95),
    "mirrored": (ImageOps.mirror, 0.88),
    "cropped": (lambda photo: ImageOps.crop(photo, round(0.08 * min(photo.size))), 0.92),
    "turned by 2": (lambda photo: photo.rotate(2, Image.Resampling.BICUBIC), 0.91),
    "turned by 3": (lambda photo: photo.rotate(3, Image.Resampling.BICUBIC), 0.50),
    "turned by 8": (lambda photo: photo.rotate(8, Image.Resampling.BICUBIC), 0.0),
}


def _saved(photo: Image.Image, quality: int) -> Image.Image:
    out = io.BytesIO()
    photo.save(out, "JPEG", quality=quality)
    return Image.open(out)


@needs_photos
@pytest.mark.slow
def test_of_changed_copies_as_many_are_found_as_the_data_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path))
    with tarfile.open(REAL / "lfw_test.tar") as source:
        members = [member for member in source if member.isfile()][:60]
        photos = [Image.open(source.extractfile(member)).convert("RGB") for member in members]  # type: ignore[arg-type]
    for name, change in {"originals": lambda photo: photo, **{name: how for name, (how, _) in CHANGES.items()}}.items():
        folder = tmp_path / name
        folder.mkdir()
        for place, photo in enumerate(photos):
            change(photo).save(folder / f"{place:02d}.png")
        split = "train" if name == "originals" else "test"
        prepare("folder", options(name, folder=tmp_path, name=name.replace(" ", "-"), split=split, margin=1.11))
    for pair in audit("originals")["leakage"]:
        change = next(name for name in CHANGES if pair["test"] == f"{name.replace(' ', '-')}/test")
        assert all(leak["train"] == leak["test"] for leak in pair["pairs"])
        assert pair["near"] / len(photos) == pytest.approx(CHANGES[change][1], abs=0.13), change
