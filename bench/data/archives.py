"""Walk and read tar and zip archives without unpacking them, by tarfile and zipfile.

Those two stop silently where an archive is damaged; that its end and the number of its members are as they should be
is checked here, since photos would be lost otherwise.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
import struct
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from bench.core.errors import UserError, reason
from bench.core.names import is_litter, one_line

_ZIP = b"PK"
# Encodings of two bytes a letter; the second may be that of a backslash, or of a tilde.
_DOUBLE = ("cp932", "gb18030", "big5hkscs")
_NO_LETTER = re.compile(rb"[\x80-\x9f]").search  # of Latin-1
_LONGEST_PATH = 4096  # bytes
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


LINK = "a link to no file of the archive"


class Member(NamedTuple):
    """A file of a folder or archive: `size` unpacked bytes at `place`; `problem` is why it can't be read, else "".

    `link` is the path in its archive that it is another name of.
    """

    path: str
    size: int
    place: int
    problem: str = ""
    link: str = ""


class Archive:
    """An open archive; its kind is told by its first bytes, not by its name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._raw = path.open("rb")
        try:
            self.is_zip = self._raw.read(2) == _ZIP
            self._raw.seek(0)
            if self.is_zip:
                self.zip = zipfile.ZipFile(self._raw)
                self._members = {member.header_offset: member for member in self.zip.infolist()}
            else:
                self.tar = _open_tar(self._raw)
        except BaseException:
            self._raw.close()
            raise

    @property
    def file(self) -> IO[bytes]:
        """The archive's bytes, those of a compressed tar unpacked."""
        return self._raw if self.is_zip else cast(IO[bytes], self.tar.fileobj)

    def read(self, place: int, size: int) -> bytes:
        """Return the bytes of a file that was found at `place`; anything may be raised where an archive is damaged."""
        if self.is_zip:
            if place not in self._members:
                raise ValueError("no zip member where one was")
            with self.zip.open(self._members[place]) as file:
                return file.read(size + 1)
        self.file.seek(place)
        return self.file.read(size)

    def close(self) -> None:
        """Close the archive."""
        (self.zip if self.is_zip else self.tar).close()
        self._raw.close()


def _open_tar(file: IO[bytes]) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=file, mode="r:*", encoding="utf-8", errors="surrogateescape")
    except tarfile.ReadError:
        raise tarfile.ReadError("tarfile cannot open it") from None


def walk_archive(path: Path) -> Iterator[Member]:
    """Yield the files of an archive in its order; the place of one is where its data (tar) or header (zip) begins.

    Raises UserError when the archive is truncated or damaged or none.
    """
    with path.open("rb") as file:
        kind = "zip" if file.read(2) == _ZIP else "tar"
    try:
        archive = Archive(path)
        try:
            yield from _walk_zip(archive) if archive.is_zip else _walk_tar(archive)
        finally:
            archive.close()
    except Exception as error:  # damaged archives make the libraries raise anything
        raise UserError(
            f"{path}: not a whole {kind} archive ({reason(error)}); fetch it again, or, if it is an archive of another "
            "kind, unpack it and give the folder"
        ) from None


def _path(name: str) -> str:
    """Return a member's path as unpacking gives it: no root, drive or ".", no backslashes, letters composed (macOS)."""
    path = re.sub(r"^(//[^/]+/[^/]+/|[A-Za-z]:)", "", name.replace("\\", "/"))
    path = re.sub(r"(?<![^/])(\.?/)+", "", path)
    return one_line(unicodedata.normalize("NFC", path))


def _old_name(raw: bytes, encoding: str) -> str:
    """Return a name that is no UTF-8 by an `encoding` of one byte a letter; full-width signs stand for halves.

    Behind a byte above ASCII a backslash is a separator of Windows, or the half of a Japanese or Chinese letter, as a
    tilde may be. It is the half where the name is one in such an encoding, or where it would hide the file otherwise.
    """
    name = raw.decode(encoding)
    whole = re.sub(r"(?<=[^\0-\x7f])[\\~]", lambda half: chr(ord(half[0]) + 0xFEE0), name)
    hidden = any(map(is_litter, re.split(r"[\\/]", name)))
    return whole if hidden or any(_decodes(raw, double) for double in _DOUBLE) else name


