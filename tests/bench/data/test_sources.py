"""Sources as people have them: folders, tars and zips, whole, odd and broken, all made here."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import UserError
from bench.data import sources as module
from bench.data.sources import Entry, Reader, list_sources
from tests.bench.data.pictures import pack, picture

ARCHIVES = ["x.tar", "x.tar.gz", "x.zip"]
KINDS = [*ARCHIVES, "folder"]


def noise(seed: int, size: int = 3000) -> bytes:
    """Return bytes that no packer makes smaller."""
    return np.random.default_rng(seed).bytes(size)


def in_order(photos: list[Entry]) -> list[Entry]:
    return sorted(photos, key=lambda entry: entry.order)


def read_all(*sources: Path) -> dict[str, bytes]:
    with Reader() as reader:
        return {entry.path: reader.read(entry) for entry in in_order(list_sources(sources).photos)}


def add_to_tar(path: Path, **fields: object) -> None:
    """Add an empty member whose header has these fields."""
    member = tarfile.TarInfo()
    for name, value in fields.items():
        setattr(member, name, value)
    with tarfile.open(path, "a") as archive:
        archive.addfile(member)


def bytes_read() -> int:
    """Return how much this process has read so far, by the kernel's account."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_of_source_give_the_same_photos_sorted_by_name(tmp_path: Path, kind: str) -> None:
    files = {"z/b.png": noise(1), "y/deep/c.png": noise(2), "z/a.png": b"", "a.JPG": noise(3, 90_000)}
    source = pack(tmp_path / kind, files)
    listing = list_sources([source])
    assert [entry.path for entry in listing.photos] == ["a.JPG", "z/a.png", "z/b.png", "y/deep/c.png"]
    assert [entry.size for entry in listing.photos] == [90_000, 0, 3000, 3000]
    last = listing.photos[-1]
    assert (last.name, last.stem, last.source) == ("c.png", "c", source)
    assert last.where == ("folder/y/deep/c.png" if kind == "folder" else f"{kind}:y/deep/c.png")
    assert listing.skipped == [] and listing.sidecars == {}
    with Reader() as reader:
        for entry in [*listing.photos, *reversed(listing.photos)]:  # in any order
            assert reader.read(entry) == files[entry.path]
    assert read_all(source) == files


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_never_a_photo_is_passed_over_and_counted(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "fsr")
    names = ["list.txt", "d/a.CSV", "README", "Thumbs.db", ".DS_Store", "d/._a.png", ".git/a.png", "__MACOSX/d/a.png"]
    names += ["d/a.MOV", "d/a.AAE", "d/desktop.ini", "d/a.png~", "#a.png#", ".a.png.swp", "d/no suffix"]
    source = pack(tmp_path / kind, {"./d/a.png": b"1", **dict.fromkeys(names, b"2"), "d/b": picture(), "a.DNG": b"3"})
    listing = list_sources([source])
    assert [entry.path for entry in listing.photos] == ["d/a.png", "d/b"]
    assert listing.others == {".txt": 1, ".csv": 1, "README": 1, ".mov": 1, ".aae": 1, "no suffix": 1}
    assert [why for _, why in listing.skipped] == ["a camera's raw file: develop it to JPEG or TIFF first"]
    assert "6 files that are no photos passed over: 1 .txt, 1 .csv" in caplog.text or kind != "x.tar"


@pytest.mark.parametrize("kind", KINDS)
def test_sidecars_are_found_by_path(tmp_path: Path, kind: str) -> None:
    source = pack(
        tmp_path / kind, {"helen/test/1_1.jpg": b"photo", "helen/test/1_1.pts": b"points", "2.x.PTS": b"more"}
    )
    listing = list_sources([source])
    assert [entry.name for entry in listing.photos] == ["1_1.jpg"]
    assert set(listing.sidecars) == {"helen/test/1_1", "2.x"}
    with Reader() as reader:
        assert reader.read(listing.sidecars["helen/test/1_1"]) == b"points"


