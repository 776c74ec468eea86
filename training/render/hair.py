"""Hair and what sits on a head: hair as a shell grown from the scalp, long hair, buns and tails, hats, glasses. All in
the head frame before the identity's change."""

from dataclasses import dataclass

import numpy as np

from . import labels
from .face import Paint
from .head import scalp
from .solids import ball, grid_mesh, joined, tube
from .surface import Mesh
from .texture import Ripples, cloth, draw_colour, grain, linear, look_up


@dataclass(frozen=True)
class Headwear:
    """Shapes on one head: pairs of kind ("hair", "hat", "glasses", "lens") and mesh."""

    hair_rgb: np.ndarray
    meshes: tuple[tuple[str, Mesh], ...]
    strands: Ripples
    hat_tile: np.ndarray
    glass_rgb: np.ndarray
    clear: "np.ndarray | None"  # (4,) centre x, y, half width, half height of clear lenses, painted on the face

    def paint(self, kind: str, local: np.ndarray) -> Paint:
        n = len(local)
        label = {"hair": labels.HAIR, "hat": labels.APPAREL}.get(kind, labels.EYEGLASS)
        paint = Paint(
            np.full(n, label, np.uint8),
            np.zeros((n, 3), np.float32),
            np.full(n, 0.1, np.float32),
            np.zeros(n, np.float32),
        )
        if kind == "hair":
            angle = np.arctan2(local[:, 0], local[:, 2] + 0.01)
            strand = self.strands(
                np.stack([angle * 0.35, local[:, 1] * 0.25, local[:, 2] * 0.6], -1).astype(np.float32)
            )
            fine = grain(np.stack([angle * 0.1, local[:, 1] * 0.05, local[:, 2] * 0.1], -1), 6000)
            tone = 1 + 0.28 * strand + 0.35 * (fine - 0.5)
            paint.rgb[:] = self.hair_rgb * np.clip(tone, 0.3, 2)[:, None]
            paint.shine[:], paint.bump[:] = 0.22, 0.0012 * strand
        elif kind == "hat":
            angle = np.arctan2(local[:, 0], local[:, 2])
            paint.rgb[:] = look_up(self.hat_tile, angle * 0.5, local[:, 1] * 4)
            paint.shine[:] = 0.03
        else:
            paint.rgb[:] = self.glass_rgb if kind == "glasses" else self.glass_rgb * 0.4
            paint.shine[:] = 0.8 if kind == "lens" else 0.4
        return paint


_COLOURS = np.array(
    [
        (0.05, 0.04, 0.04),
        (0.10, 0.07, 0.055),
        (0.20, 0.13, 0.09),
        (0.33, 0.22, 0.14),
        (0.50, 0.36, 0.20),
        (0.75, 0.60, 0.38),
        (0.55, 0.26, 0.12),
        (0.60, 0.59, 0.58),
        (0.85, 0.84, 0.82),
    ]
)


def draw_hair_colour(rng: np.random.Generator, dark_skin: bool) -> np.ndarray:
    shares = np.array([0.2, 0.2, 0.18, 0.13, 0.08, 0.07, 0.04, 0.06, 0.04])
    if dark_skin:
        shares = np.array([0.55, 0.25, 0.08, 0.03, 0.01, 0.01, 0.01, 0.04, 0.02])
    colour = _COLOURS[rng.choice(9, p=shares / shares.sum())]
    if rng.random() < 0.03:
        return draw_colour(rng, 0.7)
    return linear(colour * rng.normal(1, 0.1) * rng.normal(1, 0.03, 3))


def draw_headwear(rng: np.random.Generator, hair_rgb: np.ndarray, woman: bool) -> Headwear:
    style = rng.choice(
        ["bald", "buzz", "short", "quiff", "bob", "long", "bun", "tail", "afro"],
        p=[0.01, 0.02, 0.14, 0.06, 0.16, 0.33, 0.09, 0.13, 0.06]
        if woman
        else [0.08, 0.14, 0.42, 0.16, 0.06, 0.05, 0.02, 0.02, 0.05],
    )
    hat = rng.choice(["", "cap", "beanie", "brim", "hood"], p=[0.82, 0.07, 0.05, 0.04, 0.02])
    thick = {
        "bald": 0.0,
        "buzz": 0.003,
        "short": rng.uniform(0.008, 0.018),
        "quiff": rng.uniform(0.015, 0.028),
        "afro": rng.uniform(0.035, 0.09),
    }.get(style, rng.uniform(0.008, 0.018))
    if hat:
        thick = min(thick, 0.007)
    meshes: list[tuple[str, Mesh]] = []
    if thick:
        meshes.append(("hair", _shell(rng, thick, style, woman)))
    if style in ("bob", "long"):
        meshes.append(
            (
                "hair",
                _curtain(
                    rng,
                    rng.uniform(0.09, 0.15) if style == "bob" else rng.uniform(0.18, 0.42),
                    thick,
                    0.03 if hat else 0.075,
                ),
            )
        )
    if style in ("bun", "tail"):
        meshes.append(("hair", _gathered(rng, style)))
    if hat:
        meshes += [("hat", mesh) for mesh in _hat(rng, hat)]
    clear = None
    glasses = rng.choice(["", "clear", "dark"], p=[0.80, 0.14, 0.06])
    if glasses:
        frames, lens, outline = _glasses(rng)
        meshes.append(("glasses", frames))
        if glasses == "dark":
            meshes.append(("lens", lens))
        else:
            clear = outline
    tile = cloth(rng) if hat else np.zeros((1, 1, 3), np.float32)
    glass = draw_colour(rng, rng.choice([0.03, 0.2, 0.7], p=[0.7, 0.15, 0.15]))
    return Headwear(hair_rgb, tuple(meshes), Ripples(rng, 0.03, waves=6), tile, glass, clear)


