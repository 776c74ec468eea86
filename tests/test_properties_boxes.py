"""Boxes by hypothesis: what is written is read back, and anything else is a sentence."""

import json

import numpy as np
import properties  # noqa: F401  how hypothesis runs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapiens_mlx.boxes import read_boxes
from sapiens_mlx.detect import FARTHEST_PX, People, nms, validate_boxes, whole_photo
from sapiens_mlx.errors import BoxError

NUMBERS = st.floats(-FARTHEST_PX, FARTHEST_PX)
BOXES = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS).map(list), min_size=1, max_size=9)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.integers(10**400, 10**401),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(["boxes_xyxy", "people", "box_xyxy", "x1"]), inner, max_size=3)
    ),
    max_leaves=30,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("boxes") / "boxes"


def written(path, text: str):
    path.write_text(text, encoding="utf-8", newline="")
    return path


@given(boxes=BOXES, form=st.sampled_from(["list", "people", "boxes_xyxy"]))
def test_json_is_not_read_back(path, boxes, form):
    people = [{"box_xyxy": box, "score": 1} for box in boxes]
    data = {"list": boxes, "people": {"people": people}, "boxes_xyxy": {"boxes_xyxy": boxes}}[form]
    assert read_boxes(written(path, json.dumps(data))) == boxes


@given(boxes=BOXES, apart=st.sampled_from(",;\t"), head=st.booleans(), end=st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_csv_is_not_read_back(path, boxes, apart, head, end):
    rows = [["x1", "y1", "x2", "y2"]] * head + boxes
    assert read_boxes(written(path, end.join(apart.join(map(str, row)) for row in rows) + end)) == boxes


@given(data=JSON)
def test_json_of_anything_is_no_sentence(path, data):
    try:
        found = read_boxes(written(path, json.dumps(data)))
    except BoxError as problem:
        assert str(problem).endswith(".")
    else:
        assert found and all(len(box) == 4 and all(isinstance(one, float) for one in box) for box in found)


@given(text=st.text(max_size=80) | st.text("0123456789.,;-+eE \t\n\"'xy", max_size=80))
def test_text_of_anything_is_no_sentence(path, text):
    try:
        assert read_boxes(written(path, text.encode("utf-8", "replace").decode()))
    except BoxError as problem:
        assert str(problem).endswith(".")


@given(boxes=JSON)
def test_boxes_of_anything_are_no_sentence(boxes):
    try:
        found = validate_boxes(boxes, (480, 640))
    except BoxError as problem:
        assert str(problem).endswith(".")
    else:
        assert found.dtype == np.float32 and found.ndim == 2 and np.isfinite(found).all()


@given(boxes=BOXES)
def test_a_box_that_is_taken_covers_nothing_of_the_photo(boxes):
    try:
        found = validate_boxes(boxes, (480, 640))
    except BoxError:
        return
    assert len(found) == len(boxes)
    assert (found[:, 0] < found[:, 2]).all() and (found[:, 1] < found[:, 3]).all()
    assert (found[:, :2] < (640, 480)).all() and (found[:, 2:] > 0).all()


@given(boxes=BOXES, iou=st.floats(0, 1))
def test_the_best_box_is_not_kept_or_one_twice(boxes, iou):
    ordered = np.float32([[*np.sort(box[::2]), *np.sort(box[1::2])] for box in boxes])[:, [0, 2, 1, 3]]
    scores = np.linspace(0, 1, len(boxes), dtype=np.float32)
    kept = nms(ordered, scores, iou).tolist()
    assert kept[0] == len(boxes) - 1 and kept == sorted(set(kept), reverse=True)


@given(height=st.integers(1, 20_000), width=st.integers(1, 20_000))
def test_the_whole_photo_is_no_box(height, width):
    people = whole_photo((height, width))
    assert isinstance(people, People) and len(people) == 1
    validate_boxes(people.boxes_xyxy, (height, width))
