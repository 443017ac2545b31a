"""Are edges where they belong, and as strong? Sobel's gradient and Canny's edges, both by scikit-image.

Both look at luma, 0.299 R + 0.587 G + 0.114 B of BT.601 in [0, 1], of the whole picture as it is saved, whatever the
protocol's colour space and border are. Canny's settings are scikit-image's defaults, named here so that they stay.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.metrics.protocol import unit
from bench.metrics.psnr import psnr
from bench.metrics.spec import Batch, Pairwise, UnavailableError

if TYPE_CHECKING:
    from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
SIGMA = 1.0  # pixels: of the Gaussian before Canny's gradient
THRESHOLDS = 0.1, 0.2  # of Canny's hysteresis, for luma in [0, 1]
PRATT = 1 / 9  # what a pixel's squared distance costs: the authors' own choice
_INSTALL = "scikit-image is not installed: pip install 'fsr-bench[metrics]'"


def sobel(luma: np.ndarray) -> np.ndarray:
    """Return the magnitude of the gradient of luma [H, W] by Sobel's kernels, the border reflected: [H, W].

    It is the root mean square over both directions: a step from black (0) to white (1) along a row has sqrt(1/2).
    """
    try:
        from skimage import filters
    except ImportError:
        raise UnavailableError(_INSTALL) from None
    magnitude: Any = filters.sobel
    return np.asarray(magnitude(luma))


def canny(luma: np.ndarray) -> np.ndarray:
    """Return where luma [H, W] in [0, 1] has edges by Canny's detector: bool [H, W]."""
    try:
        from skimage import feature
    except ImportError:
        raise UnavailableError(_INSTALL) from None
    edges: Any = feature.canny
    return np.asarray(edges(luma, SIGMA, *THRESHOLDS))


def figure_of_merit(found: np.ndarray, ideal: np.ndarray) -> float:
    """Return Pratt's figure of merit of edges `found` against `ideal` ones, both bool [H, W]: 1 where they are equal.

    The sum over found edge pixels of 1 / (1 + d^2 / 9), d the distance in pixels to the nearest ideal one, over the
    larger of their counts: moved, missing and spurious edges all cost. 0 where none is found, NaN where none is ideal.
    Source: Abdou and Pratt, Quantitative design and evaluation of enhancement/thresholding edge detectors, 1979.
    """
    from scipy.ndimage import distance_transform_edt

    if not ideal.any():
        return float("nan")
    squared = np.square(distance_transform_edt(~ideal)[found])
    return float((1 / (1 + PRATT * squared)).sum() / max(found.sum(), ideal.sum()))


def _luma(pictures: Tensor) -> np.ndarray:
    """Return luma [B, H, W] in [0, 1] of a batch's RGB pictures [B, 3, H, W], float64."""
    red, green, blue = unit(pictures).double().clamp(0, 1).cpu().numpy().transpose(1, 0, 2, 3)
    return np.asarray(LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)  # in one order: equal pictures stay equal


def _edge_psnr(batch: Batch) -> Tensor:
    import torch

    assert batch.hr is not None
    sr, hr = (torch.from_numpy(np.stack([sobel(luma) for luma in _luma(side)])) for side in (batch.sr, batch.hr))
    return psnr(sr, hr, peak=1.0)


def _edge_fom(batch: Batch) -> Tensor:
    import torch

    assert batch.hr is not None
    pairs = zip(_luma(batch.sr), _luma(batch.hr), strict=True)
    return torch.tensor([figure_of_merit(canny(sr), canny(hr)) for sr, hr in pairs], dtype=torch.float64)


def _parameters(**settings: Any) -> Mapping[str, Any]:
    """Return what decides a value: the settings, the luma, and whose code it is."""
    return {**settings, "luma": list(LUMA), "scikit-image": _version()}


@functools.cache
def _version() -> str:
    try:
        return importlib.metadata.version("scikit-image")
    except importlib.metadata.PackageNotFoundError:
        return ""  # there will be no value


METRICS = (
    Pairwise(
        *("edge-psnr", "Edge PSNR", "dB", True, 3, ("hr",)),
        source="PSNR of the magnitude of Sobel's gradient of luma (scikit-image), for a peak of 1",
        parameters=_parameters,
        extra="metrics",
        compute=_edge_psnr,
    ),
    Pairwise(
        *("edge-fom", "Edge FOM", "", True, 4, ("hr",)),
        source="Pratt's figure of merit of Canny's edges of luma (scikit-image; sigma 1, thresholds 0.1 and 0.2)",
        parameters=partial(_parameters, sigma=SIGMA, thresholds=list(THRESHOLDS), pratt=PRATT),
        extra="metrics",
        compute=_edge_fom,
    ),
)
