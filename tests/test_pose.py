"""The pose task from boxes to files: a point of the photo must come back to where it was, by its own name."""

import json

import cv2
import numpy as np
import pytest

from sapiens_mlx.errors import BoxError, SapiensError
from sapiens_mlx.tasks import udp
from sapiens_mlx.tasks.keypoints import keypoints
from sapiens_mlx.tasks.pose import PoseTask

PHOTO = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
BOXES = np.float32([[20, 10, 90, 110], [-30, 40, 60, 150]])
INPUT_HW = (256, 192)


def gaussian_maps(peaks_xy, size_hw, sigma=2.0):
    """(h, w, K) float32 with a peak of height 0.9 at each of peaks_xy (K, 2), in heatmap pixels."""
    y, x = (grid[..., None] for grid in np.mgrid[: size_hw[0], : size_hw[1]])
    squared = (x - peaks_xy[:, 0]) ** 2 + (y - peaks_xy[:, 1]) ** 2
    return (0.9 * np.exp(-squared / (2 * sigma**2))).astype(np.float32)


def heatmaps_of(points_xy, fitted):
    """What a perfect network returns for `fitted`, given the (308, 2) true places in photo pixels."""
    input_hw = fitted.pixels.shape[1:3]
    heatmap_hw = (input_hw[0] // 4, input_hw[1] // 4)
    matrix = udp.warp_matrix(fitted.way, input_hw).astype(np.float64)
    share = (points_xy @ matrix[:, :2].T + matrix[:, 2]) / (np.array(input_hw[::-1]) - 1)
    peaks = share * (np.array(heatmap_hw[::-1]) - 1)
    mirrored = peaks[keypoints().flip_indices] * [-1, 1] + [heatmap_hw[1] - 1, 0]
    maps = [gaussian_maps(peaks, heatmap_hw), gaussian_maps(mirrored, heatmap_hw)]
    return np.stack(maps[: len(fitted.pixels)])


def scattered_points(box, seed):
    x1, y1, x2, y2 = box
    return np.random.default_rng(seed).uniform([x1, y1], [x2, y2], (308, 2))


def run(boxes, flip=True, input_hw=INPUT_HW):
    task = PoseTask()
    truth = [scattered_points(box, seed) for seed, box in enumerate(boxes)]
    fitted = task.fit(PHOTO, input_hw, boxes_xyxy=boxes, flip=flip)
    parts = [task.decode(heatmaps_of(points, one), one) for points, one in zip(truth, fitted, strict=True)]
    scores = np.linspace(0.9, 0.5, len(boxes))
    return task.result(parts, PHOTO, boxes_xyxy=boxes, box_scores=scores), truth


@pytest.mark.parametrize("input_hw", [(256, 192), (512, 384)])
@pytest.mark.parametrize("flip", [True, False])
def test_points_come_back_to_their_place_in_the_photo(flip, input_hw):
    result, truth = run(BOXES, flip, input_hw)
    np.testing.assert_allclose(result.keypoints, np.stack(truth), atol=0.02)
    assert result.keypoint_scores.min() > 0.7


def test_input_is_the_person_and_then_its_mirror():
    both = PoseTask().fit(PHOTO, INPUT_HW, boxes_xyxy=BOXES)
    alone = PoseTask().fit(PHOTO, INPUT_HW, boxes_xyxy=BOXES, flip=False)
    assert [one.pixels.shape for one in both] == [(2, *INPUT_HW, 3)] * 2
    assert [one.pixels.shape for one in alone] == [(1, *INPUT_HW, 3)] * 2
    np.testing.assert_array_equal(both[1].pixels[0], alone[1].pixels[0])
    np.testing.assert_array_equal(both[1].pixels[1], alone[1].pixels[0, :, ::-1])
    assert not np.array_equal(both[0].pixels[0], both[1].pixels[0])


def test_result_has_the_documented_shapes_and_types():
    result, _ = run(BOXES)
    shapes = {"keypoints": (2, 308, 2), "keypoint_scores": (2, 308), "boxes_xyxy": (2, 4), "box_scores": (2,)}
    for name, shape in shapes.items():
        assert getattr(result, name).shape == shape
        assert getattr(result, name).dtype == np.float32


def test_box_without_area_is_refused_before_the_network_runs():
    with pytest.raises(BoxError):
        PoseTask().fit(PHOTO, INPUT_HW, boxes_xyxy=np.float32([[10, 10, 10, 50]]))


def test_files_hold_every_point_by_name(tmp_path):
    result, truth = run(BOXES)
    paths = result.save(tmp_path, "photo")
    assert [path.name for path in paths] == ["photo_pose.png", "photo_pose.json", "photo_pose.npz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)

    picture = cv2.imread(str(paths[0]))[..., ::-1]
    np.testing.assert_array_equal(picture, result.picture())

    table = json.loads(paths[1].read_text())
    assert table["photo_size"] == {"width": 160, "height": 120}
    assert table["keypoint_names"] == list(keypoints().names)
    assert len(table["people"]) == 2
    for person, points, box in zip(table["people"], truth, BOXES, strict=True):
        assert person["box_xyxy"] == box.tolist()
        assert [point["name"] for point in person["keypoints"]] == table["keypoint_names"]
        written = np.array([[point["x"], point["y"]] for point in person["keypoints"]])
        np.testing.assert_allclose(written, points, atol=0.03)
    first, second = (table["people"][index]["box_score"] for index in (0, 1))
    assert (first, second) == (0.9, 0.5)

    with np.load(paths[2]) as arrays:
        assert set(arrays) == {"keypoints", "keypoint_scores", "boxes_xyxy", "box_scores"}
        for name, values in arrays.items():
            np.testing.assert_array_equal(values, getattr(result, name))


def test_options_reach_the_file_and_the_photo_stands_beside_it_on_request(tmp_path):
    result, _ = run(BOXES)
    paths = result.save(tmp_path, "photo", side_by_side=True, style="reference", keypoint_threshold=0.99, boxes=False)
    np.testing.assert_array_equal(cv2.imread(str(paths[0]))[..., ::-1], PHOTO)  # nothing is above 0.99
    beside = cv2.imread(str(paths[-1]))[..., ::-1]
    assert paths[-1].name == "photo_pose_side_by_side.png"
    np.testing.assert_array_equal(beside[:, :160], PHOTO)
    np.testing.assert_array_equal(beside[:, -160:], PHOTO)


def test_files_are_not_written_by_a_threshold_that_is_none(tmp_path):
    with pytest.raises(SapiensError, match=r"keypoint threshold is -1. Give a number from 0 to 1"):
        run(BOXES)[0].save(tmp_path, "photo", formats=["coco17"], keypoint_threshold=-1)
    assert not list(tmp_path.iterdir())


def test_nobody_is_a_result_too(tmp_path):
    result, _ = run(np.zeros((0, 4), np.float32))
    assert result.keypoints.shape == (0, 308, 2)
    assert result.keypoint_scores.shape == (0, 308)
    assert result.boxes_xyxy.shape == (0, 4)
    assert result.box_scores.shape == (0,)
    np.testing.assert_array_equal(result.picture(), PHOTO)
    paths = result.save(tmp_path, "photo")
    assert json.loads(paths[1].read_text())["people"] == []


def test_picture_over_another_photos_size_is_refused():
    result, _ = run(BOXES)
    with pytest.raises(SapiensError):
        result.picture(PHOTO[:50])
