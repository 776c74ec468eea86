"""What is made of hands: pictures, files, whose they are, comparisons, clips, folders and the command line."""

import json

import made_up_hands as made_up
import numpy as np
import pytest
import trimesh

import sapiens_mlx as sm
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.tasks import hands_mesh, hands_people, hands_picture
from sapiens_mlx.tasks.hands import JOINTS, LINKS
from sapiens_mlx.tasks.keypoints import keypoints

PHOTO = made_up.discs("rl")
BACKGROUND = PHOTO[0, 0]


# ---- pictures -------------------------------------------------------------------------------------------------------


def changed(picture: np.ndarray) -> np.ndarray:
    return (picture != PHOTO).any(-1)


def test_a_skeleton_does_not_lie_on_its_points(two_hands):
    bare = two_hands.picture(mesh=False, labels=False)
    inside = [(x, y) for points in two_hands.keypoints_xy for x, y in points if 0 <= x < 640 and 0 <= y < 480]
    assert len(inside) > 30
    assert all(changed(bare)[round(float(y)), round(float(x))] for x, y in inside)
    np.testing.assert_array_equal(two_hands.picture(mesh=False, labels=False, skeleton=False), PHOTO)
    thick = two_hands.picture(mesh=False, labels=False, line_width=12)
    assert changed(thick).sum() > 1.5 * changed(bare).sum()


def test_bones_of_fingers_have_one_colour(two_hands):
    picture = hands_picture.hands_picture(np.zeros_like(PHOTO), two_hands, mesh=False, labels=False, line_width=3)
    found = {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}
    assert {*hands_picture.FINGER_RGB, *hands_mesh.SIDE_RGB.values()} <= found