def test_of_two_sidecars_the_first_is_kept(tmp_path: Path) -> None:
    photos = pack(tmp_path / "photos.tar", {"a.png": b"photo"})
    first, second = (pack(tmp_path / f"{n}.tar", {"a.pts": n.encode()}) for n in ("first", "second"))
    assert list_sources([photos, first, second]).sidecars["a"].source == first
    assert list_sources([photos, second, first]).sidecars["a"].source == second
    with pytest.raises(UserError, match=r"only \.pts files"):
        list_sources([first])


@pytest.mark.parametrize("kind", ARCHIVES)
def test_unsafe_paths_are_skipped(tmp_path: Path, kind: str) -> None:
    source = pack(tmp_path / kind, {"../evil.png": b"1", "/abs.png": b"2", "..\\b.png": b"3", "ok.png": b"4"})
    listing = list_sources([source])
    assert [entry.path for entry in listing.photos] == ["abs.png", "ok.png"]  # tar and unzip drop a leading "/" too
    assert listing.skipped == [
        (f"{kind}:{name}", "unsafe: a path out of its source") for name in ("../evil.png", "../b.png")
    ]


def test_members_of_a_tar_that_are_no_plain_files_are_skipped(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.tar", {"ok.png": b"1"})
    add_to_tar(path, name="soft.png", type=tarfile.SYMTYPE, linkname="/etc/passwd")
    add_to_tar(path, name="hard.png", type=tarfile.LNKTYPE, linkname="gone.png")
    add_to_tar(path, name="pipe.png", type=tarfile.FIFOTYPE)
    add_to_tar(path, name="disk.png", type=tarfile.BLKTYPE)
    add_to_tar(path, name="thin.png", pax_headers={"GNU.sparse.map": "0,0", "GNU.sparse.size": "9000000"})
    add_to_tar(path, name="folder.png", type=tarfile.DIRTYPE)
    listing = list_sources([path])
    assert [entry.path for entry in listing.photos] == ["ok.png"]
    assert listing.skipped == [
        ("x.tar:soft.png", "a link to no file of the archive"),
        ("x.tar:hard.png", "a link to no file of the archive"),
        ("x.tar:pipe.png", "unsafe: not a plain file"),
        ("x.tar:disk.png", "unsafe: not a plain file"),
        ("x.tar:thin.png", "unsafe: a sparse file"),
    ]


def test_links_in_a_tar_are_files_of_it_under_other_names(tmp_path: Path) -> None:
    """GNU tar writes hard links for files that have several names; soft ones lead on from where they lie."""
    path = pack(tmp_path / "x.tar", {"./d/one.png": b"1", "/two.png": b"22", "../out.png": b"3"})
    hard = {"d/hard.png": "./d/one.png", "again.png": "d/hard.png"}
    soft = {"d/soft.png": "../two.png", "d/near.png": "./one.png", "far.png": "d/near.png"}
    astray = {"away.png": "/two.png", "up.png": "../two.png", "loop.png": "loop.png", "to.png": "fro.png"}
    astray |= {"fro.png": "to.png", "folder": "d", "odd.png": "pipe.png"}
    add_to_tar(path, name="pipe.png", type=tarfile.FIFOTYPE)
    for name, target in hard.items():
        add_to_tar(path, name=name, type=tarfile.LNKTYPE, linkname=target)
    for name, target in {**soft, **astray}.items():
        add_to_tar(path, name=name, type=tarfile.SYMTYPE, linkname=target)
    one = {"d/one.png", "d/hard.png", "again.png", "d/near.png", "far.png"}
    assert read_all(path) == {**dict.fromkeys(one, b"1"), "two.png": b"22", "d/soft.png": b"22"}
    reasons = dict(list_sources([path]).skipped)
    assert reasons.pop("x.tar:../out.png") == "unsafe: a path out of its source"
    assert {reasons.pop(f"x.tar:{name}.png") for name in ("pipe", "odd")} == {"unsafe: not a plain file"}
    assert reasons == {f"x.tar:{name}": "a link to no file of the archive" for name in astray if name != "odd.png"}


@pytest.mark.parametrize("kind", KINDS)
def test_archives_and_huge_files_are_skipped(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    files = {"a.png": b"1" * 1000, "in.tar.gz": b"2", "in.ZIP": b"3", "in.rar": b"4", "huge.png": b"5" * 1001}
    listing = list_sources([pack(tmp_path / kind, files)])
    assert [entry.path for entry in listing.photos] == ["a.png"]
    reasons = {where[len(kind) + 1 :]: why for where, why in listing.skipped}
    nested = "an archive inside another: give it as a source of its own"
    assert reasons == {"in.tar.gz": nested, "in.ZIP": nested, "in.rar": nested, "huge.png": "too large for a photo"}


def test_links_in_folders_are_followed_only_inside(tmp_path: Path) -> None:
    outside = pack(tmp_path / "outside", {"secret.png": b"no"})
    folder = pack(tmp_path / "in", {"a/one.png": b"1", "b/two.png": b"2"})
    links = {"in.png": "a/one.png", "out.png": "../outside/secret.png", "gone.png": "nothing", "self.png": "self.png"}
    links |= {"a/loop": "..", "b/far": str(outside), "b/again": "../a"}
    for name, target in links.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe.png")
    listing = list_sources([folder])
    assert [entry.path for entry in listing.photos] == ["in.png", "a/one.png", "b/two.png"]
    assert dict(listing.skipped) == {
        "in/b/far": "unsafe: a link out of the folder",
        "in/out.png": "unsafe: a link out of the folder",
        "in/gone.png": "a link that leads nowhere",
        "in/self.png": "a link that leads nowhere",
        "in/pipe.png": "unsafe: not a plain file",
    }
    assert read_all(folder)["in.png"] == b"1"


def test_a_linked_source_is_read_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(pack(tmp_path / "folder", {"a.png": b"1"}))
    (tmp_path / "folder" / "b.png").symlink_to("a.png")
    assert [entry.where for entry in list_sources([tmp_path / "link"]).photos] == ["link/a.png", "link/b.png"]


def test_a_source_given_twice_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tar, folder = pack(tmp_path / "x.tar", {"a.png": b"1"}), pack(tmp_path / "f", {"a.png": b"1"})
    (tmp_path / "again").symlink_to(tar)
    monkeypatch.chdir(folder)
    listing = list_sources([tar, folder, tmp_path / "f" / ".." / "x.tar", tmp_path / "again", Path()])
    assert [entry.where for entry in listing.photos] == ["f/a.png", "x.tar:a.png"]
    assert [entry.where for entry in list_sources([Path()]).photos] == ["f/a.png"]


@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("packed", ["w", "w:gz", "w:bz2", "w:xz"])
def test_long_and_foreign_names(tmp_path: Path, format_: int, packed: str) -> None:
    names = ["d" * 90 + "/" + "e" * 90 + "/" + "f" * 90 + ".png", "Zoë/顔.png"]
    with tarfile.open(tmp_path / "x", packed, format=format_) as archive:  # type: ignore[call-overload]
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name.encode())
            archive.addfile(member, io.BytesIO(name.encode()))
    assert read_all(tmp_path / "x") == {name: name.encode() for name in names}


def test_names_that_are_not_utf8_are_read_as_latin_1(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo("Zoë.png"))
    assert list(read_all(tmp_path / "x.tar")) == ["Zoë.png"]
    folder = pack(tmp_path / "f", {"ok.png": b"1"})
    Path(os.fsdecode(os.fsencode(folder) + b"/Zo\xeb.png")).write_bytes(b"2")
    assert read_all(folder) == {"Zoë.png": b"2", "ok.png": b"1"}


def test_names_in_zips(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {"Zoë.png": b"1"})
    assert list(read_all(path)) == ["Zoë.png"]
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # as macOS writes it: UTF-8 without the flag
        content[content.index(signature) + flags + 1] &= ~0x08
    path.write_bytes(content)
    assert list(read_all(path)) == ["Zoë.png"]
    path.write_bytes(bytes(content).replace("Zoë".encode(), b"Zo\x89\x89"))  # code page 437, as old Windows wrote it
    assert list(read_all(path)) == ["Zoëë.png"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "none.tar", "none.tar: no such file or folder"),
        (lambda p: (p / "empty").mkdir() or p / "empty", "empty: no files in it; expected photos"),
        (lambda p: pack(p / "e.tgz", {"list.txt": b"1", "a.MOV": b""}), "no files in it but 1 .txt, 1 .mov; expected"),
        (lambda p: pack(p / "one", {"a.jpg": b"1"}) / "a.jpg", r"a\.jpg: a photo; give the folder it lies in"),
        (lambda p: pack(p / "e.zip", {}), "no files in it"),
        (
            lambda p: pack(p / "e.zip", {"i.zip": b"1"}),
            r"no files in it that can be used \(1 cannot, the first: e\.zip:i",
        ),
        (lambda p: (p / "z.tar").write_bytes(b"zzz") and p / "z.tar", r"z\.tar: not a whole tar archive .*fetch it"),
        (lambda p: (p / "z.zip").write_bytes(b"PK\3\4zz") and p / "z.zip", r"z\.zip: not a whole zip archive"),
        (lambda p: (p / "z.7z").write_bytes(b"7z\xbc\xaf" * 200) and p / "z.7z", "unpack it and give the folder"),
        (lambda p: os.mkfifo(p / "pipe.tar") or p / "pipe.tar", r"pipe\.tar: neither a file nor a folder, but a pipe"),
        (lambda p: pack(p / "in.tar", {"a.png": b"1"}).parent, r"in\.tar\) and no photos; give each archive as a --so"),
    ],
)
def test_bad_sources(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    good = pack(tmp_path / "x.tar", {"a.png": b"1"})
    with pytest.raises(UserError, match=message):
        list_sources([good, make(tmp_path)])


def test_an_unreadable_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pack(tmp_path / "f", {"a.png": b"1", "locked/b.png": b"2"})
    scandir = os.scandir

    def refuse(path: Path) -> object:  # the tests may run as root, whom no permission stops
        if path.name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"f/locked: may not be read"):
        list_sources([folder])


