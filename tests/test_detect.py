"""People: letterbox, decoding, NMS and boxes given by the user against the reference and as tables.

data/rtmdet_io.npz holds the reference's small detector case and its NMS cases.
"""

import hashlib
import json

import cv2
import mlx.core as mx
import numpy as np
import pytest
import rule
from safetensors.numpy import load_file
from test_rtmdet import network, run

from sapiens_mlx.detect import People, RTMDetDetector, decode, letterbox, nms, validate_boxes, whole_photo
from sapiens_mlx.errors import BoxError
from sapiens_mlx.nn import cpu, plain
from sapiens_mlx.weights import torch_file

SMALL = np.load(rule.DATA / "rtmdet_io.npz")
LIKELY, UNLIKELY = 3.0, -9.0  # logits: scores of 0.95 and 0.0001


def read_rgb(path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


@pytest.fixture(scope="module")
def tiny():
    return network(torch_file.read_tensors(rule.DATA / "rtmdet_tiny.pth"), cpu)


@pytest.fixture(scope="module")
def noise_rgb() -> np.ndarray:
    """(480, 640, 3): the small detector finds boxes in anything."""
    coarse = np.random.default_rng(3).integers(0, 256, (12, 16, 3), np.uint8)
    return cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC)


# ---- into the network -----------------------------------------------------------------------------------------------


def assert_letterboxed(folder, name: str) -> None:
    expected = json.loads((folder / "meta.json").read_text())["images"][name]
    pixels, scale_wh = letterbox(read_rgb(folder / f"{name}_input.png"))
    digest = hashlib.sha256(pixels[..., ::-1].tobytes()).hexdigest()  # of BGR
    assert digest == expected["sha256_of_raw_bytes"]["det"]
    np.testing.assert_allclose(scale_wh, expected["det"]["scale_factor_w_h"], rtol=1e-7)


@pytest.mark.parametrize("name", ["c", "d"])
def test_letterbox_equals_the_reference(name):
    assert_letterboxed(rule.DATA / "preprocess", name)


@pytest.mark.parametrize("name", ["a", "b"])
def test_letterbox_equals_the_reference_on_larger_photos(name, reference):
    assert_letterboxed(reference / "preprocess", name)


@pytest.mark.parametrize(
    ("photo_hw", "fitted_hw"),
    [((640, 640), (640, 640)), ((1, 1), (640, 640)), ((5000, 1), (640, 1)), ((640, 427), (640, 427))],
)
def test_letterbox_of_odd_sizes_keeps_the_photo_top_left_and_pads_with_114(photo_hw, fitted_hw):
    pixels, scale_wh = letterbox(np.full((*photo_hw, 3), 7, np.uint8))
    inside = np.zeros((640, 640), bool)
    inside[: fitted_hw[0], : fitted_hw[1]] = True
    assert (pixels[inside] == 7).all() and (pixels[~inside] == 114).all()
    np.testing.assert_allclose(scale_wh, [fitted_hw[1] / photo_hw[1], fitted_hw[0] / photo_hw[0]], rtol=1e-6)


# ---- decoding and NMS -----------------------------------------------------------------------------------------------


