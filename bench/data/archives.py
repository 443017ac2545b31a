"""Walk and read tar (.tar, .tar.gz, .tgz) and zip archives without unpacking them, whatever state they are in."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from bench.core.errors import UserError, reason

_OPENERS: dict[bytes, Callable[[Path], object]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_ZIP = b"PK"


class Found(NamedTuple):
    """A file as a walk comes upon it: `size` unpacked bytes at `place`; `problem` is why it can't be read, else ""."""

    path: str
    size: int
    place: int
    problem: str = ""


class Archive:
    """An open archive; its kind is told by its first bytes, not by its name."""

    def __init__(self, path: Path) -> None:
        self.file: BinaryIO = path.open("rb")
        head = self.file.read(8)
        self.is_zip = head.startswith(_ZIP)
        for magic, opener in _OPENERS.items():
            if head.startswith(magic):
                self.file.close()
                self.file = cast(BinaryIO, opener(path))
        self.file.seek(0)

    def read(self, place: int, size: int) -> bytes:
        """Return the bytes of a file that was found at `place`; anything may be raised where an archive is damaged."""
        self.file.seek(place)
        return _read_zipped(self.file, size) if self.is_zip else self.file.read(size)

    def close(self) -> None:
        """Close the archive."""
        self.file.close()


def walk_archive(path: Path) -> Iterator[Found]:
    """Yield the files of an archive in its order; the place of one is where its data (tar) or header (zip) begins.

    Raises UserError when the archive is truncated or damaged or none.
    """
    archive = Archive(path)
    try:
        yield from _walk_zip(archive.file) if archive.is_zip else _walk_tar(archive.file)
    except Exception as error:  # damaged archives make the libraries raise anything
        raise UserError(
            f"{path}: not a whole {'zip' if archive.is_zip else 'tar'} archive ({reason(error)}); fetch it again, or, "
            "if it is an archive of another kind, unpack it and give the folder"
        ) from None
    finally:
        archive.close()


def _walk_tar(file: BinaryIO) -> Iterator[Found]:
    with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        last = -1
        while (member := archive.next()) is not None:
            if member.size < 0 or archive.offset <= last:
                raise tarfile.ReadError("a negative size")  # Python before 3.11.14 would go round in a circle
            last = archive.offset
            archive.members = []  # type: ignore[attr-defined] # it would keep every member: a kilobyte each
            if not member.isdir():
                yield Found(_tar_name(member), member.size, member.offset_data, _tar_problem(member))
        _check_end(file, archive.offset)


def _tar_name(member: tarfile.TarInfo) -> str:
    """Return a tar member's name; bytes that are not UTF-8 are read as Latin-1, the usual one of old archives."""
    raw = member.name.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _tar_problem(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return "unsafe: a link"
    if member.issparse():
        return "unsafe: a sparse file"
    return "" if member.isfile() else "unsafe: not a plain file"


def _check_end(file: BinaryIO, offset: int) -> None:
    """Raise tarfile.ReadError unless a tar's members end at `offset` with a block of zeros, and zeros alone follow.

    tarfile takes whatever is no header for the end. Reading on also has a compressed file's checksum checked.
    """
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("its end is missing")
    if block.strip(b"\0"):
        raise tarfile.ReadError(f"damaged at byte {offset}")
    while block := file.read(1 << 20):
        if block.strip(b"\0"):
            raise tarfile.ReadError("more follows after its end")


def _walk_zip(file: BinaryIO) -> Iterator[Found]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                yield Found(_zip_name(member), member.file_size, member.header_offset, _zip_problem(member))
        _check_count(file, len(archive.infolist()))


def _check_count(file: BinaryIO, found: int) -> None:
    """Raise zipfile.BadZipFile unless a zip's end record counts as many members as were found (APPNOTE.TXT, 4.3.16).

    zipfile takes a damaged length in the directory for one that swallows the next members.
    """
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - (1 << 16) - 22))  # a comment may follow the record
    tail = file.read()
    (count,) = struct.unpack_from("<H", tail, tail.rindex(b"PK\5\6") + 10)
    if count not in (found & 0xFFFF, 0xFFFF):  # the latter where there are more than the field can hold
        raise zipfile.BadZipFile(f"{found} of {count} members found")


def _zip_name(member: zipfile.ZipInfo) -> str:
    """Return a zip member's name; macOS writes UTF-8 without saying so, which was read as code page 437."""
    if member.flag_bits & 0x800:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename


def _zip_problem(member: zipfile.ZipInfo) -> str:
    if stat.S_ISLNK(member.external_attr >> 16):
        return "unsafe: a link"
    if member.flag_bits & 1:
        return "encrypted"
    known = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    return "" if known else f"packed by zip's method {member.compress_type}, expected deflate: pack it again"


def _read_zipped(file: BinaryIO, size: int) -> bytes:
    """Read the zip member of `size` unpacked bytes whose local header is next in `file` (APPNOTE.TXT, 4.3.7-4.3.9).

    zipfile would keep the whole directory in memory, 120 MB for CelebA. Raises ValueError, EOFError, zlib.error or
    struct.error when the member is damaged or holds more than `size` bytes, of which no more than one is unpacked.
    """
    signature, method, checksum, name, extra = struct.unpack("<4s4xH4xI8xHH", file.read(30))
    if signature != b"PK\3\4":
        raise ValueError("no zip member where one was")
    file.seek(name + extra, os.SEEK_CUR)
    if method == zipfile.ZIP_STORED:
        content, rest = file.read(size), file.read(8)
    else:
        content, rest = _inflate(file, size)
    # What was packed in one pass has its checksum after the data, with or without a signature before it.
    after = rest.removeprefix(b"PK\7\x08")[:4]
    if zlib.crc32(content) not in (checksum, int.from_bytes(after, "little")):
        raise ValueError("wrong checksum")
    return content


def _inflate(file: BinaryIO, size: int) -> tuple[bytes, bytes]:
    """Unpack a deflate stream of `size` bytes; return also the eight packed bytes that follow it."""
    inflater, parts, left = zlib.decompressobj(-zlib.MAX_WBITS), [b""], size
    while not inflater.eof:
        block = file.read(1 << 14)
        if not block:
            raise EOFError("cut off")
        parts.append(inflater.decompress(block, left + 1))
        left -= len(parts[-1])
        if left < 0:
            raise ValueError(f"more than the {size} bytes it declares")
    return b"".join(parts), (inflater.unused_data + file.read(8))[:8]
