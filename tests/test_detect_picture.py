"""The picture of the people found, and their files."""

import json

import cv2
import numpy as np
import pytest

from sapiens_mlx.errors import SapiensError
from sapiens_mlx.tasks.base import Report
from sapiens_mlx.tasks.detect import LIME, DetectResult
from sapiens_mlx.tasks.draw import BLACK, draw_text, text_px


def result(boxes, scores, photo_hw=(300, 400), grey=90, **fields) -> DetectResult:
    photo = np.full((*photo_hw, 3), grey, np.uint8)
    return DetectResult(photo, np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), **fields)


def lime(picture: np.ndarray) -> np.ndarray:
    return (picture == LIME).all(-1)


def test_nobody_found_is_the_photo_unchanged_and_not_the_same_array():
    found = result([], [])
    picture = found.picture()
    np.testing.assert_array_equal(picture, found.photo_rgb)
    assert not np.shares_memory(picture, found.photo_rgb)


@pytest.mark.parametrize(("photo_hw", "width"), [((300, 400), 2), ((3000, 4000), 9)])
def test_frames_stand_on_the_box_and_grow_with_the_photo(photo_hw, width):
    height = photo_hw[0]
    box = [0.25 * height, 0.25 * height, 0.75 * height, 0.75 * height]
    drawn = lime(result([box], [0.9], photo_hw).picture())
    row = np.flatnonzero(drawn[height // 2])  # straight across the middle: the two sides
    assert len(row) == 2 * width
    assert abs(row[0] - box[0]) <= width and abs(row[-1] - box[2]) <= width
    assert np.flatnonzero(drawn[:, height // 2])[-1] <= box[3]


def labels(picture: np.ndarray, text: str = "person 0.93") -> int:
    """How many whole labels the 300 x 400 picture holds, wherever they are."""
    canvas = np.zeros_like(picture)
    draw_text(canvas, text, (100, 100), text_px(canvas.shape[:2]), BLACK, LIME)
    ys, xs = np.nonzero(lime(canvas))
    label = canvas[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    windows = np.lib.stride_tricks.sliding_window_view(picture, label.shape)[:, :, 0]
    places = np.argwhere((windows[:, :, 0, 0] == LIME).all(-1))  # the others cannot be one
    return sum(np.array_equal(windows[y, x], label) for y, x in places)


@pytest.mark.parametrize("grey", [0, 255])
@pytest.mark.parametrize(
    "box", [[100, 100, 200, 200], [-50, -50, 60, 60], [350, 0, 500, 290], [0, 299, 400, 400], [395, 295, 399, 299]]
)
def test_every_label_is_whole_and_inside_the_picture(box, grey):
    assert labels(result([box], [0.93], grey=grey).picture()) == 1


@pytest.mark.parametrize(
    "boxes",
    [[[100, 100, 300, 250]] * 3, [[20, 20, 40, 80], [30, 22, 60, 90]], [[0, 0, 399, 299], [2, 30, 390, 290]]],
)
def test_labels_of_people_close_together_do_not_cover_each_other(boxes):
    assert labels(result(boxes, [0.93] * len(boxes)).picture()) == len(boxes)


def test_a_crowd_gets_short_labels_that_do_not_cover_each_other():
    crowd = [[x, y, x + 30, y + 30] for y in range(30, 270, 34) for x in range(5, 360, 34)]
    picture = result(crowd, [0.93] * len(crowd)).picture()
    assert labels(picture) == 0
    assert labels(picture, "0.93") == len(crowd)


@pytest.mark.parametrize("photo_hw", [(8, 8), (8, 300), (40, 20)])
def test_photos_too_small_for_a_label_get_their_frames(photo_hw):
    assert lime(result([[1, 1, 7, 7]], [0.5], photo_hw).picture()).any()


def test_a_frame_narrower_than_its_rim_leaves_the_rest_of_the_photo():
    found = result([[0, 0, 1, 299], [0, 0, 399, 1]], [0.9, 0.8])
    picture = found.picture(line_width=40)  # each of its black edges is 10 wide
    np.testing.assert_array_equal(picture[60:, 60:], found.photo_rgb[60:, 60:])


@pytest.mark.parametrize(
    "options", [{"style": "gothic"}, *({"line_width": width} for width in (0, float("nan"), float("inf")))]
)
def test_unknown_styles_and_widths_are_refused(options):
    with pytest.raises(SapiensError):
        result([[1, 1, 7, 7]], [0.5]).picture(**options)


def test_files_hold_the_picture_and_the_numbers(tmp_path):
    report = Report("detect", None, "fp32", "cpu", "float32", "Apache License 2.0", seconds={"network": 0.5})
    found = result([[10.5, 20, 110.25, 200]], [0.9375], report=report)
    paths = found.save(tmp_path, "party", line_width=3, side_by_side=True)
    assert [path.name for path in paths] == [
        "party_detect.png",
        "party_detect.json",
        "party_detect_side_by_side.png",
    ]
    np.testing.assert_array_equal(cv2.imread(str(paths[0]))[..., ::-1], found.picture(line_width=3))
    assert cv2.imread(str(paths[2])).shape[1] > 800
    written = json.loads(paths[1].read_text())
    assert written["photo_size"] == {"width": 400, "height": 300}
    assert written["format"] == "xyxy, photo pixels"
    assert written["people"] == [{"box_xyxy": [10.5, 20.0, 110.25, 200.0], "box_score": 0.9375}]
    assert written["report"]["seconds"] == {"network": 0.5} and written["report"]["device"] == "cpu"


def test_a_result_without_a_report_says_nothing_of_it(tmp_path):
    paths = result([], []).save(tmp_path, "empty")
    assert json.loads(paths[1].read_text()) == {
        "photo_size": {"width": 400, "height": 300},
        "format": "xyxy, photo pixels",
        "people": [],
    }
