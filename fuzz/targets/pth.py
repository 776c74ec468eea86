"""torch.save's files: weights/torch_file.py. Bytes that are no zip are the pickle in one, beside two sound storages."""

import contextlib
import io
import zipfile
from collections.abc import Iterator

from torch_saves import STOP, group, mapping, number, storage, tensor, text

from sapiens_mlx.errors import SapiensError
from sapiens_mlx.weights.torch_file import Opened, read_tensors

WORDS = [b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n", b"ccollections\nOrderedDict\n"]
WORDS += [b"X\7\0\0\0storage", b"X\1\0\0\0000", b"X\3\0\0\0cpu", b"state_dict", b"tR", b"Q", b"\x85", b"\x86", b"\x87"]
WORDS += [
    b"\x93",
    b"\x8c",
    b"\x8a",
    b"\x8b",
    b"PK\1\2",
    b"PK\3\4",
    b"PK\5\6",
    b"archive/data.pkl",
    b"archive/byteorder",
]
ZIP = b"PK\3\4"


def once(data: bytes) -> None:
    file = io.BytesIO(data if data.startswith(ZIP) else zipped(data))
    with contextlib.suppress(SapiensError):
        for array in read_tensors(Opened("fuzz.pth", file)).values():
            array.sum()


def zipped(program: bytes, how: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/data/0", bytes(64))
        archive.writestr("archive/data/1", bytes(range(256)))
    return buffer.getvalue()


def seeds() -> Iterator[bytes]:
    floats, codes = storage("0", 16), storage("1", 128, "BFloat16Storage")
    state = mapping(weight=tensor(floats, (2, 3), (3, 1)), bias=tensor(codes, (4,), (2,), 5))
    program = b"\x80\x02" + state + STOP
    yield program
    yield b"\x80\x02" + mapping(state_dict=state, epoch=number(3), rates=b"](" + number(1) + b"Ne") + STOP
    yield b"\x80\x04\x95\0\0\0\0\0\0\0\0}\x94\x8c\1a\x94" + tensor(floats, (16,), (1,)) + b"\x94s" + STOP
    yield b"(dS'a'\nL3L\nsS'b'\n(lF1.5\naI01\nasg0\np0\n" + group(text("k"), b"h\0") + STOP
    yield zipped(program)
    yield zipped(program, zipfile.ZIP_DEFLATED)
