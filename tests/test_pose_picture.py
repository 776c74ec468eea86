"""The picture of a pose: who has which colour, what is above the threshold, and that small people stay legible."""

import numpy as np
import pytest

from sapiens_mlx.errors import SapiensError
from sapiens_mlx.tasks.keypoints import GROUPS, keypoints, readable_name
from sapiens_mlx.tasks.label_places import LabelPlaces
from sapiens_mlx.tasks.pose_marks import mark_text_px
from sapiens_mlx.tasks.pose_picture import LONE_BOX, LONE_POINTS, PARTS, PEOPLE, draw_line, pose_picture

GREY = 90
GREYS = (GREY,) * 3
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


# ---- groups, a keypoint that is looked for, angles ------------------------------------------------------------------

SHOULDER, ELBOW, WRIST, FINGER, TIP, ANKLE, TOE, PUPIL = 5, 7, 62, 49, 48, 13, 15, 290
LIMBS = person(
    {
        SHOULDER: (40, 60),
        ELBOW: (100, 60),
        WRIST: (160, 60),
        FINGER: (220, 60),
        TIP: (280, 60),
        ANKLE: (60, 220),
        TOE: (140, 220),
        PUPIL: (340, 200),
    }
)
LIMBS_BOX = (10, 10, 390, 290)


@pytest.mark.parametrize(
    ("groups", "points", "links"),
    [
        (None, {SHOULDER, ELBOW, WRIST, FINGER, TIP, ANKLE, TOE, PUPIL}, {"arm", "palm", "finger", "foot"}),
        (["body"], {SHOULDER, ELBOW, WRIST, ANKLE}, {"arm"}),
        (["left_hand"], {WRIST, FINGER, TIP}, {"palm", "finger"}),
        (["right_hand"], set(), set()),
        (["body", "left_hand"], {SHOULDER, ELBOW, WRIST, FINGER, TIP, ANKLE}, {"arm", "palm", "finger"}),
        (["feet"], {TOE}, set()),
        (["body", "feet"], {SHOULDER, ELBOW, WRIST, ANKLE, TOE}, {"arm", "foot"}),
        (["face"], {PUPIL}, set()),
        ([], set(), set()),
    ],
)
def test_groups_choose_points_and_the_links_between_them(groups, points, links):
    picture = draw([LIMBS], [LIMBS_BOX], boxes=False, groups=groups, point_size=8, line_width=4)
    xy = LIMBS[0]
    drawn = {index for index in np.flatnonzero(LIMBS[1]) if tuple(picture[tuple(xy[index].astype(int)[::-1])]) != GREYS}
    between = {"arm": (60, 130), "palm": (60, 190), "finger": (60, 250), "foot": (220, 100)}
    assert drawn == points
    assert {name for name, place in between.items() if tuple(picture[place]) != GREYS} == links


def test_groups_do_not_change_the_sizes_of_what_stays():
    xy, scores = person({})
    xy[:], scores[:] = np.random.default_rng(2).uniform((100, 60), (300, 260), (308, 2)), 0.9
    hands = draw([(xy, scores)], [BOX], boxes=False, links=False, groups=["left_hand", "right_hand"])
    everything = draw([(xy, scores)], [BOX], boxes=False, links=False, groups=list(GROUPS))
    np.testing.assert_array_equal(everything, draw([(xy, scores)], [BOX], boxes=False, links=False))
    assert 0 < np.count_nonzero(hands != GREY) < np.count_nonzero(everything != GREY)


@pytest.mark.parametrize("options", [{}, {"groups": ["face"]}, {"keypoint_threshold": 0.95}, {"style": "reference"}])
def test_highlight_marks_its_point_whatever_its_group_and_score(options):
    plain = draw([LIMBS], [LIMBS_BOX], boxes=False, **options)
    marked = draw([LIMBS], [LIMBS_BOX], boxes=False, highlight=ELBOW, **options)
    changed = (marked != plain).any(axis=-1)
    assert tuple(marked[60, 100]) == LONE_POINTS
    assert changed[40:80, 80:120].sum() > 100  # the ring
    assert changed[:, 120:].sum() + changed[:, :80].sum() > 500  # the name


