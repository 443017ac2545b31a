"""Names of files: which are nobody's work, how one of any bytes reads, and names that are distinct and fit a disk."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

_LONGEST = 200  # bytes of a name that we make; file systems take 255, and endings and temporary names are added
_LITTER = re.compile(
    r"\.(?!\.?$).*|~\$.*|.*~|#.*#|.*\.(swp|swo|bak|orig|\w+_original)|(eh)?thumbs\.db|desktop\.ini|icon\r"
    r"|__MACOSX|@eaDir|lost\+found|\$RECYCLE\.BIN|System Volume Information",
    re.IGNORECASE | re.DOTALL,
)


def is_litter(name: str) -> bool:
    """Tell whether a file or folder is what systems and editors leave beside files: hidden ones, indices, backups."""
    return _LITTER.fullmatch(name) is not None


def listed(folder: Path, pattern: str) -> list[Path]:
    """Return what a glob pattern matches below `folder`, sorted, without litter."""
    return sorted(path for path in folder.glob(pattern) if not any(map(is_litter, path.relative_to(folder).parts)))


def readable(path: str | Path) -> str:
    """Return a path from the file system as text of a line on any system: a name in it is UTF-8, or else Latin-1."""
    return one_line("/".join(map(_text, os.fsencode(path).split(b"/"))))


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def one_line(name: str) -> str:
    """Return a name with "_" for line feeds, tabs and other characters that control a terminal."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "_", name)


def fit(name: str) -> str:
    """Return a name for a file that is to be made: a long one is cut and ends with a hash of the whole."""
    raw = name.encode(errors="surrogateescape")
    if len(raw) <= _LONGEST:
        return name
    return raw[: _LONGEST - 9].decode(errors="ignore") + "-" + hashlib.sha256(raw).hexdigest()[:8]


def writable(name: str) -> str:
    """Return a name for a file that is to be made, with "_" for letters that the system's encoding does not have."""
    system = sys.getfilesystemencoding()
    return name if system == "utf-8" else name.encode(system, "replace").decode(system).replace("?", "_")


def distinct_stems(paths: Sequence[str]) -> list[str]:
    """Return what the names of files about each of `paths` begin with: the path without its ending, "/" as "--".

    Where several would have one, as a file system sees it that ignores case, they keep their endings, or where those
    are the same too, get numbers.
    """
    stems = [fit(PurePosixPath(path).with_suffix("").as_posix().replace("/", "--")) for path in paths]
    counts, same = Counter(map(fold, stems)), Counter(map(fold, paths))
    distinct: dict[str, str] = {}
    for path, stem in zip(paths, stems, strict=True):
        clear = counts[fold(stem)] == 1 or same[fold(path)] > 1
        first = name = stem if clear else fit(path.replace("/", "--"))
        number = 1
        while fold(name) in distinct:
            number += 1
            name = f"{first}-{number}"
        distinct[fold(name)] = name
    return list(distinct.values())


def fold(name: str) -> str:
    """Return what names have in common that some file systems take for one: case, and letters in one form."""
    return unicodedata.normalize("NFC", name).casefold()