def maps(size: int = 64) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Logits and distances of a size x size input with nobody in it; every box would reach 10 pixels from its point."""
    sides = [size // stride for stride in (8, 16, 32)]
    return [np.full((n, n, 1), UNLIKELY, np.float32) for n in sides], [
        np.full((n, n, 4), 10, np.float32) for n in sides
    ]


def test_decoding_equals_the_reference():
    logits, distances = ([SMALL[f"{kind}_{level}"][0] for level in range(3)] for kind in ("logits", "distances"))
    boxes, scores = decode(logits, distances, (256, 256))
    np.testing.assert_array_equal(boxes, SMALL["det_boxes"])
    np.testing.assert_allclose(scores, SMALL["det_scores"], atol=1e-6)
    above = scores > 0.3
    kept = nms(boxes[above], scores[above], 0.3)
    np.testing.assert_array_equal(kept, SMALL["nms_keep"])
    np.testing.assert_array_equal(boxes[above][kept], SMALL["nms_boxes"][:, :4])


@pytest.mark.parametrize(("file", "tag"), [("tiny/rtmdet_io", "in640x640."), ("full/rtmdet_m", "")])
def test_decoding_of_full_inputs_equals_the_reference(file, tag, reference):
    case = load_file(reference / f"{file}.safetensors")
    logits, distances = (
        [case[f"{tag}{kind}_{level}"][0].transpose(1, 2, 0) for level in range(3)] for kind in ("cls", "bbox")
    )
    boxes, scores = decode(logits, distances, (640, 640))
    np.testing.assert_array_equal(boxes, case[f"{tag}det_boxes"])
    np.testing.assert_array_equal(nms(boxes, scores, 0.3), case[f"{tag}nms_keep"])  # all of them score above 0.3


@pytest.mark.parametrize(
    ("level", "row", "column", "expected"),
    [
        (0, 3, 2, [6, 14, 26, 34]),  # the point is (2 * 8, 3 * 8), not half a cell further
        (2, 1, 1, [22, 22, 42, 42]),
        (0, 0, 7, [46, 0, 64, 10]),  # clipped to the input at the top and the right
    ],
)
def test_a_box_lies_around_its_grid_point_and_inside_the_input(level, row, column, expected):
    logits, distances = maps()
    logits[level][row, column] = LIKELY
    boxes, scores = decode(logits, distances, (64, 64))
    np.testing.assert_array_equal(boxes, [expected])
    np.testing.assert_allclose(scores, [1 / (1 + np.exp(-LIKELY))], rtol=1e-6)


def test_sides_come_as_left_top_right_bottom():
    logits, distances = maps()
    logits[1][1, 2] = LIKELY
    distances[1][1, 2] = [1, 2, 3, 4]
    np.testing.assert_array_equal(decode(logits, distances, (64, 64))[0], [[31, 14, 35, 20]])


def test_nobody_gives_empty_arrays():
    boxes, scores = decode(*maps(), (64, 64))
    assert boxes.shape == (0, 4) and scores.shape == (0,) and len(nms(boxes, scores, 0.3)) == 0


def test_extreme_logits_are_scores_of_0_and_1_without_a_warning(recwarn):
    logits, distances = maps()
    logits[0][:] = -1e4
    logits[1][0, 0] = 1e4
    assert decode(logits, distances, (64, 64))[1].tolist() == [1.0]
    assert not recwarn


def test_candidates_score_above_5_percent():
    logits, distances = maps()
    logits[0][0, 0], logits[0][0, 1] = -2.93, -2.96  # 0.0507 and 0.0493
    np.testing.assert_allclose(decode(logits, distances, (64, 64))[1], [0.0507], atol=1e-4)


def test_only_the_best_hundred_come_out_best_first():
    logits, distances = maps(size=320)
    logits[0][..., 0] = np.linspace(0, 4, 1600, dtype=np.float32).reshape(40, 40)
    boxes, scores = decode(logits, distances, (320, 320))
    assert len(boxes) == 100
    np.testing.assert_array_equal(scores, np.sort(scores)[::-1])
    np.testing.assert_array_equal(boxes[0, :2], [39 * 8 - 10, 39 * 8 - 10])


@pytest.mark.parametrize("case", ["case0", "case1", "case2", "case3", "plus_one", "ties"])
def test_nms_equals_the_reference(case):
    dets = SMALL[f"nms.{case}.dets"]
    np.testing.assert_array_equal(nms(dets[:, :4], dets[:, 4], 0.3), SMALL[f"nms.{case}.keep"])


# ---- the detector ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ops", [plain, cpu], ids=["plain", "cpu"])
def test_network_and_decoding_find_the_reference_boxes(ops):
    module = network(torch_file.read_tensors(rule.DATA / "rtmdet_tiny.pth"), ops)
    logits, distances = run(module, SMALL["pixels"], ops)
    boxes, _ = decode([x[0] for x in logits], [x[0] for x in distances], (256, 256))
    # By position, not by rank: scores are nearly tied in places, the hundredth may be another one.
    distance = np.abs(boxes[:, None] - SMALL["det_boxes"][None]).max(-1)
    assert np.sort(distance.min(0))[:98].max() < 0.05


@pytest.mark.parametrize(
    ("photo_hw", "scale_wh"), [((960, 1280), (0.5, 0.5)), ((15, 1000), (0.64, 10 / 15))], ids=["twice", "thin"]
)
def test_detector_gives_the_network_bgr_and_takes_the_boxes_back_to_the_photo(tiny, noise_rgb, photo_hw, scale_wh):
    photo = cv2.resize(noise_rgb, photo_hw[::-1])
    bgr = letterbox(photo)[0][..., ::-1].astype(np.float32)
    normalised = (bgr - np.float32([103.53, 116.28, 123.675])) / np.float32([57.375, 57.12, 58.395])
    logits, distances = run(tiny, normalised.transpose(2, 0, 1)[None], cpu)
    boxes, scores = decode([x[0] for x in logits], [x[0] for x in distances], (640, 640))
    boxes, scores = boxes[scores > 0.3] / np.float32(scale_wh * 2), scores[scores > 0.3]
    kept = nms(boxes, scores, 0.3)  # in photo pixels: the + 1 of its areas is one of them
    assert len(kept) > 3, "the test would show nothing"

    with mx.stream(mx.cpu):
        people = RTMDetDetector(tiny)(photo)
    np.testing.assert_allclose(people.boxes_xyxy, boxes[kept], rtol=1e-5, atol=0.01)
    np.testing.assert_allclose(people.box_scores, scores[kept], atol=1e-5)


def test_thresholds_of_the_detector_do_what_they_say(tiny, noise_rgb):
    with mx.stream(mx.cpu):
        detector = RTMDetDetector(tiny)
        usual = detector(noise_rgb)
        middle = float(np.median(usual.box_scores))
        sure = detector(noise_rgb, box_threshold=middle)
        all_boxes, nobody = detector(noise_rgb, nms_threshold=1.0), detector(noise_rgb, box_threshold=1.0)
    assert 0 < len(sure) < len(usual) < len(all_boxes)
    assert (sure.box_scores > middle).all() and (np.diff(usual.box_scores) <= 0).all()
    assert nobody.boxes_xyxy.shape == (0, 4)


def test_detector_runs_on_sixteen_bit_weights(noise_rgb):
    module = network(torch_file.read_tensors(rule.DATA / "rtmdet_tiny.pth"), plain)
    module.set_dtype(mx.bfloat16)
    people = RTMDetDetector(module)(noise_rgb)
    assert len(people) and people.boxes_xyxy.dtype == people.box_scores.dtype == np.float32


# ---- boxes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boxes", "scores"),
    [
        ([[0, 0, 1, 1]], []),
        ([0, 0, 1, 1], [1]),
        ([[0, 0, 1]], [1]),
        ([[0, 0, 1, np.nan]], [1]),
        ([[0, 0, 1, 1]], [np.inf]),
    ],
)
def test_people_with_boxes_and_scores_that_do_not_fit_are_refused(boxes, scores):
    with pytest.raises(BoxError):
        People(np.array(boxes), np.array(scores))


def test_given_boxes_keep_their_order_and_may_reach_outside():
    boxes = [[50, 10, 60, 20], [-30, -5, 5, 400], (0.5, 0.25, 99, 49)]
    checked = validate_boxes(boxes, (50, 100))
    np.testing.assert_array_equal(checked, np.array(boxes, np.float32))
    assert checked.dtype == np.float32


@pytest.mark.parametrize(
    ("box", "problem"),
    [
        ([100, 10, 120, 20], "wholly outside the photo, which is 100 x 50"),
        ([-20, 10, 0, 20], "wholly outside"),
        ([10, 50, 20, 60], "wholly outside"),
        ([10, -9, 20, -1], "wholly outside"),
        ([10, 10, 10, 20], "empty"),
        ([10, 10, 20, 10], "empty"),
        ([20, 10, 10, 30], "reversed"),
        ([10, 30, 20, 10], "reversed"),
        ([10, 10, float("nan"), 20], "not a finite number"),
        ([-float("inf"), 10, 20, 20], "not a finite number"),
        ([10, 10, 1e30, 20], "farther than 1000000 pixels"),
    ],
)
def test_a_bad_box_is_named_with_what_is_wrong(box, problem):
    with pytest.raises(BoxError, match=rf"^Box 2 of 2 \(.*\) .*{problem}.*\. .*\.$"):
        validate_boxes([[1, 1, 9, 9], box], (50, 100))


@pytest.mark.parametrize(
    "boxes",
    [
        [],
        [1, 2, 3, 4],
        [[1, 2, 3]],
        [[1, 2, 3, 4], [1, 2, 3]],
        [["a", 1, 2, 3]],
        [[{}, 1, 2, 3]],
        [[10**400, 1, 2, 3]],
        5,
    ],
)
def test_boxes_of_another_shape_are_refused(boxes):
    with pytest.raises(BoxError, match="as x1, y1, x2, y2"):
        validate_boxes(boxes, (50, 100))


@pytest.mark.parametrize(("photo_hw", "box"), [((50, 100), [0, 0, 99, 49]), ((1, 1), [0, 0, 1, 1])])
def test_the_whole_photo_is_one_person_when_nobody_is_found(photo_hw, box):
    people = whole_photo(photo_hw)
    np.testing.assert_array_equal(people.boxes_xyxy, [box])
    assert people.box_scores.tolist() == [1.0]
