"""Normals: vectors and picture as the reference has them; the mask and the files."""

import numpy as np
import pytest
from fixtures import COMPLETE, SMALL, Cases, photo_of
from PIL import Image

from sapiens_mlx.tasks.normal import NormalTask


def result_of(cases, tag):
    task, fitted = NormalTask(), cases.fitted("normal", tag)
    part = task.decode(cases.raw(f"normal.in_{tag}"), fitted)
    return task.result([part], photo_of(fitted))


def check_reference(cases, tag):
    result = result_of(cases, tag)
    assert result.normals.dtype == np.float32
    np.testing.assert_allclose(result.normals, cases.expected(f"normal.out_{tag}"), atol=1e-5)
    off = np.abs(result.picture().astype(int) - cases.tensors[f"normal.vis_bgr_uint8_hwc_{tag}"][..., ::-1])
    assert off.max() <= 1 and (off > 0).mean() < 1e-3


@pytest.mark.parametrize("tag", SMALL["normal"])
def test_normals_differ_from_the_reference(tag):
    check_reference(Cases(), tag)


@pytest.mark.parametrize("tag", COMPLETE["normal"])
def test_normals_differ_from_the_complete_reference(reference, tag):
    check_reference(Cases(reference / "postprocess"), tag)


def test_fit_and_decode_do_not_meet_at_the_padding():
    task, photo = NormalTask(), np.full((100, 200, 3), 255, np.uint8)
    fitted = task.fit(photo, (64, 48))[0]
    inside = (fitted.pixels[..., :1] > 0).astype(np.float32)
    raw = np.concatenate([inside, 1 - inside, np.zeros_like(inside)], -1)  # x on the photo, y on the padding
    assert (task.decode(raw, fitted) == (1, 0, 0)).all()


def test_a_vector_of_length_zero_becomes_nan():
    fitted = Cases().fitted("normal", "50x43")
    assert (NormalTask().decode(np.zeros((1, 64, 48, 3), np.float32), fitted) == 0).all()


@pytest.mark.parametrize("style", ["readme", "reference"])
def test_the_background_is_not_black_or_the_array_is_masked(tmp_path, style):
    result = result_of(Cases(), "50x43")
    whole, before = result.picture(style=style), result.normals.copy()
    result.person_mask = np.arange(43)[None].repeat(50, axis=0) < 20
    cut = result.picture(style=style)
    assert (cut[:, :20] == whole[:, :20]).all() and (cut[:, 20:] == 0).all()
    paths = result.save(tmp_path, "a", side_by_side=True, style=style)
    assert [path.name for path in paths] == ["a_normal.png", "a_normal.npz", "a_normal_side_by_side.png"]
    assert (np.asarray(Image.open(paths[0])) == cut).all()
    with np.load(paths[1]) as arrays:
        assert (arrays["normals"] == before).all() and (arrays["person_mask"] == result.person_mask).all()
