"""Write files so that a reader sees the old one or the new one, never half of one."""

from __future__ import annotations

import codecs
import contextlib
import csv
import functools
import hashlib
import io
import json
import logging
import lzma
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.core.errors import UserError
from bench.core.locks import lock
from bench.core.modes import make_folder, open_new

log = logging.getLogger("fsr")
LOCK = ".lock"  # locked while the files of its folder are replaced
_WAY_OUT = "delete it or restore it from a copy"


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step: temporary name, fsync, rename.

    Raises OSError (disk full, read-only folder); the old file is then still whole and no temporary file is left.
    """
    make_folder(path.parent)
    new = path.with_name(f".{secrets.token_hex(8)}.tmp")  # of a length that fits, however long the name
    try:
        with os.fdopen(open_new(new), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException as error:
        new.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)
        raise


def keep(path: Path, content: bytes) -> None:
    """Replace `path` where its content differs; where that cannot be, log one line: it can be made again."""
    try:
        if not path.exists() or path.read_bytes() != content:
            write_bytes(path, content)
    except OSError as error:
        log.warning("%s: not kept (%s)", path, error.strerror)


def sweep(folder: Path) -> None:
    """Remove what a process killed in the middle of a write has left in `folder`."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(PermissionError):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold `folder`, which is made, while its files are replaced: another process that holds it is waited for.

    What a process killed in the middle of a write has left there is removed first.
    """
    with lock(folder / LOCK):
        sweep(folder)
        yield


def write_text(path: Path, text: str) -> None:
    """Replace `path` by UTF-8 `text` in one step; what is no Unicode, as in names of other systems, is escaped."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, value: object) -> None:
    """Replace `path` by `value` as indented JSON in one step; NaN and infinity are refused."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: object) -> bytes:
    """Return `value` as indented JSON; NaN and infinity are refused."""
    return json.dumps(value, indent=2, allow_nan=False).encode() + b"\n"


def text_of(content: bytes) -> str:
    """Return the text of a file as programs of any system write it: UTF-8, with or without a mark, any ends of lines.

    The end that DOS gave texts, Ctrl-Z, is left out.

    Raises ValueError that says what else it is.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        name = "UTF-32" if content.startswith(codecs.BOM_UTF32_LE) else "UTF-16"
        raise ValueError(f"{name} text; save it as UTF-8")
    if b"\0" in content:
        raise ValueError("NUL bytes, so no text; save it as UTF-8")
    try:
        return content.rstrip(b"\x1a").decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text: byte 0x{content[error.start]:02x}; save it as UTF-8") from None


def read_json(path: Path) -> Any:
    """Read a JSON file; raise UserError that names it when it is missing or damaged."""
    try:
        return json.loads(text_of(path.read_bytes()))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:  # besides its own errors, of lists without end
        raise UserError(f"{path}: not valid JSON ({error}); {_WAY_OUT}") from None


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Replace `path` by a CSV file with `columns`, in one step; floats keep every digit (repr)."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, out.getvalue())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_kept(path: Path) -> str:
    """Return the SHA-256 of a file, computed once for its size and time of change: for large files that stay."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, size: int, changed: int) -> str:
    return sha256_of(path)


def read_unpacked(path: Path) -> bytes:
    """Return the bytes of a file, unpacked where its name ends with .xz; raise OSError, EOFError or LZMAError."""
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content


def without_excel(text: str) -> tuple[str, str]:
    """Return where fields end as Excel's own first line "sep=;" says, else "", and the text with that line empty."""
    line = re.match(r'\s*"?sep=([^"\w\n])"?[ ;,\t]*(?=\n|$)', text, re.IGNORECASE)
    return (line[1], "\n" * line[0].count("\n") + text[line.end() :]) if line else ("", text)


def csv_rows(text: str, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line and the fields of each row of a table that has these columns, its head first.

    Fields end at a comma, or as other spreadsheets have it: where Excel's own first line says, or at the semicolons or
    tabs of the head. Rows without any text are left out. Raises ValueError that names the line where a quote is not
    closed.
    """
    sign, text = without_excel(text)
    head = next((line for line in text.lower().split("\n") if line.strip(' ;,\t"')), "")
    wanted = {name.lower() for name in columns}
    split = (sign for sign in ";\t" if wanted <= {name.strip(' "') for name in head.split(sign)})
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=sign or next(split, ","))
    line = 1
    try:
        for row in reader:
            if any(map(str.strip, row)):
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        what = "a quote that is not closed" if "end of data" in str(error) else str(error)
        raise ValueError(f"line {line}: {what}") from None


def read_csv(path: Path, columns: Sequence[str], *, more: bool = False) -> list[dict[str, str]]:
    """Read a CSV file, which .xz may pack, whose header is exactly `columns`, or with `more` begins with them.

    Raises UserError that names it when it is damaged.
    """
    try:
        text = text_of(read_unpacked(path))
        (_, head), *rows = csv_rows(text, columns)
        head = [name.strip() for name in head]
    except (ValueError, EOFError, lzma.LZMAError) as error:
        raise UserError(f"{path}: not valid CSV ({error}); {_WAY_OUT}") from None
    if head[: len(columns)] != list(columns) or (len(head) > len(columns) and not more) or len({*head}) < len(head):
        raise UserError(f"{path}: columns are {head}, expected {list(columns)}; {_WAY_OUT}")
    for number, row in rows:
        if len(row) != len(head):
            raise UserError(f"{path}: {len(row)} fields in line {number}, expected {len(head)}; {_WAY_OUT}")
    return [dict(zip(head, row, strict=True)) for _, row in rows]
