"""Generated faces: photorealistic, nobody's, from the generator that the package random-face carries.

Face i of a split depends on its seed alone, so a set can grow, and a run that was killed goes on where it was.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.core import paths
from bench.core.errors import UserError
from bench.core.modes import make_folder, open_new
from bench.core.progress import Bar
from bench.data.cards import read_card
from bench.data.store import SIZE, FaceRow, FaceStore, alone, check_room, write_store

_FACE_BYTES = SIZE * SIZE * 3
Make = Callable[[], "Generator"]


def prepare_generated(dataset: str, sizes: Mapping[str, int], *, quiet: bool = False) -> list[FaceStore]:
    """Have at least `sizes[split]` faces of each split named; only those that are missing are made.

    Raises UserError for a size below 1, a store of another recipe, or when the generator is not installed.
    """
    card = read_card(dataset)
    recipe = dict(card.recipe)
    for split, size in (sizes or card.sizes).items():
        if size < 1:
            raise UserError(f"--{split} {size}: expected at least 1 face")
        if size > _room(recipe, split):
            raise UserError(f"--{split} {size}: there are {_room(recipe, split)} seeds for this split")
    folder = paths.prepared() / dataset
    make = functools.cache(lambda: Generator(recipe, f"`make install`, or {card.get}"))  # only when a face is missing
    return [_prepare_split(folder / split, size, recipe, make, quiet) for split, size in (sizes or card.sizes).items()]


class Generator:
    """Make faces from seeds with the two networks of random-face, run by OpenVINO on the CPU in float32."""

    def __init__(self, recipe: Mapping[str, Any], install: str) -> None:
        folder = _find_networks(install)
        try:
            import openvino
        except ImportError:
            raise UserError(f"the default faces need openvino, which is not installed: {install}") from None
        core = openvino.Core()
        # Processors with short floats would round on their own otherwise.
        settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        self.recipe = recipe
        self._mapping = core.compile_model(core.read_model(folder / "MappingNetwork.xml"), "CPU", settings)
        self._synthesis = core.compile_model(core.read_model(folder / "SynthesisNetwork.xml"), "CPU", settings)
        # The mean style must not depend on the faces asked for: its noise has seeds of its own, beyond all splits.
        first = int(recipe["last_seed"]) + 1
        self._mean = np.mean([self._style(first + i) for i in range(int(recipe["mean_of"]))], axis=0)

    def face(self, seed: int) -> np.ndarray:
        """Return the face of a seed: uint8 RGB [128, 128, 3]."""
        style = self._mean + float(self.recipe["psi"]) * (self._style(seed) - self._mean)
        picture = self._synthesis({"style": style.astype(np.float32)})["img"][0]  # [3, 1024, 1024] in [-1, 1]
        left, top, right, bottom = self.recipe["crop"]
        crop = picture[:, top:bottom, left:right].transpose(1, 2, 0)
        levels = ((crop + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
        return np.asarray(Image.fromarray(levels).resize((SIZE, SIZE), Image.Resampling.BICUBIC))

    def _style(self, seed: int) -> np.ndarray:
        noise = np.random.default_rng(seed).standard_normal((1, 512)).astype(np.float32)
        return np.array(self._mapping({"var": noise})[0])


def _prepare_split(path: Path, size: int, recipe: dict[str, Any], make: Make, quiet: bool) -> FaceStore:
    old = _open(path, recipe)
    if old is not None and len(old) >= size:
        return old
    with alone(path.parent):
        old = _open(path, recipe)  # another process may have made them while this one waited
        return old if old is not None and len(old) >= size else _grow(path, size, old, recipe, make, quiet)


def _open(path: Path, recipe: dict[str, Any]) -> FaceStore | None:
    store = FaceStore.open(path) if (path / "card.json").exists() else None
    if store is not None and store.card.recipe != recipe:
        raise UserError(f"{path}: made by another recipe; delete the folder and prepare again")
    return store


def _grow(path: Path, size: int, old: FaceStore | None, recipe: dict[str, Any], make: Make, quiet: bool) -> FaceStore:
    """Make the faces that `old` lacks and write a store of all."""
    split, first = path.name, int(recipe["first_seed"][path.name])
    have = len(old) if old is not None else 0
    check_room(path.parent, 2 * size - have, SIZE)  # those that are made, and the store of all
    partial = path.with_name(f"{split}-from-{have}.partial")
    _make_missing(partial, f"generate {split} faces", size - have, first + have, make, quiet)

    made = np.memmap(partial, np.uint8, "r", shape=(size - have, SIZE, SIZE, 3))
    rows = [FaceRow(f"seed-{seed:07d}", f"seed {seed}") for seed in range(first, first + size)]
    faces = ((i, np.asarray(old.faces[i] if old and i < have else made[i - have])) for i in range(size))
    store = write_store(path, rows, faces, {"recipe": recipe, "counts": {"read": size}})
    partial.unlink()
    return store


def _make_missing(partial: Path, title: str, count: int, first: int, make: Make, quiet: bool) -> None:
    """Append faces to `partial` until it holds `count`; what a killed run left in it is kept, whole faces only."""
    make_folder(partial.parent)
    with contextlib.suppress(FileExistsError):
        os.close(open_new(partial))
    done = min(partial.stat().st_size // _FACE_BYTES, count)
    with partial.open("r+b") as file, Bar(title, count, start=done, quiet=quiet) as bar:
        file.truncate(done * _FACE_BYTES)
        file.seek(0, 2)
        for i in range(done, count):
            file.write(make().face(first + i).tobytes())
            file.flush()
            bar.update(i + 1)


def _find_networks(install: str) -> Path:
    """Return the folder of random-face's networks without importing its code, which needs an OpenVINO of 2021."""
    spec = importlib.util.find_spec("random_face")
    folders = [Path(place) / "data" for place in (spec.submodule_search_locations or ())] if spec else []
    for folder in folders:
        if (folder / "SynthesisNetwork.xml").exists():
            return folder
    raise UserError(f"the default faces need the package random-face, which is not installed: {install}")


def _room(recipe: dict[str, Any], split: str) -> int:
    """Return how many seeds a split has before the next one's begin."""
    firsts = sorted([*map(int, recipe["first_seed"].values()), int(recipe["last_seed"]) + 1])
    first = int(recipe["first_seed"][split])
    return firsts[firsts.index(first) + 1] - first