def test_a_mesh_does_not_cover_its_hand(two_hands):
    solid = two_hands.picture(opacity=1.0, skeleton=False, labels=False)
    covered = changed(solid)
    for number, side in enumerate(two_hands.sides):
        xy = np.rint(two_hands.project(two_hands.vertices[number])).astype(int)
        low, high = xy.min(0), xy.max(0)
        middle = solid[(low[1] + high[1]) // 2, (low[0] + high[0]) // 2].astype(int)
        assert covered[(low[1] + high[1]) // 2, (low[0] + high[0]) // 2]
        blue_over_red = middle[2] - middle[0]
        assert blue_over_red > 20 if side == "left" else blue_over_red < -20
        assert covered[low[1] : high[1], low[0] : high[0]].mean() > 0.5
    half = two_hands.picture(opacity=0.5, skeleton=False, labels=False)
    np.testing.assert_allclose(half, (PHOTO.astype(int) + solid) / 2, atol=1.01)
    np.testing.assert_array_equal(two_hands.picture(opacity=0, skeleton=False, labels=False), PHOTO)


def test_light_does_not_come_from_the_camera():
    towards, away = np.float32([[0, 0, -1]]), np.float32([[0, 0, 1]])
    colour = np.float32([200, 100, 50])
    assert hands_mesh.shade(towards, colour).sum() > 2 * hands_mesh.shade(away, colour).sum()
    np.testing.assert_allclose(hands_mesh.shade(away, colour)[0], hands_mesh.AMBIENT * colour, rtol=1e-6)


def test_a_near_triangle_lies_below_a_far_one():
    picture = np.zeros((20, 20, 3), np.uint8)
    corners = np.float32([[0, 0], [0, 40], [40, 0]])
    points, depths = np.concatenate([corners, corners]), np.float32([1, 1, 1, 2, 2, 2])
    colours = np.float32([[255, 0, 0]] * 3 + [[0, 255, 0]] * 3)
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    for order in (faces, faces[::-1]):
        hands_mesh.paint(picture, points, depths, order, colours)
        assert picture[5, 5].tolist() == [255, 0, 0]
    before = picture.copy()
    hands_mesh.paint(picture, points, depths, faces[:, ::-1], 255 - colours)  # turned away
    hands_mesh.paint(picture, np.full_like(points, np.nan), depths, faces, 255 - colours)
    np.testing.assert_array_equal(picture, before)


def test_divided_triangles_cover_something_else():
    points, colours = np.float32([[0, 0], [0, 30], [30, 0]]), np.float32([[0, 0, 0], [255, 0, 0], [0, 0, 255]])
    faces = np.array([[0, 1, 2]])
    finer = hands_mesh._divided(points, np.float32([1, 2, 3]), colours, faces)
    assert [len(part) for part in finer] == [6, 6, 6, 4]

    def area(xy, triangles):
        a, b, c = (xy[triangles[:, corner]] for corner in range(3))
        (x1, y1), (x2, y2) = (b - a).T, (c - a).T
        return (x1 * y2 - x2 * y1) / 2

    assert area(finer[0], finer[3]).tolist() == [area(points, faces)[0] / 4] * 4


def test_close_ups_do_not_show_their_hands(two_hands):
    found = two_hands.close_ups(px=200, opacity=1.0)
    assert [words for _, words in found] == [
        f"{number + 1}: {side} hand, {score:.2f}"
        for number, (side, score) in enumerate(zip(two_hands.sides, two_hands.scores, strict=True))
    ]
    for picture, _ in found:
        assert picture.shape == (200, 200, 3) and picture.dtype == np.uint8
        rows, columns = np.nonzero((picture != BACKGROUND).any(-1))
        assert np.ptp(rows) > 60 and np.ptp(columns) > 120
    assert len(sm.load("hands", level="fp32")(PHOTO, vertices=False).close_ups()) == 2


def test_a_large_hand_is_shrunk_by_leaving_pixels_out():
    stripes = np.zeros((1500, 2000, 3), np.uint8)
    stripes[:, ::2] = 255  # a grey, seen from afar
    corners = np.float32([[300, 200], [1500, 1300]])
    inside = hands_picture.square_about(stripes, corners, 400)[0][60:340, 20:380]
    assert np.abs(inside - 127.5).max() < 40  # pixels that are left out come as 0 and 255


@pytest.mark.parametrize("side", [60, 640, 1900])
def test_a_square_is_not_where_it_says(side):
    photo = np.zeros((1500, 2000, 3), np.uint8)
    photo[699:706, 999:1006] = 255
    corners = np.float32([1010.3, 690.6]) + np.float32([[-side / 2, -side / 2], [side / 2, side / 2]])
    square, moved = hands_picture.square_about(photo, corners, 400)
    light = square[..., 0].astype(float)
    middle = [(light.sum(axis) * np.arange(400)).sum() / light.sum() for axis in (0, 1)]
    np.testing.assert_allclose(middle, moved(np.float32([1002, 702])), atol=0.1)
    far = hands_picture.square_about(photo, corners + 90_000, 400)[0]
    assert far.shape == (400, 400, 3) and not far.any()


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"opacity": 1.1}, "opacity is 1.1"),
        ({"line_width": 0}, "line width is 0"),
        ({"line_width": float("inf")}, "line width is inf.*fit the hand"),
        ({"style": "mine"}, "no picture style"),
    ],
)
def test_a_picture_that_cannot_be_is_no_sentence(two_hands, options, sentence):
    with pytest.raises(SapiensError, match=sentence):
        two_hands.picture(**options)


# ---- files ----------------------------------------------------------------------------------------------------------


