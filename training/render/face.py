"""The face as drawing: lines of lids, brows and lips in the head frame, which both the keypoints and the paint follow,
and the paint itself: eyes, brows, lips, teeth, tongue, nostrils, beards, cheeks."""

from dataclasses import dataclass

import numpy as np

from . import labels
from .head import MOUTH_Y

# Points of the left ear: (to the back, up) in units of its length from the middle.
EAR = {
    "top_end_of_inferior_crus": (-0.12, 0.24),
    "top_end_of_superior_crus": (0.06, 0.33),
    "start_of_antihelix": (0.14, -0.22),
    "end_of_antihelix": (0.08, 0.14),
    "midpoint_1_of_antihelix": (0.20, -0.03),
    "midpoint_1_of_inferior_crus": (-0.02, 0.20),
    "midpoint_2_of_antihelix": (0.19, -0.13),
    "midpoint_3_of_antihelix": (0.16, 0.07),
    "point_1_of_inner_helix": (-0.16, 0.32),
    "point_2_of_inner_helix": (-0.05, 0.42),
    "point_3_of_inner_helix": (0.08, 0.43),
    "point_4_of_inner_helix": (0.21, 0.36),
    "point_5_of_inner_helix": (0.30, 0.23),
    "point_6_of_inner_helix": (0.32, 0.08),
    "point_7_of_inner_helix": (0.29, -0.08),
    "highest_point_of_antitragus": (0.04, -0.21),
    "bottom_point_of_tragus": (-0.11, -0.16),
    "protruding_point_of_tragus": (-0.10, -0.08),
    "top_point_of_tragus": (-0.15, 0.0),
    "start_point_of_crus_of_helix": (-0.02, 0.02),
    "deepest_point_of_concha": (0.03, -0.09),
    "tip_of_ear_lobe": (-0.05, -0.50),
    "midpoint_between_22_15": (0.14, -0.33),
    "bottom_connecting_point_of_ear_lobe": (-0.20, -0.40),
    "top_connecting_point_of_helix": (-0.24, 0.20),
    "point_8_of_inner_helix": (0.24, -0.20),
}


@dataclass(frozen=True)
class Face:
    """A face's drawing; metres in the head frame, colours linear RGB."""

    eye_width: float
    eye_height: float
    eye_tilt: float
    gaze: np.ndarray  # (2,) of the irises in their eyes
    iris_radius: float
    pupil_radius: float
    iris_rgb: np.ndarray
    brow_height: float
    brow_thick: float
    brow_arch: float
    brow_rgb: np.ndarray
    mouth_width: float
    lip_upper: float
    lip_lower: float
    smile: float
    mouth_open: float
    lip_rgb: np.ndarray
    tongue: bool
    low_teeth: bool
    beard: float  # 0 none, 1 dense
    beard_form: str
    blush: float
    freckles: float

    @staticmethod
    def draw(
        rng: np.random.Generator, skin_rgb: np.ndarray, hair_rgb: np.ndarray, bearded: bool, child: bool
    ) -> "Face":
        dark = float(np.clip(1 - skin_rgb.mean() / 0.45, 0, 1))
        blink = rng.random() < 0.07
        irises = np.array(
            [(0.05, 0.025, 0.012), (0.12, 0.06, 0.02), (0.10, 0.12, 0.05), (0.10, 0.2, 0.35), (0.15, 0.2, 0.22)]
        )
        lip = skin_rgb * np.array([0.85, 0.52, 0.52]) * rng.uniform(0.8, 1.15)
        if not bearded and not child and rng.random() < 0.3:
            lip = np.array([rng.uniform(0.2, 0.6), rng.uniform(0.01, 0.12), rng.uniform(0.02, 0.15)])
        width = rng.uniform(0.0135, 0.016)
        return Face(
            eye_width=width,
            eye_height=0.0006 if blink else rng.uniform(0.0038, 0.0060),
            eye_tilt=rng.normal(0.0006, 0.0008),
            gaze=np.clip(rng.normal(0, (0.0015, 0.0007)), -0.0045, 0.0045),
            iris_radius=rng.uniform(0.0055, 0.0064),
            pupil_radius=rng.uniform(0.0016, 0.0032),
            iris_rgb=irises[0 if rng.random() < 0.35 + dark else rng.integers(5)],
            brow_height=rng.uniform(0.013, 0.020),
            brow_thick=rng.uniform(0.0028, 0.0060),
            brow_arch=rng.uniform(0.001, 0.005),
            brow_rgb=hair_rgb * rng.uniform(0.4, 0.9),
            mouth_width=rng.uniform(0.021, 0.027),
            lip_upper=rng.uniform(0.0045, 0.0080),
            lip_lower=rng.uniform(0.0060, 0.0100),
            smile=rng.normal(0.0015, 0.0025),
            mouth_open=rng.choice([0.0, rng.uniform(0.003, 0.012), rng.uniform(0.012, 0.032)], p=[0.52, 0.28, 0.20]),
            lip_rgb=lip,
            tongue=rng.random() < 0.85,
            low_teeth=rng.random() < 0.55,
            beard=rng.uniform(0.25, 1.0) if bearded else 0.0,
            beard_form=rng.choice(["full", "goatee", "moustache", "stubble"], p=[0.45, 0.15, 0.15, 0.25]),
            blush=rng.uniform(0, 0.25),
            freckles=rng.choice([0.0, rng.uniform(0.1, 0.5)], p=[0.85, 0.15]),
        )

    def eye_centre(self) -> np.ndarray:
        return np.array([0.0315, 0.0])

    def gape(self, x: np.ndarray) -> np.ndarray:
        """How far the lower lip has dropped at x; must agree with head.opened."""
        return self.mouth_open * np.sqrt(np.clip(1 - (x / 0.045) ** 2, 0, 1))


