"""Find and read photos in folders, tar and zip archives, one at a time; nothing is ever unpacked to disk.

What can't be used is named and skipped with its reason. A source that may have lost photos (missing, truncated,
damaged, unreadable) is an error. Memory stays flat: a file listed costs some 200 bytes, three times that while a zip is
read, and a file read its own size.
"""

from __future__ import annotations

import logging
import os
import posixpath
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType

from bench.core.errors import UserError, reason
from bench.core.names import fold, is_litter, readable
from bench.data.archives import LINK, Archive, Member, walk_archive
from bench.data.decode import EMPTY, HEAD, NO_PICTURE, RAW, problem_of

log = logging.getLogger("fsr")
MAX_BYTES = 200_000_000  # of one file; no photo is that large, and it is read as a whole
_SIDECAR = ".pts"  # iBUG's landmarks beside a photo
_PHOTO = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".mpo", ".avif", ".heic", ".heif", ".jxl"),
}
_NO_PHOTO = {
    *(".txt", ".csv", ".tsv", ".md", ".rst", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".html", ".htm"),
    *(".pdf", ".log", ".mat", ".npy", ".npz", ".pkl", ".h5", ".py", ".m", ".sh", ".md5", ".sha256"),
    *(".mov", ".mp4", ".m4v", ".avi", ".mkv", ".3gp", ".aae", ".xmp", ".thm", ".lrv", ".wav", ".m4a", ".mp3", ".ini"),
}
_RAW = {
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".raf", ".orf", ".rw2", ".pef", ".srw"),
    *(".raw", ".3fr", ".iiq", ".x3f", ".kdc", ".dcr", ".mrw", ".erf", ".rwl", ".mos"),
}
_NO_PHOTO_NAMES = {"readme", "license", "copying", "md5sums", "sha256sums"}
_ARCHIVES = {".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zip", ".7z", ".rar"}
_KINDS = 5  # suffixes that are named in a message
_NOWHERE, _OUTSIDE = "a link that leads nowhere", "unsafe: a link out of the folder"
_AGAIN = "replaced by a later file of its path, as unpacking does"
HARMLESS = {LINK, _NOWHERE, _OUTSIDE, _AGAIN}  # reasons why a file is skipped even where every picture is wanted
_NESTED = "an archive inside another: give it as a source of its own"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a source.

    `path` is the POSIX path inside it ("lfw/AJ_Lamas/AJ_Lamas_0001.jpg"), `source` the archive or the folder that was
    given, `size` the unpacked bytes. `place` orders the files as they lie in their source: the offset of the data in
    a tar, of the header in a zip, the running number in a folder. `raw` is the path as the file system has it, where
    it reads otherwise.
    """

    path: str
    source: Path
    size: int
    place: int
    raw: str = ""

    @property
    def name(self) -> str:
        """The name without folders."""
        return self.path.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without folders and suffix, its letters composed (macOS takes them apart)."""
        return unicodedata.normalize("NFC", PurePosixPath(self.path).stem)

    @property
    def order(self) -> tuple[str, int]:
        """What entries are sorted by to be read as they lie in their sources, a compressed tar in one pass."""
        return str(self.source), self.place

    @property
    def where(self) -> str:
        """The file as a person would name it: "celeba_test.tar:182655.jpg", "folder/a/b.jpg"."""
        return f"{readable(self.source.name)}{'/' if self.source.is_dir() else ':'}{self.path}"

    @property
    def file(self) -> Path:
        """Where the file of a folder lies."""
        return self.source / (self.raw or self.path)


