"""Recolouring: the part takes the colour and keeps its shading, nothing else changes, and no outline is left."""

import cv2
import numpy as np
import pytest
from PIL import Image

from sapiens_mlx.edits import recolour
from sapiens_mlx.edits.recolour import Recoloured, recoloured
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.tasks.base import Report
from sapiens_mlx.tasks.seg import SegResult, classes

HAIR, SHIRT = classes().names.index("Hair"), classes().names.index("Upper_Clothing")
SIZE_HW = (120, 160)
COLOURS = ["#b3264a", "#f0d080", "#2040c0", "#101418", "#e8eaf0", "#7a7a7a", "#20c040"]


def scene(values, wall=(90, 130, 170)):
    """A photo of a wall with a square shirt of those grey `values` (60, 80) in it, and its labels."""
    image = np.full((*SIZE_HW, 3), wall, np.uint8)
    image[30:90, 40:120] = np.asarray(values, np.uint8)[..., None]
    labels = np.zeros(SIZE_HW, np.uint8)
    labels[30:90, 40:120] = SHIRT
    return Recoloured(image, labels)


def creases(mean, depth=12):
    """(60, 80): light and dark by turns, and evenly darker to the right."""
    wave = depth * np.sin(np.arange(80) / 4) - np.linspace(0, depth, 80) + depth / 2
    return np.clip(np.broadcast_to(mean + wave, (60, 80)), 0, 255)


def lab(pixels):
    return cv2.cvtColor(np.float32(pixels) / 255, cv2.COLOR_RGB2LAB)


def inner(picture):
    return picture[38:82, 48:112]


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("mean", [25, 110, 225])
def test_the_part_is_of_another_colour(mean, colour):
    wanted = lab(np.array([[[int(colour[at : at + 2], 16) for at in (1, 3, 5)]]]))[0, 0]
    found = lab(inner(scene(creases(mean, 6)).picture(part="Upper_Clothing", colour=colour))).mean((0, 1))
    assert np.abs(found - wanted).max() < 4


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("mean", [25, 110, 225])
def test_shading_is_flattened_turned_round_or_blown_up(mean, colour):
    made = scene(creases(mean))
    before = lab(inner(made.photo_rgb))[..., 0]
    after = lab(inner(made.picture(part="Upper_Clothing", colour=colour)))[..., 0]
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.95
    assert 0.25 < after.std() / before.std() < 1.3


@pytest.mark.parametrize("colour", ["#000000", "#ffffff"])
def test_black_and_white_are_flat(colour):
    after = inner(scene(creases(120)).picture(part="Upper_Clothing", colour=colour))
    assert len(np.unique(after)) > 8
    assert np.abs(after.astype(int) - (255 if colour == "#ffffff" else 0)).mean() < 45


def test_grey_steps_become_blotches():
    """Values that rise evenly must stay even: each step of the photo is a small one in the picture."""
    ramp = np.broadcast_to(np.linspace(20, 235, 80), (60, 80))
    for colour in COLOURS:
        row = lab(scene(ramp).picture(part="Upper_Clothing", colour=colour)[60:61, 48:112])[0]
        steps = np.diff(row, axis=0)
        assert steps[:, 0].min() > -0.5 and np.linalg.norm(steps, axis=1).max() < 14


def test_what_is_not_the_part_changes():
    made = scene(creases(110))
    picture = made.picture(part="Upper_Clothing", colour="#20c040")
    far = np.ones(SIZE_HW, bool)
    far[24:96, 34:126] = False
    assert (picture[far] == made.photo_rgb[far]).all()
    assert (made.photo_rgb[60, 80] == made.photo_rgb[60, 80, 0]).all()  # the photo itself stays


@pytest.mark.parametrize("shift", [-1, 0, 1])
def test_dark_hair_made_fair_gets_an_outline(shift):
    """A soft edge before a bright wall, whose label is `shift` pixels too wide: colours go from hair to wall, and no
    pixel is far from what lies between the two."""
    share = cv2.GaussianBlur(np.pad(np.ones((60, 80), np.float32), ((30, 30), (40, 40))), (0, 0), 0.7)
    image = np.rint(30 * share + 220 * (1 - share))[..., None].repeat(3, axis=2).astype(np.uint8)
    labels = np.zeros(SIZE_HW, np.uint8)
    labels[30 - shift : 90 + shift, 40 - shift : 120 + shift] = HAIR
    picture = Recoloured(image, labels).picture(part="Hair", colour="#f0d080").astype(int)
    fair = np.median(picture[45:75, 60:100].reshape(-1, 3), axis=0)
    ideal = fair * share[..., None] + 220 * (1 - share[..., None])
    assert np.abs(picture - ideal).max() <= 16


def test_a_print_is_left_out_where_it_meets_the_edge():
    """Purple checks on a light shirt before a green wall: they are nowhere between the two, and belong to the shirt."""
    made = scene(np.full((60, 80), 200), wall=(60, 140, 110))
    made.photo_rgb[40:50, 40:120] = (60, 10, 110)
    picture = made.picture(part="Upper_Clothing", colour="#d02020").astype(int)
    check = picture[42:48, 44:116]
    assert (check[..., 0] > 3 * check[..., 2]).all()  # red by now, to within the softness of the edge


