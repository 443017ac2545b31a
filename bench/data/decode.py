"""Decode whatever a data set calls a photo to plain RGB, and say what had to be converted."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import random
import re
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, features

from bench.core.errors import UserError

_LEAST_SIDE = 8  # pixels
_GREY = 2  # levels by which a grey picture's channels may differ: JPEG rounds
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")
HEAD = 64  # bytes by which a format is known
NO_PICTURE, EMPTY = "not a picture", "empty file"
RAW = "a camera's raw file: develop it to JPEG or TIFF first"
_KNOWN = {  # first bytes: the format that Pillow may have a reader for, and what is said where it has none
    rb"....ftyp.*avi[fs]": ("AVIF", "an AVIF picture: pip install -U pillow reads it, or save it as JPEG"),
    rb"....ftyp(hei[cxms]|hev[cxms]|m[is]f1)": ("HEIF", "a HEIC picture: pip install pillow-heif, or save it as JPEG"),
    rb"....ftypcrx |II\*\0....CR|II\x1a\0|IIR[OS]|MMOR|IIU\0|FUJIFILMCCD-RAW|FOVb|\0MRM": ("", RAW),
    rb"\xff\x0a|\0\0\0\x0cJXL ": ("", "a JPEG XL picture: save it as JPEG or PNG"),
    rb"8BPS": ("", "a Photoshop document: save it as JPEG or PNG"),
    rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI ": ("", f"{NO_PICTURE} but a film"),
    rb"PK\x03\x04|Rar!|7z\xbc\xaf": ("", f"{NO_PICTURE} but an archive: unpack it"),
}
LIMIT = "FSR_PHOTO_GB"  # the variable that says how much memory decoding a photo may take
_BYTES, _WIDE, _WAVES = 12, 32, 6  # it takes for a pixel: of 8-bit channels, of wider ones, more where progressive
_DNG, _REDUCED, _BELOW = 50706, 254, 330  # tags of TIFF: DNGVersion, NewSubfileType, SubIFDs
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_MARKER = re.compile(rb"\xff+([^\x00\x01\xd0-\xd7\xff])", re.DOTALL)  # of a part of a JPEG, not within coded pixels
_NOISES = 24  # that a JPEG is gone on with; of missing pixels nearly all are told by the first
_FRAMES, _SCAN = (b"\xc0", b"\xc1", b"\xc2"), b"\xda"  # markers; the last frame is progressive
_TEXTS = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")  # chunks of PNG that say nothing of the pixels
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit refuses photos of telephones


@dataclass(frozen=True)
class Decoded:
    """A picture: `pixels` uint8 RGB [H, W, 3], C-contiguous; `kinds` says what it was besides plain 8-bit RGB."""

    pixels: np.ndarray
    kinds: tuple[str, ...]


def decode(content: bytes, reduced: bool = False) -> Decoded:
    """Decode a picture, turned upright by its EXIF; of several frames the first.

    Colours are taken as they are: no profile is applied and nothing is blended in where the picture is transparent.
    Kinds: "rotated by EXIF", "several frames", "16-bit", "float", "palette", "CMYK", "YCbCr", "LAB", "alpha", and
    "grey" for any picture without colour, however it is stored.

    Raises UserError, the reason as its text, for what is no whole picture, too small, or larger than the memory that
    FSR_PHOTO_GB allows; with `reduced`, a JPEG of that size is decoded to a half, a quarter or an eighth of its sides.
    """
    if problem := problem_of(content[:HEAD]):
        raise UserError(problem)
    try:
        return _open(content, reduced)
    except UserError:
        raise
    except MemoryError:
        raise UserError("too large for the memory") from None
    except Exception:  # Pillow raises anything on garbage: OSError, SyntaxError, struct.error, TypeError, KeyError ...
        if content.startswith(_PNG) and (plain := _without_texts(content)) != content:
            return decode(plain, reduced)  # Pillow refuses large texts and profiles, which nobody asks for
        if content.startswith(_JPEG) and (whole := _without_end(content, reduced)) is not None:
            return whole
        raise UserError("damaged picture") from None


def problem_of(head: bytes) -> str:
    """Return why a file that begins with `head` is no picture that can be decoded; "" where it may well be one."""
    if not head:
        return EMPTY
    if head.startswith((_PNG, b"\xff\xd8\xff")):  # nearly all
        return ""
    for begins, (name, problem) in _KNOWN.items():
        if re.match(begins, head, re.DOTALL):
            return "" if name in _formats() else problem
    accepts = (Image.OPEN[name][1] for name in _formats())
    return "" if any(accept is None or accept(head[:16]) for accept in accepts) else NO_PICTURE


@functools.cache
def _formats() -> tuple[str, ...]:
    """Return the formats that are tried: those of photos, with a signature that garbage does not have by chance.

    Others would be a danger (EPS starts Ghostscript) or would read anything as a picture (TGA).
    """
    Image.init()
    with contextlib.suppress(ImportError):  # HEIC, where somebody has installed what reads it
        import pillow_heif

        pillow_heif.register_heif_opener()
    has_avif = "avif" in features.get_supported_modules()  # from Pillow 11.3 on
    return tuple(name for name in _FORMATS if name in Image.OPEN and (has_avif or name != "AVIF"))


def reading() -> str:
    """Return what decides, beside the bytes, which photos can be decoded; "" where all is as usual."""
    return os.environ.get(LIMIT, "") + "HEIF" * ("HEIF" in _formats())


def _open(content: bytes, reduced: bool) -> Decoded:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content), formats=_formats()) as image:
            kinds = _fit(image, reduced)
            return _decode(image, kinds)


def _fit(image: Image.Image, reduced: bool) -> list[str]:
    """Raise UserError where decoding takes more memory than may be; reduce a JPEG until it does not."""
    width, height = image.size
    most = limit()
    for step in (1, 2, 4, 8) if reduced and image.format in ("JPEG", "MPO") else (1,):
        if step > 1:
            image.draft(None, (width // step, height // step))
        needed = image.width * image.height * (_WIDE if image.mode[0] in "IF" else _BYTES)
        needed += width * height * _WAVES * ("progressive" in image.info)
        if needed <= most * 1e9:
            return [f"reduced to 1/{step} by its size"] if step > 1 else []
    size = f"{width}x{height} pixels take {needed / 1e9:.2g} GB to decode"
    raise UserError(f"too large: {size}, and {LIMIT} allows {most:g}; set it higher, or save the photo smaller")


def limit() -> float:
    """Return how many GB of memory a photo may take while it is decoded; raise UserError for what is no number."""
    text = os.environ.get(LIMIT, "4")
    try:
        if (most := float(text)) > 0:
            return most
    except ValueError:
        pass
    raise UserError(f"{LIMIT}={text}: expected the memory in GB that decoding a photo may take")


def _without_texts(png: bytes) -> bytes:
    """Return a PNG file without its chunks of text and its colour profile."""
    parts, start = [_PNG], len(_PNG)
    while start + 8 <= len(png):
        end = start + 12 + int.from_bytes(png[start : start + 4], "big")
        if png[start + 4 : start + 8] not in _TEXTS:
            parts.append(png[start:end])
        start = end
    return b"".join(parts)


def _without_end(jpeg: bytes, reduced: bool) -> Decoded | None:
    """Decode a JPEG that lacks nothing but its end; None where pixels are missing.

    What follows the last pixel is passed over, while instead of missing ones anything would be taken.
    """
    jpeg = jpeg.rstrip(b"\xff")
    with contextlib.suppress(Exception):  # as in `decode`
        if _has_all_scans(jpeg):
            blocks = _show_blocks(jpeg)
            first = _open(blocks + _JPEG_END, reduced).pixels
            others = (_open(blocks + _noise(seed) + _JPEG_END, reduced).pixels for seed in range(_NOISES))
            if all(np.array_equal(first, other) for other in others):
                return _open(jpeg + _JPEG_END, reduced)
    return None


def _noise(seed: int) -> bytes:
    """Return random coded pixels for a JPEG to go on with, then those of restarts, of which the seed says the first."""
    bits = random.Random(seed).randbytes(512).replace(b"\xff", b"")
    return bits + b"".join(bytes([0xFF, 0xD0 + (seed + place) % 8]) + bits for place in range(8))


def _parts(jpeg: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the parts of a JPEG: the marker, and where the content begins and ends."""
    at = len(_JPEG)
    while marker := _MARKER.search(jpeg, at):
        start = marker.end() + 2
        at = marker.end() + int.from_bytes(jpeg[marker.end() : start], "big")
        yield marker[1], start, at