def _shell(rng: np.random.Generator, thick: float, style: str, woman: bool) -> Mesh:
    """Hair standing off the scalp above the hairline, and hidden under the skin below it."""
    mesh = scalp().mesh
    v, n = mesh.vertices, scalp().normals
    angle = np.abs(np.arctan2(v[:, 0], v[:, 2] + 0.012))
    front = rng.uniform(0.054, 0.078) + (rng.uniform(0.0, 0.035) if style == "buzz" and rng.random() < 0.4 else 0)
    if style in ("bob", "long", "short") and rng.random() < 0.3:
        front = rng.uniform(0.025, 0.045)  # a fringe
    burns = rng.uniform(-0.03, 0.02) if not woman else -0.02
    line = np.interp(
        angle,
        (0, 0.5, 0.85, 1.12, 1.35, 1.75, 2.1, 3.2),
        (front, front - 0.003, front - 0.012, burns + 0.02, burns, 0.026, -0.035, -0.062 - 0.02 * woman),
    )
    waves = Ripples(rng, 0.035)
    part = rng.uniform(-0.03, 0.03)
    depth = (v[:, 1] - line + 0.003 * waves(v)) / 0.010
    grown = np.clip(depth, 0, 1)
    amount = np.full(len(v), thick, np.float32)
    if style in ("short", "quiff"):
        top = np.clip((v[:, 1] - 0.04) / 0.05, 0, 1)
        amount = thick * (0.45 + 0.9 * top)
        if style == "quiff":
            amount = amount + thick * 0.9 * top * np.clip((v[:, 2] + 0.02) / 0.07, 0, 1)
    elif style == "afro":
        amount = amount * np.clip((v[:, 1] + 0.05) / 0.09, 0.15, 1)
    else:
        amount = amount * (1 - 0.5 * np.exp(-(((v[:, 0] - part) / 0.006) ** 2)) * (v[:, 2] > -0.03))
    rough = 0.25 if style != "buzz" else 0.05
    out = np.where(
        depth > 0, 0.001 + grown**0.6 * amount * (1 + rough * waves(v * 1.4)), np.maximum(0.001 + 0.008 * depth, -0.007)
    )
    return Mesh((v + n * out[:, None]).astype(np.float32), mesh.triangles)


def _curtain(rng: np.random.Generator, length: float, thick: float, top: float) -> Mesh:
    """Hair that hangs from the height `top` about the back and the sides of the head, open at the face."""
    half = rng.uniform(1.75, 2.25)  # from the back of the head to each edge
    angle = np.pi + np.linspace(-half, half, 40)
    share = np.linspace(0, 1, 28)[:, None]
    y = (
        top
        - share * (top + length)
        + 0.012 * Ripples(rng, 0.5)(np.stack([angle, angle * 0, angle * 0], -1).astype(np.float32)) * share
    )
    fall = np.clip((-y - 0.02) / 0.16, 0, 1.6)
    dome = np.sqrt(np.clip(1 - ((y - 0.02) / 0.11) ** 2, 0.15, 1)) * (y > 0.02) + (y <= 0.02)
    flare = rng.uniform(-0.01, 0.035)
    wave = rng.uniform(0.001, 0.007) * np.sin(y * rng.uniform(25, 70) + 3 * np.cos(angle * 3 + rng.uniform(0, 6)))
    strands = rng.uniform(0.001, 0.004) * np.sin(angle * rng.uniform(8, 22))
    rx = (0.0755 + thick) * dome + flare * fall + wave + strands
    rz = (0.090 + thick) * dome + (flare + 0.015) * fall * (np.cos(angle) < 0) + wave + strands
    front = np.clip(np.cos(angle) + 0.1, 0, 1)
    points = np.stack(
        [
            rx * np.sin(angle),
            np.broadcast_to(y, rx.shape),
            rz * np.cos(angle) * (1 - 0.35 * front) - 0.018 - 0.01 * fall,
        ],
        -1,
    )
    return grid_mesh(points)


