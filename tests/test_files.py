"""Files are written whole or not at all."""

import errno

import numpy as np
import pytest

from sapiens_mlx.errors import SapiensError
from sapiens_mlx.files import output_folder, write_arrays, write_bytes, writing


def test_a_file_appears_whole_and_alone(tmp_path):
    path = write_bytes(tmp_path / "a.bin", b"123")
    assert path.read_bytes() == b"123"
    assert list(tmp_path.iterdir()) == [path]


def test_arrays_come_back_as_they_were(tmp_path):
    arrays = {"points": np.arange(6, dtype=np.float32).reshape(2, 3), "scale": np.float64(2.5)}
    loaded = np.load(write_arrays(tmp_path / "a.npz", **arrays))
    assert all(np.array_equal(loaded[name], array) for name, array in arrays.items())


@pytest.mark.parametrize("problem", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("other")])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, problem):
    path = write_bytes(tmp_path / "a.bin", b"old")

    def write_half():
        with writing(path) as partial:
            partial.write_bytes(b"half")
            raise problem

    with pytest.raises(SapiensError if isinstance(problem, OSError) else RuntimeError, match=r"space|other"):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_made_and_one_that_cannot_be_is_a_sentence(tmp_path):
    assert output_folder(tmp_path / "a/b").is_dir()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SapiensError, match="Nothing can be written"):
        output_folder(tmp_path / "file")
    with pytest.raises(SapiensError, match="Nothing can be written"):
        output_folder(tmp_path / "file/below")