def _decodes(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _walk_tar(archive: Archive) -> Iterator[Member]:
    last, tar = -1, archive.tar
    while (member := tar.next()) is not None:
        if member.size < 0 or tar.offset <= last:
            raise tarfile.ReadError("a negative size")  # Python before 3.11.14 would go round in a circle
        last = tar.offset
        tar.members = []  # type: ignore[attr-defined] # it would keep every member: a kilobyte each
        if not member.isdir():
            path = _path(_tar_name(member.name))
            yield Member(path, member.size, member.offset_data, _tar_problem(member), _tar_link(member, path))
    _check_end(archive.file, tar.offset)


def _tar_link(member: tarfile.TarInfo, path: str) -> str:
    """Return the path in a tar that a link at `path` leads to: a hard link's as it stands, a soft one's from there."""
    target = _tar_name(member.linkname)
    if member.islnk():
        return _path(target)
    return _soft_link(target, path) if member.issym() else ""


def _soft_link(target: str, path: str) -> str:
    away = target.startswith(("/", "\\"))
    return "" if away else posixpath.normpath(posixpath.join(posixpath.dirname(path), _path(target)))


def _tar_name(name: str) -> str:
    """Return a name in a tar; bytes that are not UTF-8 are read as Latin-1, the usual one of old archives.

    Names with bytes that are no letters there are read as a zip's are: they would become the same otherwise.
    """
    raw = name.encode("utf-8", "surrogateescape")
    return raw.decode() if _decodes(raw, "utf-8") else _old_name(raw, "cp437" if _NO_LETTER(raw) else "latin-1")


def _tar_problem(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return LINK
    if member.issparse():
        return "unsafe: a sparse file"
    return "" if member.isfile() else "unsafe: not a plain file"


def _check_end(file: IO[bytes], offset: int) -> None:
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


def _walk_zip(archive: Archive) -> Iterator[Member]:
    members = archive.zip.infolist()
    for member in members:
        if not (path := _path(_zip_name(member))).endswith("/"):
            problem = _zip_problem(member)
            link = problem == LINK and member.file_size < _LONGEST_PATH and not member.flag_bits & 1
            target = _soft_link(archive.zip.read(member).decode(errors="replace"), path) if link else ""
            yield Member(path, member.file_size, member.header_offset, problem, target)
    _check_count(archive.file, len(members))


def _zip_name(member: zipfile.ZipInfo) -> str:
    """Return a zip member's name: UTF-8 by its flag, by Info-ZIP's extra field or, from macOS, untold; else cp437."""
    if member.flag_bits & 0x800:
        return member.filename
    extra = member.extra
    try:
        while len(extra) >= 4:
            tag, size = struct.unpack_from("<HH", extra)
            if tag == 0x7075:
                return extra[9 : 4 + size].decode()
            extra = extra[4 + size :]
    except UnicodeError:
        return member.filename
    raw = member.filename.encode("cp437")
    return raw.decode() if _decodes(raw, "utf-8") else _old_name(raw, "cp437")


def _zip_problem(member: zipfile.ZipInfo) -> str:
    if stat.S_ISLNK(member.external_attr >> 16):
        return LINK
    if member.flag_bits & 1:
        return "encrypted"
    known = member.compress_type in _METHODS
    return "" if known else f"packed by zip's method {member.compress_type}, expected deflate: pack it again"


def _check_count(file: IO[bytes], count: int) -> None:
    """Raise zipfile.BadZipFile unless a zip's end record counts as many members as were found (APPNOTE.TXT, 4.3.16).

    zipfile takes a damaged length in the directory for one that swallows the next members.
    """
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - (1 << 16) - 22))  # a comment may follow the record
    tail = file.read()
    (expected,) = struct.unpack_from("<H", tail, tail.rindex(b"PK\5\6") + 10)
    if expected not in (count & 0xFFFF, 0xFFFF):  # the latter where there are more than the field can hold
        raise zipfile.BadZipFile(f"{count} of {expected} members found")
