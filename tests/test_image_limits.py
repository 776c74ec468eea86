"""Photos made to be long to read or to fill the memory: none takes 2 s of processor time, or 1 GB, from under 10 MB."""

import io
import re
import struct
import zlib

import limited
import numpy as np
import pytest
from PIL import Image

from sapiens_mlx import image
from sapiens_mlx.errors import ImageError


def _saved(picture: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def _flat(mode: str, side: int) -> Image.Image:
    return Image.new(mode, (side, side), 77 if mode in ("L", "P", "I;16", "F") else (9, 99, 200, 128)[: len(mode)])


def gif_of_comments() -> bytes:
    """Pillow adds each to those before it."""
    head = b"GIF89a" + struct.pack("<HH", 64, 64) + b"\0\0\0"
    return head + b"!\xfe\1x\0" * 1_900_000 + b";"


def ppm_of_comments() -> bytes:
    return b"P3 64 64 255 " + b"#\n" * 2_000_000 + b"1 " * (64 * 64 * 3)


def ppm_header_of_comments() -> bytes:
    return b"P6 " + b"#\n" * 4_000_000 + b"64 64 255 " + bytes(64 * 64 * 3)


def ppm_of_another_maximum() -> bytes:
    """Pillow scales such pixels one by one, in Python."""
    return b"P6 1800 1800 254 " + bytes(1800 * 1800 * 3)


def _chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG_HEAD = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))


def png_of_empty_chunks() -> bytes:
    return PNG_HEAD + _chunk(b"juNk") * 800_000


def png_of_pixels_byte_by_byte() -> bytes:
    rows = zlib.compress(np.random.default_rng(0).integers(0, 256, 512 * 1537, np.uint8).tobytes(), 0)
    head = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 512, 512, 8, 2, 0, 0, 0))
    return head + b"".join(_chunk(b"IDAT", rows[at : at + 1]) for at in range(700_000))


def jpeg_of_empty_segments() -> bytes:
    good = _saved(_flat("RGB", 64), "JPEG")
    return good[:2] + b"\xff\xfe\0\2" * 2_000_000 + good[2:]


def jpeg_of_scans() -> bytes:
    """The last scan, of a few bytes, a thousand times more: a decoder goes over all pixels each time."""
    good = _saved(_flat("L", 4000), "JPEG", progressive=True)
    return good[:-2] + good[good.rindex(b"\xff\xda") : -2] * 5000 + good[-2:]


def tiff_of_tiles() -> bytes:
    """A million tiles of one pixel."""
    width, height = 1000, 1200
    entries = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (277, 1), (322, 1), (323, 1)]
    count = width * height
    at = 8 + 2 + 12 * (len(entries) + 2) + 4
    lists = [(324, at), (325, at + 4 * count)]
    directory = struct.pack("<H", len(entries) + 2)
    directory += b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in entries)
    directory += b"".join(struct.pack("<HHII", tag, 4, count, offset) for tag, offset in lists)
    return b"II*\0\10\0\0\0" + directory + bytes(4) + struct.pack("<I", 8) * count + struct.pack("<I", 1) * count


def bmp_of_runs() -> bytes:
    """Its runs are unpacked in Python."""
    runs = b"\1\0" * 4_000_000
    info = struct.pack("<IiiHHIIiiII", 40, 2000, 2000, 1, 8, 1, len(runs), 0, 0, 256, 0)
    start = 14 + 40 + 1024
    return b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + info + bytes(range(256)) * 4 + runs


LONG = [gif_of_comments, ppm_of_comments, ppm_header_of_comments, ppm_of_another_maximum, png_of_empty_chunks]
LONG += [png_of_pixels_byte_by_byte, jpeg_of_empty_segments, jpeg_of_scans, tiff_of_tiles, bmp_of_runs]


@pytest.mark.parametrize("make", LONG, ids=lambda make: make.__name__)
def test_a_small_file_is_read_for_ever(tmp_path, make):
    path = tmp_path / "photo"
    path.write_bytes(make())
    assert path.stat().st_size < 10_000_000
    outcome = limited.run("image", path)
    assert re.search("not an image that can be read|too many small parts|too many scans", outcome.said)
    assert outcome.is_small, outcome


def test_the_film_behind_a_motion_photo_is_taken_for_scans():
    """In compressed film every pair of bytes comes up, the marker of a scan too."""
    photo = _saved(_flat("L", 1000), "JPEG")
    assert image.read_image(photo + b"\xff\xda\x71" * 3000).shape == (1000, 1000, 3)


# Format, mode, side in pixels, options: as large as each may be.
LARGEST = [
    ("PNG", "RGB", 10_000, {"compress_level": 1}),
    ("PNG", "RGBA", 10_000, {"compress_level": 1}),
    ("PNG", "LA", 10_000, {"compress_level": 1}),
    ("PNG", "I;16", 10_000, {"compress_level": 1}),
    ("TIFF", "F", 10_000, {"compression": "tiff_deflate"}),
    ("JPEG", "RGB", 10_000, {"progressive": True, "subsampling": 0}),
    ("JPEG", "CMYK", 8_660, {"progressive": True}),
    ("WEBP", "RGBA", 7_071, {"lossless": True, "quality": 0, "method": 0}),
    ("AVIF", "RGB", 7_071, {"speed": 10, "subsampling": "4:4:4"}),
    ("JPEG2000", "RGB", 5_000, {"irreversible": True, "quality_layers": [200]}),
]
QUICK = ("I;16",)  # the others take seconds to be made


@pytest.mark.parametrize(
    ("form", "mode", "side", "options"),
    [pytest.param(*one, marks=() if one[1] in QUICK else pytest.mark.slow, id="-".join(one[:2])) for one in LARGEST],
)
@pytest.mark.parametrize("reader", ["image", "mask"])
def test_a_small_file_of_a_large_photo_fills_the_memory(tmp_path, reader, form, mode, side, options):
    """Its time is that of its pixels: 2 s are for what is not read in the end."""
    path = tmp_path / "photo"
    path.write_bytes(_saved(_flat(mode, side), form, **options))
    assert path.stat().st_size < 10_000_000
    outcome = limited.run(reader, path)
    assert outcome.said == "read" if reader == "image" else "Make them the same size" in outcome.said
    assert outcome.peak_bytes < limited.MOST_BYTES, outcome


@pytest.mark.parametrize(("form", "side"), [("WEBP", 7072), ("AVIF", 7072), ("JPEG2000", 5001), ("JPEG", 8661)])
def test_a_format_that_needs_more_memory_may_be_as_large_as_another(form, side):
    header = {"WEBP": {"lossless": True, "quality": 0, "method": 0}, "AVIF": {"speed": 10}}.get(form, {})
    picture = Image.new("L" if form in ("JPEG2000", "AVIF") else "CMYK" if form == "JPEG" else "RGB", (side, side))
    data = _saved(picture, form, **header)
    with pytest.raises(ImageError, match=rf"{side} x {side} pixels; the limits are (25|50|75) megapixels"):
        image.read_image(data)


@pytest.mark.parametrize("rows", [1, 127, 128, 129, 300])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1", "L", "CMYK", "I;16", "F"])
def test_bands_do_not_join(mode, rows):
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (max(rows, 8), 16, 3), np.uint8))
    picture = rgb.convert("L").convert("I").convert(mode) if mode == "I;16" else rgb.convert(mode)
    found = image.read_image(picture)
    whole = image.BAND_ROWS
    image.BAND_ROWS = 10_000
    try:
        np.testing.assert_array_equal(found, image.read_image(picture))
    finally:
        image.BAND_ROWS = whole
