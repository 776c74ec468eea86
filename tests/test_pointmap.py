"""Metric depth: points as the reference has them, the camera that follows from the scale, pictures and files."""

import math

import cv2
import numpy as np
import pytest
import trimesh
from fixtures import COMPLETE, SMALL, Cases, photo_of
from PIL import Image

from sapiens_mlx.errors import SapiensError
from sapiens_mlx.tasks import draw
from sapiens_mlx.tasks.pointmap import PointmapResult, PointmapTask


def check_reference(cases, tag):
    task, fitted = PointmapTask(), cases.fitted("pointmap", tag)
    raw = cases.raw(f"pointmap.in_{tag}"), cases.tensors[f"pointmap.scale_{tag}"]
    result = task.result([task.decode(raw, fitted)], photo_of(fitted))
    np.testing.assert_allclose(result.points, cases.expected(f"pointmap.out_smooth_{tag}"), atol=1e-5)


@pytest.mark.parametrize("tag", SMALL["pointmap"])  # 64x49: the width alone grows, so it is smoothed; 40x41: neither
def test_points_differ_from_the_reference(tag):
    check_reference(Cases(), tag)


@pytest.mark.parametrize("tag", COMPLETE["pointmap"])
def test_points_differ_from_the_complete_reference(reference, tag):
    check_reference(Cases(reference / "postprocess"), tag)


@pytest.mark.parametrize("input_hw", [(1024, 768), (256, 192)])
@pytest.mark.parametrize("photo_hw", [(150, 90), (90, 150), (128, 96)])
def test_the_focal_length_does_not_fit_the_points(input_hw, photo_hw):
    """Points of a plane seen by a pinhole camera: focal * x / z must be the pixels from the middle of the photo."""
    task, photo = PointmapTask(), np.zeros((*photo_hw, 3), np.uint8)
    fitted = task.fit(photo, input_hw)[0]
    focal_input_px, z = 1.5 * input_hw[1], 2.0
    scale = input_hw[1] / focal_input_px
    y, x = np.mgrid[: input_hw[0], : input_hw[1]] + 0.5
    x, y = (x - input_hw[1] / 2) * z / focal_input_px, (y - input_hw[0] / 2) * z / focal_input_px
    raw = np.stack([x, y, np.full_like(x, z)], -1)[None].astype(np.float32) * scale
    result = task.result([task.decode((raw, np.array([[scale]], np.float32)), fitted)], photo)
    np.testing.assert_allclose(result.depth_m, z, atol=1e-5)
    projected = result.focal_px * result.points[..., 0] / result.depth_m
    expected = np.arange(photo_hw[1]) + 0.5 - photo_hw[1] / 2
    assert np.abs(projected - expected)[2:-2, 2:-2].max() < 1.0
    assert result.scale == pytest.approx(2 / 3)
    assert result.fov_deg == pytest.approx(2 * math.degrees(math.atan(photo_hw[1] / 2 / result.focal_px)))


