"""The picture of a pose: who has which colour, what is above the threshold, and that small people stay legible."""

import numpy as np
import pytest

from sapiens_mlx.errors import SapiensError
from sapiens_mlx.tasks.keypoints import GROUPS, keypoints
from sapiens_mlx.tasks.pose_picture import LONE_BOX, LONE_POINTS, PARTS, PEOPLE, draw_line, pose_picture

GREY = 90
BLACK = (0, 0, 0)
LEFT_HIP, LEFT_KNEE, NECK = 9, 11, 69


def photo(hw=(300, 400)):
    return np.full((*hw, 3), GREY, np.uint8)


def person(points):
    """Keypoints (308, 2) and scores (308,) with nothing but `points` {index: (x, y) or (x, y, score)}."""
    xy, scores = np.zeros((308, 2), np.float32), np.zeros(308, np.float32)
    for index, (x, y, *score) in points.items():
        xy[index], scores[index] = (x, y), score[0] if score else 0.9
    return xy, scores


def draw(figures, places, image=None, **options):
    xy, scores = (np.stack(values) for values in zip(*figures, strict=True))
    image = photo() if image is None else image
    return pose_picture(image, xy, scores, np.float32(places), np.full(len(places), 0.9, np.float32), **options)


def colours_in(picture):
    return {tuple(map(int, colour)) for colour in np.unique(picture.reshape(-1, 3), axis=0)}


LEG = person({LEFT_HIP: (200, 80), LEFT_KNEE: (200, 180)})
BOX = (120, 40, 280, 260)


def test_lone_person_is_yellow_with_a_black_rim_in_a_cyan_box():
    picture = draw([LEG], [BOX], links=False)
    assert tuple(picture[80, 200]) == LONE_POINTS
    assert tuple(picture[40, 260]) == tuple(picture[150, 120]) == LONE_BOX
    assert picture[80, 200:206].min(axis=0).max() < GREY / 2  # the rim, on the way out of the disc
    assert tuple(picture[130, 200]) == (GREY,) * 3


@pytest.mark.parametrize(("score", "drawn"), [(0.31, True), (0.3, False), (0.1, False), (-0.2, False)])
def test_points_and_links_are_drawn_above_the_threshold_only(score, drawn):
    leg = person({LEFT_HIP: (200, 80), LEFT_KNEE: (200, 180, score)})
    picture = draw([leg], [BOX], boxes=False)
    assert (tuple(picture[180, 200]) == LONE_POINTS) == drawn
    assert (tuple(picture[130, 200]) != (GREY,) * 3) == drawn
    assert tuple(picture[80, 200]) == LONE_POINTS


def test_each_person_keeps_its_colour_when_others_are_left_out():
    people = [person({NECK: (x, 150)}) for x in (60, 180, 300)]
    boxes = [(x - 50, 60, x + 50, 280) for x in (60, 180, 300)]
    everybody = draw(people, boxes)
    assert [tuple(everybody[150, x]) for x in (60, 180, 300)] == list(PEOPLE[:3])
    last = draw(people, boxes, people=[2])
    assert tuple(last[150, 300]) == tuple(last[200, 250]) == PEOPLE[2]
    np.testing.assert_array_equal(last[:, :240], photo()[:, :240])


def test_more_people_than_colours_are_drawn():
    people = [person({NECK: (10 + 20 * index, 150)}) for index in range(15)]
    picture = draw(people, [(20 * index, 100, 20 * index + 20, 200) for index in range(15)])
    assert {tuple(picture[150, 10 + 20 * index]) for index in range(15)} == set(PEOPLE)


def test_nearer_person_is_drawn_over_the_farther_one():
    small, large = person({NECK: (200, 150)}), person({NECK: (200, 150)})
    boxes = [(60, 20, 340, 290), (150, 100, 250, 200)]
    picture = draw([large, small], boxes)
    assert tuple(picture[150, 200]) == PEOPLE[0]
    assert tuple(draw([small, large], boxes[::-1])[150, 200]) == PEOPLE[1]


def test_labels_of_people_in_the_same_place_do_not_hide_each_other():
    picture = draw([person({})] * 3, [(100, 100, 300, 280)] * 3)
    areas = [np.count_nonzero((picture == colour).all(axis=-1)) for colour in PEOPLE[:3]]
    assert min(areas) > 300  # the outlines cover each other; each label keeps its ground


def test_parts_have_their_own_colours():
    places = {members[0]: (60 + 60 * index, 150) for index, members in enumerate(GROUPS.values())}
    picture = draw([person(places)], [(20, 50, 390, 290)], boxes=False, colour_by="part", point_size=8)
    assert [tuple(picture[150, 60 + 60 * index]) for index in range(5)] == list(PARTS.values())


def test_forearm_has_the_bodys_colour_and_the_foot_its_own():
    arm = person({7: (50, 50), 62: (150, 50), 13: (50, 150), 15: (150, 150)})
    picture = draw([arm], [(20, 20, 390, 290)], boxes=False, colour_by="part", line_width=3)
    assert tuple(picture[50, 100]) == PARTS["body"]
    assert tuple(picture[150, 100]) == PARTS["feet"]


def test_reference_style_has_the_references_colours_and_no_boxes():
    table = keypoints()
    link = int(np.flatnonzero((table.links == [LEFT_KNEE, LEFT_HIP]).all(axis=1))[0])
    picture = draw([LEG], [BOX], style="reference", line_width=3, point_size=8)
    assert tuple(picture[80, 200]) == tuple(table.colours[LEFT_HIP])
    assert tuple(picture[130, 200]) == tuple(table.link_colours[link])
    assert BLACK not in colours_in(picture)
    assert tuple(picture[40, 260]) == (GREY,) * 3
    assert tuple(draw([LEG], [BOX], style="reference", boxes=True)[40, 260]) == LONE_BOX


