"""Drawn people: what a scene says about its pixels and people must be true of the picture and of itself."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from sapiens_mlx.tasks.keypoints import keypoints
from sapiens_mlx.tasks.seg import classes
from training.render import Scene, clip, draw

SIZE_HW = (192, 144)
NAME = {name: i for i, name in enumerate(keypoints().names)}
CLASS = {name: i for i, name in enumerate(classes().names)}


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw(seed, SIZE_HW) for seed in range(10)]


@pytest.fixture(scope="module")
def front() -> Scene:
    """Somebody who stands and faces the camera."""
    for seed in range(100):
        scene = draw(seed, SIZE_HW, people=1, view="full")
        seen = scene.people[0].visible
        if seen[[NAME["nose"], NAME["left_eye"], NAME["right_eye"], NAME["left_big_toe"], NAME["right_big_toe"]]].all():
            return scene
    raise LookupError("none of 100 scenes shows a person from the front, head to foot")


def test_the_same_seed_and_size_give_the_same_scene_to_the_bit() -> None:
    one, two = draw(5, SIZE_HW), draw(5, SIZE_HW)
    for field in dataclasses.fields(Scene):
        if field.name != "people":
            assert np.array_equal(getattr(one, field.name), getattr(two, field.name)), field.name
    for a, b in zip(one.people, two.people, strict=True):
        assert all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    assert not np.array_equal(one.image_rgb, draw(6, SIZE_HW).image_rgb)


@pytest.mark.parametrize("size_hw", [(96, 128), (128, 96), (65, 47)])
def test_every_array_has_the_size_asked_for(size_hw: tuple[int, int]) -> None:
    scene = draw(3, size_hw)
    shapes = {
        "image_rgb": ((3,), np.uint8),
        "labels": ((), np.uint8),
        "normals": ((3,), np.float32),
        "points": ((3,), np.float32),
        "albedo": ((3,), np.float32),
        "alpha": ((), np.float32),
        "foreground": ((3,), np.float32),
        "person_index": ((), np.int16),
    }
    for name, (channels, dtype) in shapes.items():
        assert getattr(scene, name).shape == (*size_hw, *channels), name
        assert getattr(scene, name).dtype == dtype, name


def test_points_are_finite_and_lie_on_the_ray_of_their_pixel(scenes: list[Scene]) -> None:
    height, width = SIZE_HW
    rows, columns = np.mgrid[0:height, 0:width]
    for scene in scenes:
        x, y, z = np.moveaxis(scene.points, -1, 0)
        assert np.isfinite(scene.points).all() and (z > 0).all()
        assert np.abs(x / z * scene.focal_px + (width - 1) / 2 - columns).max() < 0.01
        assert np.abs(y / z * scene.focal_px + (height - 1) / 2 - rows).max() < 0.01


def test_normals_are_unit_and_face_the_camera(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert np.abs(np.linalg.norm(scene.normals, axis=-1) - 1).max() < 1e-3
        to_camera = -scene.points * (1, -1, -1)
        assert (np.einsum("hwc,hwc->hw", scene.normals, to_camera) > 0).all()


def test_normals_agree_with_the_slope_of_the_points(scenes: list[Scene]) -> None:
    """Normals in a wrong frame (y down, z away) would still be unit."""
    angles = []
    for scene in scenes:
        across = scene.points[1:-1, 2:] - scene.points[1:-1, :-2]
        down = scene.points[2:, 1:-1] - scene.points[:-2, 1:-1]
        normal = np.cross(down, across) * (1, -1, -1)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        cosine = np.einsum("hwc,hwc->hw", normal, scene.normals[1:-1, 1:-1])
        angles.append(np.degrees(np.arccos(np.clip(cosine, -1, 1)))[scene.labels[1:-1, 1:-1] > 0])
    assert np.median(np.concatenate(angles)) < 15


def test_labels_mark_exactly_the_pixels_that_belong_to_somebody(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert np.array_equal(scene.labels > 0, scene.person_index >= 0)
        assert scene.labels.max() < 29 and scene.person_index.max() < len(scene.people)


def test_alpha_is_the_share_of_a_pixel_that_people_cover(scenes: list[Scene]) -> None:
    for scene in scenes:
        person = (scene.labels > 0).astype(np.uint8)
        around = np.stack([np.roll(person, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)])[:, 2:-2, 2:-2]
        alpha = scene.alpha[2:-2, 2:-2]
        assert scene.alpha.min() >= 0 and scene.alpha.max() <= 1
        assert (alpha[around.all(0)] > 0.5).all() and np.median(alpha[around.all(0)]) == 1
        assert (alpha[~around.any(0)] < 0.5).all()
        assert (scene.foreground <= scene.alpha[..., None] + 1e-5).all()


def test_boxes_hold_their_persons_pixels_and_no_more(scenes: list[Scene]) -> None:
    for scene in scenes:
        for number, person in enumerate(scene.people):
            rows, columns = np.nonzero(scene.person_index == number)
            assert person.box_xyxy.tolist() == [columns.min(), rows.min(), columns.max(), rows.max()]


def test_visible_keypoints_lie_on_their_person_at_their_depth(scenes: list[Scene]) -> None:
    seen = 0
    for scene in scenes:
        for number, person in enumerate(scene.people):
            at = np.round(person.keypoints[person.visible]).astype(int)
            assert ((at >= 0) & (at < (SIZE_HW[1], SIZE_HW[0]))).all()
            depth, flesh = person.keypoints_3d[person.visible, 2], person.flesh_m[person.visible]
            fits = np.zeros(len(at), bool)
            for dy, dx in np.ndindex(3, 3):
                y, x = np.clip(at[:, 1] + dy - 1, 0, SIZE_HW[0] - 1), np.clip(at[:, 0] + dx - 1, 0, SIZE_HW[1] - 1)
                below = depth - scene.points[y, x, 2]
                fits |= (scene.person_index[y, x] == number) & (below < flesh + 0.03) & (below > -0.07)
            assert fits.all()
            seen += len(at)
    assert seen > 500


def test_keypoints_project_to_their_pixels(scenes: list[Scene]) -> None:
    for scene in scenes:
        for person in scene.people:
            xyz = person.keypoints_3d[person.visible]
            xy = xyz[:, :2] / xyz[:, 2:] * scene.focal_px + (np.array(SIZE_HW[::-1]) - 1) / 2
            assert np.abs(xy - person.keypoints[person.visible]).max(initial=0) < 0.05


def test_left_is_the_persons_left(front: Scene) -> None:
    """Facing the camera, that is the right of the picture: for points of the body and the face, and for labels."""
    person = front.people[0]
    for left, right in (
        ("left_eye", "right_eye"),
        ("left_hip", "right_hip"),
        ("l_outer_corner_of_mouth", "r_outer_corner_of_mouth"),
        ("end_of_l_eyebrow", "end_of_r_eyebrow"),
        ("l_center_of_iris", "r_center_of_iris"),
        ("left_shoulder", "right_shoulder"),
        ("left_ear", "right_ear"),
        ("r_border_of_iris_3", "r_border_of_iris_9"),
        ("midpoint_6_of_upper_outer_lip", "midpoint_3_of_upper_outer_lip"),
    ):
        assert person.keypoints[NAME[left], 0] > person.keypoints[NAME[right], 0], left
    scene = front
    for side, at in (("Left", "left_ankle"), ("Right", "right_ankle")):
        ours = np.isin(scene.labels, [CLASS[f"{side}_{part}"] for part in ("Foot", "Shoe", "Sock", "Lower_Leg")])
        rows, columns = np.nonzero(ours)
        x, y = person.keypoints[NAME[at]]
        assert np.hypot(columns - x, rows - y).min() < 12, side


def test_face_points_stand_in_anatomical_order(front: Scene) -> None:
    points = front.people[0].keypoints_3d
    up = points @ (points[NAME["center_of_glabella"]] - points[NAME["tip_of_chin"]])
    order = (
        "center_of_glabella",
        "center_of_nose_root",
        "tip_of_nose",
        "center_of_cupid_bow",
        "center_of_lower_outer_lip",
        "tip_of_chin",
        "neck",
    )
    heights = [up[NAME[name]] for name in order]
    assert heights == sorted(heights, reverse=True)


@pytest.mark.slow
def test_all_29_classes_and_all_308_keypoints_occur() -> None:
    classes_seen, points_seen = set(), np.zeros(308, bool)
    for seed in range(100):
        scene = draw(seed, (160, 120), people=1, view=("face", "feet")[seed % 2])
        classes_seen |= set(np.unique(scene.labels).tolist())
        points_seen |= scene.people[0].visible
        if len(classes_seen) == 29 and points_seen.all():
            return
    missing = [name for name, seen in zip(keypoints().names, points_seen, strict=True) if not seen]
    raise AssertionError(f"never drawn: classes {set(range(29)) - classes_seen}, points {missing}")


def test_a_clip_moves_smoothly() -> None:
    frames = list(clip(4, (96, 72), 5, people=1, view="full"))
    moved = [np.abs(a.people[0].keypoints_3d - b.people[0].keypoints_3d).max() for a, b in pairwise(frames)]
    assert max(moved) > 0.005 and max(moved) < 0.9
    assert all(np.allclose(frame.focal_px, frames[0].focal_px) for frame in frames)
