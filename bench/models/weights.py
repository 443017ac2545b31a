"""Weights as safetensors files, written in one step and in parts where a file would be too large for a repository."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.errors import UserError, reason
from bench.core.files import write_bytes
from bench.core.names import listed
from bench.models import foreign

if TYPE_CHECKING:
    from torch import Tensor, nn

PART = 15_000_000  # bytes
_NAME = re.compile(r"weights(-\d+of(?P<parts>\d+))?\.safetensors")


def save(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write `tensors` to `path` in one step, with at most one text of `metadata`: equal weights are equal bytes.

    Raises ValueError for more than one text, which the library writes in an order that changes from call to call.
    """
    import safetensors.torch
    import torch

    if metadata and len(metadata) > 1:
        raise ValueError(f"one text of metadata at most, {sorted(metadata)} given")
    # Copies: the library refuses tensors that share memory or lie otherwise than row by row.
    own = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(own, dict(metadata) if metadata else None))


def save_parts(
    folder: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], most: int = PART
) -> list[Path]:
    """Write `tensors` into `folder` as files of at most about `most` bytes of data each; return them.

    A single file is weights.safetensors, several are weights-1of3.safetensors and so on. Raises UserError for a tensor
    that is larger than a part.
    """
    parts: list[dict[str, Tensor]] = [{}]
    for name in sorted(tensors):
        if (size := tensors[name].nbytes) > most:
            raise UserError(f"{folder}: tensor '{name}' has {size:,} bytes, a part {most:,} at most")
        if sum(tensor.nbytes for tensor in parts[-1].values()) + size > most:
            parts.append({})
        parts[-1][name] = tensors[name]
    for path in listed(folder, "weights*"):
        if is_run_file(path):
            path.unlink()
    names = [f"weights-{i}of{len(parts)}" if len(parts) > 1 else "weights" for i in range(1, len(parts) + 1)]
    paths = [folder / f"{name}.safetensors" for name in names]
    for path, part in zip(paths, parts, strict=True):
        save(path, part, metadata)
    return paths


def find(folder: Path) -> list[Path]:
    """Return the files of the weights in a run's folder, one or its parts; none where there are none.

    Raises UserError for a part that is missing.
    """
    names = {path.name: match for path in listed(folder, "weights*") if (match := _NAME.fullmatch(path.name))}
    for match in names.values():
        count = int(match["parts"] or 0)
        for part in (f"weights-{number}of{count}.safetensors" for number in range(1, count + 1)):
            if part not in names:
                raise UserError(f"{folder / part}: no such file, though {match[0]} is there; restore it")
    return [folder / name for name in sorted(names)]


def is_run_file(path: Path) -> bool:
    """Tell whether a file has the name of a run's weights, or of a part of them."""
    return _NAME.fullmatch(path.name) is not None


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of `path`, of a torch checkpoint its state dict and "checkpoint": its key.

    Raises UserError that says what the file is when it is missing, damaged or something else.
    """
    states, about = load_states(path)
    key = next(iter(states))
    return states[key], about if about is not None else {"checkpoint": key}


def load_states(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, str] | None]:
    """Read all state dicts of `path` by their keys, the likeliest first, and its metadata: None in a torch checkpoint.

    Raises UserError that says what the file is when it is missing, damaged or something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {"": {name: file.get_tensor(name) for name in file.keys()}}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        what = "a link that leads nowhere" if path.is_symlink() else "no such file"
        raise UserError(f"{path}: {what}") from None
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        if path.is_dir():
            inside = [*listed(path, "data.pkl"), *listed(path, "*/data.pkl")]
            unpacked = " that a torch checkpoint was unpacked to" if inside else ""
            way_out = "; fetch the file again, or zip the folder without compression" if unpacked else ""
            raise UserError(f"{path}: a folder{unpacked}, expected a file of weights{way_out}") from None
        kind = foreign.kind_of(path)
        if kind == foreign.TORCH:
            return foreign.read_checkpoint(path), None
        if path.suffix == ".safetensors":
            instead = "" if kind in (foreign.DAMAGED, foreign.UNKNOWN) else f" but {kind}"
            what = f"not a whole safetensors file ({reason(error)}){instead}"
            raise UserError(f"{path}: {what}; restore it or train again") from None
        raise UserError(f"{path}: {kind}; {foreign.EXPECTED}") from None


def check_whole(path: Path) -> None:
    """Raise UserError where `path` is no safetensors file, or not as long as its header says; no tensor is read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt"):
            return
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({reason(error)}); restore it or train again") from None


def load_into(model: nn.Module, path: Path, *parts: Path) -> None:
    """Load weights in `path` and its further `parts` into `model`; raise UserError naming what does not fit.

    What all names of a torch checkpoint begin with ("module." of DataParallel) is left out where the model lacks it.
    """
    tensors, about = load(path)
    for part in parts:
        tensors |= load(part)[0]
    own, way_out = model.state_dict(), ""
    if "checkpoint" in about:
        heads = {name.partition(".")[0] for name in tensors}
        if len(heads) == 1 and not heads & {name.partition(".")[0] for name in own}:
            tensors = {name.partition(".")[2]: tensor for name, tensor in tensors.items()}
        way_out = f"; {foreign.TORCH} with other names: what authors released is read as --checkpoint"
    missing, unknown = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    wrong = [name for name in own.keys() & tensors.keys() if own[name].shape != tensors[name].shape]
    options = "; options such as a width are read from run.json beside the weights"
    for what, names, hint in (
        ("lacks", missing, way_out),
        ("has unknown", unknown, way_out),
        ("has another shape for", sorted(wrong), options),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UserError(f"{path}: weights of another network: {what} '{names[0]}'{more}{hint}")
    model.load_state_dict(tensors)