def test_sizes_asked_for_are_the_sizes_drawn():
    picture = draw([LEG], [BOX], boxes=False, links=False, point_size=20)
    yellow = (picture == LONE_POINTS).all(axis=-1)
    assert np.count_nonzero(yellow[80]) == pytest.approx(20, abs=1)
    picture = draw([LEG], [BOX], boxes=False, point_size=4, line_width=9)
    assert np.count_nonzero((picture == LONE_POINTS).all(axis=-1)[130]) == pytest.approx(9, abs=1)


@pytest.mark.parametrize(("hw", "least", "most"), [((300, 400), 1, 4), ((3000, 4000), 20, 40)])
def test_points_grow_with_the_photo(hw, least, most):
    scale = hw[0] / 300
    leg = person({NECK: (200 * scale, 150 * scale)})
    picture = draw([leg], [np.array(BOX) * scale], photo(hw), boxes=False)
    assert least <= np.count_nonzero((picture == LONE_POINTS).all(axis=-1)[int(150 * scale)]) <= most


@pytest.mark.parametrize("face_px", [24, 60, 400])
def test_face_of_238_points_does_not_become_a_blot(face_px):
    hw = (1500, 1500) if face_px > 100 else (300, 400)
    spread = np.random.default_rng(0).uniform(-0.5, 0.5, (238, 2))  # a face is denser in the eyes, emptier elsewhere
    xy, scores = person({})
    xy[70:], scores[70:] = spread * face_px + np.array([hw[1] / 2, hw[0] / 2]), 0.9
    size = 3 * face_px
    box = (hw[1] / 2 - size, hw[0] / 2 - size, hw[1] / 2 + size, hw[0] / 2 + size)
    picture = draw([(xy, scores)], [box], photo(hw), boxes=False)
    top, left = hw[0] // 2 - face_px // 2, hw[1] // 2 - face_px // 2
    face = picture[top : top + face_px, left : left + face_px].astype(int)
    untouched = np.count_nonzero(np.abs(face - GREY).max(axis=-1) < 40) / face_px**2
    assert 0.35 < untouched < 0.95


def test_one_face_point_far_astray_does_not_blow_up_the_others():
    def share_drawn(astray):
        xy, scores = person({})
        xy[70:], scores[70:] = np.random.default_rng(1).uniform(180, 220, (238, 2)), 0.9
        if astray:
            xy[[80, 200]] = [[1e5, -1e5], [-4000, 20]]
        picture = draw([(xy, scores)], [BOX], boxes=False)
        return np.count_nonzero((picture != GREY).any(axis=-1))

    assert share_drawn(True) == pytest.approx(share_drawn(False), rel=0.03)


@pytest.mark.parametrize("place", [(-50, 150), (1e4, 150), (200, 1e9), (-1e12, -1e12)])
def test_points_far_outside_leave_only_their_links_end_in_the_photo(place):
    leg = person({LEFT_HIP: (200, 150), LEFT_KNEE: place})
    picture = draw([leg], [(-1e7, -1e7, 1e7, 1e7)])
    assert tuple(picture[150, 200]) == LONE_POINTS
    assert np.count_nonzero((picture != GREY).any(axis=-1)) < 0.1 * picture[..., 0].size


@pytest.mark.parametrize("hw", [(8, 8), (8, 400), (300, 9)])
def test_tiny_photos_are_drawn_without_failing(hw):
    leg = person({LEFT_HIP: (hw[1] / 2, 1), LEFT_KNEE: (hw[1] / 2, hw[0] - 2)})
    picture = draw([leg], [(0, 0, hw[1] - 1, hw[0] - 1)], photo(hw))
    assert picture.shape == (*hw, 3)
    assert (picture != GREY).any()


def test_photo_itself_is_not_drawn_on():
    image = photo()
    draw([LEG], [BOX], image)
    assert (image == GREY).all()


@pytest.mark.parametrize("width", [0.4, 1.0, 2.5, 7.0])
@pytest.mark.parametrize("end", [(80.3, 20.7), (80.2, 71.9), (20.1, 88.4), (31.0, 88.0)])
def test_lines_cover_as_much_as_they_are_wide(width, end):
    start = np.array([20.4, 20.2])
    canvas = np.zeros((100, 100, 3), np.uint8)
    draw_line(canvas, start, np.array(end), width, (255, 255, 255))
    length = np.hypot(*(np.array(end) - start))
    area = width * length + np.pi * width**2 / 4  # with its round ends
    assert canvas[..., 0].sum() / 255 == pytest.approx(area, rel=0.06, abs=1.5)
    swapped = np.zeros_like(canvas)
    draw_line(swapped, np.array(end), start, width, (255, 255, 255))
    assert np.abs(swapped.astype(int) - canvas).max() <= 1


@pytest.mark.parametrize(
    "options",
    [
        {"style": "pretty"},
        {"colour_by": "name"},
        {"people": [1]},
        {"people": [-1]},
        {"point_size": 0},
        {"line_width": -2},
    ],
    ids=str,
)
def test_unknown_options_are_refused_in_a_sentence(options):
    with pytest.raises(SapiensError):
        draw([LEG], [BOX], **options)
