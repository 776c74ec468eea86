"""Relighting: light as the cosine says, on people alone, from the photo's colours or freed of the photo's own light."""

import math
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from sapiens_mlx.edits import relight
from sapiens_mlx.edits.light import direction
from sapiens_mlx.edits.relight import GAMMA, Relit, relit
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.tasks.albedo import AlbedoResult
from sapiens_mlx.tasks.base import Report
from sapiens_mlx.tasks.normal import NormalResult

GREY = 120
SHAPE = (60, 80, 3)


def photo(value=GREY):
    return np.full(SHAPE, value, np.uint8)


def plane(normal=(0, 0, 1)):
    return np.broadcast_to(np.float32(normal), SHAPE).copy()


def sphere(size=101):
    """(photo, normals, inside): a ball that fills the picture."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    u, v = (x - size // 2) / (size // 2), (size // 2 - y) / (size // 2)
    z = np.sqrt(np.maximum(0, 1 - u * u - v * v))
    return np.full((size, size, 3), GREY, np.uint8), np.dstack([u, v, z]), np.hypot(u, v) < 0.95


def lit(light, value=GREY):
    """What a grey becomes in so much light."""
    return np.minimum(255, value * light ** (1 / GAMMA))


@pytest.mark.parametrize(("ambient", "strength"), [(0.2, 0.8), (0.0, 1.0), (0.5, 0.0), (0.5, 1.5), (0.0, 0.0)])
def test_a_plane_that_faces_the_light_is_not_lit_by_all_of_it(ambient, strength):
    for azimuth, elevation in [(0, 0), (50, -20), (-130, 60)]:
        normals = 0.7 * plane(direction(azimuth, elevation))  # mixed normals are shorter
        picture = Relit(photo(), normals).picture(
            azimuth_deg=azimuth, elevation_deg=elevation, ambient=ambient, strength=strength
        )
        assert picture.dtype == np.uint8 and picture.shape == SHAPE
        assert np.abs(picture - lit(ambient + strength)).max() <= 0.51


def test_a_sphere_is_not_lit_by_the_cosine():
    image, normals, inside = sphere()
    for azimuth, elevation in [(0, 0), (70, 10), (-30, -60)]:
        picture = Relit(image, normals).picture(azimuth_deg=azimuth, elevation_deg=elevation, ambient=0.1, strength=0.8)
        expected = lit(0.1 + 0.8 * np.maximum(0, normals @ np.array(direction(azimuth, elevation))))
        assert np.abs(picture - expected[..., None])[inside].max() <= 0.51


def test_light_from_behind_is_more_than_the_ambient():
    picture = Relit(photo(), plane()).picture(azimuth_deg=180, elevation_deg=0, ambient=0.3, strength=2)
    assert np.abs(picture - lit(0.3)).max() <= 0.51


def test_even_light_of_one_changes_the_photo():
    noise = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    assert (Relit(noise, plane()).picture(ambient=1, strength=0) == noise).all()


def test_normals_that_are_none_spread_or_warn():
    normals = plane()
    normals[0, 0], normals[1, 1] = 0, np.nan
    picture = Relit(photo(), normals).picture(azimuth_deg=0, elevation_deg=0, ambient=0.25, strength=0.5)
    assert (picture[0, 0] == picture[1, 1]).all() and picture[0, 0, 0] == round(lit(0.25))
    assert picture[2, 2, 0] == round(lit(0.75))


def test_what_is_not_a_person_is_relit():
    mask = np.zeros(SHAPE[:2], bool)
    mask[:, 40:] = True
    picture = Relit(photo(), plane(), person_mask=mask).picture(ambient=0.2, strength=0)
    assert (picture[:, :37] == GREY).all()
    assert (picture[:, 43:] == round(lit(0.2))).all()
    edge = picture[30, 37:43, 0].astype(int)
    assert (np.diff(edge) <= 0).all() and len(set(edge)) > 3  # soft, not a stair


def test_the_matte_is_not_what_edges_come_from():
    alpha = np.broadcast_to(np.linspace(0, 1, SHAPE[1], dtype=np.float32), SHAPE[:2]).copy()
    normal = NormalResult(photo(), plane(), person_mask=np.ones(SHAPE[:2], bool))
    picture = relit(normal, alpha=alpha).picture(ambient=0.2, strength=0)
    expected = GREY + alpha * (lit(0.2) - GREY)
    assert np.abs(picture - expected[..., None]).max() <= 1


def two_tone():
    """A photo of one albedo whose left half lies in a quarter of the light."""
    image = photo(200)
    image[:, :40] = round(float(lit(0.25, 200)))
    return image


def test_albedo_does_not_free_the_photo_of_its_light():
    image, albedo = two_tone(), np.full(SHAPE, 200 / 255, np.float32)
    result = Relit(image, plane(), albedo)
    even = result.picture(azimuth_deg=0, elevation_deg=0, ambient=0.2, strength=0.5).astype(int)
    expected = lit(0.7, 200)
    assert np.abs(even[:, 5:30] - expected).max() <= 2 and np.abs(even[:, 50:-5] - expected).max() <= 2
    own = result.picture(azimuth_deg=0, elevation_deg=0, ambient=0.2, strength=0.5, albedo=False)
    assert np.abs(own - image * 0.7 ** (1 / GAMMA)).max() <= 0.51


def test_detail_finer_than_the_albedo_is_lost():
    image, albedo = photo(100), np.full(SHAPE, 100 / 255, np.float32)
    image[:, ::2] = 110  # the albedo knows nothing of the stripes
    picture = Relit(image, plane(), albedo).picture(ambient=1, strength=0).astype(int)
    assert (picture[:, ::2] - picture[:, 1::2] >= 9).all()


def test_a_wall_beside_people_counts_as_their_light():
    image, albedo = photo(200), np.full(SHAPE, 200 / 255, np.float32)
    mask = np.zeros(SHAPE[:2], bool)
    mask[:, 40:] = True
    image[:, :40] = 3
    picture = Relit(image, plane(), albedo, person_mask=mask).picture(ambient=1, strength=0).astype(int)
    assert np.abs(picture[:, 44:] - 200).max() <= 4


def test_bands_leave_seams(monkeypatch):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (300, 50, 3), np.uint8)
    normals = rng.standard_normal((300, 50, 3)).astype(np.float32)
    result = Relit(image, normals, rng.random((300, 50, 3), np.float32), person_mask=rng.random((300, 50)) > 0.3)
    banded = result.picture()
    monkeypatch.setattr(relight, "bands", lambda height: [slice(0, height)])
    assert (banded == result.picture()).all()


def test_a_large_photo_takes_the_memory_of_several():
    shape = (1500, 1200, 3)
    result = Relit(np.zeros(shape, np.uint8), np.zeros(shape, np.float32), np.zeros(shape, np.float32))
    tracemalloc.start()
    result.picture()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * shape[0] * shape[1] + 20e6  # 3 bytes of picture, 4 of light and 1 of cover a pixel, and bands


def test_arrays_are_changed():
    normals, albedo = 0.5 * plane(), np.full(SHAPE, 0.4, np.float32)
    result = Relit(photo(), normals, albedo)
    before = result.photo_rgb.copy(), normals.copy(), albedo.copy()
    result.picture()
    for now, then in zip((result.photo_rgb, result.normals, result.albedo), before, strict=True):
        assert (now == then).all()


@pytest.mark.parametrize(
    "options",
    [{"ambient": -0.1}, {"strength": math.nan}, {"azimuth_deg": math.inf}, {"style": "oil"}],
)
def test_options_that_cannot_be_are_taken(options):
    with pytest.raises(SapiensError):
        Relit(photo(), plane()).picture(**options)


def report(notice):
    return Report("normal", "demo", "fp32", "cpu", "float32", "MIT", {"network": 1.0}, notices=["same", notice])


def test_the_report_is_lost_or_shared_with_the_normals(tmp_path):
    mask = np.ones(SHAPE[:2], bool)
    normal = NormalResult(photo(), plane(), person_mask=mask, report=report("of normals"))
    made = relit(normal, AlbedoResult(photo(), np.ones(SHAPE, np.float32), report=report("of albedo")))
    assert made.person_mask is mask and made.normals is normal.normals
    assert made.report.notices == ["same", "of normals", "of albedo"] and made.report.seconds == {"network": 1.0}
    made.report.seconds["draw"] = 2.0
    assert "draw" not in normal.report.seconds
    paths = made.save(tmp_path, "a", side_by_side=True, azimuth_deg=20, albedo=False)
    assert [path.name for path in paths] == ["a_relit.png", "a_relit_side_by_side.png"]
    assert (np.asarray(Image.open(paths[0])) == made.picture(azimuth_deg=20, albedo=False)).all()


def test_albedo_or_matte_of_another_photo_is_taken():
    other = np.zeros((40, 40, 3), np.float32)
    with pytest.raises(SapiensError, match="albedo is of 40 x 40 pixels"):
        relit(NormalResult(photo(), plane()), AlbedoResult(np.zeros((40, 40, 3), np.uint8), other))
    with pytest.raises(SapiensError, match="matte is of 40 x 40 pixels"):
        relit(NormalResult(photo(), plane()), alpha=other[..., 0])
