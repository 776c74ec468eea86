"""MANO out of WiLoR-mini's checkpoint, of which only MANO's part is read, from a disk or from afar."""

import io

import made_up_hands as made_up
import numpy as np
import pytest
from test_torch_file_hostile import ATTACKS, canary  # noqa: F401  (a fixture)

from sapiens_mlx.errors import WeightsError
from sapiens_mlx.hands import mano
from sapiens_mlx.weights import hub, remote, torch_file
from sapiens_mlx.weights.torch_file import Opened


def test_mano_is_not_what_the_checkpoint_has(tmp_path):
    path = made_up.write_checkpoint(tmp_path / "wilor_final.ckpt")
    found = mano.of_checkpoint(path, made_up.write_mean(tmp_path / "mano_mean_params.npz"))
    made_up.same(found)
    assert found.arrays["init_hand_pose"].shape == (1, 96)
    np.testing.assert_array_equal(found.arrays["init_cam"], np.float32([[4.5, -0.1, 0]]))


def test_all_of_a_checkpoint_is_read_for_it(tmp_path):
    """2 GB of other tensors, which the disk does not really hold, are neither read nor in memory."""
    path = made_up.write_checkpoint(tmp_path / "wilor_final.ckpt")
    data, fetched = path.read_bytes(), []

    def fetch(start, end):
        fetched.append(end - start)
        return data[start:end]

    with io.BufferedReader(remote.RemoteFile(len(data), fetch), 1 << 16) as file:
        found = torch_file.read_tensors(Opened("there/wilor_final.ckpt", file), mano.OF_CHECKPOINT.__contains__)
    assert set(found) == set(mano.OF_CHECKPOINT)
    others = 300 * 1000 * 4
    assert sum(fetched) < len(data) - others + 1_000_000 and len(data) > others
    np.testing.assert_array_equal(found["mano.posedirs"], made_up.mano_arrays()["posedirs"])


def test_a_large_read_is_one_request_or_comes_without_end():
    data, fetched = bytes(range(256)) * (36 << 10), []  # 9 MB

    def fetch(start, end):
        fetched.append(end - start)
        return data[start:end]

    with io.BufferedReader(remote.RemoteFile(len(data), fetch), 1 << 16) as file:
        assert file.read(len(data)) == data
    assert max(fetched) <= 4 << 20 and sum(fetched) == len(data)
    fetched.clear()
    file = io.BufferedReader(remote.RemoteFile(400 << 20, fetch), 1 << 16)
    with pytest.raises(hub.UnavailableError, match="far more of it is read"):
        file.read(400 << 20)
    assert not fetched


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"lbs_weights": None}, "the tensor mano.lbs_weights is missing"),
        ({"v_template": np.zeros((777, 3), np.float32)}, "v_template is float32"),
        ({"faces": np.full((1538, 3), 900)}, "faces points outside"),
    ],
)
def test_another_checkpoint_is_no_sentence(tmp_path, change, sentence):
    arrays = {name: value for name, value in (made_up.mano_arrays() | change).items() if value is not None}
    path = made_up.write_checkpoint(tmp_path / "wilor_final.ckpt", arrays)
    with pytest.raises(WeightsError, match=sentence):
        mano.of_checkpoint(path, made_up.write_mean(tmp_path / "mean.npz"))


def test_a_mean_without_its_arrays_is_no_sentence(tmp_path):
    path = made_up.write_checkpoint(tmp_path / "wilor_final.ckpt")
    np.savez(tmp_path / "mean.npz", pose=np.zeros(96, np.float32))
    with pytest.raises(WeightsError, match=r"mean\.npz has no shape"):
        mano.of_checkpoint(path, tmp_path / "mean.npz")


@pytest.mark.parametrize("attack", list(ATTACKS.values())[:6], ids=list(ATTACKS)[:6])
def test_an_attack_in_the_checkpoint_runs(canary, attack):  # noqa: F811
    path = made_up.write_checkpoint(canary.with_name("wilor_final.ckpt"), beside=attack)
    mean = made_up.write_mean(canary.with_name("mean.npz"))
    made_up.same(mano.of_checkpoint(path, mean))
    made_up.write_checkpoint(path, instead={"mano.v_template": attack})
    with pytest.raises(WeightsError, match=r"'mano\.v_template' is not a tensor"):
        mano.of_checkpoint(path, mean)
    assert not canary.exists()
