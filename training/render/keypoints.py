"""Where the 308 keypoints lie: body and feet on the skeleton, hands at the finger joints, face points on the head.

Names end in 1, 2, 3 ... by the dataset's rule: a line's midpoints are numbered by halving it from left to right in a
picture of the face, so that along a line they come as 3 1 4 centre 5 2 6."""

from functools import cache

import numpy as np

from sapiens_mlx.tasks.keypoints import keypoints

from . import head as heads
from .face import EAR, Face, line_of_brow, line_of_lid, line_of_lip
from .foot import POINTS as FOOT_POINTS
from .hand import FINGERS
from .skeleton import ARM, INDEX, REST, Placed

_LINE = np.array([3, 1, 4, 0, 5, 2, 6])  # the order along a line, left to right in the picture; 0 is the centre


@cache
def index() -> dict[str, int]:
    """Name to number."""
    return {name: i for i, name in enumerate(keypoints().names)}


def body_points(placed: Placed, hands: tuple[np.ndarray, np.ndarray], shod: bool) -> tuple[np.ndarray, np.ndarray]:
    """Body, feet and hands in the world.

    Args:
        hands: joints (5, 4, 3) in the world of the left and the right hand, from root to tip, thumb first.

    Returns:
        (308, 3), NaN where not set here, and (308,) metres of flesh there may be in front of a point that is seen.
    """
    at = index()
    points, flesh = np.full((308, 3), np.nan), np.full(308, 0.03)
    joints = {
        "shoulder": ("upper_arm", 0.10),
        "elbow": ("forearm", 0.07),
        "wrist": ("hand", 0.05),
        "hip": ("thigh", 0.19),
        "knee": ("shin", 0.10),
        "ankle": ("foot", 0.08),
    }
    for side, short, sign in (("left", "l", 1), ("right", "r", -1)):
        mirror = np.array([sign, 1, 1])
        for name, (bone, depth) in joints.items():
            points[at[f"{side}_{name}"]] = placed.joints[INDEX[f"{bone}_{short}"]]
            flesh[at[f"{side}_{name}"]] = depth
        elbow, shoulder = REST[INDEX["forearm_l"]], REST[INDEX["upper_arm_l"]]
        for name, bone, rest, depth in (
            ("olecranon", "forearm", elbow + np.array([0, 0, -0.040]), 0.03),
            ("cubital_fossa", "upper_arm", elbow + np.array([0, 0, 0.036]) - 0.01 * ARM, 0.03),
            ("acromion", "clavicle", shoulder + np.array([0, 0.058, 0]), 0.045),
            ("big_toe", "toes", FOOT_POINTS[shod][0], 0.05),
            ("small_toe", "toes", FOOT_POINTS[shod][1], 0.05),
            ("heel", "foot", FOOT_POINTS[shod][2], 0.05),
        ):
            points[at[f"{side}_{name}"]] = placed.at(f"{bone}_{short}", rest * mirror)
            flesh[at[f"{side}_{name}"]] = depth
        for finger, chain in zip(FINGERS, hands[0 if sign == 1 else 1], strict=True):
            for k, end in enumerate(("_third_joint", "2", "3", "4")):
                points[at[f"{side}_{finger}{end}"]] = chain[k]
                flesh[at[f"{side}_{finger}{end}"]] = 0.030
    points[at["neck"]] = placed.at("chest", np.array([0, 1.475, 0.025]))
    flesh[at["neck"]] = 0.07
    return points, flesh