def test_an_edge_between_two_colours_that_are_alike_is_a_stair():
    values = np.full((60, 80), 128)
    row = scene(values, wall=(128, 128, 128)).picture(part="Upper_Clothing", colour="#c02020")[60].astype(int)
    steps = np.abs(np.diff(row, axis=0)).max(1)
    assert (row[:30] == 128).all() and (row[130:] == 128).all()
    assert steps.max() < 0.7 * np.abs(row[80] - 128).max()


def test_a_part_a_pixel_wide_is_lost_or_spreads():
    image, labels = np.full((*SIZE_HW, 3), 60, np.uint8), np.zeros(SIZE_HW, np.uint8)
    labels[60] = HAIR
    picture = Recoloured(image, labels).picture(part="Hair", colour="#f0d080").astype(int)
    changed = np.abs(picture - 60).max(-1)[:, 80]
    assert changed[60] > 20 and changed.argmax() == 60 and (changed[:55] == 0).all() and (changed[66:] == 0).all()


def test_squares_leave_seams(monkeypatch):
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (300, 400, 3), np.uint8), (0, 0), 3)
    labels = (cv2.GaussianBlur(rng.random((300, 400)), (0, 0), 12) > 0.5).astype(np.uint8) * HAIR
    whole = Recoloured(image, labels).picture(part="Hair")
    monkeypatch.setattr(recolour, "TILE_PX", 64)
    assert np.abs(Recoloured(image, labels).picture(part="Hair").astype(int) - whole).max() <= 1


def test_strength_is_not_a_share_of_the_way():
    made = scene(creases(110))
    photo, full, half = (made.picture(part="Upper_Clothing", strength=share).astype(int) for share in (0, 1, 0.5))
    assert (photo == made.photo_rgb).all()
    assert np.abs(inner(half) - (inner(photo) + inner(full)) / 2).max() <= 1


@pytest.mark.parametrize("part", ["Upper_Clothing", "upper clothing", None])
@pytest.mark.parametrize("colour", ["#ff0000", "red", (255, 0, 0), [255, 0, 0]])
def test_a_name_or_a_colour_is_not_understood(part, colour):
    made = scene(creases(110))
    expected = made.picture(part="Upper_Clothing", colour="#ff0000")
    assert (made.picture(part=part, colour=colour) == expected).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"part": "Hair"}, "Hair is not in this photo. In it are: Upper_Clothing"),
        ({"part": "Wings"}, "no part 'Wings'.*Upper_Clothing"),
        ({"colour": "reddish"}, "not a colour"),
        ({"colour": (1, 2)}, "not a colour"),
        ({"colour": (1, 2, 256)}, "not a colour"),
        ({"colour": (1, 2, float("inf"))}, "not a colour"),
        ({"colour": "rgb(300,0,0)"}, "not a colour"),
        ({"colour": None}, "not a colour"),
        ({"strength": 1.5}, "from 0 to 1"),
        ({"strength": float("nan")}, "from 0 to 1"),
        ({"style": "oil"}, "style"),
    ],
)
def test_options_that_cannot_be_are_taken(options, message):
    with pytest.raises(SapiensError, match=message):
        scene(creases(110)).picture(**options)


def test_a_photo_of_nobody_is_not_said_to_be_one():
    empty = Recoloured(np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20), np.uint8))
    assert empty.parts() == []
    for part in (None, "Hair"):
        with pytest.raises(SapiensError, match="nobody was found"):
            empty.picture(part=part)


def test_a_photo_without_background_is_divided_by_zero():
    full = Recoloured(np.full((20, 20, 3), 90, np.uint8), np.full((20, 20), SHIRT, np.uint8))
    with pytest.raises(SapiensError, match=r"Background is not in this photo. In it are: Upper_Clothing"):
        full.picture(part="Background")


def test_parts_are_not_listed_by_their_size():
    made = scene(creases(110))
    made.labels[0:40, 0:20] = HAIR
    assert made.parts() == ["Upper_Clothing", "Hair"]


def test_the_report_is_lost_or_shared_with_the_parts(tmp_path):
    made = scene(creases(110))
    report = Report("seg", "demo", "fp32", "cpu", "float32", "MIT", {"network": 1.0}, notices=["demo"])
    result = recoloured(SegResult(made.photo_rgb, made.labels, np.zeros((2, 2, 29), np.float32), report=report))
    assert result.report == report and result.labels is made.labels
    result.report.seconds["draw"] = 2.0
    assert "draw" not in report.seconds
    paths = result.save(tmp_path, "a", part="Upper_Clothing", colour="#00ff00")
    assert [path.name for path in paths] == ["a_recoloured.png"]
    expected = result.picture(part="Upper_Clothing", colour="#00ff00")
    assert (np.asarray(Image.open(paths[0])) == expected).all()
