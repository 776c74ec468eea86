"""A small assembler of torch.save files for the tests, without PyTorch: its functions give pickle opcodes."""

import struct
import zipfile
from pathlib import Path

import numpy as np

NEWFALSE, STOP = b"\x89", b"."


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8b" + struct.pack("<i", len(data)) + data


def group(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def mapping(**entries: bytes) -> bytes:
    return b"}(" + b"".join(text(name) + value for name, value in entries.items()) + b"u"


def storage(key: str, elements: int, kind: str = "FloatStorage") -> bytes:
    return group(text("storage"), named("torch", kind), text(key), text("cpu"), number(elements)) + b"Q"


def tensor(stored: bytes, shape: tuple, strides: tuple, offset: int = 0) -> bytes:
    hooks = named("collections", "OrderedDict") + b")R"
    sizes = group(*map(number, shape)), group(*map(number, strides))
    return named("torch._utils", "_rebuild_tensor_v2") + group(stored, number(offset), *sizes, NEWFALSE, hooks) + b"R"


def write(
    path: Path,
    program: bytes,
    storages: dict[str, bytes] | None = None,
    how: int = zipfile.ZIP_STORED,
    **entries: bytes,
) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + program + STOP)
        for name, data in entries.items():
            archive.writestr(f"archive/{name}", data)
        for key, data in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", data)
    return path


FOUR = np.arange(4, dtype=np.float32)
GOOD = tensor(storage("0", 4), (4,), (1,))
STORED = {"0": FOUR.tobytes()}