def face_points(face: Face) -> np.ndarray:
    """The face's points in the head frame after its mouth opened, before its identity: (308, 3), NaN for the rest.

    The left side is laid out; the right is its mirror image under the partner's number."""
    at, points = index(), np.full((308, 3), np.nan)

    def put(name: str, x: float, y: float, z: float | None = None) -> None:
        points[at[name]] = (x, y, np.inf if z is None else z)  # inf: on the face's surface, looked up below

    for name, x, y in (
        ("nose", 0, -0.037),
        ("tip_of_nose", 0, -0.036),
        ("center_of_glabella", 0, 0.019),
        ("center_of_nose_root", 0, 0.006),
        ("midpoint_2_of_nose_bridge", 0, -0.003),
        ("midpoint_1_of_nose_bridge", 0, -0.012),
        ("midpoint_3_of_nose_bridge", 0, -0.020),
        ("tip_of_nose_bridge", 0, -0.028),
        ("bottom_center_of_nose", 0, -0.0485),
        ("l_outer_corner_of_nose", 0.0185, -0.041),
        ("inner_corner_of_l_nostril", 0.0045, -0.0455),
        ("outer_corner_of_l_nostril", 0.012, -0.046),
        ("upper_corner_of_l_nostril", 0.009, -0.043),
    ):
        put(name, x, y)
    share = np.linspace(0, 1, 9)  # ends, and seven points between

    def along(line: np.ndarray, prefix: str, suffix: str) -> None:
        """Seven points of a line (9, 2) that runs to growing x, which is left to right in the picture."""
        for point, number in zip(line[1:-1], _LINE, strict=True):
            name = f"{prefix}midpoint_{number}{suffix}" if number else f"{prefix}centerpoint{suffix}"
            put(name, *point)

    for upper in (True, False):
        word = "upper" if upper else "lower"
        lash, lid = line_of_lid(face, share, upper, 0.0), line_of_lid(face, share, upper, 0.0022)
        along(lash, "l_", f"_of_{word}_lash_line")
        put(f"l_inner_end_of_{word}_lash_line", *lash[0])
        put(f"l_outer_end_of_{word}_lash_line", *lash[-1])
        along(lid, "l_", f"_of_{word}_eyelid_line")
        put(f"l_outer_end_of_{word}_eyelid_line", *(lid[-1] + (0.0015, 0)))
        brow = line_of_brow(face, np.linspace(0, 1, 5), upper)
        put(f"{word}_startpoint_of_l_eyebrow", *brow[0])
        for number, point in zip((2, 1, 3), brow[1:4], strict=True):
            put(f"{word}_midpoint_{number}_of_l_eyebrow", *point)
    along(line_of_lid(face, share, True, 0.0065), "l_", "_of_upper_crease_line")
    put("end_of_l_eyebrow", *line_of_brow(face, np.array([1.0]), True)[0])
    eye = face.eye_centre()
    put("left_eye", *eye)
    iris = eye + face.gaze
    for part, radius in (("iris", face.iris_radius), ("pupil", face.pupil_radius)):
        put(f"l_center_of_{part}", *iris)
        for k, place in enumerate(("3", "midpoint_1", "12", "midpoint_4", "9", "midpoint_3", "6", "midpoint_2")):
            put(
                f"l_border_of_{part}_{place}",
                *(iris + radius * np.array([np.cos(k * np.pi / 4), np.sin(k * np.pi / 4)])),
            )
    for name, (back, up) in EAR.items():
        z = -0.004 - back * 0.034
        x = 0.0815 - 0.10 * abs(up) ** 2 * 0.05 + 0.006 * np.clip(back, -0.3, 0.3)
        if name in ("deepest_point_of_concha", "bottom_point_of_tragus", "protruding_point_of_tragus"):
            x -= 0.005
        put(f"l_{name}", x, -0.007 + up * 0.062, z)
    put("left_ear", 0.0785, -0.009, -0.002)
    surface = np.isinf(points[:, 2])
    points[surface] = heads.on_face(points[surface, :2])
    partner = keypoints().flip_indices
    gaze_shift = np.array([2 * -face.gaze[0], 0, 0])
    for i in np.flatnonzero(~np.isnan(points[:, 0])):
        if partner[i] != i and np.isnan(points[partner[i], 0]):
            points[partner[i]] = points[i] * (-1, 1, 1)
            if "iris" in keypoints().names[i] or "pupil" in keypoints().names[i]:  # both eyes look the same way
                points[partner[i]] -= gaze_shift
    _mouth(points, face, share)
    return points


def _mouth(points: np.ndarray, face: Face, share: np.ndarray) -> None:
    """Lips and chin, which the open mouth moves; their depth is that of the closed mouth."""
    at = index()
    for upper in (True, False):
        word = "upper" if upper else "lower"
        for outer in (True, False):
            where = "outer" if outer else "inner"
            line = line_of_lip(face, share * 2 - 1, upper, outer)
            closed = line + np.stack([np.zeros(9), np.zeros(9) if upper else face.gape(line[:, 0])], -1)
            on = heads.on_face(closed)
            on[:, :2] = line
            for point, number in zip(on[1:-1], _LINE, strict=True):
                centre = {("upper", "outer"): "center_of_cupid_bow"}.get((word, where), f"center_of_{word}_{where}_lip")
                points[at[f"midpoint_{number}_of_{word}_{where}_lip" if number else centre]] = point
            if upper:
                for side, point in (("r", on[0]), ("l", on[-1])):
                    points[at[f"{side}_{where}_corner_of_mouth"]] = point
    for name, y in (("center_of_labiomental_groove", -0.0855), ("tip_of_chin", -0.104)):
        points[at[name]] = heads.on_face(np.array([0.0, y])) - (0, face.mouth_open, 0)
