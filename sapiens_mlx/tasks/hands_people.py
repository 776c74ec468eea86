"""Hands and poses of one photo together: whose each hand is, and WiLoR's points beside those of Sapiens2."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import zoo
from . import draw, hands_picture
from .hands import JOINTS, HandsResult
from .hands_mesh import SIDE_RGB
from .keypoints import keypoints
from .pose import PoseResult

# How far a person's wrist may be from a hand's, in the side of the hand's box: beyond it, it is another's.
REACH = 0.75
SURE = zoo.DEFAULTS.keypoint_threshold  # the least score of a keypoint of Sapiens2 that counts
_FINGERS = {"thumb": "thumb", "index": "forefinger", "middle": "middle_finger", "ring": "ring_finger"}
_FINGERS |= {"little": "pinky_finger"}
_PLACES = ("_third_joint", "2", "3", "4")  # of Sapiens2, from the root to the tip
LEFT_WRIST, RIGHT_WRIST = (keypoints().names.index(f"{side}_wrist") for side in ("left", "right"))


@dataclass(frozen=True)
class Owner:
    """Whose a hand is. `hand` and `person` count from 0; `person` is None where no wrist is near enough. `distance_px`
    is from the hand's wrist to the person's, NaN for None."""

    hand: int
    person: int | None
    distance_px: float = float("nan")


@dataclass(frozen=True)
class JointPair:
    """A joint as both networks see it, in pixels of the photo, and how far apart they do. `name` is of JOINTS,
    `keypoint` of Sapiens2's 308; `keypoint_score` about 0..1."""

    name: str
    keypoint: str
    xy: tuple[float, float]
    keypoint_xy: tuple[float, float]
    keypoint_score: float
    distance_px: float


def keypoint_indices(side: str) -> np.ndarray:
    """(21,): Sapiens2's keypoint for each of JOINTS of the "left" or "right" hand."""
    names = keypoints().names
    found = [names.index(f"{side}_wrist")]
    for finger in _FINGERS.values():
        found += [names.index(f"{side}_{finger}{place}") for place in _PLACES]
    return np.array(found)


def owners(hands: HandsResult, pose: PoseResult) -> list[Owner]:
    """For each hand the person whose wrist of the same side is nearest; each wrist has one hand, the nearer one. Wrists
    that Sapiens2 is not sure of are not there."""
    sides = np.array([LEFT_WRIST if side == "left" else RIGHT_WRIST for side in hands.sides], int)
    boxes = hands.boxes_xyxy
    reach_px = REACH * (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0)
    pairs = []
    for hand, wrist in enumerate(sides):
        for person in range(len(pose.keypoints)):
            if pose.keypoint_scores[person, wrist] < SURE:
                continue
            distance_px = float(np.hypot(*(hands.keypoints_xy[hand, 0] - pose.keypoints[person, wrist])))
            if distance_px <= reach_px[hand]:
                pairs.append((distance_px, hand, person))
    found: dict[int, Owner] = {}
    taken: set[tuple[int, str]] = set()
    for distance_px, hand, person in sorted(pairs):
        if hand not in found and (person, hands.sides[hand]) not in taken:
            found[hand] = Owner(hand, person, distance_px)
            taken.add((person, hands.sides[hand]))
    return [found.get(hand, Owner(hand, None)) for hand in range(len(hands))]


def joint_pairs(hands: HandsResult, hand: int, pose: PoseResult, person: int) -> list[JointPair]:
    """A hand's 21 joints beside those of a person's hand of the same side."""
    indices = keypoint_indices(hands.sides[hand])
    ours, theirs = hands.keypoints_xy[hand], pose.keypoints[person, indices]
    scores, names = pose.keypoint_scores[person, indices], keypoints().names
    return [
        JointPair(name, names[index], tuple(a.tolist()), tuple(b.tolist()), float(score), float(np.hypot(*(a - b))))
        for name, index, a, b, score in zip(JOINTS, indices, ours, theirs, scores, strict=True)
    ]


def mean_distance_px(pairs: list[JointPair]) -> float:
    """How far apart the two networks see a hand, over the joints that Sapiens2 is sure of: its wrist at the least."""
    sure = [pair.distance_px for pair in pairs if pair.keypoint_score >= SURE]
    return float(np.mean(sure))


def pictures(
    hands: HandsResult, pose: PoseResult, photo_rgb: np.ndarray | None = None, *, px: int = 320
) -> list[tuple[np.ndarray, str]]:
    """Each hand that is somebody's twice, WiLoR's points at the left and those that Sapiens2 is sure of at the right,
    (px, 2 px + gap, 3) uint8, with words such as "1: left hand of person 2"."""
    photo_rgb = draw.backdrop(photo_rgb, hands.photo_rgb)
    found = []
    for owner in owners(hands, pose):
        if owner.person is None:
            continue
        side = hands.sides[owner.hand]
        indices = keypoint_indices(side)
        ours, theirs = hands.keypoints_xy[owner.hand], pose.keypoints[owner.person, indices]
        sure = pose.keypoint_scores[owner.person, indices] >= SURE
        square, moved = hands_picture.square_about(photo_rgb, np.concatenate([ours, theirs[sure]]), px)
        beside = square.copy()
        for place, points, shown, name in ((square, ours, None, "WiLoR"), (beside, theirs, sure, "Sapiens2")):
            hands_picture.draw_bones(place, moved(points), SIDE_RGB[side], px * hands_picture.WIDTH_SHARE, shown)
            draw.draw_text(place, name, (px // 40, px // 40), max(11, px // 18), draw.WHITE, draw.PANEL)
        words = f"{owner.hand + 1}: {side} hand of person {owner.person + 1}"
        found.append((draw.side_by_side(square, beside), words))
    return found


def to_json(hands: HandsResult, pose: PoseResult) -> dict[str, Any]:
    """What `<stem>_hands_people.json` holds, in pixels of the photo; people and hands count from 0, in the order of the
    files of pose and hands.

    {"hands": [{"hand", "side", "person": a number or null, "wrists_apart_px", "mean_distance_px": over the confident
     ones, "joints": [21 of {"name", "keypoint", "x", "y", "keypoint_x", "keypoint_y", "keypoint_score",
     "distance_px"}]}]}; where there is no person, "joints" is empty and the numbers are null
    """
    return {"hands": [_row(hands, pose, owner) for owner in owners(hands, pose)]}


def _row(hands: HandsResult, pose: PoseResult, owner: Owner) -> dict[str, Any]:
    row = {"hand": owner.hand, "side": hands.sides[owner.hand], "person": owner.person}
    if owner.person is None:
        return row | {"wrists_apart_px": None, "mean_distance_px": None, "joints": []}
    pairs = joint_pairs(hands, owner.hand, pose, owner.person)
    joints = [
        {
            "name": pair.name,
            "keypoint": pair.keypoint,
            "x": round(pair.xy[0], 3),
            "y": round(pair.xy[1], 3),
            "keypoint_x": round(pair.keypoint_xy[0], 3),
            "keypoint_y": round(pair.keypoint_xy[1], 3),
            "keypoint_score": round(pair.keypoint_score, 6),
            "distance_px": round(pair.distance_px, 3),
        }
        for pair in pairs
    ]
    return row | {
        "wrists_apart_px": round(owner.distance_px, 3),
        "mean_distance_px": round(mean_distance_px(pairs), 3),
        "joints": joints,
    }
