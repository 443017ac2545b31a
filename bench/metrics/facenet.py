"""Is it still the same face to FaceNet? Embeddings by facenet-pytorch's InceptionResnetV1, trained on VGGFace2.

No package carries its weights, so the user brings the file that the authors publish. The network sees the whole crop,
whose margin and alignment are the data set's: compare values of one data set alone.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.errors import UserError
from bench.metrics.learned import WeightFile
from bench.metrics.spec import Described, Description, UnavailableError
from bench.models import weights

if TYPE_CHECKING:
    from torch import Tensor, nn

EMBEDDING = 512
SIDE = 160  # pixels, the network's own
PUBLISHED = "20180402-114759-vggface2.pt"
URL = f"https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/{PUBLISHED}"
WAY_OUT = f"download {PUBLISHED} from {URL} and run `fsr fetch facenet --from {PUBLISHED}`"
WEIGHTS = WeightFile("facenet-vggface2", WAY_OUT)
_AT_ONCE = 16  # pictures
_INSTALL = "facenet-pytorch is not installed: pip install 'fsr-bench[photos]'"
_SOURCE = "facenet-pytorch's InceptionResnetV1 (VGGFace2; Schroff et al. 2015) on the whole crop; weights by the user"


def new_network() -> nn.Module:
    """Return the network with random weights; raise UnavailableError without facenet-pytorch."""
    try:
        from facenet_pytorch import InceptionResnetV1
    except ImportError:
        raise UnavailableError(_INSTALL) from None
    network: nn.Module = InceptionResnetV1(pretrained=None)
    return network.eval()


def needed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return those tensors of a state that decide an embedding: not the classes' and not what only training counts."""
    left_out = ("logits.", "num_batches_tracked")
    return {name: tensor for name, tensor in tensors.items() if not any(part in name for part in left_out)}


@functools.lru_cache(maxsize=1)
def _network(path: Path, digest: str) -> nn.Module:
    """Return the network with the weights of `path`, whose hash tells when they were replaced."""
    network = new_network()
    try:
        tensors, _ = weights.load(path)
        network.load_state_dict({**network.state_dict(), **tensors})
    except (UserError, RuntimeError) as error:
        raise UnavailableError(f"{path}: not whole ({str(error).splitlines()[0]}): {WAY_OUT}") from None
    return network


def _describe(pictures: np.ndarray) -> np.ndarray:
    """Return embeddings of unit length of uint8 [B, H, W, 3]: float64 [B, 512]."""
    import torch
    import torch.nn.functional as F

    network = _network(WEIGHTS.path, WEIGHTS.digest())
    embeddings = []
    with torch.no_grad():
        for start in range(0, len(pictures), _AT_ONCE):
            levels = torch.from_numpy(np.array(pictures[start : start + _AT_ONCE])).permute(0, 3, 1, 2).float()
            levels = F.interpolate(levels, (SIDE, SIDE), mode="bilinear", antialias=True)
            embeddings.append(network((levels - 127.5) / 128).double())
    return torch.cat(embeddings).numpy()


def _distance(sr: np.ndarray, hr: np.ndarray | None) -> np.ndarray:
    """Return the Euclidean distance of each pair of embeddings."""
    assert hr is not None
    return np.asarray(np.linalg.norm(sr - hr, axis=1))


def _cosine(sr: np.ndarray, hr: np.ndarray | None) -> np.ndarray:
    """Return the cosine of the angle between each pair of embeddings."""
    assert hr is not None
    return np.asarray((sr * hr).sum(axis=1) / np.linalg.norm(sr, axis=1) / np.linalg.norm(hr, axis=1))


def _parameters() -> Mapping[str, Any]:
    return {"side": SIDE, "resize": "bilinear, antialiased", "weights": WEIGHTS.digest()[:12]}


FACENET = Description("facenet", lambda height, width: EMBEDDING, _describe, _parameters)
METRICS = tuple(
    Described(
        name,
        title,
        "",
        higher,
        decimals,
        ("hr",),
        _SOURCE,
        _parameters,
        extra="photos",
        description=FACENET,
        compare=compare,
    )
    for name, title, higher, decimals, compare in (
        ("facenet-distance", "FaceNet distance", False, 3, _distance),
        ("facenet-cosine", "FaceNet cosine", True, 4, _cosine),
    )
)
