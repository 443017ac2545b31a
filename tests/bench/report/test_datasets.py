"""`fsr data`: what is listed, what verifying finds, and what the command line makes of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.cli.faces import prepare
from bench.cli.main import main
from bench.core import paths
from bench.core.files import read_json, write_json
from bench.data.photoset import PhotoOptions
from bench.data.scan import ScanOptions
from bench.data.store import FaceRow, FaceStore, write_store
from bench.report import datasets as table
from tests.bench.cli.test_cli import error_of
from tests.bench.conftest import smooth_faces
from tests.bench.data.pictures import pack, picture


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSR_ROOT", str(tmp_path / "root"))
    return tmp_path


@pytest.fixture
def two(root: Path) -> dict[str, FaceStore]:
    """Prepare CelebA's train and test, three photos in all, and a generated set."""
    files = {f"{number:06d}.jpg": picture(number, size=(90, 80), kind="JPEG") for number in (1, 2, 200000)}
    given = PhotoOptions([pack(root / "photos.tar", files)], detector="center", how=ScanOptions(quiet=True))
    made = {store.split: store for store in prepare("celeba", given)}
    card = {"recipe": {"generator": "Made up 1.0"}, "counts": {"read": 2}}
    rows = [FaceRow("a"), FaceRow("b")]
    write_store(paths.prepared() / "synthfaces" / "test", rows, enumerate(smooth_faces(2, 0)), card)
    return made


def publish(monkeypatch: pytest.MonkeyPatch, path: Path, **splits: dict[str, Any]) -> None:
    """Have an audit come with the card of CelebA, and none with others."""
    write_json(path, {"splits": splits})
    monkeypatch.setattr(table, "published_audit", lambda name: path if name == "celeba" else None)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["data", *arguments]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    return error_of(["data", *arguments], capsys)


def test_what_is_prepared_and_from_what(two: dict[str, FaceStore], capsys: pytest.CaptureFixture[str]) -> None:
    os.utime(two["test"].path / "card.json", (1700000000, 1700000000))
    rows = table.describe(None)
    assert [(row["dataset"], row["split"], row["faces"], row["size"], row["from"]) for row in rows] == [
        ("celeba", "train", 2, 128, "photos.tar (center, margin 1.0, shift)"),
        ("celeba", "test", 1, 128, "photos.tar (center, margin 1.0, shift)"),
        ("synthfaces", "test", 2, 128, "Made up 1.0"),
    ]
    assert rows[1]["fingerprint"] == two["test"].fingerprint and rows[1]["path"] == str(two["test"].path)
    assert rows[1]["prepared"].startswith("2023-11-1")
    assert table.describe("synthfaces") == rows[2:]
    text = run(capsys)
    assert [line.split()[:5] for line in text.splitlines()[2:]] == [
        [row["dataset"], row["split"], str(row["faces"]), "128x128", row["fingerprint"][:12]] for row in rows
    ]
    assert json.loads(run(capsys, "list", "celeba", "--json")) == rows[:2]


def test_nothing_prepared_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing is prepared in" in run(capsys)
    assert json.loads(run(capsys, "--json")) == []
    for what in ("verify", "show", "audit"):
        assert "nothing is prepared in" in refused(capsys, what)


def test_unknown_names_get_the_nearest(two: dict[str, FaceStore], capsys: pytest.CaptureFixture[str]) -> None:
    for what in ("list", "show", "verify", "audit"):
        message = refused(capsys, what, "celebb")
        assert "no data set 'celebb' in" in message and "did you mean 'celeba'?" in message
    assert refused(capsys, "verfy") == "fsr: what: unknown value 'verfy': did you mean 'verify'?"


