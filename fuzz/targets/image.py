"""Photos and masks: image.py, over Pillow's readers. Checksums of PNGs are mended, so that what is behind them is read.

Large photos are a matter of tests/test_image_limits.py: here a picture may have a megapixel, which is soon read.
"""

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from sapiens_mlx import image
from sapiens_mlx.errors import SapiensError

WORDS = [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf", b"iCCP", b"zTXt", b"Exif\0\0", b"II*\0", b"MM\0*"]
WORDS += [b"\xff\xd8", b"\xff\xc2", b"\xff\xda", b"\xff\xe1", b"\xff\xe2MPF\0", b"GIF89a", b"!\xfe", b"!\xf9", b"RIFF"]
WORDS += [b"WEBP", b"VP8 ", b"VP8L", b"VP8X", b"BM", b"ftypavif", b"ftypheic", b"jP  ", b"\xff\x4f\xff\x51", b"P6 "]
PNG = b"\x89PNG\r\n\x1a\n"
image.MAX_PIXELS = 1_000_000
Image.init()  # now, so that its readers get instruments


def once(data: bytes) -> None:
    data = _with_checksums(data) if data.startswith(PNG) else data
    with contextlib.suppress(SapiensError):
        pixels = image.read_image(data)
        assert pixels.dtype == np.uint8 and pixels.shape[2] == 3 and min(pixels.shape[:2]) >= image.MIN_SIDE_PX
    with contextlib.suppress(SapiensError):
        assert image.read_mask(data, (24, 32)).shape == (24, 32)


def _with_checksums(data: bytes) -> bytes:
    parts, at = [PNG], len(PNG)
    while at + 12 <= len(data):
        length = min(int.from_bytes(data[at : at + 4], "big"), len(data) - at - 12)
        chunk = data[at + 4 : at + 8 + length]
        parts.append(struct.pack(">I", length) + chunk + struct.pack(">I", zlib.crc32(chunk)))
        at += 12 + length
    return b"".join(parts)


def seeds() -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (3, 4, 3), np.uint8)).resize((32, 24))
    exif = Image.Exif()
    exif[0x0112] = 6
    forms = [("PNG", {}), ("PNG", {"exif": exif}), ("JPEG", {"exif": exif}), ("JPEG", {"progressive": True})]
    forms += [("WEBP", {}), ("WEBP", {"lossless": True, "exif": exif}), ("TIFF", {}), ("TIFF", {"exif": exif})]
    forms += [("TIFF", {"compression": "tiff_lzw"}), ("BMP", {}), ("GIF", {"comment": b"words"}), ("AVIF", {})]
    forms += [("JPEG2000", {}), ("PPM", {}), ("MPO", {"save_all": True, "append_images": [photo]})]
    for form, options in forms:
        yield _encoded(photo, form, **options)
    for mode in ("1", "L", "LA", "P", "RGBA"):
        yield _encoded(photo.convert(mode), "PNG")
    yield _encoded(photo.convert("L").convert("I").convert("I;16"), "PNG")
    for mode in ("CMYK", "L"):
        yield _encoded(photo.convert(mode), "JPEG")
    yield _encoded(photo.convert("L").convert("F"), "TIFF")
    yield _encoded(photo.convert("P"), "BMP")


def _encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()
