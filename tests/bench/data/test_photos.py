"""Sources as people have them: every bad file made here, named and counted by the reader."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.photos import Tally, decode, list_entries, read_photos
from bench.errors import UserError


def picture(
    seed: int = 0, mode: str = "RGB", size: tuple[int, int] = (12, 10), kind: str = "PNG", **how: object
) -> bytes:
    draw = np.random.default_rng(seed)
    image = Image.fromarray(draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).convert(mode)
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def pack(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def read(sources: list[Path], strict: bool = False) -> tuple[list[str], Tally]:
    tally = Tally(strict=strict)
    return [photo.name for photo in read_photos(list_entries(sources, tally), tally)], tally


def test_tar_and_folder_give_the_same_photos_in_the_order_of_names(tmp_path: Path) -> None:
    files = {"b.png": picture(1), "a.png": picture(2), "c.png": picture(3)}
    folder = tmp_path / "photos" / "deep"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    pixels = []
    for source in (
        pack(tmp_path / "x.tar", files),
        pack(tmp_path / "y.tar.gz", dict(reversed(files.items()))),
        tmp_path / "photos",
    ):
        tally = Tally()
        photos = list(read_photos(list_entries([source], tally), tally))
        assert [photo.name for photo in photos] == ["a.png", "b.png", "c.png"]
        pixels.append(np.stack([photo.pixels for photo in photos]).tobytes())
    assert len(set(pixels)) == 1


def test_bad_files_are_named_skipped_and_counted(tmp_path: Path) -> None:
    whole = picture(1, kind="JPEG")
    files = {
        "a.png": picture(),
        "cut.jpg": whole[: len(whole) // 2],
        "empty.png": b"",
        "text.jpg": b"not a picture at all",
        "list.txt": b"ignored, not counted",
    }
    names, tally = read([pack(tmp_path / "x.tar", files)])
    assert names == ["a.png"]
    assert tally.skipped == [
        ("x.tar:cut.jpg", "damaged picture"),
        ("x.tar:empty.png", "empty file"),
        ("x.tar:text.jpg", "not a picture"),
    ]
    told = tally.to_json()
    assert (told["read"], told["skipped"]) == (1, 3)
    assert told["skipped_files"]["not a picture"] == {"count": 1, "names": ["x.tar:text.jpg"]}
    with pytest.raises(UserError, match=r"x\.tar:cut\.jpg: damaged picture \(--strict\)"):
        read([tmp_path / "x.tar"], strict=True)


def test_paths_out_of_the_archive_and_links_are_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.tar", {"../evil.png": picture(), "/abs.png": picture(), "ok.png": picture()})
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    names, tally = read([path])
    assert names == ["ok.png"]
    assert [where for where, _ in tally.skipped] == ["x.tar:../evil.png", "x.tar:/abs.png", "x.tar:link.png"]
    assert not (tmp_path.parent / "evil.png").exists()
    with pytest.raises(UserError, match="unsafe"):
        read([path], strict=True)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
def test_a_truncated_archive_is_an_error(tmp_path: Path, name: str, part: float) -> None:
    path = pack(tmp_path / name, {f"{i}.png": picture(i, size=(60, 60)) for i in range(9)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole.rstrip(b"\0")) * part)])
    with pytest.raises(UserError, match="fetch"):
        read([path])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "none.tar", "no such file or folder"),
        (lambda p: (p / "empty").mkdir() or p / "empty", "no files in it"),
        (lambda p: pack(p / "e.tar", {}), "no files in it"),
        (lambda p: (p / "z.tar").write_bytes(b"zzz") and p / "z.tar", "not a whole tar archive"),
        (lambda p: pack(p / "in.tar", {"a.png": picture()}).parent, "give each archive as a --source"),
    ],
)
def test_bad_sources(tmp_path: Path, make: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read([make(tmp_path)])  # type: ignore[operator]


def test_the_same_photo_twice_is_skipped_and_another_of_its_name_refused(tmp_path: Path) -> None:
    one, other = pack(tmp_path / "1.tar", {"a.png": picture(1)}), pack(tmp_path / "2.tar", {"x/a.png": picture(1)})
    names, tally = read([one, other])
    assert names == ["a.png"] and tally.skipped == [("2.tar:x/a.png", "the same photo again")]
    with pytest.raises(UserError, match="have one name but differ"):
        read([one, pack(tmp_path / "3.tar", {"a.png": picture(2)})])


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (picture(mode="L"), "grey"),
        (picture(mode="1"), "grey"),
        (picture(mode="CMYK", kind="JPEG"), "CMYK"),
        (picture(mode="P"), "palette"),
        (picture(mode="RGBA"), "alpha"),
        (picture(mode="LA"), "alpha"),
    ],
)
def test_other_kinds_of_picture_are_converted_and_counted(content: bytes, kind: str) -> None:
    tally = Tally()
    pixels = decode(content, tally)
    assert pixels.shape == (10, 12, 3) and pixels.dtype == np.uint8
    assert kind in tally.converted and tally.converted[kind] == 1


def test_sixteen_bits_become_eight() -> None:
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    out = io.BytesIO()
    Image.fromarray(values).save(out, "PNG")
    tally = Tally()
    assert decode(out.getvalue(), tally)[0, :, 0].tolist() == [0, 1, 128, 255]
    assert tally.converted == {"16-bit": 1}


def test_exif_turns_the_picture_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    tally = Tally()
    assert decode(picture(kind="JPEG", exif=exif), tally).shape == (12, 10, 3)
    assert tally.converted == {"rotated by EXIF": 1}


def test_a_decompression_bomb_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError, match="more than 100 pixels"):
        decode(picture(), Tally())
    with pytest.raises(UserError, match="more than 100 pixels"):
        decode(picture(size=(30, 30)), Tally())
