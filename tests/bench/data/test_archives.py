"""Archives that are cut off, garbled, packed in odd ways or malicious, all made here."""

from __future__ import annotations

import gzip
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import UserError
from bench.data.sources import Reader, list_sources
from tests.bench.data.pictures import pack, picture, with_names
from tests.bench.data.test_sources import ARCHIVES, in_order, noise, read_all


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", ARCHIVES)
def test_a_truncated_archive_is_an_error(tmp_path: Path, name: str, part: float) -> None:
    path = pack(tmp_path / name, {f"{i}.png": picture(i, size=(60, 60)) for i in range(9)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole.rstrip(b"\0")) * part)])
    with pytest.raises(UserError, match=rf"{name}: not a whole (tar|zip) archive .*; fetch it again"):
        list_sources([path])


@pytest.mark.parametrize("packer", [bytes, gzip.compress])
def test_a_tar_is_whole_only_with_its_end(tmp_path: Path, packer: Callable[[bytes], bytes]) -> None:
    """tarfile takes a cut between two members, a damaged header or a second archive for the end."""
    path = pack(tmp_path / "x.tar", {"a.png": noise(1, 512), "b.png": noise(2, 512)})
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[1024 + 3] ^= 1  # in the second header
    cases = {"its end is missing": whole[:1024], "damaged at byte 1024": bytes(damaged), "more follows": whole * 2}
    cases["unexpected end of data"] = whole[: 1024 + 512 + 100]
    for message, content in cases.items():
        path.write_bytes(packer(content))
        with pytest.raises(UserError, match=rf"x\.tar: not a whole tar archive \(ReadError: {message}.*fetch it again"):
            list_sources([path])
    path.write_bytes(packer(whole))
    assert list(read_all(path)) == ["a.png", "b.png"]