def _has_all_scans(jpeg: bytes) -> bool:
    """Tell whether the scans of a JPEG have all coefficients of all components to their last bits (ITU T.81, B.2)."""
    missing: set[tuple[int, int]] = set()
    for marker, start, end in _parts(jpeg):
        part = jpeg[start:end]
        if marker in _FRAMES:
            missing = {(component, place) for component in part[6::3] for place in range(64)}
        elif marker == _SCAN and part[-1] & 15 == 0:
            missing -= {(component, place) for component in part[1:-3:2] for place in range(part[-3], part[-2] + 1)}
    return not missing


def _show_blocks(jpeg: bytes) -> bytes:
    """Return a JPEG with its sides, as declared, grown to those of its blocks, which go on beyond the picture."""
    for marker, start, end in _parts(jpeg):
        if marker in _FRAMES:
            part = jpeg[start:end]
            joint = len(part) > 9 and marker != _FRAMES[-1]  # the blocks of all components follow one another
            sampling = [(byte & 15, byte >> 4) for byte in part[7::3]] if joint else [(1, 1)]
            cells = (8 * max(down for down, _ in sampling), 8 * max(across for _, across in sampling))
            sides = (int.from_bytes(part[place : place + 2], "big") for place in (1, 3))
            grown = (-(-side // cell) * cell for side, cell in zip(sides, cells, strict=True))
            return jpeg[: start + 1] + struct.pack(">HH", *grown) + jpeg[start + 5 :]
    return jpeg


def _decode(image: Image.Image, kinds: list[str]) -> Decoded:
    width, height = image.size
    if min(width, height) < _LEAST_SIDE:
        raise UserError(f"only {width}x{height} pixels")
    if image.format == "TIFF" and _is_raw(image):
        raise UserError(RAW)
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


def _is_raw(image: Any) -> bool:
    """Tell whether a TIFF file is a camera's, whose first picture is a small one: DNG, or with the large one below."""
    return _DNG in image.tag_v2 or bool(image.tag_v2.get(_REDUCED, 0) & 1 and _BELOW in image.tag_v2)


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
