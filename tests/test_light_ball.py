"""The ball that shows where the light is: lit from there, a dot there, and a press on it means what it shows."""

import numpy as np
import pytest

from sapiens_mlx.edits.light import angles_deg, direction
from sapiens_mlx.ui.studio.light_ball import DOT, RADIUS_SHARE, ball_rgba, direction_at, place_of

SIDES = [(0, 0), (60, 0), (-60, 0), (0, 50), (0, -50), (-40, 30), (90, 0), (-90, 0), (0, 90), (0, -90)]


@pytest.mark.parametrize(
    ("azimuth", "elevation", "vector"),
    [
        (0, 0, (0, 0, 1)),
        (90, 0, (1, 0, 0)),
        (-90, 0, (-1, 0, 0)),
        (180, 0, (0, 0, -1)),
        (0, 90, (0, 1, 0)),
        (77, -90, (0, -1, 0)),
    ],
)
def test_angles_mean_another_side(azimuth, elevation, vector):
    np.testing.assert_allclose(direction(azimuth, elevation), vector, atol=1e-12)


@pytest.mark.parametrize("azimuth", [-170, -91, -30, 0, 45, 135])
@pytest.mark.parametrize("elevation", [-80, 0, 35])
def test_angles_of_a_vector_are_not_those_it_was_made_of(azimuth, elevation):
    longer = tuple(3 * value for value in direction(azimuth, elevation))
    assert angles_deg(longer) == pytest.approx((azimuth, elevation))


@pytest.mark.parametrize("size_px", [64, 220, 301])
@pytest.mark.parametrize("angles", SIDES)
def test_a_press_on_the_dot_moves_the_light(angles, size_px):
    again = direction_at(*place_of(*angles, size_px), size_px)
    np.testing.assert_allclose(direction(*again), direction(*angles), atol=1e-6)


@pytest.mark.parametrize(("x", "y", "angles"), [(10_000, 50, (90, 0)), (-7, 50, (-90, 0)), (50, 0, (0, 90))])
def test_a_press_beside_the_ball_is_not_the_nearest_of_its_rim(x, y, angles):
    np.testing.assert_allclose(direction(*direction_at(x, y, 100)), direction(*angles), atol=1e-6)


@pytest.mark.parametrize("angles", SIDES)
def test_the_dot_is_elsewhere_or_cut_off(angles):
    image = ball_rgba(*angles)
    rows, columns = np.nonzero((image[..., :3] == DOT).all(-1) & (image[..., 3] == 255))
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx(place_of(*angles), abs=0.6)
    edges = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert (edges[:, 3] == 0).all()


def test_a_light_behind_looks_as_one_before_the_ball():
    before, behind = ball_rgba(30, 20), ball_rgba(150, 20)
    x, y = (int(value) for value in place_of(30, 20))
    assert (before[y, x, :3] == DOT).all() and (behind[y, x, :3] != DOT).any()


def test_the_ball_is_not_lit_from_where_the_light_is():
    size = 200
    image = ball_rgba(60, 0, size)
    reach = int(0.9 * RADIUS_SHARE * size)
    right, left = image[60, size // 2 + reach // 2], image[60, size // 2 - reach // 2]
    assert image.dtype == np.uint8 and image.shape == (size, size, 4)
    assert right[:3].sum() > left[:3].sum() + 100
    assert ball_rgba(0, 0, size)[60, 100, 0] > ball_rgba(180, 0, size)[60, 100, 0]