def test_a_zip_is_whole_only_with_all_its_members(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {f"{i}.png": b"1" for i in range(5)})
    content = bytearray(path.read_bytes())
    second = content.index(b"PK\1\2", content.index(b"PK\1\2") + 1)
    content[second + 32] = 46 + 5  # a comment as long as the next member's record
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.zip: not a whole zip archive .*4 of 5 members found.*fetch it again"):
        list_sources([path])
    path = pack(tmp_path / "y.zip", {"a.png": b"1"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"c" * 65_535
    assert list(read_all(path)) == ["a.png"]


@pytest.mark.parametrize("kind", ARCHIVES)
def test_garbled_archives_are_read_or_refused(tmp_path: Path, kind: str) -> None:
    draw = np.random.default_rng(0)
    whole = pack(tmp_path / kind, {f"{'long' * 30}/{i}.png": noise(i, 60) for i in range(4)}).read_bytes()
    length, refused = len(whole.rstrip(b"\0")), 0
    for _ in range(40):
        garbled = np.frombuffer(whole, np.uint8).copy()
        places = draw.integers(0, length, draw.integers(1, 5))
        garbled[places] = draw.integers(0, 256, len(places))
        (tmp_path / kind).write_bytes(garbled.tobytes())
        try:
            read_all(tmp_path / kind)
        except UserError as error:
            assert "fetch" in str(error), error
            refused += 1
    assert refused > 10


def test_a_negative_size_is_no_endless_loop(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.tar", {"a.png": b"", "b.png": b""})
    content = bytearray(path.read_bytes())
    content[512 + 124 : 512 + 136] = b"\xff" * 10 + b"\xfc\x00"  # -1024, in base 256
    content[512 + 148 : 512 + 156] = b" " * 8
    content[512 + 148 : 512 + 156] = b"%06o\0 " % sum(content[512:1024])
    path.write_bytes(content)
    with pytest.raises(UserError, match="negative size"):
        list_sources([path])


def test_damage_is_noticed_by_the_checksum(tmp_path: Path) -> None:
    files = {f"{i}.png": noise(i, 5000) for i in range(3)}
    path = pack(tmp_path / "x.tar.gz", files)
    content = bytearray(path.read_bytes())
    content[-8] ^= 1  # in the checksum itself
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.tar\.gz: not a whole tar archive .*CRC.*fetch it again"):
        list_sources([path])
    path = pack(tmp_path / "x.zip", files)
    content = bytearray(path.read_bytes())
    content[content.index(files["1.png"][1000:1040]) + 20] ^= 1
    path.write_bytes(content)
    message = r"x\.zip:1\.png: cannot be read \(BadZipFile: Bad CRC-32 .*\); fetch the archive again"
    with pytest.raises(UserError, match=message):
        read_all(path)


def test_a_member_that_is_there_twice_is_the_last_one(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.tar", {"a.png": b"old"})
    with tarfile.open(path, "a") as archive:
        archive.add(pack(tmp_path / "new", {"a.png": b"newer"}) / "a.png", "a.png")
    assert read_all(path) == {"a.png": b"newer"}
    assert list_sources([path]).skipped == [("x.tar:a.png", "replaced by a later file of its path, as unpacking does")]
    files = {"c.png": b"1", "/c.png": b"2", "C:\\c.png": b"3", "._c.png": b"4", "/._c.png": b"5"}
    path = pack(tmp_path / "x.zip", files)
    assert read_all(path) == {"c.png": b"3"}
    assert [where for where, _ in list_sources([path]).skipped] == ["x.zip:c.png"] * 2


@pytest.mark.parametrize("kind", ARCHIVES)
def test_names_of_windows_and_of_macos_are_those_of_others(tmp_path: Path, kind: str) -> None:
    source = pack(tmp_path / kind, {"d\\Zoe\u0308.png": b"1"})
    assert list(read_all(source)) == ["d/Zo\u00eb.png"]


@pytest.mark.parametrize("kind", ["x.zip", "x.tar"])
@pytest.mark.parametrize(
    ("names", "paths"),
    [
        ([b"\x83\x5c.png", b"\x95\x5c.png"], ["{}\uff3c.png", "{}\uff3c.png"]),  # Shift-JIS
        ([b"\x83\x5c1.png", b"d/\x95\x5c/2.png"], ["{}\uff3c1.png", "d/{}\uff3c/2.png"]),
        ([b"\xa5\x5c.png", b"\xb3\x5c\xa4\x40.png"], ["{}\uff3c.png", "{}\uff3c{}@.png"]),  # Big5
        ([b"\x83\x69\x83\x7e/1.png", b"\xbd\x7e"], ["{}i{}\uff5e/1.png", "{}\uff5e"]),  # a tilde, no backup
        ([b"\x82.\x95\x5c.png", b"\x82.\x95\x5c1.png"], ["{}.{}\uff3c.png", "{}.{}/1.png"]),  # in no encoding
        ([b"d\\a.png", b"d\\e\\b.png"], ["d/a.png", "d/e/b.png"]),  # ASCII, and what Windows wrote in Europe
        ([b"Zo\x89.x\\a.png", b"\x81.x\\e\\\x82.png"], ["Zo{}.x/a.png", "{}.x/e/{}.png"]),
        ([b"\x82\\\x81.png", b"d\\\x82.png"], ["{}/{}.png", "d/{}.png"]),
    ],
)
def test_names_of_old_windows(tmp_path: Path, kind: str, names: list[bytes], paths: list[str]) -> None:
    """A backslash is a separator or half of a Japanese or Chinese letter; either way no photo is lost."""
    content = {"".join("xy"[i] for _ in name): picture(i) for i, name in enumerate(names)}
    path = pack(tmp_path / kind, content)
    with_names(path, dict(zip(content, names, strict=True)))
    listing = list_sources([path])
    for entry, name, shown in zip(in_order(listing.photos), names, paths, strict=True):
        latin = kind == "x.tar" and all(byte > 0x9F for byte in name if byte > 127)
        letters = [bytes([byte]).decode("latin-1" if latin else "cp437") for byte in name if byte > 127]
        assert entry.path == shown.format(*letters)
    assert list(read_all(path).values()) == list(content.values())
    assert (listing.skipped, listing.others) == ([], {})


def test_members_of_a_zip_that_cannot_be_read_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        inside = zipfile.ZipInfo("folder/inside.png")
        inside.external_attr = 0o120777 << 16
        archive.writestr(inside, "../ok.png")
        archive.writestr("odd.png", b"1")
        archive.writestr("folder/", b"")
        archive.writestr("locked.png", b"2")
        archive.writestr("ok.png", b"3")
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\1\2", 0, content.rindex(b"locked.png")) + 8] |= 1  # the flag of encryption
    content[content.rindex(b"PK\1\2", 0, content.rindex(b"odd.png")) + 10] = 9  # deflate64
    path.write_bytes(content)
    listing = list_sources([path])
    assert read_all(path) == {"ok.png": b"3", "folder/inside.png": b"3"}
    assert listing.skipped == [
        ("x.zip:link.png", "a link to no file of the archive"),
        ("x.zip:odd.png", "packed by zip's method 9, expected deflate: pack it again"),
        ("x.zip:locked.png", "encrypted"),
    ]


def test_a_zip_bomb_is_not_unpacked_beyond_its_declared_size(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {"bomb.png": b"\0" * 50_000_000})
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\1\2") + 24
    content[at : at + 4] = struct.pack("<I", 1000)
    path.write_bytes(content)
    (entry,) = list_sources([path]).photos
    tracemalloc.start()
    try:
        with Reader() as reader, pytest.raises(UserError, match="Bad CRC-32"):
            reader.read(entry)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