@pytest.mark.parametrize("kind", ["x.tar", "x.zip", "folder"])
def test_an_unreadable_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    source = pack(tmp_path / kind, {"a.png": b"1"})
    (entry,) = list_sources([source]).photos
    locked = source / "a.png" if kind == "folder" else source
    original = Path.open

    def refuse(path: Path, *how: str) -> object:
        if path == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return original(path, *how)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    with Reader() as reader, pytest.raises(UserError, match=rf"{entry.where}: may not be read"):
        reader.read(entry)
    if kind != "folder":
        with pytest.raises(UserError, match=rf"{kind}: may not be read"):
            list_sources([source])


@pytest.mark.parametrize("content", [None, b"123", b"1234567"])
def test_a_file_that_has_changed_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    folder = pack(tmp_path / "f", {"a.png": b"12345"})
    (entry,) = list_sources([folder]).photos
    (folder / "a.png").unlink()
    if content is not None:
        (folder / "a.png").write_bytes(content)
    with Reader() as reader, pytest.raises(UserError, match=r"f/a\.png: .*; run again"):
        reader.read(entry)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_that_was_cut_after_listing_is_an_error(tmp_path: Path, kind: str) -> None:
    path = pack(tmp_path / kind, {f"{i}.png": noise(i, 90_000) for i in range(3)})
    entries = in_order(list_sources([path]).photos)
    path.write_bytes(path.read_bytes()[:200_000])
    with Reader() as reader:
        if kind != "x.zip":  # whose directory is at its end
            assert reader.read(entries[0]) == noise(0, 90_000)
        with pytest.raises(UserError, match=rf"{kind}:2\.png: .*fetch the archive again"):
            reader.read(entries[2])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the kernel does not count")
def test_a_compressed_tar_is_read_in_one_pass(tmp_path: Path) -> None:
    names = [f"{i:03d}.jpg" for i in np.random.default_rng(0).permutation(300)]
    path = pack(tmp_path / "x.tar.gz", {name: noise(0, 10_000) + name.encode() for name in names})
    listing = list_sources([path])
    before = bytes_read()
    with Reader() as reader:
        found = [reader.read(entry)[10_000:].decode() for entry in in_order(listing.photos)]
    assert found == names
    assert bytes_read() - before < 1.2 * path.stat().st_size
    with Reader() as reader:
        assert [reader.read(entry)[10_000:].decode() for entry in listing.photos[:9]] == sorted(names)[:9]
