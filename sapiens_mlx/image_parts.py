"""How many parts an image file is made of: one of a million empty ones would keep Pillow busy for minutes."""

import io
import struct

# Pillow reads what stands around the pixels part by part, some in a time that grows with the square of their number.
# A photo has tens of parts, and its pixels lie in pieces of kilobytes.
MOST_READS = 5_000  # before the pixels
READ_BYTES = 256  # a read of pixels, and as many reads more as a photo may have rows
TIFF_PARTS = (273, 324)  # the tags of where its strips and tiles are
# How a scan of a JPEG begins: its marker, how long its header is, and of how many components it is, 1 to 4. The marker
# alone is found by chance in whatever follows the JPEG, as the film behind a phone's motion photo.
SCAN_HEADERS = tuple(b"\xff\xda" + struct.pack(">HB", 6 + 2 * count, count) for count in (1, 2, 3, 4))


class CountedFile(io.BufferedReader):
    """A file that lets itself be read `reads_left` times, so that one of a million empty parts is left soon."""

    reads_left = MOST_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads_left -= 1
        if self.reads_left < 0:
            raise OSError("it is made of too many small parts")
        return super().read(size)


def tiff_parts(file: CountedFile) -> int:
    """How many strips or tiles the first picture of a TIFF is said to have."""
    head = file.read(16)
    order = "<" if head.startswith(b"II") else ">"
    is_big = 43 in head[2:4]
    offset, number, entry = ("8xQ", "Q", "HHQ8x") if is_big else ("4xI8x", "H", "HHI4x")
    file.seek(*struct.unpack_from(order + offset, head.ljust(16, b"\0")))
    (entries,) = struct.unpack(order + number, file.read(struct.calcsize(order + number)))
    table = file.read(min(entries, 65_535) * struct.calcsize(order + entry))
    table = table[: len(table) // struct.calcsize(order + entry) * struct.calcsize(order + entry)]
    counts = [count for tag, _, count in struct.iter_unpack(order + entry, table) if tag in TIFF_PARTS]
    file.seek(0)
    return max(counts, default=0)


def scans(file: CountedFile) -> int:
    """How many times a JPEG goes over its pixels: a file of 40 kB can do so a thousand times."""
    at, found, last = file.tell(), 0, b""
    file.seek(0)
    while block := io.BufferedReader.read(file, 1 << 20):
        block = last + block
        found += sum(block.count(header) for header in SCAN_HEADERS)
        last = block[-4:]  # one byte less than a header
    file.seek(at)
    return found
