"""`fsr score --sr --hr`: anybody's pictures, paired by name or refused."""

from __future__ import annotations

import json
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cli.main import main
from bench.data.degrade import degrade, upsample
from bench.data.pairs import read_pairs
from tests.bench.cli.test_cli import error_of, run_json
from tests.bench.conftest import smooth_faces
from tests.bench.data.pictures import pack, with_names
from tests.bench.data.test_sources import add_to_tar


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Write three faces, what Bicubic makes of them, and its input."""
    hr = smooth_faces(3, 0)
    lr = degrade(hr, 8)
    for side, pictures in {"hr": hr, "lr": lr, "sr": upsample(lr, 8)}.items():
        for name, picture in zip("cab", pictures, strict=True):
            save(tmp_path / side / f"{name}.png", picture)
    return tmp_path


def save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(picture).save(path)


def command(folder: Path, *more: str) -> list[str]:
    return ["score", "--sr", str(folder / "sr"), "--hr", str(folder / "hr"), *more]


def test_pictures_get_scores_with_intervals(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from skimage.metrics import peak_signal_noise_ratio

    found = run_json(command(folders, "--protocol", "rgb", "--metric", "psnr", "--metric", "lr-psnr"), capsys)
    assert found["protocol"] == "rgb"
    expected = {
        name: peak_signal_noise_ratio(*(np.asarray(Image.open(folders / s / f"{name}.png")) for s in ("hr", "sr")))
        for name in "abc"
    }
    assert {one["image"]: one["value"] for one in found["images"]} == pytest.approx(expected)
    told = found["metrics"]["psnr"]
    assert told["mean"] == pytest.approx(np.mean(list(expected.values()))) and told["n"] == 3
    assert told["ci95"][0] < told["mean"] < told["ci95"][1]
    assert found["unavailable"] == {"lr-psnr": "needs the low-resolution input"}
    with_lr = run_json(command(folders, "--lr", str(folders / "lr"), "--metric", "lr-psnr"), capsys)
    assert with_lr["scale"] == 8 and with_lr["metrics"]["lr-psnr"]["mean"] > 30


def test_many_pictures_keep_their_order_and_pythons_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.data.pairs.cores", lambda: 4)
    pictures = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 3), np.uint8)
    for place, picture in enumerate(pictures):
        save(tmp_path / "sr" / f"{place:02}.png", picture)
    before = list(warnings.filters)
    assert np.array_equal(read_pairs(tmp_path / "sr").sr, pictures)
    assert list(warnings.filters) == before


def test_a_damaged_picture_is_named(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = folders / "sr" / "b.png"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    assert error_of(command(folders), capsys) == "fsr: sr/b.png: damaged picture"


def test_identical_pictures_are_counted_and_left_out(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(folders / "sr" / "a.png", np.asarray(Image.open(folders / "hr" / "a.png")))
    found = run_json(command(folders, "--metric", "psnr"), capsys)
    told = found["metrics"]["psnr"]
    finite = [one["value"] for one in found["images"] if one["value"] is not None]
    assert (told["n"], told["infinite"], len(finite)) == (2, 1, 2)
    assert told["mean"] == pytest.approx(np.mean(finite))
    same = ["score", "--sr", str(folders / "hr"), "--hr", str(folders / "hr"), "--metric", "psnr"]
    told = run_json(same, capsys)["metrics"]["psnr"]
    assert (told["mean"], told["ci95"], told["n"], told["infinite"]) == (None, [None, None], 0, 3)


def test_odd_pictures_are_told(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = Image.open(folders / "lr" / "a.png")
    (folders / "lr" / "a.png").unlink()
    small.save(folders / "lr" / "a.jpg")
    found = run_json(command(folders, "--lr", str(folders / "lr"), "--metric", "psnr"), capsys)
    assert found["warnings"] == ["LR: 1 of 3 pictures are JPEG: scores include its losses"]


def test_pictures_that_do_not_match(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = (folders / "sr" / "b.png").read_bytes()
    face = np.asarray(Image.open(folders / "sr" / "b.png"))
    (folders / "sr" / "b.png").rename(folders / "sr" / "d.png")
    message = error_of(command(folders), capsys)
    assert "do not match: 1 only in" in message and "sr: d; 1 only in" in message and "hr: b" in message
    (folders / "sr" / "d.png").unlink()
    assert "sr has 2 pictures" in error_of(command(folders), capsys)
    for picture, expected in (
        (face[:64, :64], "64x64 pixels"),
        (np.repeat(face[..., :1], 3, axis=2), "1 of 3 SR pictures are grey and their HR is in colour (b)"),
    ):
        save(folders / "sr" / "b.png", picture)
        assert expected in error_of(command(folders), capsys)
    (folders / "sr" / "b.png").write_bytes(good[:-200])
    assert "b.png: damaged picture" in error_of(command(folders), capsys)
    (folders / "sr" / "b.png").write_bytes(good)
    (folders / "sr" / "b.bmp").write_bytes(good)
    assert "several pictures are called b" in error_of(command(folders), capsys)
    (folders / "hr" / "b.bmp").write_bytes(good)  # on both sides: paired with their endings
    scored = run_json(command(folders, "--metric", "psnr"), capsys)["images"]
    assert [image["image"] for image in scored] == ["a.png", "b.bmp", "b.png", "c.png"]


def test_what_is_no_picture_does_not_count_for_names(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    for name, content in {
        "a.mov": b"film",
        "b.txt": b"text",
        "._c.png": b"Mac",
        "c.heic": heic,
        "b.dng": b"raw",
    }.items():
        (folders / "sr" / name).write_bytes(content)
    assert len(run_json(command(folders, "--metric", "psnr"), capsys)["images"]) == 3
    (folders / "sr" / "d.heic").write_bytes(heic)
    for name in ("a.mov", "b.txt", "c.heic"):
        (folders / "sr" / name).unlink()
    message = error_of(command(folders), capsys)
    assert message == "fsr: sr/d.heic: a HEIC picture: pip install pillow-heif, or save it as JPEG"


def test_letters_in_either_form_are_one_name(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "sr" / "a.png").rename(folders / "sr" / "Zoe\u0308.png")
    (folders / "hr" / "a.png").rename(folders / "hr" / "Zo\u00eb.png")
    scored = run_json(command(folders, "--metric", "psnr"), capsys)["images"]
    assert [image["image"] for image in scored] == ["Zo\u00eb", "b", "c"]


def test_names_of_japanese_zips_are_paired(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side in ("sr", "hr"):
        names = {name: (folders / side / f"{name}.png").read_bytes() for name in "abc"}
        path = pack(folders / f"{side}.zip", {"xx.png": names["a"], "yy.png": names["b"], "c.png": names["c"]})
        with_names(path, {"xx.png": b"\x83\x5c.png", "yy.png": b"\x95\x5c.png"})
    zips = ["score", "--sr", str(folders / "sr.zip"), "--hr", str(folders / "hr.zip"), "--metric", "psnr"]
    plain = {image["value"] for image in run_json(command(folders, "--metric", "psnr"), capsys)["images"]}
    assert {image["value"] for image in run_json(zips, capsys)["images"]} == plain


def test_links_in_archives_do_not_end_the_work(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {f"{name}.png": (folders / "sr" / f"{name}.png").read_bytes() for name in "ab"}
    tar = pack(folders / "sr.tar", {**files, "d/c.png": (folders / "sr" / "c.png").read_bytes()})
    add_to_tar(tar, name="c.png", type=tarfile.LNKTYPE, linkname="d/c.png")
    add_to_tar(tar, name="latest.png", type=tarfile.SYMTYPE, linkname="/gone.png")
    (folders / "hr" / "d").mkdir()
    (folders / "hr" / "d" / "c.png").hardlink_to(folders / "hr" / "c.png")
    (folders / "hr" / "last.png").symlink_to("gone.png")
    tars = ["score", "--sr", str(tar), "--hr", str(folders / "hr"), "--metric", "psnr"]
    capsys.readouterr()
    assert main([*tars, "--json"]) == 0
    out, told = capsys.readouterr()
    scored = {image["image"]: image["value"] for image in json.loads(out)["images"]}
    assert list(scored) == ["a", "b", "c", "d/c"] and scored["c"] == scored["d/c"]
    assert "sr.tar:latest.png: left out: a link to no file of the archive" in told
    assert "hr/last.png: left out: a link that leads nowhere" in told


def test_sizes_of_whole_folders(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abc":
        save(folders / "hr" / f"{name}.png", smooth_faces(1, 0, 64)[0])
    assert "sr: pictures of 128x128 pixels, those of" in error_of(command(folders), capsys)
    for name in "abc":
        save(folders / "lr" / f"{name}.png", smooth_faces(1, 0, 20)[0])
    only = ["score", "--sr", str(folders / "sr"), "--lr", str(folders / "lr")]
    assert "no whole multiple of the 20x20" in error_of(only, capsys)


def test_what_is_given_must_make_sense(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = ["score", "--sr", str(folders / "sr")]
    for arguments, message in (
        (["score", "--hr", str(folders / "hr")], "give a method"),
        (["score", "bicubic", *alone[1:]], "bicubic: not together with --sr"),
        (command(folders, "--faces", "2"), "--faces: not together with --sr"),
        ([*alone, "--metric", "psnr"], "no metric can be had: psnr: needs ground truth"),
        (command(folders, "--protocol", "rbg"), "did you mean 'rgb'"),
    ):
        assert message in error_of(arguments, capsys)
    assert set(run_json(alone, capsys)["metrics"]) == {"niqe-pooled"}
