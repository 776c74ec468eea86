"""MANO_RIGHT.pkl: weights/mano_pickle.py."""

import contextlib
import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch_saves import STOP, group, mapping, named, number, text

from sapiens_mlx.errors import SapiensError
from sapiens_mlx.weights import mano_pickle

WORDS = [b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"cchumpy.ch\nCh\n"]
WORDS += [
    b"cchumpy.reordering\nSelect\n",
    b"cscipy.sparse.csc\ncsc_matrix\n",
    b"c_codecs\nencode\n",
    b"preferred_shape",
]
WORDS += [b"_shape", b"indices", b"indptr", b"data", b"idxs", b"latin1", b"f8", b"i4", b"u4", b"<", b"|"]
WORDS += [name.encode() for name in mano_pickle.NAMES]
PATH = Path(tempfile.mkdtemp(prefix="fuzz-")) / "MANO_RIGHT.pkl"


def once(data: bytes) -> None:
    PATH.write_bytes(data)
    with contextlib.suppress(SapiensError):
        for array in mano_pickle.read(PATH).values():
            array.sum()


def seeds() -> Iterator[bytes]:
    arrays = {name: np.arange(6.0).reshape(2, 3) for name in mano_pickle.NAMES}
    for protocol in (2, 4):
        yield pickle.dumps(arrays, protocol=protocol)
    array = pickle.dumps(np.arange(3, dtype=np.uint32), protocol=2)[2:-1]
    chumpy = named("copy_reg", "_reconstructor") + group(named("chumpy.ch", "Ch"), b"N", b"N") + b"R" + mapping(x=array)
    picked = mapping(a=chumpy + b"b", idxs=array, preferred_shape=group(number(3), number(1)))
    select = named("copy_reg", "_reconstructor") + group(named("chumpy.reordering", "Select")) + b"R" + picked
    starts = pickle.dumps(np.array([0, 3, 3], np.uint32), protocol=2)[2:-1]
    parts = mapping(_shape=group(number(4), number(2)), indices=array, indptr=starts, data=array)
    sparse = named("scipy.sparse.csc", "csc_matrix") + b")R" + parts + b"b"
    for one in (array, chumpy + b"b", select + b"b", sparse):
        yield b"\x80\x02" + mapping(**dict.fromkeys(mano_pickle.NAMES, one), more=text("x")) + STOP
