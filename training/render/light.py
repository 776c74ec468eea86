"""Light on the samples: a key light with a cast shadow, fill lights, a sky and a ground, dark corners, and a little
gloss."""

from dataclasses import dataclass

import cv2
import numpy as np

from .raster import visible_triangles

_MAP = 640  # samples of the shadow map's side


@dataclass(frozen=True)
class Lights:
    """Directions point to the light in the world; colours are linear RGB intensities. `soft` blurs the shadow
    (metres)."""

    key: np.ndarray
    key_rgb: np.ndarray
    fills: tuple[tuple[np.ndarray, np.ndarray], ...]
    sky_rgb: np.ndarray
    ground_rgb: np.ndarray
    soft: float

    @staticmethod
    def draw(rng: np.random.Generator, outdoors: bool) -> "Lights":
        def direction(low: float, high: float) -> np.ndarray:
            turn, rise = rng.uniform(0, 2 * np.pi), rng.uniform(low, high)
            return np.array([np.cos(rise) * np.sin(turn), np.sin(rise), np.cos(rise) * np.cos(turn)])

        def tint(spread: float) -> np.ndarray:
            warm = rng.normal(0, spread)
            return np.array([1 + warm, 1.0 + rng.normal(0, 0.02), 1 - warm])

        hard = rng.choice([rng.uniform(0.1, 0.6), rng.uniform(0.6, 1.6), rng.uniform(1.6, 3.2)], p=[0.35, 0.45, 0.2])
        ambient = rng.uniform(0.25, 0.8)
        key = direction(0.3, 1.35)
        if rng.random() < 0.6:  # from the camera's side
            key[2] = abs(key[2])
        fills = tuple(
            (direction(-0.2, 1.2), tint(0.25) * rng.uniform(0.05, 0.6)) for _ in range(int(rng.integers(0, 4)))
        )
        return Lights(
            key,
            tint(0.12) * hard,
            fills,
            tint(0.1) * ambient * (1.2 if outdoors else 1),
            tint(0.12) * ambient * rng.uniform(0.2, 0.8),
            rng.uniform(0.005, 0.08),
        )


def shadow(
    lights: Lights, vertices: np.ndarray, triangles: np.ndarray, two_sided: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """What share (N,) of the key light reaches world points (N, 3): 0 or 1, before softening."""
    z = lights.key / np.linalg.norm(lights.key)
    x = np.cross((0.0, 1, 0.1), z)
    x /= np.linalg.norm(x)
    axes = np.stack([x, np.cross(z, x), z], 1).astype(np.float32)
    local = vertices @ axes
    low, high = np.percentile(local, [0, 100], 0)
    scale = np.float32((_MAP - 4) / max(high[0] - low[0], high[1] - low[1], 0.5))
    depth = high[2] - low[2] + 1e-3
    xy = (local[:, :2] - low[:2]) * scale + 2
    xy[:, 1] = _MAP - 1 - xy[:, 1]
    _, near = visible_triangles(
        xy.astype(np.float32),
        ((local[:, 2] - low[2]) / depth * 0.9 + 0.05).astype(np.float32),
        triangles,
        two_sided,
        (_MAP, _MAP),
    )
    at = points @ axes
    column = np.round((at[:, 0] - low[0]) * scale + 2).astype(np.int32)
    row = np.round(_MAP - 1 - ((at[:, 1] - low[1]) * scale + 2)).astype(np.int32)
    inside = (column >= 0) & (column < _MAP) & (row >= 0) & (row < _MAP)
    blocked = (
        near[np.where(inside, row, 0), np.where(inside, column, 0)]
        > (at[:, 2] + max(0.018, 2.0 / scale) - low[2]) / depth * 0.9 + 0.05
    )
    return 1 - (blocked & inside).astype(np.float32)


def corners(depth_m: np.ndarray, focal: float) -> np.ndarray:
    """How open each sample lies, 0..1 (H, W): less where neighbours within about 15 cm stand a little nearer."""
    quarter = cv2.resize(depth_m, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_NEAREST)
    height, width = quarter.shape
    yy, xx = np.mgrid[0:height, 0:width].astype(np.float32)
    hidden = np.zeros_like(quarter)
    for k in range(10):
        angle, reach = k * 2.399963, 0.03 + 0.13 * ((k + 0.5) / 10)
        pixels = np.clip(reach * focal * 0.5 / quarter, 1, 60)
        other = cv2.remap(
            quarter,
            xx + pixels * np.float32(np.cos(angle)),
            yy + pixels * np.float32(np.sin(angle)),
            cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_REPLICATE,
        )
        nearer = quarter - other
        hidden += np.clip(nearer / (0.35 * reach) - 0.12, 0, 1) * np.clip(1.6 - nearer / (2.2 * reach), 0, 1)
    hidden = cv2.GaussianBlur(hidden / 10, (0, 0), 1.5)
    return cv2.resize(1 - 0.85 * hidden, depth_m.shape[::-1], interpolation=cv2.INTER_LINEAR)


def shade(
    lights: Lights, albedo: np.ndarray, normals: np.ndarray, shine: np.ndarray, skin: np.ndarray, lit: np.ndarray,
    open_: np.ndarray,
    to_eye: np.ndarray, to_view: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Radiance (H, W, 3), linear.

    Args:
        normals, to_eye: (H, W, 3) unit, in the frame x right, y up, z towards the camera; `to_view` (3, 3) takes world
            directions there.
        skin: (H, W) bool: light bleeds a little past the shadow's edge there, reddish.
        lit: (H, W) share of the key light that arrives. open_: (H, W) share of the ambient light that arrives.
    """
    up = (to_view @ (0.0, 1, 0)).astype(np.float32)
    rise = (normals @ up) * np.float32(0.5) + np.float32(0.5)
    ground, sky = lights.ground_rgb.astype(np.float32), lights.sky_rgb.astype(np.float32)
    light = (ground + rise[..., None] * (sky - ground)) * open_[..., None]
    gloss = np.zeros_like(rise)
    facing = np.einsum("hwc,hwc->hw", normals, to_eye)
    for number, (direction, rgb) in enumerate(
        [(lights.key / np.linalg.norm(lights.key), lights.key_rgb), *lights.fills]
    ):
        towards = (to_view @ direction).astype(np.float32)
        cosine = normals @ towards
        wrap = np.where(skin, np.float32(0.22), np.float32(0.04))
        amount = np.clip((cosine + wrap) / (1 + wrap), 0, 1)
        amount *= lit if number == 0 else 0.6 + 0.4 * open_
        light += amount[..., None] * rgb.astype(np.float32)
        if number == 0:
            edge = np.clip(1 - np.abs(cosine) / 0.25, 0, 1) * skin * lit
            light[..., 0] += 0.06 * edge * np.float32(rgb[0])
        # Blinn: half = (to_eye + towards) / its length, both unit
        length = np.sqrt(np.maximum(2 + 2 * (to_eye @ towards), 1e-6))
        sharp = np.clip((facing + cosine) / length, 0, 1)
        for _ in range(5):  # to the 32nd power
            sharp *= sharp
        gloss += sharp * (lit if number == 0 else 0.7) * np.float32(rgb.mean())
    return albedo * light + (gloss * shine)[..., None]
