"""Pictures as people have them: every kind is made here, and comes out as RGB or as a reason."""

from __future__ import annotations

import io
import struct
import sys
import types
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from bench.core.errors import UserError
from bench.data import decode as module
from bench.data.decode import decode
from tests.bench.data.pictures import picture, save


def flat(mode: str, colour: object, kind: str = "PNG", size: tuple[int, int] = (12, 10), **how: object) -> bytes:
    """Return a picture of one colour."""
    return save(Image.new(mode, size, colour), kind, **how)  # type: ignore[arg-type]


def gradient() -> np.ndarray:
    """Return a smooth picture in colour, uint8 [32, 40, 3], which JPEG hardly changes."""
    down, across = np.mgrid[0:32, 0:40]
    return np.stack([across * 6, down * 8, 255 - across * 3 - down * 4], -1).astype(np.uint8)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def deep_png(values: np.ndarray) -> bytes:
    """Return a PNG of 16 bits a channel, which Pillow can't write, of uint16 [H, W, 3]."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_plain_pictures_come_out_as_they_are(kind: str) -> None:
    photo = decode(save(Image.fromarray(gradient()), kind))
    assert np.array_equal(photo.pixels, gradient()) and photo.kinds == ()
    assert photo.pixels.dtype == np.uint8 and photo.pixels.flags.c_contiguous


@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        (picture(mode="L"), ("grey",)),
        (picture(mode="L", kind="JPEG"), ("grey",)),
        (picture(mode="1"), ("grey",)),
        (picture(mode="CMYK", kind="JPEG"), ("CMYK",)),
        (picture(mode="CMYK", kind="TIFF"), ("CMYK",)),
        (picture(mode="YCbCr", kind="TIFF"), ("YCbCr",)),
        (picture(mode="LAB", kind="TIFF"), ("LAB",)),
        (picture(mode="P"), ("palette",)),
        (picture(mode="P", transparency=3), ("palette", "alpha")),
        (picture(mode="P", kind="GIF"), ("palette",)),
        (picture(mode="RGBA"), ("alpha",)),
        (picture(transparency=(1, 2, 3)), ("alpha",)),
        (picture(mode="LA"), ("alpha", "grey")),
    ],
)
def test_other_kinds_of_picture_are_converted_and_named(content: bytes, kinds: tuple[str, ...]) -> None:
    photo = decode(content)
    assert photo.pixels.shape == (10, 12, 3) and photo.pixels.dtype == np.uint8 and photo.pixels.flags.c_contiguous
    assert photo.kinds == kinds


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_not_inverted(kind: str) -> None:
    content = save(Image.fromarray(gradient()).convert("CMYK"), kind)
    assert np.abs(decode(content).pixels.astype(int) - gradient()).mean() < 5


def test_what_is_transparent_keeps_its_colour() -> None:
    assert decode(flat("RGBA", (200, 100, 50, 0))).pixels[0, 0].tolist() == [200, 100, 50]
    image = Image.new("P", (12, 10), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    photo = decode(save(image, transparency=b"\xff\x00"))
    assert photo.pixels[0, 0].tolist() == [200, 100, 50] and photo.kinds == ("palette", "alpha")


def test_sixteen_bits_become_eight() -> None:
    values = np.repeat(np.array([[0, 257, 32896, 65535]], np.uint16), 8, axis=0).repeat(2, axis=1)
    for kind in ("PNG", "TIFF"):
        photo = decode(save(Image.fromarray(values), kind))
        assert photo.pixels[0, ::2, 0].tolist() == [0, 1, 128, 255] and photo.kinds == ("16-bit", "grey")
    dark = decode(save(Image.fromarray(values.clip(0, 255))))
    assert dark.pixels[0, ::2, 0].tolist() == [0, 255, 255, 255]
    assert decode(save(Image.fromarray(values.clip(0, 1)))).pixels[0, ::2, 0].tolist() == [0, 1, 1, 1]


def test_sixteen_bits_in_colour_become_eight() -> None:
    values = gradient().astype(np.uint16) * 257
    photo = decode(deep_png(values))
    assert np.array_equal(photo.pixels, gradient()) and photo.kinds == ("16-bit",)


def test_floats_are_scaled_and_what_is_no_number_is_black() -> None:
    values = np.full((8, 8), 0.5, np.float32)
    values[0, :4] = np.nan, np.inf, -np.inf, 1.0
    photo = decode(save(Image.fromarray(values), "TIFF"))
    assert photo.pixels[0, :5, 0].tolist() == [0, 0, 0, 255, 128] and photo.kinds == ("float", "grey")
    assert decode(save(Image.fromarray(values * 200), "TIFF")).pixels[0, 3:5, 0].tolist() == [200, 100]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_picture_upright(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(gradient())
    photo = decode(save(stored, kind, exif=exif))
    stored.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(stored)).astype(int)
    assert photo.pixels.shape == upright.shape and np.abs(photo.pixels - upright).mean() < 5
    assert photo.kinds == (() if orientation == 1 else ("rotated by EXIF",))
    assert photo.pixels.flags.c_contiguous


def test_damaged_exif_does_not_spoil_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    content = picture(kind="JPEG", exif=b"Exif\0\0no TIFF header at all")
    assert decode(content).pixels.shape == (10, 12, 3)

    def fail(*_: object) -> None:
        raise struct.error("unpack requires a buffer of 4 bytes")

    monkeypatch.setattr(Image.Image, "getexif", fail)
    assert decode(content).pixels.shape == (10, 12, 3)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "how",
    [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 1}, {"quality": 5}, {"optimize": True}],
)
def test_a_jpeg_may_lack_its_end_but_no_pixel(mode: str, how: dict[str, object]) -> None:
    draw = np.random.default_rng(0)
    for size in ((40, 32), (16, 16), (33, 17)):
        image = Image.fromarray(draw.integers(0, 256, (size[1], size[0], 3), np.uint8)).convert(mode)
        content = save(image, "JPEG", **how)
        whole = decode(content)
        assert content.endswith(b"\xff\xd9")
        for end in (1, 2):
            photo = decode(content[:-end])
            assert np.array_equal(photo.pixels, whole.pixels) and photo.kinds == whole.kinds
        kept = 0
        for cut in range(3, len(content), 1 + len(content) // 150):
            try:
                assert np.array_equal(decode(content[:-cut]).pixels, whole.pixels), cut
                kept += 1
            except UserError as error:
                assert str(error) in ("damaged picture", "not a picture", "empty file")
        assert kept <= 1, "the last bits of the black of a CMYK picture change nothing"


def test_a_jpeg_cut_between_two_scans_or_restarts_is_damaged() -> None:
    for how, mark in (({"progressive": True}, b"\xff\xda"), ({"restart_marker_blocks": 1}, b"\xff\xd3")):
        content = picture(size=(40, 32), kind="JPEG", **how)
        with pytest.raises(UserError, match="damaged picture"):
            decode(content[: content.rindex(mark)])


def test_grey_in_colour_is_noticed_up_to_two_levels() -> None:
    grey = np.repeat(np.random.default_rng(0).integers(0, 250, (40, 40, 1), dtype=np.uint8), 3, axis=2)
    grey[5, 7] = 100, 102, 101
    assert decode(save(Image.fromarray(grey))).kinds == ("grey",)
    assert decode(save(Image.fromarray(grey[..., 0]).convert("RGB"), "JPEG")).kinds == ("grey",)
    assert decode(save(Image.fromarray(grey).convert("RGBA"))).kinds == ("alpha", "grey")
    grey[5, 7] = 100, 103, 101  # one pixel in colour, which a look at some pixels misses
    assert decode(save(Image.fromarray(grey))).kinds == ()
    grey[5, 7] = 255, 0, 255  # no difference may wrap round
    assert decode(save(Image.fromarray(grey))).kinds == ()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_of_several_frames_the_first_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "lime")]
    photo = decode(save(frames[0], kind, save_all=True, append_images=frames[1:]))
    red, green, blue = photo.pixels[8, 8].tolist()
    assert red > 240 and green < 15 and blue < 15 and "several frames" in photo.kinds
    assert "several frames" not in decode(save(frames[0], "JPEG" if kind == "MPO" else kind)).kinds


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_a_cut_picture_is_damaged(kind: str) -> None:
    whole = picture(kind=kind, size=(60, 60))
    with pytest.raises(UserError, match=r"^damaged picture$"):
        decode(whole[: len(whole) * 2 // 3])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty file"),
        (picture(size=(200, 7)), "only 200x7 pixels"),
        (b"<!DOCTYPE html><html>Quota exceeded</html>", "not a picture"),
        (b"\xff\xd8 and no JPEG", "not a picture"),
        (picture(kind="TGA"), "not a picture"),
        (picture(kind="EPS"), "not a picture"),  # Pillow would start Ghostscript
    ],
)
def test_what_is_no_picture_is_told(content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}$"):
        decode(content)


def test_a_picture_is_too_large_by_the_memory_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    content = picture(kind="JPEG", size=(200, 120))
    monkeypatch.setenv("FSR_PHOTO_GB", "1e-4")  # 100 kB
    message = r"^too large: 200x120 pixels take 0\.00029 GB to decode, and FSR_PHOTO_GB allows 0\.0001; set it higher"
    with pytest.raises(UserError, match=message):
        decode(content)
    photo = decode(content, reduced=True)  # by libjpeg, at no cost of the whole
    assert photo.pixels.shape == (60, 100, 3) and photo.kinds == ("reduced to 1/2 by its size",)
    with pytest.raises(UserError, match="too large"):
        decode(picture(size=(200, 120)), reduced=True)  # a PNG is decoded as a whole or not at all
    monkeypatch.setenv("FSR_PHOTO_GB", "much")
    with pytest.raises(UserError, match="FSR_PHOTO_GB=much: expected the memory in GB"):
        decode(content)


def test_a_telephones_108_megapixels_are_decoded() -> None:
    photo = decode(save(Image.new("L", (12000, 9000), 90), "JPEG"), reduced=True)  # grey: a quarter of the time
    assert photo.pixels.shape == (9000, 12000, 3) and photo.kinds == ("grey",)


def test_a_png_with_large_texts_and_profile_opens() -> None:
    """Pillow refuses a text or a profile of more than a MB; libpng passes it over."""
    packed = zlib.compress(b"x" * 5_000_000)
    whole = save(Image.fromarray(gradient()))
    for texts in (chunk(b"zTXt", b"note\0\0" + packed), chunk(b"iTXt", b"note\0\1\0\0\0" + packed)):
        for place in (33, len(whole) - 12):  # after the header, before the end
            photo = decode(whole[:place] + texts + whole[place:])
            assert np.array_equal(photo.pixels, gradient()) and photo.kinds == ()
    profile = chunk(b"iCCP", b"icc\0\0" + packed)
    assert np.array_equal(decode(whole[:33] + profile + whole[33:]).pixels, gradient())


def test_pictures_that_are_not_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for begin, message in {
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic": "a HEIC picture: pip install pillow-heif, or save it as JPEG",
        b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic": "a HEIC picture: pip install pillow-heif",
        b"\0\0\0\x14ftypqt  \0\0\0\0qt  ": "not a picture but a film",
        b"II*\0\x10\0\0\0CR\2\0": "a camera's raw file: develop it to JPEG or TIFF first",
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom": "a camera's raw file",
        b"\xff\x0a\xfa": "a JPEG XL picture",
        b"8BPS\0\1": "a Photoshop document",
    }.items():
        with pytest.raises(UserError, match=f"^{message}"):
            decode(begin + bytes(200))
    thumbnail = save(Image.fromarray(gradient()), "TIFF", tiffinfo={50706: b"\1\4\0\0"})
    with pytest.raises(UserError, match="raw file"):  # not its thumbnail
        decode(thumbnail)
    monkeypatch.setattr(module, "_formats", lambda: ("JPEG", "PNG"))  # Pillow before 11.3
    with pytest.raises(UserError, match=r"^an AVIF picture: pip install -U pillow"):
        decode(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + bytes(200))


def test_heic_is_read_where_its_reader_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reader(PngImagePlugin.PngImageFile):
        """Read a PNG behind the 24 bytes that a HEIC file begins with."""

        format = "HEIF"

        def _open(self) -> None:
            assert self.fp is not None
            self.fp = io.BytesIO(self.fp.read()[24:])
            super()._open()

    heif = types.ModuleType("pillow_heif")
    heif.register_heif_opener = (
        lambda: Image.register_open(  # type: ignore[attr-defined]
            "HEIF", Reader, lambda prefix: prefix[4:12] == b"ftypheic"
        )
    )
    monkeypatch.setitem(sys.modules, "pillow_heif", heif)
    module._formats.cache_clear()
    try:
        head = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
        assert np.array_equal(decode(head + save(Image.fromarray(gradient()))).pixels, gradient())
        assert module.reading() == "HEIF"
    finally:
        Image.OPEN.pop("HEIF", None)
        module._formats.cache_clear()


def test_nothing_is_printed_and_filters_stay(recwarn: pytest.WarningsRecorder) -> None:
    decode(picture(mode="P", transparency=bytes(range(256))))
    decode(picture(kind="JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff"))
    assert not recwarn.list


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_garbage_is_decoded_or_refused(kind: str) -> None:
    draw = np.random.default_rng(0)
    whole = picture(kind=kind, size=(40, 30))
    refused = 0
    for case in range(30):
        garbled = np.frombuffer(whole, np.uint8).copy()
        places = draw.integers(0, len(garbled) if case % 2 else 60, draw.integers(1, 8))  # headers break most
        garbled[places] = draw.integers(0, 256, len(places))
        try:
            photo = decode(garbled[: draw.integers(1, len(garbled))].tobytes() if case % 5 == 0 else garbled.tobytes())
        except UserError as error:
            assert str(error).startswith(("damaged", "not a picture", "more than", "only", "too large")), error
            refused += 1
        else:
            assert photo.pixels.ndim == 3 and photo.pixels.shape[2] == 3 and photo.pixels.dtype == np.uint8
    assert refused >= 3