def line_of_lid(face: Face, share: np.ndarray, upper: bool, beyond: float) -> np.ndarray:
    """Points (..., 2) of the left eye's upper or lower lid, from the inner corner (0) to the outer (1), `beyond`
    outside."""
    s = share * 2 - 1
    arch = 1 - np.abs(s - (0.1 if upper else -0.1) * (1 - s**2)) ** 2.3
    height = face.eye_height if upper else -0.62 * face.eye_height
    y = arch * height + face.eye_tilt * s + (beyond if upper else -beyond) * (0.35 + 0.65 * arch)
    return np.stack([face.eye_centre()[0] + s * face.eye_width, y], -1)


def line_of_brow(face: Face, share: np.ndarray, upper: bool) -> np.ndarray:
    """Points (..., 2) of the left brow's edge from its start beside the nose (0) to its end (1)."""
    x = 0.012 + 0.038 * share
    middle = face.brow_height + face.brow_arch * np.sin(np.pi * np.clip(share, 0, 1) ** 1.2) * 1.2 - 0.004 * share**2
    thick = face.brow_thick * np.clip(1.05 - share**2.5, 0.0, 1) * np.clip(0.55 + 5 * share, 0, 1)
    return np.stack([x, middle + (0.5 if upper else -0.5) * thick], -1)


def line_of_lip(face: Face, share: np.ndarray, upper: bool, outer: bool) -> np.ndarray:
    """Points (..., 2) of the lips' edges from the right corner (-1) to the left (1)."""
    width = face.mouth_width * (1.0 if outer else 0.88)
    x = share * width
    reach = x / face.mouth_width
    seam = MOUTH_Y + face.smile * np.abs(reach) ** 2
    arch = np.clip(1 - np.abs(reach) ** 2, 0, 1)
    if upper:
        bow = 1 - 0.22 * np.exp(-((reach / 0.16) ** 2)) if outer else 1
        y = seam + (face.lip_upper * arch**0.8 * bow if outer else 0.0 * arch)
    else:
        y = seam - face.gape(x) * np.clip(1 - np.abs(reach) ** 4, 0, 1) - (face.lip_lower * arch**0.7 if outer else 0.0)
    return np.stack([x, y], -1)


