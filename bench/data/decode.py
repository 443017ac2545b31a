"""Decode whatever a data set calls a photo to plain RGB, and say what had to be converted."""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from bench.core.errors import UserError

_LEAST_SIDE = 8  # pixels
_GREY = 2  # levels by which a grey picture's channels may differ: JPEG rounds
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")


@dataclass(frozen=True)
class Decoded:
    """A picture: `pixels` uint8 RGB [H, W, 3], C-contiguous; `kinds` says what it was besides plain 8-bit RGB."""

    pixels: np.ndarray
    kinds: tuple[str, ...]


def decode(content: bytes) -> Decoded:
    """Decode a picture, turned upright by its EXIF; of several frames the first.

    Colours are taken as they are: no profile is applied and nothing is blended in where the picture is transparent.
    Kinds: "rotated by EXIF", "several frames", "16-bit", "float", "palette", "CMYK", "YCbCr", "LAB", "alpha", and
    "grey" for any picture without colour, however it is stored.

    Raises UserError, the reason as its text, for what is no whole picture, too small, or absurdly large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=_formats()) as image:
                return _decode(image)
    except UserError:
        raise
    except UnidentifiedImageError:
        raise UserError("empty file" if not content else "not a picture") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise UserError(f"more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels") from None
    except MemoryError:
        raise UserError("too large for the memory") from None
    except Exception:  # Pillow raises anything on garbage: OSError, SyntaxError, struct.error, TypeError, KeyError ...
        raise UserError("damaged picture") from None


@functools.cache
def _formats() -> tuple[str, ...]:
    """Return the formats that are tried: those of photos, with a signature that garbage does not have by chance.

    Others would be a danger (EPS starts Ghostscript) or would read anything as a picture (TGA).
    """
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)  # AVIF needs Pillow 11.3


def _decode(image: Image.Image) -> Decoded:
    width, height = image.size
    if min(width, height) < _LEAST_SIDE:
        raise UserError(f"only {width}x{height} pixels")
    kinds = []
    if getattr(image, "is_animated", False):
        kinds.append("several frames")
    if any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())):
        kinds.append("16-bit")  # of which Pillow keeps the upper eight where there is more than one channel
    turned = image.format == "TIFF" and _is_turned(image)  # which Pillow turns upright itself
    image.load()
    if turned or _is_turned(image):
        kinds.append("rotated by EXIF")
    with contextlib.suppress(Exception):  # notes that can't be read do not spoil the picture
        ImageOps.exif_transpose(image, in_place=True)
    rgb = _to_rgb(image, kinds)
    pixels = np.asarray(rgb)
    if image.mode in ("L", "1") or _is_grey(pixels):
        kinds.append("grey")
    return Decoded(pixels, tuple(dict.fromkeys(kinds)))


def _is_turned(image: Image.Image) -> bool:
    with contextlib.suppress(Exception):  # Pillow raises anything on garbage
        return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    return False


def _to_rgb(image: Image.Image, kinds: list[str]) -> Image.Image:
    """Return a picture in mode RGB; add to `kinds` what it was."""
    if image.mode.startswith("I") or image.mode == "F":
        kinds.append("float" if image.mode == "F" else "16-bit")
        image = _eight_bit(image)
    elif image.mode in ("P", "PA"):
        kinds.append("palette")
    elif image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        kinds.append(image.mode)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        kinds.append("alpha")  # of which convert() makes nothing: the transparent part keeps its colour
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Return a grey picture of 16 bits, 32 bits or floats in 8 bits.

    White is 65535, 255 where no value is larger, or 1 where no float is larger. What is not finite becomes black.
    """
    values = np.asarray(image, np.float32)
    values = np.where(np.isfinite(values), values, np.float32(0))
    largest = values.max()
    top = 65535 if largest > 255 else 255 if largest > 1 or image.mode != "F" else 1
    return Image.fromarray((values.clip(0, top) * np.float32(255 / top)).round().astype(np.uint8))


def _is_grey(pixels: np.ndarray) -> bool:
    """Return whether the channels of a picture, uint8 [H, W, 3], nowhere differ by more than 2 levels."""
    return _all_grey(pixels[::16, ::16]) and _all_grey(pixels)  # a few pixels tell nearly always, and quickly


def _all_grey(pixels: np.ndarray) -> bool:
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    low, high = np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)
    return bool((high - low).max() <= _GREY)
