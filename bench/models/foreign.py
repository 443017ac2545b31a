"""Weights of others: what a file is, told by its first bytes, and torch checkpoints, of which no pickle is ever run."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

TORCH = "a torch checkpoint"
DAMAGED = "a truncated or damaged safetensors file"
UNKNOWN = "of no kind that is known here"
EXPECTED = "expected weights as runs here have them (safetensors), or a torch checkpoint of tensors"
_HEAD = 512  # bytes that are looked at
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
_AGAIN = "fetch the file itself"
_MAGIC = {
    b"version https://git-lfs": "a git-lfs pointer that stands for the file; `git lfs pull` fetches it",
    b"/annex/objects": "a git-annex pointer that stands for the file; `git annex get` fetches it",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file, as Keras and MATLAB write them",
    b"MATLAB 5": "a MATLAB file",
    b"GGUF": "a GGUF file",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"BZh": "a bzip2 archive; unpack it",
    b"\xfd7zXZ": "an xz archive; unpack it",
    b"7z\xbc\xaf": "a 7z archive; unpack it",
    b"Rar!": "a rar archive; unpack it",
    b"(\xb5/\xfd": "a zstd archive; unpack it",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"%PDF": "a PDF file",
}
_KEYS = ("params_ema", "params", "state_dict", "model", "netG")  # under which authors keep the network, averages first
_DEEP = 3  # dictionaries within each other in which a state dict is looked for


def kind_of(path: Path) -> str:
    """Return what a file that is no whole safetensors file is; TORCH where `read_checkpoint` may read it."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head.strip(b"\0"):
        return "nothing but zero bytes, as of an unfinished download" if head else "an empty file"
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    if head.startswith(_OLD_TORCH):
        return TORCH
    if kind := next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), ""):
        return kind
    if head[0] == 0x80 and head[1:2] <= b"\x05":
        return "a Python pickle, which could run any code and is never opened here"
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000:
        return DAMAGED
    if head[0] == 8 and head[1] < 16 and (path.suffix == ".onnx" or head[2:3] in b"\x12:"):
        return "an ONNX network"
    return _kind_of_text(head)


def read_checkpoint(path: Path) -> dict[str, dict[str, Tensor]]:
    """Return the state dicts of a torch checkpoint by the keys that they lie under ("": none), the likeliest first.

    Raises UserError where the file is damaged, holds Python objects, or has no state dict.
    """
    import torch

    try:
        # Of a path, torch looks at the suffix.
        with path.open("rb") as file, torch.serialization.safe_globals(_numpy_scalars()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of kinds of tensors that are refused below
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # what torch.load raises depends on the damage
        if (python := re.search(r"(?:GLOBAL |but got <class ')([\w.]+)", str(error))) is None:
            raise UserError(f"{path}: {TORCH} that is damaged ({type(error).__name__}); {_AGAIN} again") from None
        what = f"{TORCH} that holds Python objects ({python[1]}), which could run any code and are never loaded here"
        raise UserError(f"{path}: {what}; save its tensors alone: torch.save(net.state_dict(), FILE)") from None
    if states := dict(_states(content)):
        _check_sums(path)
        return states
    keys = ", ".join(map(repr, list(content)[:5])) if isinstance(content, Mapping) and content else ""
    raise UserError(f"{path}: {TORCH} without a state dict (it holds {keys or type(content).__name__}); {EXPECTED}")


def _states(content: object) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield what is a state dict in `content`, the outermost first and under authors' usual keys before others."""
    level: list[tuple[str, object]] = [("", content)]
    for _ in range(_DEEP + 1):
        below: list[tuple[str, object]] = []
        for place, value in level:
            if isinstance(value, Mapping) and value and all(map(_is_tensor, value.items())):
                yield place, dict(value)
            elif isinstance(value, Mapping):
                usual = [key for key in _KEYS if key in value]
                names = [*usual, *(key for key in value if isinstance(key, str) and key not in usual)]
                below += [(f"{place}.{name}" if place else name, value[name]) for name in names]
            elif isinstance(value, list | tuple) and not place:
                below += [(f"[{number}]", part) for number, part in enumerate(value)]
        level = below


def _check_sums(path: Path) -> None:
    """Raise UserError where a part of a zip file is not what was written, which torch does not look at."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if not any(part.CRC for part in archive.infolist()):
            return  # saved without sums: torch.serialization.set_crc32_options
        if bad := archive.testzip():
            raise UserError(f"{path}: {TORCH} that is damaged (checksum of '{bad}'); {_AGAIN} again")


def _numpy_scalars() -> list[Any]:
    """Return what makes NumPy's numbers, under both of its names: some checkpoints keep such beside their tensors."""
    scalar = np.float64(0).__reduce__()[0]
    kinds = [type(np.dtype(kind)) for kind in ("f8", "f4", "i8", "i4", "bool")]
    names = ["numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"]
    return [*((scalar, name) for name in names), np.dtype, *kinds]


def _is_tensor(item: tuple[object, object]) -> bool:
    """Tell whether an entry is a tensor under a name, as all of a state dict are."""
    import torch

    return isinstance(item[0], str) and isinstance(item[1], torch.Tensor)


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return f"a truncated zip file, as torch's checkpoints are; {_AGAIN} again"
    inside = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in inside and "data.pkl" in inside:
        return "a TorchScript program; save its tensors alone: torch.save(net.state_dict(), FILE)"
    if "data.pkl" in inside:
        return TORCH
    return "a NumPy archive (.npz)" if names and all(name.endswith(".npy") for name in names) else "a zip archive"


def _kind_of_text(head: bytes) -> str:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<error")):
        return f"a web page, saved in place of what it links to; {_AGAIN}"
    return UNKNOWN if re.search(rb"[\0-\x08\x0e-\x1f]", head) else "a text file"