@dataclass
class Listing:
    """What sources hold: photos by name, .pts files by path without suffix, and (where, reason) of unusable files.

    `others` counts, by suffix, the files that are no pictures at all.
    """

    photos: list[Entry] = field(default_factory=list)
    sidecars: dict[str, Entry] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def list_sources(sources: Sequence[Path]) -> Listing:
    """List the files of folders and archives; a source given twice is read once.

    A file counts as a photo by its suffix, or where that says nothing by its first bytes. Others (texts, tables, films)
    are passed over and counted; what systems and editors leave is not even counted. Of two sidecars of one path, that
    of the first source is kept.

    Raises UserError for a source that is missing, empty, unreadable or a truncated or damaged archive: going on would
    silently lose photos.
    """
    if not sources:
        raise UserError("no source given: --source FILE.tar, --source FILE.zip or --source FOLDER")
    listing = Listing()
    seen: set[str] = set()
    for source in sources:
        real = os.path.realpath(source)
        if real not in seen:
            _add_source(source if source.name not in ("", "..") else Path(real), listing)
            seen.add(real)
    _leave_others(listing)
    if not listing.photos:
        only = f"{_SIDECAR} files" if listing.sidecars else "files that are no pictures"
        raise UserError(f"{', '.join(map(str, sources))}: only {only} in it; expected photos")
    if listing.others:
        count = listing.others.total()
        what = "file that is no photo" if count == 1 else "files that are no photos"
        log.info("%d %s passed over: %s", count, what, _kinds(listing.others))
    listing.photos.sort(key=lambda entry: (entry.name, entry.path, entry.source.name, str(entry.source)))
    return listing


class Reader:
    """Read files of sources, an archive staying open until another is read from; a context manager.

    Any order works; in a compressed tar every step back starts again at its beginning, so sort by `Entry.order`.
    """

    def __init__(self) -> None:
        self._archive: Archive | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()

    def read(self, entry: Entry) -> bytes:
        """Return a file's bytes; raise UserError that names it when it can't be read or is not what was listed."""
        in_folder = entry.source.is_dir()
        way_out = "run again" if in_folder else "fetch the archive again"
        try:
            content = _read_file(entry) if in_folder else self._open(entry.source).read(entry.place, entry.size)
        except PermissionError:
            raise UserError(f"{entry.where}: may not be read; change its permissions") from None
        except Exception as error:  # damaged archives make the libraries raise anything
            raise UserError(f"{entry.where}: cannot be read ({reason(error)}); {way_out}") from None
        if len(content) != entry.size:
            raise UserError(f"{entry.where}: has {len(content)} bytes, expected {entry.size}; {way_out}")
        return content

    def problem(self, entry: Entry) -> str:
        """Return why a file is no picture that can be decoded, by its first bytes; "" where it may well be."""
        try:
            if entry.source.is_dir():
                with entry.file.open("rb") as file:
                    return problem_of(file.read(HEAD))
            return problem_of(self._open(entry.source).read(entry.place, min(HEAD, entry.size)))
        except Exception:  # as in `read`, which will say so
            return ""

    def _open(self, path: Path) -> Archive:
        if self._archive is None or self._archive.path != path:
            self._close()
            self._archive = Archive(path)
        return self._archive

    def _close(self) -> None:
        if self._archive is not None:
            self._archive.close()
            self._archive = None


def _add_source(source: Path, listing: Listing) -> None:
    """Add the files of one source to a listing."""
    before, others = len(listing.skipped), listing.others.copy()
    try:
        if not source.exists():
            raise UserError(f"{source}: no such file or folder")
        if not source.is_dir() and not source.is_file():
            raise UserError(f"{source}: neither a file nor a folder, but a pipe or a device; save it as a file")
        if source.suffix.lower() in _PHOTO and source.is_file():
            raise UserError(f"{source}: a photo; give the folder it lies in, or an archive")
        walk = _walk_folder(source) if source.is_dir() else walk_archive(source)
        members: dict[str, Member] = {}
        for member in walk:
            if (older := members.pop(member.path, None)) is not None:
                _sort_in(older._replace(problem=_AGAIN), source, listing)
            members[member.path] = member
        useful = sum(_sort_in(_follow(member, members), source, listing) for member in members.values())
    except PermissionError as error:
        raise UserError(f"{error.filename or source}: may not be read; change its permissions") from None
    except OSError as error:
        raise UserError(f"{error.filename or source}: cannot be read ({error.strerror})") from None
    if useful:
        return
    skipped = listing.skipped[before:]
    archives = [where for where, why in skipped if why == _NESTED]
    if archives and source.is_dir():
        raise UserError(f"{source}: holds archives ({archives[0]}) and no photos; give each archive as a --source")
    first = f" that can be used ({len(skipped)} cannot, the first: {': '.join(skipped[0])})" if skipped else ""
    if not skipped and (left := listing.others - others):
        first = f" but {_kinds(left)}"
    raise UserError(f"{source}: no files in it{first}; expected photos")


