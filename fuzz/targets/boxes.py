"""Files of boxes, boxes.py, and what is made of them, detect.validate_boxes."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sapiens_mlx.boxes import read_boxes
from sapiens_mlx.detect import validate_boxes
from sapiens_mlx.errors import SapiensError

WORDS = [b"boxes_xyxy", b"box_xyxy", b"people", b"x1", b"y1", b"x2", b"y2", b"null", b"true", b"NaN", b"-Infinity"]
WORDS += [b"1e999", b"1e-999", b"\xef\xbb\xbf", b'"', b";", b"\t", b"\r\n", b"[[", b"]]", b"9" * 40]
PATH = Path(tempfile.mkdtemp(prefix="fuzz-")) / "boxes"


def once(data: bytes) -> None:
    PATH.write_bytes(data)
    with contextlib.suppress(SapiensError):
        boxes = validate_boxes(read_boxes(PATH), (480, 640))
        assert boxes.ndim == 2 and boxes.shape[1] == 4 and np.isfinite(boxes).all()


def seeds() -> Iterator[bytes]:
    yield b"[[10, 20, 300, 400], [1.5, 2e1, 30, 4e1]]"
    yield b'{"people": [{"box_xyxy": [1, 2, 3, 4], "score": 0.9}]}'
    yield b'{"boxes_xyxy": [["1", "2", "3", "4", 5]]}'
    yield b"x1;y1;x2;y2\r\n1;2;3;4\r\n"
    yield b"file,score,x1,y1,x2,y2\na.jpg,0.9,1,2,3,4\n"
    yield b'\xef\xbb\xbf"1"\t2\t3\t4\n\n'
