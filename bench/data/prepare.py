"""`fsr prepare`: from a data set's name to its face stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.data.celeba import prepare_celeba
from bench.data.store import FaceStore
from bench.data.synthfaces import prepare_synthfaces
from bench.errors import UserError, suggest

# Data sets made from photographs; the default faces, which are made from seeds, are apart.
PREPARERS: Mapping[str, Callable[..., list[FaceStore]]] = {"celeba": prepare_celeba}
GENERATED = "synthfaces"
DEFAULT_SIZES = {"train": 2000, "val": 100, "test": 200}


def prepare(
    dataset: str,
    *,
    sources: Sequence[Path] = (),
    train: int | None = None,
    val: int | None = None,
    test: int | None = None,
    strict: bool = False,
    quiet: bool = False,
) -> list[FaceStore]:
    """Prepare a data set: photographs need `sources`, the default faces take sizes.

    Returns its stores; raises UserError for an unknown name and for arguments that the set has no use for.
    """
    sizes = {split: size for split, size in (("train", train), ("val", val), ("test", test)) if size is not None}
    if dataset == GENERATED:
        if sources:
            raise UserError(f"--source {sources[0]}: {GENERATED} is made from seeds and reads no photographs")
        return prepare_synthfaces(sizes or DEFAULT_SIZES, quiet=quiet)
    if dataset not in PREPARERS:
        raise UserError(f"unknown data set '{dataset}': {suggest(dataset, [*PREPARERS, GENERATED])}")
    if sizes:
        raise UserError(f"--{next(iter(sizes))}: the size of {dataset} is that of its sources")
    return PREPARERS[dataset](sources, strict=strict, quiet=quiet)
