"""Options by hypothesis: each value is taken or refused with a sentence, as arguments and from Python."""

import properties  # noqa: F401  how hypothesis runs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapiens_mlx import variants, zoo
from sapiens_mlx.arguments import argument_parser
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.options import Options
from sapiens_mlx.video.choices import Chosen

PARSER = argument_parser()
TEXT = st.text(max_size=12) | st.sampled_from(["nan", "-inf", "1e999", "٣", "²", "-1", "0", "", "9" * 5000, "\ud800"])
VALUED = ["--boxes", "--box-threshold", "--nms", "--hand-iou", "--points", "--keypoint-threshold", "--detector"]
VALUED += [
    "--first-frame",
    "--every",
    "--longest-side",
    "--frames-per-second",
    "--mesh-opacity",
    "--hand-crop",
    "--task",
]


@given(st.sampled_from(VALUED), TEXT)
def test_an_argument_of_anything_is_no_sentence(flag, value):
    try:
        PARSER.parse_args(["predict", "photo.jpg", flag, value])
    except SapiensError as problem:
        assert str(problem).endswith("--help")


@given(st.lists(TEXT, max_size=6))
def test_arguments_of_anything_are_no_sentence(words):
    try:
        PARSER.parse_args(words)
    except SapiensError as problem:
        assert str(problem).endswith("--help")
    except SystemExit as end:
        assert not end.code and {"-h", "--help", "--version"} & {*words}


@given(st.sampled_from(["box_threshold", "nms_threshold", "hand_threshold", "hand_iou"]), st.data())
def test_a_threshold_beyond_its_range_is_taken(name, data):
    value = data.draw(
        st.floats() | st.integers() | st.text() | st.none() | st.lists(st.floats()) | st.complex_numbers()
    )
    is_sound = isinstance(value, int | float) and 0 <= value <= 1
    if is_sound:
        assert getattr(Options(**{name: value}), name) == value
    else:
        with pytest.raises(SapiensError, match=name):
            Options(**{name: value})


@given(st.lists(st.tuples(st.sampled_from(list(zoo.SIZES)), st.sampled_from(list(zoo.LEVELS))), max_size=4))
def test_variants_are_not_read_as_they_are_written(pairs):
    made = [variants.Variant(size, level) for size, level in pairs]
    assert variants.parse_list(None, "demo", ",".join(map(str, made))) == made


@given(TEXT, TEXT, TEXT)
def test_variants_of_anything_are_no_sentence(levels, size, text):
    try:
        variants.parse_list(levels, size, text)
    except SapiensError as problem:
        assert str(problem).endswith(".")


@given(st.integers(0, 50), st.integers(0, 50) | st.none(), st.integers(1, 9), st.integers(0, 60))
def test_frames_are_miscounted(first, last, every, total):
    try:
        chosen = Chosen(first, last, every)
    except SapiensError:
        assert last is not None and last < first
        return
    assert chosen.count(total) == sum(chosen.takes(index) for index in range(total))