def _follow(member: Member, members: Mapping[str, Member]) -> Member:
    """Return a file under the name of a link to it; a link as it is, with its problem, where it leads to none."""
    target, passed = member, set[str]()
    while target.link and target.link not in passed:
        passed.add(target.link)
        target = members.get(target.link, member)
    return member if target.link else target._replace(path=member.path)


def _kinds(others: Counter[str]) -> str:
    """Return how many files there are of each suffix, the most frequent first."""
    named = ", ".join(f"{count} {kind}" for kind, count in others.most_common(_KINDS))
    return named + (", ..." if len(others) > _KINDS else "")


def _sort_in(member: Member, source: Path, listing: Listing) -> bool:
    """Put a file where it belongs in a listing; return whether it is of use."""
    parts = [part for part in member.path.split("/") if part not in ("", ".")]
    if any(map(is_litter, parts)) or not parts:
        return False
    path = "/".join(parts)
    text = readable(path) if source.is_dir() else path
    entry = Entry(text, source, member.size, member.place, "" if text == path else path)
    stem, suffix = posixpath.splitext(entry.path.lower())
    if suffix in _NO_PHOTO or entry.name.lower() in _NO_PHOTO_NAMES:
        listing.others[suffix or entry.name] += 1
        return False
    problem = member.problem
    if not problem and (".." in parts or "\\" in entry.path):
        problem = "unsafe: a path out of its source"
    elif not problem and suffix in _ARCHIVES:
        problem = _NESTED
    elif not problem and suffix in _RAW:
        problem = RAW
    elif not problem and member.size > MAX_BYTES:
        problem = "too large for a photo"
    if problem:
        listing.skipped.append((entry.where, problem))
    elif suffix == _SIDECAR:
        listing.sidecars.setdefault(fold(stem), entry)
    else:
        listing.photos.append(entry)
    return not problem


def _leave_others(listing: Listing) -> None:
    """Take out of the photos those that are none: files of an unknown suffix that do not begin as pictures do."""
    odd = [entry for entry in listing.photos if posixpath.splitext(entry.path.lower())[1] not in _PHOTO]
    with Reader() as reader:
        odd = sorted(odd, key=lambda entry: entry.order)
        others = {entry for entry in odd if reader.problem(entry).startswith((NO_PICTURE, EMPTY))}
    listing.others.update(posixpath.splitext(entry.name.lower())[1] or entry.name for entry in others)
    listing.photos = [entry for entry in listing.photos if entry not in others]


def _walk_folder(folder: Path) -> Iterator[Member]:
    """Yield the files of a folder and its subfolders; linked folders are not entered, so there is no endless loop."""
    root, waiting, place = folder.resolve(), [""], 0
    while waiting:
        prefix = waiting.pop()
        with os.scandir(folder / prefix) as children:
            ordered = sorted(children, key=lambda child: child.name)
        for child in ordered:
            if child.is_dir(follow_symlinks=False):
                if not is_litter(child.name):
                    waiting.append(f"{prefix}{child.name}/")
                continue
            size, problem = _look_at(child, root)
            if problem is not None:
                yield Member(prefix + child.name, size, place, problem)
                place += 1


def _look_at(child: os.DirEntry[str], root: Path) -> tuple[int, str | None]:
    """Return a file's size and problem; None stands for a link to a folder whose files are found in any case."""
    if child.is_symlink():
        try:
            target = Path(child.path).resolve(strict=True)
        except (OSError, RuntimeError):
            return 0, _NOWHERE
        if not target.is_relative_to(root):
            return 0, _OUTSIDE
        if target.is_dir():
            return 0, None
    about = child.stat()
    return about.st_size, "" if stat.S_ISREG(about.st_mode) else "unsafe: not a plain file"


def _read_file(entry: Entry) -> bytes:
    with entry.file.open("rb") as file:
        return file.read(entry.size + 1)  # one more, to notice that it has grown
