"""The ways into the network and back, against the reference's results: bit-exact in, float32 rounding back."""

import hashlib
import json

import cv2
import numpy as np
import pytest
from conftest import DATA
from safetensors.numpy import load_file

from sapiens_mlx.image import read_image
from sapiens_mlx.tasks import fit

INPUT_HW = (1024, 768)


def preprocess_case(folder, name):
    """(photo, what the reference says about it); b is kept as lossless WebP here to save space."""
    meta = json.loads((folder / "meta.json").read_text())["images"][name]
    path = next(path for ending in ("png", "webp") if (path := folder / f"{name}_input.{ending}").exists())
    return read_image(path), meta


def sha256_bgr(pixels_rgb):
    return hashlib.sha256(np.ascontiguousarray(pixels_rgb[..., ::-1]).tobytes()).hexdigest()


def check_preprocess(folder, name):
    photo, meta = preprocess_case(folder, name)
    pixels, padding = fit.letterbox(photo, INPUT_HW)
    found = [padding.left, padding.right, padding.top, padding.bottom]
    assert found == meta["padding_size_left_right_top_bottom"]
    assert sha256_bgr(pixels) == meta["sha256_of_raw_bytes"]["dense"]
    assert sha256_bgr(fit.stretch(photo, INPUT_HW)) == meta["sha256_of_raw_bytes"]["seg"]


@pytest.mark.parametrize("name", ["b", "c", "d"])  # b: area filter; c: ratio 3:4; d: odd padding left and right
def test_inputs_differ_from_the_reference(name):
    check_preprocess(DATA / "preprocess", name)


@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
def test_inputs_differ_from_the_complete_reference(reference, name):
    check_preprocess(reference / "preprocess", name)


@pytest.mark.parametrize("photo_hw", [(8, 20000), (20000, 8), (9, 9)])
def test_letterbox_loses_a_photo_of_extreme_ratio(photo_hw):
    pixels, padding = fit.letterbox(np.full((*photo_hw, 3), 200, np.uint8), INPUT_HW)
    inside = fit.cut_padding(pixels, padding)
    assert pixels.shape == (*INPUT_HW, 3)
    assert min(inside.shape) >= 1
    assert (inside == 200).all() and pixels.astype(int).sum() == 200 * inside.size


@pytest.mark.parametrize(
    ("photo_hw", "filter_"),
    [((1500, 700), cv2.INTER_CUBIC), ((300, 800), cv2.INTER_AREA), ((1024, 768), cv2.INTER_CUBIC)],
)
def test_the_height_has_a_say_in_the_filter(photo_hw, filter_):
    photo = np.random.default_rng(0).integers(0, 256, (*photo_hw, 3), np.uint8)
    assert (fit.stretch(photo, INPUT_HW) == cv2.resize(photo, (768, 1024), interpolation=filter_)).all()


def test_normalise_swaps_or_misscales_channels():
    pixels = np.array([[[124, 116, 104], [0, 255, 255]]], np.uint8)
    expected = [[[0.00557, -0.0049, 0.0082], [-2.1179, 2.4286, 2.64]]]
    np.testing.assert_allclose(fit.normalise(pixels), expected, atol=1e-4)


def test_resize_is_not_bilinear_at_pixel_centres():
    ramp = np.array([[[0.0], [1.0]]], np.float32)  # (1, 2, 1)
    np.testing.assert_allclose(fit.resize_linear(ramp, (3, 4))[1, :, 0], [0, 0.25, 0.75, 1], atol=1e-6)


def test_smoothing_differs_from_the_reference():
    tensors = load_file(DATA / "resize.safetensors")
    given, expected = (tensors[name][0].transpose(1, 2, 0) for name in ("blur.in", "blur.out4"))
    np.testing.assert_allclose(fit.smooth(np.ascontiguousarray(given)), expected, atol=1e-5)