def test_files_do_not_hold_the_result(two_hands, tmp_path):
    paths = two_hands.save(tmp_path, "p", side_by_side=True)
    endings = ["hands.png", "hands.json", "hands.npz", "hands.glb", "hands.obj", "hands_side_by_side.png"]
    assert [path.name for path in paths] == [f"p_{ending}" for ending in endings]
    with np.load(tmp_path / "p_hands.npz") as saved:
        for name in ("scores", "boxes_xyxy", "keypoints_xy", "keypoints_3d", "vertices", "mano_pose", "detected_xy"):
            np.testing.assert_array_equal(saved[name], getattr(two_hands, name))
        assert tuple(saved["sides"]) == two_hands.sides and saved["focal_px"] == pytest.approx(two_hands.focal_px)
        assert "faces" not in saved  # of MANO; the meshes have them, as they must
    text = json.loads((tmp_path / "p_hands.json").read_text())
    assert text["photo_size"] == {"width": 640, "height": 480}
    assert (text["joint_names"], text["links"]) == (list(JOINTS), [list(link) for link in LINKS])
    assert made_up.joints_of(tmp_path / "p_hands.json") == [list(JOINTS)] * 2
    for number, hand in enumerate(text["hands"]):
        assert hand["side"] == two_hands.sides[number] and len(hand["pose"]) == 16 and len(hand["shape"]) == 10
        joints = [[joint[axis] for axis in ("x_mm", "y_mm", "z_mm")] for joint in hand["joints"]]
        np.testing.assert_allclose(joints, two_hands.keypoints_3d[number], atol=1e-3)
        flat = [[joint[axis] for axis in ("x", "y", "detected_x", "detected_y")] for joint in hand["joints"]]
        both = np.concatenate([two_hands.keypoints_xy[number], two_hands.detected_xy[number]], axis=1)
        np.testing.assert_allclose(flat, both, atol=1e-3)
        crop = hand["crop"]
        assert crop["side_px"] == pytest.approx(two_hands.crops_px[number], abs=1e-2)


@pytest.mark.parametrize("ending, unit", [("glb", 1.0), ("obj", 1000.0)])
def test_a_scene_does_not_open_elsewhere(two_hands, tmp_path, ending, unit):
    two_hands.save(tmp_path, "p")
    scene = trimesh.load(tmp_path / f"p_hands.{ending}", force="scene", process=False)
    meshes = list(scene.geometry.values())
    if ending == "obj":  # two objects, which trimesh makes one mesh of
        lines = (tmp_path / "p_hands.obj").read_text().splitlines()
        assert [line for line in lines if line[0] == "o"] == [
            f"o {side}_hand_{number + 1}" for number, side in enumerate(two_hands.sides)
        ]
        half = len(meshes[0].vertices) // 2
        first = (meshes[0].faces < half).all(1)
        meshes = [meshes[0].submesh([np.nonzero(rows)[0]], append=True) for rows in (first, ~first)]
    assert [len(mesh.faces) for mesh in meshes] == [1538, 1538]
    together = np.concatenate([mesh.vertices for mesh in meshes]) / unit
    assert together[:, 2].max() < 0, "a hand is behind the camera"
    assert together[:, 2].min() > -3  # an arm's length or two, and no 30 metres
    # Seen by an ordinary lens, about where they are in the photo.
    seen = together[:, :2] / -together[:, 2:] * 640 * [1, -1] + [319.5, 239.5]
    expected = two_hands.project(two_hands.vertices).reshape(-1, 2)
    np.testing.assert_allclose(seen.min(0), expected.min(0), atol=15)
    np.testing.assert_allclose(seen.max(0), expected.max(0), atol=15)
    # Both sides are turned outwards.
    volumes = []
    for mesh in meshes:
        a, b, c = (mesh.vertices[mesh.faces[:, corner]] - mesh.vertices.mean(0) for corner in range(3))
        volumes.append(float(np.einsum("ij,ij->", a, np.cross(b, c))))
    assert len({np.sign(volume) for volume in volumes}) == 1


def test_outputs_hold_something_of_mano_beside_their_meshes(two_hands, tmp_path):
    two_hands.save(tmp_path, "p")
    for path in tmp_path.glob("p_hands.*"):
        assert b"mano.is.tue" not in path.read_bytes().lower()
    with np.load(tmp_path / "p_hands.npz") as saved:
        shapes = {saved[name].shape for name in saved.files}
    assert not shapes & {(778, 3), (778, 3, 10), (135, 2334), (16, 778), (778, 16), (1538, 3)}