@dataclass
class Paint:
    """What a painter says about N samples: `labels` (N,) uint8, `rgb` (N, 3) linear albedo, `shine` (N,), `bump` (N,)
    metres."""

    labels: np.ndarray
    rgb: np.ndarray
    shine: np.ndarray
    bump: np.ndarray


def paint_face(face: Face, xyz: np.ndarray, skin: Paint, hair_rgb: np.ndarray, grain: np.ndarray) -> None:
    """Paint features over bare skin, in place. `xyz` (N, 3) are in the head frame, mouth opened; `grain` (N,) is noise
    0..1."""
    x, y, z = xyz.T
    front = z > 0.028
    side = np.abs(x)
    rgb = skin.rgb

    def mix(mask: np.ndarray, colour: np.ndarray, share: np.ndarray | float = 1.0) -> None:
        weight = (mask * share)[:, None].astype(np.float32)
        rgb[:] = rgb * (1 - weight) + np.float32(colour) * weight

    cheek = np.exp(-(((side - 0.042) / 0.02) ** 2) - ((y + 0.032) / 0.018) ** 2) + 0.6 * np.exp(
        -((x / 0.012) ** 2) - ((y + 0.036) / 0.010) ** 2
    )
    rgb *= 1 - (front * cheek * face.blush)[:, None] * np.float32([0.05, 0.5, 0.45])
    if face.freckles:
        mix(front & (grain > 0.72), rgb.mean(0) * np.array([0.55, 0.4, 0.3]), face.freckles * np.clip(cheek, 0, 1))
    socket = np.exp(-(((side - 0.0315) / 0.018) ** 2) - ((y + 0.001) / 0.011) ** 2)
    rgb *= 1 - (front * socket * 0.18)[:, None] * np.float32([0.8, 1, 0.95])
    if face.beard:
        _beard(face, x, y, z, hair_rgb, grain, mix)
    share = np.clip((side - 0.012) / 0.038, 0, 1)
    brow_top, brow_low = line_of_brow(face, share, True)[:, 1], line_of_brow(face, share, False)[:, 1]
    soft = 0.0012 * (grain - 0.5)
    mix(front & (side > 0.0115) & (side < 0.0505) & (y < brow_top + soft) & (y > brow_low + soft), face.brow_rgb, 0.85)
    _eyes(face, x, y, front, mix, skin)
    nostril = (((side - 0.0085) / 0.0042) ** 2 + ((y + 0.0455) / 0.0022) ** 2 < 1) & front
    mix(nostril, rgb.mean(0) * 0.12, 0.9)
    _mouth(face, x, y, front, mix, skin)


def _eyes(face: Face, x: np.ndarray, y: np.ndarray, front: np.ndarray, mix, paint: Paint) -> None:
    side = np.abs(x)
    share = np.clip((side - face.eye_centre()[0]) / face.eye_width * 0.5 + 0.5, 0, 1)
    within = front & (share > 0) & (share < 1)
    top, low = (line_of_lid(face, share, upper, 0.0)[:, 1] for upper in (True, False))
    crease = line_of_lid(face, share, True, 0.0065)[:, 1]
    mix(within & (np.abs(y - crease) < 0.0007), np.zeros(3), 0.28)
    inside = within & (y < top) & (y > low)
    gaze_x = np.where(x > 0, face.gaze[0], -face.gaze[0])
    from_iris = np.hypot(side - face.eye_centre()[0] - gaze_x, y - face.gaze[1])
    mix(inside, np.array([0.50, 0.46, 0.44]))
    mix(inside & (from_iris < face.iris_radius), face.iris_rgb)
    mix(inside & (np.abs(from_iris - face.iris_radius) < 0.0006), face.iris_rgb * 0.3)
    mix(inside & (from_iris < face.pupil_radius), np.full(3, 0.004))
    glint = inside & (
        np.hypot(x - np.sign(x) * face.eye_centre()[0] - face.gaze[0] - 0.002, y - face.gaze[1] - 0.0022) < 0.0011
    )
    mix(glint, np.ones(3), 0.9)
    mix(inside & (top - y < 0.0013), np.zeros(3), 0.5)
    mix(within & (y >= top) & (y - top < 0.0013), np.array([0.01, 0.007, 0.005]), 0.85)
    mix(within & (y <= low) & (low - y < 0.0006), np.array([0.03, 0.02, 0.015]), 0.5)
    paint.shine[inside] = 0.5


