"""Read and write weights in the safetensors format.

The format is eight bytes of header length (little endian), a JSON header, then raw tensor bytes: short enough to write
here, so that a borrowed machine with torch, numpy and pillow alone can train and score. The tests hold both directions
to the safetensors library. No pickle is involved.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError
from bench.core.files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor, nn

PART = 15_000_000  # bytes
_NAMES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "uint8": "U8",
    "bool": "BOOL",
}


def save(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write `tensors` to `path` in one step, in name order, with text `metadata`."""
    import torch

    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    blobs, end = [], 0
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        blob = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        dtype = _NAMES[str(tensor.dtype).removeprefix("torch.")]
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [end, end + len(blob)]}
        blobs.append(blob)
        end += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    write_bytes(path, b"".join([struct.pack("<Q", len(text)), text, *blobs]))


def save_parts(
    folder: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], most: int = PART
) -> list[Path]:
    """Write `tensors` into `folder` as files of at most about `most` bytes of data each; return them.

    One is weights.safetensors, several are weights-1of3.safetensors and so on. Raises UserError for a tensor that is
    larger than a part.
    """
    parts: list[dict[str, Tensor]] = [{}]
    for name in sorted(tensors):
        if (size := tensors[name].nbytes) > most:
            raise UserError(f"{folder}: tensor '{name}' has {size:,} bytes, a part {most:,} at most")
        if sum(one.nbytes for one in parts[-1].values()) + size > most:
            parts.append({})
        parts[-1][name] = tensors[name]
    for path in find(folder):
        path.unlink()
    names = [f"weights-{i}of{len(parts)}" if len(parts) > 1 else "weights" for i in range(1, len(parts) + 1)]
    paths = [folder / f"{name}.safetensors" for name in names]
    for path, part in zip(paths, parts, strict=True):
        save(path, part, metadata)
    return paths


def find(folder: Path) -> list[Path]:
    """Return the files of the weights in a run's folder, one or its parts; none where there are none."""
    return sorted(folder.glob("weights*.safetensors"))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of `path`; raise UserError when it is missing, truncated or something else."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    try:
        return _parse(content)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, struct.error) as error:
        raise UserError(f"{path}: not a whole safetensors file ({error}); restore it or train again") from None


def load_into(model: nn.Module, path: Path, *parts: Path) -> None:
    """Load weights in `path` and its further `parts` into `model`; raise UserError naming what does not fit."""
    tensors, _ = load(path)
    for part in parts:
        tensors |= load(part)[0]
    own = model.state_dict()
    missing, foreign = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    wrong = [name for name in own.keys() & tensors.keys() if own[name].shape != tensors[name].shape]
    for what, names in (("lacks", missing), ("has unknown", foreign), ("has another shape for", sorted(wrong))):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UserError(f"{path}: weights of another network: {what} '{names[0]}'{more}")
    model.load_state_dict(tensors)


def _parse(content: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    import torch

    types = {short: getattr(torch, name) for name, short in _NAMES.items()}
    (length,) = struct.unpack_from("<Q", content)
    if length > len(content) - 8:
        raise ValueError(f"header of {length} bytes in a file of {len(content)}")
    header = json.loads(content[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    data, tensors = bytearray(content[8 + length :]), {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        dtype, shape = types[entry["dtype"]], entry["shape"]
        size = math.prod(shape) * dtype.itemsize
        if not 0 <= start <= end <= len(data) or end - start != size:
            raise ValueError(f"tensor '{name}' is cut off")
        count = math.prod(shape)
        flat = torch.frombuffer(data, dtype=dtype, count=count, offset=start) if count else torch.empty(0, dtype=dtype)
        tensors[name] = flat.reshape(shape).clone()
    return tensors, metadata