def _gathered(rng: np.random.Generator, style: str) -> Mesh:
    height = rng.uniform(-0.02, 0.10)
    root = np.array([0, height, -0.018 - 0.098 * np.sqrt(max(0.05, 1 - ((height - 0.034) / 0.09) ** 2))])
    if style == "bun":
        mesh = ball(rng.uniform(0.026, 0.042) * np.array([1.1, 0.95, 0.85]), 12)
        return Mesh((mesh.vertices + root + (0, 0.01, -0.012)).astype(np.float32), mesh.triangles)
    length, share = rng.uniform(0.12, 0.36), np.linspace(0, 1, 14)[:, None]
    sway = rng.normal(0, 0.04)
    path = root + np.concatenate(
        [sway * share**1.5, 0.02 * np.sin(3 * share) - length * share**1.4, -0.06 * np.sin(2.2 * share)], 1
    )
    radius = np.interp(share[:, 0], (0, 0.15, 0.6, 1), (0.012, 0.026, 0.024, 0.006)) * rng.uniform(0.8, 1.3)
    return tube(path, radius, 12)


def _hat(rng: np.random.Generator, kind: str) -> list[Mesh]:
    mesh, n = scalp().mesh, scalp().normals
    v = mesh.vertices
    if kind == "hood":
        line = np.interp(np.abs(np.arctan2(v[:, 0], v[:, 2])), (0, 0.7, 1.1, 1.4, 3.2), (0.075, 0.06, -0.3, -0.3, -0.3))
        out = np.where(v[:, 1] > line, 0.022, -0.006)
        return [Mesh((v + n * out[:, None]).astype(np.float32), mesh.triangles)]
    line = (
        rng.uniform(0.040, 0.058)
        + 0.15 * np.minimum(v[:, 2], 0.05)
        - 0.25 * (kind == "beanie") * np.clip(-v[:, 2], 0, 0.1)
    )
    out = np.where(
        v[:, 1] > line,
        0.010 + 0.12 * np.clip(v[:, 1] - line, 0, 0.05) * (kind != "cap") + 0.03 * np.clip(v[:, 1] - line, 0, 0.04),
        -0.008,
    )
    crown = Mesh((v + n * out[:, None]).astype(np.float32), mesh.triangles)
    if kind == "beanie":
        return [crown]
    angle = np.linspace(-1.25, 1.25, 24) if kind == "cap" else np.linspace(0, 2 * np.pi, 40)
    if kind == "cap" and rng.random() < 0.15:
        angle = angle + np.pi
    reach = np.linspace(0, 1, 6)[:, None]
    width = (
        rng.uniform(0.055, 0.075) * np.cos(angle * 0.95) ** 0.5
        if kind == "cap" and abs(angle).max() < 2
        else np.full_like(angle, rng.uniform(0.04, 0.1))
    )
    if kind == "cap" and abs(angle).max() > 2:
        width = 0.06 * np.clip(np.cos((angle - np.pi) * 0.95), 0, 1) ** 0.5
    rx, rz = 0.080 + reach * width, 0.100 + reach * width
    level = 0.052 + 0.15 * np.minimum(rz * np.cos(angle) - 0.015, 0.05)
    droop = (-0.25 if kind == "cap" else rng.uniform(-0.3, 0.1)) * reach * width
    points = np.stack([rx * np.sin(angle), level + droop, rz * np.cos(angle) - 0.015], -1)
    under = points - (0, 0.003, 0)
    return [crown, joined([grid_mesh(points), grid_mesh(under)])]


def _glasses(rng: np.random.Generator) -> tuple[Mesh, Mesh, np.ndarray]:
    """Frames, opaque lenses, and the outline (centre x, y, half width, half height)."""
    wide, tall = rng.uniform(0.022, 0.029), rng.uniform(0.015, 0.024)
    centre, power, wire = np.array([0.033, -0.004, 0.092]), rng.uniform(0.45, 1.0), rng.uniform(0.0008, 0.0024)
    turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    ring = np.stack(
        [
            np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** power * wide,
            np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** power * tall,
            0 * turn,
        ],
        -1,
    )
    frames, lenses = [], []
    for sign in (1, -1):
        rim = ring * (sign, 1, 1) + centre * (sign, 1, 1)
        rim[:, 2] -= 0.25 * np.abs(rim[:, 0] - sign * 0.01)
        frames.append(tube(rim, wire, 6, closed=True))
        lenses.append(grid_mesh(np.stack([rim, np.broadcast_to(rim.mean(0), rim.shape)]), around=True))
        hinge = np.array(
            [sign * (centre[0] + wide), centre[1] + tall * 0.4, centre[2] - 0.25 * (centre[0] + wide - 0.01)]
        )
        temple = np.stack(
            [
                hinge,
                hinge * (1, 1, 0.6) + (sign * 0.016, 0, 0),
                np.array([sign * 0.0775, 0.008, 0.0]),
                np.array([sign * 0.078, 0.0, -0.018]),
            ]
        )
        frames.append(tube(temple, wire, 6))
    bridge = np.stack(
        [
            np.linspace(-1, 1, 7) * (centre[0] - wide),
            centre[1] + 0.004 + 0.003 * np.cos(np.linspace(-1.5, 1.5, 7)),
            np.full(7, centre[2] + 0.001),
        ],
        -1,
    )
    frames.append(tube(bridge, wire, 6))
    return joined(frames), joined(lenses), np.array([centre[0], centre[1], wide, tall])