def test_verify_compares_with_the_published_audit(
    two: dict[str, FaceStore], root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = two["train"], two["test"]
    other = {"faces": 11968, "fingerprint": "feedc0de" * 8}
    publish(monkeypatch, root / "audit.json", train={"faces": 2, "fingerprint": train.fingerprint}, test=other)
    own, changed, generated = json.loads(run(capsys, "verify", "--json"))
    assert own == {
        "dataset": "celeba",
        "split": "train",
        "fingerprint": train.fingerprint,
        "published": train.fingerprint,
        "path": str(train.path),
        "verdict": f"2 faces, fingerprint {train.fingerprint[:12]}: whole; the faces of the published audit",
    }
    assert changed["published"] == other["fingerprint"]
    assert changed["verdict"].endswith(
        ": whole; not the faces of the published audit (11,968, feedc0defeed): other photos or another recipe"
    )
    assert generated["published"] is None and generated["verdict"].endswith(": whole")
    assert run(capsys, "verify").splitlines()[0] == f"{train.path}: {own['verdict']}"
    publish(monkeypatch, root / "audit.json", train=other)
    assert table.verify(test)["published"] is None, "the published audit has no such split"


def test_a_changed_pixel_is_found(two: dict[str, FaceStore], capsys: pytest.CaptureFixture[str]) -> None:
    path = two["test"].path / "faces.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for what in ("verify", "audit"):
        capsys.readouterr()
        assert main(["data", what]) == 2
        out, message = capsys.readouterr()
        assert str(two["test"].path) in message and "the faces have changed: fingerprint" in message
        assert f"{two['train'].path}: 2 faces" in out if what == "verify" else "# Audit of Default faces" in out
        assert "CelebA" not in out, "no audit of changed faces"
    assert "whole" in run(capsys, "verify", "synthfaces")


def test_a_damaged_set_is_listed_and_stops_no_other(
    two: dict[str, FaceStore], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = two["test"].path / "faces.csv"
    path.write_text(path.read_text().replace(two["test"].rows[0].sha256, "0" * 64))
    assert [row["faces"] for row in json.loads(run(capsys, "--json"))] == [2, None, 2]
    (line,) = [line for line in run(capsys).splitlines() if " test " in line and "celeba" in line]
    assert line.endswith("damaged: `fsr data verify celeba` tells how")
    photos = pack(root / "other.tar", {"a.png": picture(7, size=(90, 90))})
    given = PhotoOptions([photos], name="mine", split="train", detector="center", how=ScanOptions(quiet=True))
    (other,) = prepare("folder", given)
    assert f"not audited: {two['test'].path}" in capsys.readouterr().err
    assert read_json(other.path.parent / "audit.json")["leakage"] == []
    assert "card.json or faces.csv has changed since it was written" in refused(capsys, "show", "celeba")


def test_audits_are_made_anew(two: dict[str, FaceStore], capsys: pytest.CaptureFixture[str]) -> None:
    audit_file = paths.prepared() / "celeba" / "audit.json"
    before = read_json(audit_file)
    write_json(audit_file, {**before, "leakage": [], "splits": {"test": {**before["splits"]["test"], "bicubic": {}}}})
    pages = run(capsys, "audit")
    assert read_json(audit_file) == before
    assert pages.startswith("# Audit of CelebA\n") and "# Audit of Default faces" in pages
    assert json.loads(run(capsys, "audit", "celeba", "--json")) == [before]
    assert (paths.prepared() / "synthfaces" / "audit.md").read_text(encoding="utf-8").strip() in pages


def test_contact_sheets_lie_beside_the_faces(two: dict[str, FaceStore], capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "show", "celeba", "--faces", "1")
    sheets = [two[split].path.parent / f"{split}-contact.png" for split in ("train", "test")]
    assert text == f"written: {sheets[0]}, {sheets[1]}\n"
    with Image.open(sheets[0]) as sheet:
        width, height = sheet.size
    written = json.loads(run(capsys, "show", "--json"))["written"]
    assert written == [*map(str, sheets), str(paths.prepared() / "synthfaces" / "test-contact.png")]
    with Image.open(sheets[0]) as sheet:
        assert sheet.width == width and sheet.height > height, "two faces instead of one"
    assert "--faces: 0 given, expected 1 to 100,000,000" in refused(capsys, "show", "celeba", "--faces", "0")
    assert "--faces: 10,001 given, expected 1 to 10,000" in refused(capsys, "show", "celeba", "--faces", "10001")
    assert len(table.describe(None)) == 3, "sheets and audits are no data sets"