def slope(size_hw=(200, 300), near=1.0, far=3.0):
    """Depth that grows from left to right."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]].astype(np.float32)
    z = near + (far - near) * x / (size_hw[1] - 1)
    focal = float(size_hw[1])
    points = np.stack([(x - size_hw[1] / 2) * z / focal, (y - size_hw[0] / 2) * z / focal, z], -1).astype(np.float32)
    return PointmapResult(np.full((*size_hw, 3), 128, np.uint8), points, 1.0, focal, 53.13)


def turbo(position):
    index = np.array([[round(255 * position)]], np.uint8)
    return cv2.applyColorMap(index, cv2.COLORMAP_TURBO)[0, 0, ::-1].astype(int)


def test_the_readme_picture_is_not_linear_in_depth():
    result = slope()
    assert result.depth_range_m() == pytest.approx((1.04, 2.96), abs=0.01)
    picture = result.picture(legend=False)
    for column in (0, 150, 299):
        position = np.clip((result.depth_m[0, column] - 1.04) / 1.92, 0, 1)
        assert np.abs(picture[100, column] - turbo(position)).max() <= 12


def test_the_reference_picture_is_not_linear_in_inverse_depth():
    result = slope()
    near, far = result.depth_range_m("reference")
    assert (near, far) == pytest.approx((1.02, 2.98), abs=0.01)
    picture = result.picture(style="reference")
    for column in (0, 150, 299):
        position = np.clip((1 / result.depth_m[0, column] - 1 / far) / (1 / near - 1 / far), 0, 1)
        assert np.abs(picture[100, column] - turbo(position)).max() <= 12


def test_the_range_of_a_video_is_not_kept():
    pictures = [slope(far=far).picture(depth_range_m=(1.0, 9.0), legend=False) for far in (3.0, 9.0)]
    assert (pictures[0][0, 0] == pictures[1][0, 0]).all()
    assert (pictures[0][0, -1] == pictures[1][0, 74]).all()  # both 3 m away


@pytest.mark.parametrize(("style", "background"), [("readme", draw.PANEL), ("reference", draw.GREY)])
def test_the_background_is_of_another_colour_or_sets_the_range(style, background):
    result = slope()
    result.person_mask = np.arange(300)[None].repeat(200, axis=0) < 150
    picture = result.picture(style=style, legend=False)
    assert (picture[:, 150:] == background).all() and (picture[:, :150] != background).any(-1).all()
    assert result.depth_range_m(style)[1] < 2.01


def test_the_colour_bar_is_missing_or_on_the_person():
    result = slope()
    result.person_mask = np.arange(200)[:, None].repeat(300, axis=1) >= 100
    plain, with_bar = result.picture(legend=False), result.picture()
    assert (plain[:100] != with_bar[:100]).any() and (plain[100:] == with_bar[100:]).all()


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("style", ["readme", "reference"])
@pytest.mark.filterwarnings("error")
def test_a_map_without_any_depth_breaks_the_files(tmp_path, style, value):
    result = slope((40, 50))
    result.points[:] = value
    paths = result.save(tmp_path, "a", style=style)
    assert not np.asarray(Image.open(paths[1])).any() and all(path.stat().st_size for path in paths)


@pytest.mark.parametrize(("scale", "fov_deg"), [(0.0, 0), (np.inf, 180)])  # float16 overflows to the latter
@pytest.mark.filterwarnings("error")
def test_a_scale_of_zero_or_infinity_divides_by_zero(tmp_path, scale, fov_deg):
    fitted = Cases().fitted("pointmap", "40x41")
    task = PointmapTask()
    part = task.decode((np.ones((1, 64, 48, 3), np.float32), np.full((1, 1), scale, np.float32)), fitted)
    result = task.result([part], photo_of(fitted))
    assert result.fov_deg == fov_deg and not result.in_front().any() and not result.is_finite()
    assert len(result.save(tmp_path, "a")) == 5


def test_files_are_missing_or_lose_depth(tmp_path):
    result = slope(near=0.5, far=70.0)
    result.person_mask = np.ones((200, 300), bool)
    result.person_mask[:20] = False
    paths = result.save(tmp_path, "a", side_by_side=True, points=500)
    endings = ["depth.png", "depth16.png", "pointmap.ply", "pointmap.glb", "pointmap.npz", "pointmap_side_by_side.png"]
    assert [path.name for path in paths] == [f"a_{ending}" for ending in endings]
    millimetres = np.asarray(Image.open(paths[1]))
    assert millimetres.dtype == np.uint16 and (millimetres[:20] == 0).all()
    assert np.abs(millimetres[20:] - np.minimum(1000 * result.depth_m[20:], 65535)).max() <= 0.51
    assert b"element vertex 4" in paths[2].read_bytes()[:200]  # of at most 500
    with np.load(paths[4]) as arrays:
        assert (arrays["points"] == result.points).all() and arrays["focal_px"] == 300
        assert (arrays["person_mask"] == result.person_mask).all()


def test_files_are_not_in_the_colours_asked_for(tmp_path):
    result = slope()
    green = np.zeros_like(result.photo_rgb)
    green[..., 1] = 200
    for number, (options, expected) in enumerate((({}, (128, 128, 128)), ({"colours": green}, (0, 200, 0)))):
        paths = result.save(tmp_path, str(number), points=500, **options)
        cloud = trimesh.load(paths[2])
        assert (cloud.colors[:, :3] == expected).all()
        texture = next(iter(trimesh.load(paths[3]).geometry.values())).visual.material.baseColorTexture
        assert np.abs(np.asarray(texture.convert("RGB")).astype(int) - expected).max() <= 3


@pytest.mark.parametrize("colours", [np.zeros((10, 10, 3), np.uint8), np.zeros((200, 300, 3), np.float32)])
def test_colours_of_another_size_or_kind_reach_the_files(tmp_path, colours):
    with pytest.raises(SapiensError, match=r"Give \(200, 300, 3\) uint8"):
        slope().save(tmp_path, "a", colours=colours)
