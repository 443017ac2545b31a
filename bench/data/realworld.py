"""The classical chain of real-world degradation: blur, shrinking, noise, JPEG, drawn at random for each face.

A reading of BSRGAN (Zhang et al. 2021, section 3) and of the first stage of Real-ESRGAN (Wang et al. 2021, section 3),
in their plain order and once, not a copy: no second stage, no shuffled order, no sensor noise, no sinc filter. Blur is
measured in pixels of the small picture, so that it means the same at every scale.

Face i of a set has its own streams of random numbers (NumPy's PCG64, seeded by a hash of seed, scale and i): what it
gets depends neither on the other faces nor on how they are batched.
"""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

Blur = Literal["isotropic", "anisotropic", "motion"]

# The kinds of blur and how often each is drawn. Both papers draw the two Gaussians, BSRGAN equally often; the motion
# line, for hands and faces that move, is ours.
BLURS: dict[Blur, float] = {"isotropic": 0.4, "anisotropic": 0.4, "motion": 0.2}
# Standard deviation of the Gaussians, along the longer axis. BSRGAN's reaches 2.8 pixels at x4, which is 0.7.
BLUR_SIGMA = (0.1, 0.7)  # LR pixels
# Shorter axis of the anisotropic Gaussian; the papers draw both axes from one range.
BLUR_RATIO = (0.2, 1.0)  # of the longer axis
MOTION_LENGTH = (0.5, 2.0)  # LR pixels
# Real-ESRGAN draws among area, bilinear and bicubic; Lanczos is what many photo programs use.
FILTERS = ("box", "bilinear", "bicubic", "lanczos")
# BSRGAN's range is 1 to 25, Real-ESRGAN's 1 to 30, on pictures of hundreds of pixels; on a face of 16 pixels the upper
# end hides the face. GFP-GAN (Wang et al. 2021), which is made for faces, stops at 15.
NOISE_SIGMA = (1.0, 15.0)  # grey levels
GREY_NOISE = 0.4  # share of faces whose noise is the same in the three channels: as in both papers
# Both papers: 30 to 95. An 8x8 block of JPEG holds a quarter of a 16x16 face, so 30 leaves little but the block means.
JPEG_QUALITY = (50, 95)
JPEG_CHROMA = "4:2:0"  # what cameras and the papers' encoders write


@dataclass(frozen=True)
class Chain:
    """What is done to one face.

    `sigma` holds the standard deviations of a Gaussian along its two axes and `length` the length of a motion line, in
    HR pixels (0 where they do not apply); `angle` is the direction of the first axis or the line, in degrees from the
    rows towards the bottom; `noise` is a standard deviation in grey levels.
    """

    blur: Blur
    sigma: tuple[float, float]
    length: float
    angle: float
    filter: str
    noise: float
    grey: bool
    quality: int


def describe(index: int, scale: int, seed: int = 0) -> Chain:
    """Return what `real_world` does to face `index` of a set, without doing it."""
    draw = _stream("chain", index, scale, seed)
    # Every number is drawn for every face, whether its blur needs it or not: a range can be changed on its own.
    which, sigma, ratio, length, angle, shrink, noise, grey, quality = draw.random(9)
    blur = _pick_blur(which)
    long = scale * _between(sigma, BLUR_SIGMA)
    short = long * _between(ratio, BLUR_RATIO) if blur == "anisotropic" else long
    return Chain(
        blur=blur,
        sigma=(0.0, 0.0) if blur == "motion" else (long, short),
        length=scale * _between(length, MOTION_LENGTH) if blur == "motion" else 0.0,
        angle=0.0 if blur == "isotropic" else 180 * float(angle),
        filter=FILTERS[int(shrink * len(FILTERS))],
        noise=_between(noise, NOISE_SIGMA),
        grey=bool(grey < GREY_NOISE),
        quality=int(_between(quality, (JPEG_QUALITY[0], JPEG_QUALITY[1] + 1))),
    )


def real_world(face: np.ndarray, scale: int, index: int, seed: int) -> np.ndarray:
    """Degrade face `index` of a set, uint8 [H, W, 3], as `describe` says: uint8 [H/scale, W/scale, 3]."""
    chain = describe(index, scale, seed)
    blurred = Image.fromarray(blur_face(face, kernel_of(chain)))
    size = (face.shape[1] // scale, face.shape[0] // scale)
    lr = np.asarray(blurred.resize(size, Image.Resampling[chain.filter.upper()]), np.float64)
    noise = _stream("noise", index, scale, seed).standard_normal((*lr.shape[:2], 1 if chain.grey else 3))
    return jpeg(_to_uint8(lr + chain.noise * noise), chain.quality)


def kernel_of(chain: Chain) -> np.ndarray:
    """Return the blur of a chain: float64 [k, k], k odd, its sum 1."""
    return _line(chain.length, chain.angle) if chain.blur == "motion" else _gaussian(chain.sigma, chain.angle)


def blur_face(face: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve uint8 [H, W, 3] with a kernel [k, k], k odd, the picture reflected at its border: uint8 [H, W, 3]."""
    radius = len(kernel) // 2
    around = ((0, 0), (radius, radius), (radius, radius))
    padded = np.pad(face.transpose(2, 0, 1).astype(np.float64), around, mode="reflect")
    size = padded.shape[1:]
    spectrum = np.fft.rfft2(padded) * np.fft.rfft2(kernel, size)
    # What the cyclic convolution wraps around lies in the first 2 radius rows and columns.
    blurred = np.fft.irfft2(spectrum, size)[:, 2 * radius :, 2 * radius :]
    return _to_uint8(blurred.transpose(1, 2, 0))


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """Return uint8 [h, w, 3] as it is after JPEG compression, quality 1 to 95, with `JPEG_CHROMA` colour."""
    packed = io.BytesIO()
    Image.fromarray(picture).save(packed, "JPEG", quality=quality, subsampling=JPEG_CHROMA)
    return np.asarray(Image.open(packed))


def _gaussian(sigma: tuple[float, float], angle: float) -> np.ndarray:
    """Return a Gaussian with standard deviations `sigma` along its axes, the first `angle` degrees from the rows."""
    radius = max(1, math.ceil(3 * max(sigma)))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along, across = (x * cos + y * sin) / sigma[0], (y * cos - x * sin) / sigma[1]
    weight = np.exp(-(along**2 + across**2) / 2)
    return np.asarray(weight / weight.sum())


def _line(length: float, angle: float) -> np.ndarray:
    """Return an even line of `length` pixels about the middle, `angle` degrees from the rows."""
    radius = math.ceil(length / 2) + 1
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1))
    count = math.ceil(8 * length) + 1
    along = ((np.arange(count) + 0.5) / count - 0.5) * length
    x = radius + along * math.cos(math.radians(angle))
    y = radius + along * math.sin(math.radians(angle))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):  # each point is shared among the four pixels around it
        share = (1 - np.abs(x - left - dx)) * (1 - np.abs(y - top - dy))
        np.add.at(kernel, (top + dy, left + dx), share)
    return np.asarray(kernel / kernel.sum())


def _stream(purpose: str, index: int, scale: int, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(f"real-world/{purpose}/{seed}/{scale}/{index}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def _pick_blur(which: float) -> Blur:
    for name, share in BLURS.items():
        which -= share
        if which < 0:
            return name
    return name


def _between(part: float, ends: tuple[float, float]) -> float:
    return float(ends[0] + part * (ends[1] - ends[0]))


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return np.floor(values + 0.5).clip(0, 255).astype(np.uint8)
