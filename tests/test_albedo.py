"""Albedo: array and picture as the reference has them; the mask and the files."""

import numpy as np
import pytest
from fixtures import Cases, photo_of
from PIL import Image

from sapiens_mlx.tasks.albedo import AlbedoTask


def result_of(cases, tag="91x67"):
    task, fitted = AlbedoTask(), cases.fitted("albedo", tag)
    part = task.decode(cases.raw(f"albedo.in_{tag}"), fitted)
    return task.result([part], photo_of(fitted))


def test_albedo_differs_from_the_reference():
    cases = Cases()
    result = result_of(cases)
    np.testing.assert_allclose(result.albedo, cases.expected("albedo.out_91x67"), atol=1e-5)
    off = np.abs(result.picture().astype(int) - cases.tensors["albedo.vis_rgb_uint8_hwc_91x67"])
    assert off.max() <= 1 and (off > 0).mean() < 1e-3


@pytest.mark.parametrize(("style", "grey"), [("readme", 255), ("reference", 100)])
def test_the_background_is_of_another_grey_or_the_array_is_masked(tmp_path, style, grey):
    result = result_of(Cases())
    whole, before = result.picture(style=style), result.albedo.copy()
    result.person_mask = np.arange(67)[None].repeat(91, axis=0) < 20
    cut = result.picture(style=style)
    assert (cut[:, :20] == whole[:, :20]).all() and (cut[:, 20:] == grey).all()
    paths = result.save(tmp_path, "a", side_by_side=True, style=style)
    assert [path.name for path in paths] == ["a_albedo.png", "a_albedo.npz", "a_albedo_side_by_side.png"]
    assert (np.asarray(Image.open(paths[0])) == cut).all()
    with np.load(paths[1]) as arrays:
        assert (arrays["albedo"] == before).all() and (arrays["person_mask"] == result.person_mask).all()