def _mouth(face: Face, x: np.ndarray, y: np.ndarray, front: np.ndarray, mix, paint: Paint) -> None:
    s = np.clip(x / face.mouth_width, -1, 1)
    within = front & (np.abs(x) < face.mouth_width)
    upper_out, lower_out = (line_of_lip(face, s, upper, True)[:, 1] for upper in (True, False))
    inner = np.clip(x / (face.mouth_width * 0.88), -1, 1)
    upper_in, lower_in = (line_of_lip(face, inner, upper, False)[:, 1] for upper in (True, False))
    upper = within & (y < upper_out) & (y >= upper_in)
    lower = within & (y > lower_out) & (y <= lower_in)
    mix(upper, face.lip_rgb * 0.85, 0.85)
    mix(lower, face.lip_rgb, 0.85)
    paint.labels[upper], paint.labels[lower] = labels.UPPER_LIP, labels.LOWER_LIP
    paint.shine[upper | lower] = 0.25
    if face.mouth_open < 0.002:
        mix(within & (np.abs(y - upper_in) < 0.0008), face.lip_rgb * 0.2, 0.8)
        return
    cavity = within & (y < upper_in) & (y > lower_in)
    mix(cavity, np.array([0.05, 0.008, 0.008]))
    paint.labels[cavity] = labels.FACE_NECK
    arc = 0.0015 * (1 - (x / 0.022) ** 2)
    gap = np.abs((np.abs(x) % 0.0075) - 0.00375) > 0.0035
    bite = face.mouth_open
    top_teeth = cavity & (y > upper_in - 0.0012 - min(0.0085, 0.45 * bite + 0.002) - arc) & (np.abs(x) < 0.0215)
    low_teeth = (
        cavity
        & (y < lower_in + 0.0008 + min(0.0055, 0.25 * bite) - arc)
        & (np.abs(x) < 0.018)
        & ~top_teeth
        & face.low_teeth
    )
    tongue = (
        cavity
        & ~top_teeth
        & ~low_teeth
        & ((x / 0.016) ** 2 + ((y - lower_in) / (0.62 * bite + 0.002)) ** 2 < 1)
        & face.tongue
    )
    for mask, label, colour in ((top_teeth, labels.UPPER_TEETH, 0.68), (low_teeth, labels.LOWER_TEETH, 0.58)):
        mix(mask, np.array([1, 0.95, 0.85]) * colour)
        mix(mask & gap, np.array([0.3, 0.2, 0.16]), 0.6)
        paint.labels[mask] = label
        paint.shine[mask] = 0.4
    mix(tongue, np.array([0.42, 0.12, 0.12]))
    paint.labels[tongue] = labels.TONGUE


def _beard(
    face: Face, x: np.ndarray, y: np.ndarray, z: np.ndarray, hair_rgb: np.ndarray, grain: np.ndarray, mix
) -> None:
    moustache = (np.abs(x) < 0.026) & (y < -0.050) & (y > -0.066) & (z > 0.06)
    jaw = (y < -0.052 - 0.35 * np.clip(0.045 - np.abs(x), 0, 1) * (np.abs(x) > 0.020)) & (y > -0.128) & (z > -0.008)
    jaw |= (np.abs(x) > 0.052) & (y < 0.0) & (y > -0.06) & (z > -0.002) & (z < 0.022)
    forms = {
        "full": moustache | jaw,
        "stubble": moustache | jaw,
        "moustache": moustache,
        "goatee": moustache | (jaw & (np.abs(x) < 0.028) & (z > 0.03)),
    }
    density = (0.35 if face.beard_form == "stubble" else 0.93) * face.beard * (0.55 + 0.6 * grain)
    mix(forms[face.beard_form], hair_rgb, np.clip(density, 0, 1))
