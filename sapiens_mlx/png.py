"""Writes PNG files in bands of rows, each deflated on a thread of its own.

OpenCV's encoder needs the whole picture in its own order of channels and the whole file in memory, over 200 MB for two
photos of 12 megapixels side by side, and one thread. The format (PNG, third edition; RFC 1950 and 1951) lets bands be
deflated apart and put in a row.
"""

import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import numpy as np

BAND_ROWS = 32  # 0.4 MB of a large photo, which stays in a core's cache
MOST_THREADS = 8
COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # channels -> grey, RGB, RGBA
SUB = 1  # the filter: each byte less that of the pixel to its left
ZLIB_HEADER = b"\x78\x01"


def write(file: BinaryIO, image: np.ndarray) -> None:
    """`image` as a PNG: (H, W, 3) RGB or (H, W, 4) RGBA uint8, or (H, W) uint8 or uint16."""
    height, width = image.shape[:2]
    colour_type = COLOUR_TYPES[image.shape[2] if image.ndim == 3 else 1]
    header = struct.pack(">IIBBBBB", width, height, 8 * image.itemsize, colour_type, 0, 0, 0)
    file.write(b"\x89PNG\r\n\x1a\n")
    _write_chunk(file, b"IHDR", header)
    _write_chunk(file, b"IDAT", ZLIB_HEADER)
    bands = [image[top : top + BAND_ROWS] for top in range(0, height, BAND_ROWS)]
    checksum = zlib.adler32(b"")
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as threads:
        for filtered, deflated in threads.map(_deflated, bands):
            checksum = zlib.adler32(filtered, checksum)
            _write_chunk(file, b"IDAT", deflated)
    end_of_stream = zlib.compressobj(wbits=-zlib.MAX_WBITS).flush()
    _write_chunk(file, b"IDAT", end_of_stream + struct.pack(">I", checksum))
    _write_chunk(file, b"IEND", b"")


def _deflated(band: np.ndarray) -> tuple[np.ndarray, bytes]:
    """The rows of a band as they are filtered, (h, 1 + bytes of a row) uint8, and deflated up to a byte's end."""
    pixel_bytes = band.itemsize * (band.shape[2] if band.ndim == 3 else 1)
    rows = band.astype(band.dtype.newbyteorder(">"), order="C", copy=False).reshape(len(band), -1).view(np.uint8)
    filtered = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = SUB
    filtered[:, 1 : 1 + pixel_bytes] = rows[:, :pixel_bytes]
    np.subtract(rows[:, pixel_bytes:], rows[:, :-pixel_bytes], out=filtered[:, 1 + pixel_bytes :])
    # Run lengths of differences: faster than zlib's level 1, and smaller on photos.
    stream = zlib.compressobj(level=1, wbits=-zlib.MAX_WBITS, strategy=zlib.Z_RLE)
    return filtered, stream.compress(filtered) + stream.flush(zlib.Z_SYNC_FLUSH)


def _write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))
