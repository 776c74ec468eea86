"""Features once there are any: components in colours, similarity, agreement. Most of it on made-up arrays."""

import numpy as np
import pytest

from sapiens_mlx.compare import Comparison
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.shipped import examples_folder
from sapiens_mlx.tasks.base import Report
from sapiens_mlx.tasks.features import FeaturesResult, cosines, principal_components

EXAMPLE = examples_folder() / "one_person.jpg"
PHOTO = np.random.default_rng(0).integers(0, 255, (90, 130, 3), np.uint8)
RANDOM = np.random.default_rng(1)


def result(features: np.ndarray, photo: np.ndarray = PHOTO, mask: np.ndarray | None = None) -> FeaturesResult:
    channels = features.shape[-1]
    tokens = np.ones(channels, np.float32), np.ones((8, channels), np.float32)
    return FeaturesResult(photo, features.astype(np.float32), *tokens, person_mask=mask)


def random_features(rows: int = 8, columns: int = 6, channels: int = 12) -> np.ndarray:
    return RANDOM.standard_normal((rows, columns, channels)).astype(np.float32)


# ---- components -----------------------------------------------------------------------------------------------------


def test_components_are_not_those_of_the_largest_variance():
    """Features that lie along three known directions, unequally far."""
    directions = np.linalg.qr(RANDOM.standard_normal((10, 3)))[0].T
    weights = RANDOM.standard_normal((500, 3)) * (9, 3, 1)
    found = principal_components((weights @ directions + 5).astype(np.float32))
    assert np.abs(np.abs(found.axes @ directions.T) - np.eye(3)).max() < 0.1
    assert found.share == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.axes, axis=1), 1, atol=1e-9)


def test_signs_depend_on_chance():
    features = random_features()
    found = principal_components(features.reshape(-1, 12))
    largest = np.abs(found.axes).argmax(axis=1)
    assert (found.axes[[0, 1, 2], largest] > 0).all()
    shuffled = principal_components(RANDOM.permutation(features.reshape(-1, 12)))
    np.testing.assert_allclose(shuffled.axes, found.axes, atol=1e-6)


def test_colours_leave_their_range_or_use_half_of_it():
    features = random_features(20, 15)
    colours = result(features).components.colours(features)
    assert colours.shape == (20, 15, 3) and colours.min() == 0 and colours.max() == 1


@pytest.mark.parametrize("features", [np.ones((8, 6, 12)), np.zeros((8, 6, 12))], ids=["constant", "zero"])
def test_features_without_any_difference_fail(features):
    flat = result(features)
    assert len(np.unique(flat.picture().reshape(-1, 3), axis=0)) == 1
    assert np.isfinite(flat.similarity(3, 3).values).all()
    assert flat.similarity(3, 3).picture().shape == PHOTO.shape


def test_people_alone_do_not_decide_about_the_colours():
    features = random_features()
    mask = np.zeros(PHOTO.shape[:2], bool)
    mask[:, :65] = True  # the left three columns of patches
    cut = result(features, mask=mask)
    assert (cut.patches_of_people() == (np.arange(6) < 3)[None]).all()
    expected = principal_components(features[:, :3].reshape(-1, 12))
    np.testing.assert_array_equal(cut.components.axes, expected.axes)
    picture = cut.picture()
    assert (picture[:, 65:] == 0).all() and (picture[:, :65] != 0).any()


def test_a_mask_of_almost_nobody_leaves_nothing_to_tell_apart():
    mask = np.zeros(PHOTO.shape[:2], bool)
    mask[:4, :4] = True
    cut = result(random_features(), mask=mask)
    assert cut.patches_of_people() is None
    assert cut.picture().shape == PHOTO.shape


def test_options_of_the_picture_have_no_effect():
    features = result(random_features())
    blocks = features.picture(smooth=False)
    assert (blocks[2, 2] == blocks[6, 15]).all()  # one patch, one colour
    assert (features.picture() != blocks).any()
    assert (features.picture(opacity=0.0) == PHOTO).all()
    other = result(random_features())
    assert (features.picture(like=other) != features.picture()).any()
    assert (features.picture(like=features) == features.picture()).all()


# ---- similarity -----------------------------------------------------------------------------------------------------


def test_cosines_against_arithmetic():
    a = np.array([[3, 4], [1, 0], [0, 0], [-2, 0]], np.float32)
    np.testing.assert_allclose(cosines(a, np.array([1, 0], np.float32)), [0.6, 1, 0, -1], atol=1e-7)
    many = random_features(30, 30, 700) * 1e3
    assert (cosines(many, many) == 1).all()