def test_points_alone_have_meshes_in_files(hand_weights, tmp_path):
    alone = sm.load("hands", level="fp32")(PHOTO, vertices=False)
    assert [path.name for path in alone.save(tmp_path, "p")] == ["p_hands.png", "p_hands.json", "p_hands.npz"]
    assert changed(alone.picture()).any()


# ---- with pose ------------------------------------------------------------------------------------------------------


def test_a_hand_belongs_to_someone_elses_wrist(two_hands):
    right, left = (two_hands.sides.index(side) for side in ("right", "left"))
    wrists = two_hands.keypoints_xy[:, 0]
    pose = made_up.pose_of(
        two_hands,
        {"right_wrist": wrists[right] + 30, "left_wrist": wrists[right]},  # the nearer one is of the other side
        {"right_wrist": wrists[right] + 5, "left_wrist": wrists[left] + [300, 0]},  # the left one is too far
    )
    found = hands_people.owners(two_hands, pose)
    assert found[right].person == 1 and found[right].distance_px == pytest.approx(5 * 2**0.5, abs=1e-3)
    assert found[left].person is None and np.isnan(found[left].distance_px)
    assert [one.person for one in hands_people.owners(two_hands, made_up.pose_of(two_hands))] == [None, None]
    (picture, words), *others = hands_people.pictures(two_hands, pose, px=100)
    assert words == f"{right + 1}: right hand of person 2" and not others
    assert picture.shape[0] == 100 and 200 < picture.shape[1] < 220
    assert (picture[:, :100] != picture[:, -100:]).any()
    assert hands_people.pictures(two_hands, made_up.pose_of(two_hands)) == []


def test_a_joint_that_sapiens2_does_not_see_is_drawn_or_makes_the_hand_a_dot(two_hands):
    side, points = two_hands.sides[0], two_hands.keypoints_xy[0]
    names = [keypoints().names[index] for index in hands_people.keypoint_indices(side)]

    def beside(tip_xy, score):
        pose = made_up.pose_of(two_hands, dict(zip(names, [*points[:-1], tip_xy], strict=True)))
        pose.keypoint_scores[0, keypoints().names.index(names[-1])] = score
        ((picture, _),) = hands_people.pictures(two_hands, pose, px=200)
        return picture[:, -200:]

    unseen = beside((-9000, 5000), hands_people.SURE - 0.01)
    assert (unseen == beside((0, 0), 0.0)).all() and (unseen == beside((np.nan, np.nan), 0.0)).all()
    seen = beside(points[-1], hands_people.SURE)
    drawn = [(square == hands_picture.FINGER_RGB[4]).all(-1).sum() for square in (seen, unseen)]
    assert drawn[0] > drawn[1] > 20  # three of the finger's four bones are left


def test_two_hands_of_a_side_share_a_wrist(hand_weights):
    both = sm.load("hands", level="fp32")(made_up.discs("rr"))
    wrists = both.keypoints_xy[:, 0]
    between = wrists[0] + [60, 0] if wrists[1, 0] > wrists[0, 0] else wrists[0] - [60, 0]
    pose = made_up.pose_of(both, {"right_wrist": between})
    assert [one.person for one in hands_people.owners(both, pose)] == [0, None]


def test_joints_of_both_networks_are_not_the_same():
    names = keypoints().names
    for side in ("left", "right"):
        found = [names[index] for index in hands_people.keypoint_indices(side)]
        assert len(set(found)) == 21 and all(name.startswith(side) for name in found)
        pairs = dict(zip(JOINTS, found, strict=True))
        assert pairs["wrist"] == f"{side}_wrist"
        assert (pairs["thumb_tip"], pairs["index_mcp"]) == (f"{side}_thumb4", f"{side}_forefinger_third_joint")
        assert (pairs["little_dip"], pairs["middle_pip"]) == (f"{side}_pinky_finger3", f"{side}_middle_finger2")
