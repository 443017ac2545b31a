"""Is it still the same face to FaceNet? Embeddings by facenet-pytorch's InceptionResnetV1, trained on VGGFace2.

No package carries its weights, so the user brings the file that the authors publish. The network sees the whole crop,
whose margin and alignment are the data set's: compare values of one data set alone.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.metrics.learned import WeightFile
from bench.metrics.spec import Described, Description, UnavailableError, cosine, distance

if TYPE_CHECKING:
    from torch import Tensor, nn

SIDE = 160  # pixels, the network's own
PUBLISHED = "20180402-114759-vggface2.pt"
URL = f"https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/{PUBLISHED}"
WAY_OUT = f"download {PUBLISHED} from {URL} and run `fsr fetch facenet --from {PUBLISHED}`"
WEIGHTS = WeightFile("facenet-vggface2", WAY_OUT)
_AT_ONCE = 16  # pictures
_SOURCE = "facenet-pytorch's InceptionResnetV1 (VGGFace2; Schroff et al. 2015) on the whole crop; weights by the user"


def new_network() -> nn.Module:
    """Return the network with random weights; raise UnavailableError without facenet-pytorch."""
    try:
        from facenet_pytorch import InceptionResnetV1
    except ImportError:
        raise UnavailableError("facenet-pytorch is not installed: pip install 'fsr-bench[photos]'") from None
    network: nn.Module = InceptionResnetV1(pretrained=None)
    return network.eval()


def needed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return those tensors of a state that decide an embedding: not the classes' and not what only training counts."""
    left_out = ("logits.", "num_batches_tracked")
    return {name: tensor for name, tensor in tensors.items() if not any(part in name for part in left_out)}


@functools.lru_cache(maxsize=1)
def _network(digest: str) -> nn.Module:
    """Return the network with the user's weights, whose hash tells when they were replaced."""
    network = new_network()
    try:
        network.load_state_dict({**network.state_dict(), **WEIGHTS.tensors("cpu")})
    except RuntimeError as error:
        raise UnavailableError(f"{WEIGHTS.path}: not whole ({str(error).splitlines()[0]}): {WAY_OUT}") from None
    return network


def _describe(pictures: np.ndarray) -> np.ndarray:
    """Return embeddings of unit length of uint8 [B, H, W, 3]: float64 [B, 512]."""
    import torch
    import torch.nn.functional as F

    network = _network(WEIGHTS.digest())
    embeddings = []
    with torch.no_grad():
        for start in range(0, len(pictures), _AT_ONCE):
            levels = torch.from_numpy(np.array(pictures[start : start + _AT_ONCE])).permute(0, 3, 1, 2).float()
            levels = F.interpolate(levels, (SIDE, SIDE), mode="bilinear", antialias=True)
            embeddings.append(network((levels - 127.5) / 128).double())
    return torch.cat(embeddings).numpy()


def _parameters() -> Mapping[str, Any]:
    return {"side": SIDE, "resize": "bilinear, antialiased", "weights": WEIGHTS.digest()[:12]}


FACENET = Description("facenet", _describe, _parameters)
_metric = functools.partial(
    Described, needs=("hr",), source=_SOURCE, parameters=_parameters, extra="photos", description=FACENET
)
METRICS = (
    _metric("facenet-distance", "FaceNet distance", "", False, 3, compare=distance),
    _metric("facenet-cosine", "FaceNet cosine", "", True, 4, compare=cosine),
)
