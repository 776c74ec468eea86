"""A person's box to the network's input, and heatmaps to places: against the reference's own crops and peaks.

data/udp_windows.safetensors holds windows of 48 x 48 around the peaks of the reference's heatmaps of 256 x 192.
"""

import hashlib
import json

import cv2
import numpy as np
import pytest
from conftest import DATA
from safetensors.numpy import load_file

from sapiens_mlx.errors import BoxError, SapiensError
from sapiens_mlx.tasks import udp
from sapiens_mlx.tasks.keypoints import GROUPS, keypoints

INPUT_HW = (1024, 768)
HEATMAP_HW = (256, 192)
NOT_POSITIVE = 12  # the map without a positive value; the reference's place for it is chance
META = json.loads((DATA / "preprocess/meta.json").read_text())["images"]
CROPS = [(photo, index) for photo in META for index in range(3)]


# ---- crops ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("photo", "index"), CROPS)
def test_crop_geometry_is_the_references_to_the_last_bit(photo, index):
    expected = META[photo]["pose"][index]
    crop = udp.crop_of_box(expected["bbox_xyxy"], INPUT_HW)
    np.testing.assert_array_equal(crop.center_xy, np.float32(expected["bbox_center"]))
    np.testing.assert_array_equal(crop.scale_wh, np.float32(expected["bbox_scale"]))
    np.testing.assert_array_equal(udp.warp_matrix(crop, INPUT_HW), np.float32(expected["warp_matrix"]))


def cut(folder, photo, index):
    image_rgb = cv2.cvtColor(cv2.imread(str(folder / f"{photo}_input.png")), cv2.COLOR_BGR2RGB)
    crop = udp.crop_of_box(META[photo]["pose"][index]["bbox_xyxy"], INPUT_HW)
    return udp.cut_out(image_rgb, crop, INPUT_HW)


@pytest.mark.skipif(int(cv2.__version__.split(".")[0]) < 5, reason="OpenCV 4 rounds the warp's coordinates")
@pytest.mark.parametrize(("photo", "index"), [crop for crop in CROPS if crop[0] in "cd"])
def test_crop_has_the_references_bytes(photo, index):
    pixels = cut(DATA / "preprocess", photo, index)
    digest = hashlib.sha256(np.ascontiguousarray(pixels[..., ::-1]).tobytes()).hexdigest()
    assert digest == META[photo]["sha256_of_raw_bytes"][f"pose{index}"]


@pytest.mark.parametrize(("photo", "index"), CROPS)
def test_crop_looks_as_the_references_under_any_opencv(reference, photo, index):
    expected = cv2.imread(str(reference / f"preprocess/{photo}_pose{index}.png"))[..., ::-1]
    difference = np.abs(cut(reference / "preprocess", photo, index).astype(int) - expected)
    assert difference.max() <= (0 if cv2.__version__ >= "5" else 8)


@pytest.mark.parametrize("input_hw", [(1024, 768), (512, 384), (256, 192)])
@pytest.mark.parametrize("box", [(100, 50, 300, 700), (-80, 20, 500, 90), (3, 4, 4, 5)])
def test_box_corners_stay_inside_and_its_middle_in_the_middle_at_every_input_size(box, input_hw):
    crop = udp.crop_of_box(np.float32(box), input_hw)
    matrix = udp.warp_matrix(crop, input_hw).astype(np.float64)
    corners = np.array([box[:2], box[2:]]) @ matrix[:, :2].T + matrix[:, 2]
    last = np.array(input_hw[::-1]) - 1
    np.testing.assert_allclose(corners.mean(axis=0), last / 2, atol=0.01)
    share = (corners[1] - corners[0]) / last
    assert share.max() == pytest.approx(1 / udp.BOX_PADDING, abs=1e-4)
    assert (share > 0).all()
    np.testing.assert_allclose(crop.scale_wh[0] / crop.scale_wh[1], 0.75, atol=1e-6)


def test_outside_of_the_photo_is_black():
    photo = np.full((40, 30, 3), 255, np.uint8)
    pixels = udp.cut_out(photo, udp.crop_of_box([-60, -80, 30, 40], INPUT_HW), INPUT_HW)
    assert pixels[:400, :300].max() == 0
    assert pixels[700:800, 520:640].min() == 255


@pytest.mark.parametrize(
    "box", [(5, 5, 5, 9), (5, 9, 9, 9), (9, 5, 5, 9), (0, 0, np.nan, 9), (0, 0, np.inf, 9)], ids=str
)
def test_box_without_area_is_refused(box):
    with pytest.raises(BoxError, match="has no area"):
        udp.crop_of_box(box, INPUT_HW)