def test_the_wrong_patch_is_asked_about():
    features = np.zeros((8, 6, 48), np.float32)
    features.reshape(48, 48)[:] = np.eye(48)  # every patch like itself alone
    asked = result(features)
    for x, y in ((0, 0), (129, 89), (129, 0), (70, 40)):
        values = asked.similarity(x, y).values
        assert values[y * 8 // 90, x * 6 // 130] == 1 and values.sum() == 1


def test_another_photo_is_looked_at():
    features = random_features()
    photo = np.zeros((40, 60, 3), np.uint8)
    mirrored = result(features[:, ::-1], photo)
    found = result(features).similarity(5, 5, mirrored)
    np.testing.assert_allclose(found.values, result(features).similarity(5, 5).values[:, ::-1], atol=1e-6)
    assert found.point_xy == (55.0, 2.5) and not found.is_query  # the middle of the patch that is most alike
    assert found.least == result(features).similarity(5, 5).least  # equal colours mean the same in both
    assert found.picture().shape == photo.shape


@pytest.mark.parametrize(("x", "y"), [(-1, 5), (130, 5), (5, 90), (float("nan"), 5)])
def test_a_pixel_outside_the_photo_passes(x, y):
    with pytest.raises(SapiensError, match="outside the photo of 130 x 90"):
        result(random_features()).similarity(x, y)


def test_features_of_another_network_pass_as_comparable():
    with pytest.raises(SapiensError, match="no directions in common"):
        result(random_features()).similarity(5, 5, result(random_features(channels=8)))
    with pytest.raises(SapiensError, match="no directions in common"):
        result(random_features()).agreement(result(random_features(channels=8)))
    one, other = result(random_features()), result(random_features())
    for which, size in ((one, "0.4b"), (other, "1b")):
        which.report = Report("features", size, "fp32", "cpu", "float32", "")
    with pytest.raises(SapiensError, match=r"0\.4b and of 1b"):
        one.picture(like=other)


def test_the_heat_map_is_not_brightest_where_the_patch_is():
    features = np.zeros((8, 6, 48), np.float32)
    features.reshape(48, 48)[:] = np.eye(48)
    found = result(features, np.zeros((320, 240, 3), np.uint8)).similarity(20, 20)  # patches of 40 pixels
    picture = found.picture(smooth=False, bar=False).astype(int).sum(-1)
    assert picture[36, 36] > 600 and picture[200, 200] < 200
    plain, with_bar = found.picture(bar=False), found.picture()
    assert (plain != with_bar).any()


# ---- agreement ------------------------------------------------------------------------------------------------------


def test_agreement_against_arithmetic():
    features = np.zeros((4, 5, 2), np.float32)
    features[..., 0] = 1
    turned = features.copy()
    turned[0, 0] = turned[0, 1] = (0.6, 0.8)
    one, reference = result(turned), result(features)
    one.cls = np.array([0, 2], np.float32)
    reference.cls = np.array([1, 0], np.float32)
    found = one.agreement(reference)
    assert found.values == pytest.approx({"mean_cosine": 0.96, "low_cosine": 0.6, "cls_cosine": 0}, abs=1e-6)
    assert found.over == "the whole photo"
    apart = one.difference(reference)
    assert apart.values.shape == PHOTO.shape[:2]
    assert apart.values[5, 5] == pytest.approx(0.4, abs=1e-6) and apart.values[60, 60] == 0
    assert reference.agreement(reference).values == {"mean_cosine": 1, "low_cosine": 1, "cls_cosine": 1}
    assert apart.picture(PHOTO).shape == PHOTO.shape


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0000"),
        (0.99999, "> 0.9999"),
        (0.98765, "0.9877"),
        (0.0, "0.0000"),
        (0.00001, "< 0.0001"),
        (-0.5, "-0.5000"),
    ],
)
def test_a_cosine_that_is_not_one_reads_as_if_it_were(value, text):
    assert FeaturesResult.FIGURES[0].text(value) == text


def test_levels_are_compared_by_cosine(machine):
    comparison = Comparison(EXAMPLE, "features", ["demo:fp32", "demo:8bit", "demo:4bit"])
    entries = list(comparison)
    mean = [entry.agreement.values["mean_cosine"] for entry in entries]
    assert mean[0] == 1 and 1 > mean[1] > mean[2] > 0.5
    assert all(entry.picture.shape == entry.heat_map.shape == comparison.photo_rgb.shape for entry in entries)


def test_sizes_are_compared_whose_features_have_nothing_in_common(machine):
    with pytest.raises(SapiensError, match="Choose one size"):
        Comparison(EXAMPLE, "features", ["demo:fp32", "0.1b:fp32"])
    with pytest.raises(SapiensError, match="Choose one size"):
        Comparison(EXAMPLE, "features", ["demo:fp32", "demo:4bit"], "0.1b:fp32")