def test_highlight_marks_everybody_shown_but_where_there_is_no_place():
    people = [person({ELBOW: (x, 150, score)}) for x, score in ((60, 0.9), (180, 0.05), (300, 0.0))]
    boxes = [(x - 50, 60, x + 50, 280) for x in (60, 180, 300)]
    marked = draw(people, boxes, boxes=False, highlight=ELBOW, keypoint_threshold=0.99)
    assert [tuple(marked[150, x]) for x in (60, 180, 300)] == [PEOPLE[0], PEOPLE[1], GREYS]
    second = draw(people, boxes, boxes=False, highlight=ELBOW, people=[1], keypoint_threshold=0.99)
    assert (tuple(second[150, 60]), tuple(second[150, 180])) == (GREYS, PEOPLE[1])


@pytest.mark.parametrize("place", [(-50, 150), (1e6, 150), (200, 320)])
def test_highlight_outside_the_photo_draws_nothing(place):
    picture = draw([person({ELBOW: place})], [BOX], boxes=False, links=False, highlight=ELBOW)
    np.testing.assert_array_equal(picture, photo())


ARM = {SHOULDER: (120, 100), ELBOW: (200, 100), WRIST: (200, 180)}


def test_angles_are_drawn_at_their_joint_and_say_what_they_are_not():
    arm = person(ARM)
    plain, marked = (draw([arm], [BOX], boxes=False, angles=angles) for angles in (False, True))
    changed = (marked != plain).any(axis=-1)
    assert changed[60:150, 150:290].sum() > 200  # arc and degrees
    assert changed[250:].sum() > 1000  # the note, at the bottom
    assert not changed[200:250].any()
    assert not changed[:, :100][:200].any()


def test_angles_need_their_points():
    arm = person(ARM | {WRIST: (200, 180, 0.1)})
    marked = draw([arm], [BOX], boxes=False, links=False, angles=True, groups=["face"])
    assert not (marked[:250] != GREY).any()
    assert (marked[250:] != GREY).any()


@pytest.mark.parametrize(("hw", "least", "most"), [((60, 80), 11, 11), ((300, 400), 11, 12), ((3000, 4000), 55, 70)])
def test_degrees_are_as_large_as_the_photo_asks_and_never_too_small_to_read(hw, least, most):
    assert least <= mark_text_px(hw, np.float32([0, 0, hw[1], hw[0]])) <= most
    small = mark_text_px(hw, np.float32([0, 0, hw[1] / 20, hw[0] / 20]))
    assert max(11, least / 2) <= small <= most


def test_labels_keep_clear_of_each_other_where_there_is_room():
    places = LabelPlaces((300, 400), np.array([[200.0, 140.0]]))
    around = np.array([(200 + dx, 150 + dy) for dx in (0, -60, 60) for dy in (0, -40, 40)], np.float64)
    for _ in range(4):
        places.take(around, (50, 30))
    rectangles = np.array(places.taken)
    for index, (left, top, right, bottom) in enumerate(rectangles):
        for other in rectangles[index + 1 :]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
        assert not (left < 200 < right and top < 140 < bottom)  # the point stays visible


def test_a_label_goes_inside_the_photo_where_it_can():
    places = LabelPlaces((100, 100), np.empty((0, 2)))
    assert places.take(np.array([(95.0, 50.0), (50.0, 98.0), (50.0, 50.0)]), (40, 20)) == 2


def test_readable_names_are_of_their_own_and_in_words():
    names = [readable_name(index) for index in range(308)]
    assert len(set(names)) == 308
    assert names[ELBOW] == "Left elbow"
    assert names[21] == "Right thumb 4 (tip)"
    assert names[78] == "Upper startpoint of right eyebrow"
    assert names[272] == "Left centre of iris"
    assert names[273] == "Left border of iris 3 o'clock"
    assert not any("_" in name or "  " in name for name in names)


# ---- styles and sizes -----------------------------------------------------------------------------------------------


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
        {"line_width": float("inf")},
        *({"keypoint_threshold": threshold} for threshold in (-0.1, 30, float("nan"))),
        {"groups": ["ears"]},
        {"highlight": 308},
        {"highlight": -1},
    ],
    ids=str,
)
def test_unknown_options_are_refused_in_a_sentence(options):
    with pytest.raises(SapiensError):
        draw([LEG], [BOX], **options)