# ---- peaks ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def windows():
    return load_file(DATA / "udp_windows.safetensors")


def to_input(xy):
    return udp.heatmap_to_input(xy, HEATMAP_HW, INPUT_HW)


@pytest.mark.parametrize("index", [index for index in range(16) if index != NOT_POSITIVE])
def test_peak_is_where_and_as_high_as_the_references(windows, index):
    xy, scores = udp.decode_heatmaps(windows["heatmaps"][index : index + 1].astype(np.float32))
    np.testing.assert_allclose(to_input(xy[0] + windows["window_xy"][index]), windows["keypoints"][index], atol=1e-3)
    assert scores[0] == pytest.approx(windows["scores"][index], abs=1e-6)


def test_map_without_a_positive_value_keeps_its_score_and_has_no_place(windows):
    xy, scores = udp.decode_heatmaps(windows["heatmaps"][[0, NOT_POSITIVE]].astype(np.float32))
    np.testing.assert_array_equal(xy[1], [-1, -1])
    assert scores[1] == pytest.approx(windows["scores"][NOT_POSITIVE], abs=1e-6)
    assert scores[1] <= 0 < scores[0]


def test_mirrored_pass_is_averaged_with_its_channels_swapped(windows):
    raw = np.stack([windows["flip.heatmaps"], windows["flip.heatmaps_of_flipped_input"]]).astype(np.float32)
    maps = udp.averaged_heatmaps(np.ascontiguousarray(raw.transpose(0, 2, 3, 1)), windows["flip.flip_indices"])
    xy, scores = udp.decode_heatmaps(maps)
    np.testing.assert_allclose(to_input(xy + windows["flip.window_xy"]), windows["flip.keypoints"], atol=1e-3)
    np.testing.assert_allclose(scores, windows["flip.scores"], atol=1e-6)


def test_whole_heatmaps_decode_as_the_references(reference):
    expected = load_file(reference / "postprocess/udp.safetensors")
    maps = expected["heatmaps"].astype(np.float32)
    xy, scores = udp.decode_heatmaps(maps)
    usual = np.arange(len(maps)) != NOT_POSITIVE
    np.testing.assert_allclose(to_input(xy)[usual], expected["keypoints"][0][usual], atol=1e-3)
    np.testing.assert_allclose(scores, expected["scores"][0], atol=1e-6)
    raw = np.stack([expected["flip.heatmaps"], expected["flip.heatmaps_of_flipped_input"]]).astype(np.float32)
    averaged = udp.averaged_heatmaps(np.ascontiguousarray(raw.transpose(0, 2, 3, 1)), expected["flip.flip_indices"])
    np.testing.assert_array_equal(averaged[:, ::4, ::4], expected["flip.averaged_s4"])
    np.testing.assert_array_equal(keypoints().flip_indices, expected["flip_indices_308"])


def test_level_map_stays_at_its_first_pixel():
    xy, scores = udp.decode_heatmaps(np.full((1, 64, 48), 0.25, np.float32))
    assert np.abs(xy[0]).max() <= 0.5
    assert scores[0] == 0.25


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_heatmaps_that_are_not_numbers_are_refused(value):
    maps = np.zeros((3, 64, 48), np.float32)
    maps[1, 20, 30] = value
    with pytest.raises(SapiensError, match="not finite"):
        udp.decode_heatmaps(maps)


# ---- the table ------------------------------------------------------------------------------------------------------


def test_mirroring_twice_changes_nothing_and_swaps_the_names_sides():
    table = keypoints()
    np.testing.assert_array_equal(table.flip_indices[table.flip_indices], np.arange(308))
    for index, name in enumerate(table.names[:70]):
        swapped = name.replace("left", "?").replace("right", "left").replace("?", "right")
        assert table.names[table.flip_indices[index]] == swapped


def test_every_keypoint_belongs_to_one_group():
    assert sorted(index for members in GROUPS.values() for index in members) == list(range(308))
    table = keypoints()
    hands = {name for name, group in zip(table.names, table.groups, strict=True) if group == "left_hand"}
    assert len(hands) == 21
    assert all(name.startswith("left_") for name in hands)


def test_table_holds_the_references_facts(reference):
    table, expected = keypoints(), json.loads((reference / "metadata/keypoints308.json").read_text())
    assert list(table.names) == expected["names"]
    for ours, theirs in (
        (table.flip_indices, "flip_indices"),
        (table.links, "skeleton_links_index"),
        (table.colours, "colors_rgb"),
        (table.link_colours, "skeleton_link_colors_rgb"),
    ):
        np.testing.assert_array_equal(ours, expected[theirs])
