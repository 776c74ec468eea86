"""Flat patterns for cloth, walls, floors and things: tiles of linear RGB drawn at random, looked up by u and v; and
noise."""

from functools import cache

import cv2
import numpy as np

SIZE = 256  # pixels of a tile's side


def linear(srgb: np.ndarray) -> np.ndarray:
    """Display values 0..1 to reflectance, by the plain 2.2 power all colours here use."""
    return np.clip(srgb, 0, None) ** 2.2


def draw_colour(rng: np.random.Generator, bright: float | None = None, vivid: float = 0.2) -> np.ndarray:
    """A colour of things, (3,) linear: mostly muted, black, white and grey often, `vivid` with that chance."""
    saturation = rng.choice(
        [0.06 * rng.random(), rng.beta(2, 4), rng.uniform(0.6, 1)], p=[0.375 * (1 - vivid), 0.625 * (1 - vivid), vivid]
    )
    value = rng.beta(1.5, 1.4) if bright is None else bright
    hue = rng.choice([rng.random(), rng.normal(0.07, 0.05), rng.normal(0.6, 0.06)], p=[0.5, 0.25, 0.25]) % 1
    hsv = np.float32([[[hue * 360, saturation, 0.03 + 0.93 * value]]])
    return linear(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0])


def fractal(rng: np.random.Generator, size: int = SIZE, slope: float = 1.0, stretch: float = 1.0) -> np.ndarray:
    """(size, size) float32 noise that repeats, 0..1, its spectrum falling with the frequency to the power `slope` (to a
    fifth). One of a few made once, shifted and turned at random."""
    noise = _fractal(size, round(slope * 5) / 5, stretch, int(rng.integers(4)))
    noise = np.roll(noise, tuple(rng.integers(0, size, 2)), (0, 1))
    return noise[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]


@cache
def _fractal(size: int, slope: float, stretch: float, variant: int) -> np.ndarray:
    rng = np.random.default_rng([variant, size, round(slope * 5)])
    fy, fx = np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij")
    radius = np.hypot(fy * stretch, fx)
    radius[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((size, size), np.float32)) / radius**slope
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, (size, size))
    return np.clip(0.5 + 0.22 * noise / noise.std(), 0, 1).astype(np.float32)


def _blend(mask: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first + (second - first) * mask[..., None]).astype(np.float32)


def _waves(rng: np.random.Generator, across: np.ndarray, count: int) -> np.ndarray:
    duty = rng.uniform(0.2, 0.7)
    return ((across * count) % 1 < duty).astype(np.float32)


def cloth(rng: np.random.Generator) -> np.ndarray:
    """A pattern for clothes, (SIZE, SIZE, 3) linear; u and v of 1 are a quarter of a metre."""
    v, u = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE
    first, second, third = (draw_colour(rng) for _ in range(3))
    kind = rng.choice(
        ["plain", "melange", "stripes", "checks", "dots", "leaves", "camouflage", "denim", "marks"],
        p=[0.36, 0.12, 0.11, 0.09, 0.05, 0.09, 0.05, 0.09, 0.04],
    )
    tile = np.broadcast_to(first.astype(np.float32), (SIZE, SIZE, 3)).copy()
    if kind == "melange":
        tile = _blend(fractal(rng, slope=0.6), first, second * 0.5 + first * 0.5)
    elif kind == "stripes":
        across = v if rng.random() < 0.6 else u
        tile = _blend(_waves(rng, across, int(rng.choice([2, 3, 4, 6, 8, 12]))), first, second)
        if rng.random() < 0.4:
            tile = _blend(_waves(rng, across + 0.3, int(rng.choice([1, 2, 4]))) * 0.8, tile, third)
    elif kind == "checks":
        count = int(rng.choice([2, 3, 4, 6, 10]))
        tile = _blend(_waves(rng, u, count) * 0.5 + _waves(rng, v, count) * 0.5, first, second)
        if rng.random() < 0.5:
            tile = _blend(((u * count + 0.2) % 1 < 0.06) | ((v * count + 0.2) % 1 < 0.06), tile, third)
    elif kind == "dots":
        count, radius = int(rng.choice([3, 5, 8, 12])), rng.uniform(0.15, 0.4)
        tile = _blend(np.hypot((u * count) % 1 - 0.5, (v * count) % 1 - 0.5) < radius, first, second)
    elif kind == "leaves":
        tile = leaves(rng, [first, second, third, draw_colour(rng)], 120, 0.16)
    elif kind == "camouflage":
        noise = fractal(rng, slope=1.6)
        tile = _blend(noise > 0.5, first, second)
        tile = _blend(fractal(rng, slope=1.6) > 0.6, tile, third)
    elif kind == "denim":
        blue = linear(np.array([0.25, 0.35, 0.5]) * rng.uniform(0.5, 1.4))
        tile = _blend(fractal(rng, slope=0.4, stretch=4), blue * 0.75, blue * 1.25)
    elif kind == "marks":
        tile = writing(rng, tile, second, 8)
    return tile * (0.93 + 0.14 * fractal(rng, slope=0.5)[..., None])


def leaves(
    rng: np.random.Generator, colours: list[np.ndarray], count: int, largest: float, size: int = SIZE
) -> np.ndarray:
    """Shapes of all sizes over one another ("dead leaves"), which have the statistics of photographs."""
    tile = np.empty((size, size, 3), np.float32)
    tile[:] = colours[0]
    radii = np.sort(largest * size * rng.uniform(0.02, 1, count) ** 2.0)[::-1]
    for radius in radii:
        colour = colours[rng.integers(len(colours))] * rng.uniform(0.6, 1.3)
        x, y = rng.uniform(0, size, 2)
        shape = rng.integers(3)
        if shape == 0:
            cv2.ellipse(
                tile,
                (int(x), int(y)),
                (int(radius) + 1, int(radius * rng.uniform(0.3, 1)) + 1),
                rng.uniform(0, 180),
                0,
                360,
                colour.tolist(),
                -1,
            )
        else:
            corners = 4 if shape == 1 else int(rng.integers(3, 7))
            angle = (
                np.sort(rng.uniform(0, 2 * np.pi, corners))
                if shape == 2
                else np.arange(4) * np.pi / 2 + rng.choice([0.785, rng.uniform(0, 3)])
            )
            reach = radius * (rng.uniform(0.5, 1.2, corners) if shape == 2 else 1)
            points = np.stack([x + reach * np.cos(angle), y + reach * np.sin(angle) * rng.uniform(0.4, 1.5)], -1)
            cv2.fillPoly(tile, [points.astype(np.int32)], colour.tolist())
    return tile


def writing(rng: np.random.Generator, tile: np.ndarray, colour: np.ndarray, count: int) -> np.ndarray:
    """Letters and signs on a tile."""
    mask = np.zeros(tile.shape[:2], np.uint8)
    for _ in range(count):
        text = "".join(rng.choice(list("ABCDEFGHKLMNOPRSTUVWXYZ0123456789"), rng.integers(1, 7)))
        at = (int(rng.integers(0, SIZE)), int(rng.integers(20, SIZE)))
        cv2.putText(mask, text, at, int(rng.integers(0, 5)), rng.uniform(0.5, 2.2), 255, int(rng.integers(1, 5)))
    return _blend(mask / np.float32(255), tile, colour)


def surface(rng: np.random.Generator, kind: str | None = None) -> np.ndarray:
    """A pattern for walls, floors and things, (SIZE, SIZE, 3) linear; it repeats."""
    kind = kind or rng.choice(
        ["plain", "plaster", "bricks", "planks", "tiles", "leaves", "foliage", "marble", "grass", "stripes", "cloth"],
        p=[0.12, 0.18, 0.07, 0.13, 0.08, 0.13, 0.09, 0.06, 0.04, 0.04, 0.06],
    )
    v, u = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE
    first, second = draw_colour(rng, vivid=0.07), draw_colour(rng, vivid=0.07)
    if kind == "cloth":
        return cloth(rng)
    if kind == "plain":
        return np.broadcast_to(first, (SIZE, SIZE, 3)).astype(np.float32) * (0.95 + 0.1 * fractal(rng)[..., None])
    if kind in ("plaster", "marble"):
        noise = fractal(rng, slope=rng.uniform(0.6, 1.5) if kind == "plaster" else 1.4)
        if kind == "marble":
            noise = np.abs(np.sin(6 * noise + 4 * np.pi * (u + v))) ** 0.5
        return _blend(noise, first, first * 0.6 + second * 0.4)
    if kind in ("bricks", "planks", "tiles"):
        rows, columns, gap = {"bricks": (8, 4, 0.06), "planks": (1, 6, 0.03), "tiles": (4, 4, 0.04)}[kind]
        if kind == "planks":
            first = linear(np.array([0.62, 0.45, 0.30]) * rng.uniform(0.4, 1.3) * rng.uniform(0.85, 1.15, 3))
            second = first * 0.4
        row = np.floor(v * rows)
        shift = 0.5 * (row % 2) if kind == "bricks" else 0
        cell = (row * 7 + np.floor(u * columns + shift) * 13).astype(int) % 64
        tone = rng.uniform(0.75, 1.25, 64).astype(np.float32)[cell]
        grain = fractal(rng, slope=0.8, stretch=0.08 if kind == "planks" else 1.0)
        tile = first * (tone * (0.75 + 0.5 * grain))[..., None]
        seam = ((u * columns + shift) % 1 < gap) | ((v * rows) % 1 < gap * (rows > 1))
        return _blend(seam, tile, second)
    if kind in ("foliage", "grass"):
        base = linear(np.array([0.30, 0.36, 0.19]) * rng.uniform(0.5, 1.25) * rng.uniform(0.85, 1.15, 3))
        if kind == "grass":
            return _blend(fractal(rng, slope=0.5, stretch=0.5), base * 0.4, base * 1.6)
        return leaves(
            rng, [base * k for k in (0.15, 0.5, 1.0, 1.6)] + [draw_colour(rng)] * (rng.random() < 0.3), 500, 0.09
        )
    if kind == "stripes":
        return _blend(_waves(rng, u if rng.random() < 0.5 else v, int(rng.choice([1, 2, 4, 8]))), first, second)
    return leaves(rng, [draw_colour(rng) for _ in range(6)], 260, rng.uniform(0.1, 0.4)) * (
        0.8 + 0.4 * fractal(rng)[..., None]
    )


def look_up(tile: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Tile colours (N, 3) float32 at u, v (N,), which repeat every 1, bilinear."""
    size = tile.shape[0]
    count = len(u)
    if not count:
        return np.zeros((0, 3), np.float32)
    width = min(count, 4096)
    padded = np.zeros((2, -(-count // width) * width), np.float32)
    padded[0, :count], padded[1, :count] = u, v
    padded -= np.floor(padded)
    padded *= size
    found = cv2.remap(
        tile, padded[0].reshape(-1, width), padded[1].reshape(-1, width), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    return found.reshape(-1, 3)[:count]


_GRAIN = np.random.default_rng(7).random(1 << 18, np.float32)


def grain(points: np.ndarray, cells_per_metre: float) -> np.ndarray:
    """Blocky noise (N,) 0..1 of the place (N, 3) itself."""
    cell = np.floor(points * np.float32(cells_per_metre)).astype(np.int32)
    key = (cell[:, 0] * 73856093) ^ (cell[:, 1] * 19349663) ^ (cell[:, 2] * 83492791)
    return _GRAIN[key & ((1 << 18) - 1)]


class Ripples:
    """Smooth noise of the place: a few warped waves drawn at random, about -1..1."""

    def __init__(
        self,
        rng: np.random.Generator,
        wavelength: float,
        stretch: tuple[float, float, float] = (1, 1, 1),
        waves: int = 5,
    ):
        vectors = rng.standard_normal((waves, 3)) * np.array(stretch)
        self.vectors = (2 * np.pi / wavelength * vectors / np.sqrt(3)).astype(np.float32)
        self.phases = rng.uniform(0, 2 * np.pi, waves).astype(np.float32)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        total, warp = np.zeros(len(points), np.float32), 0.0
        for vector, phase in zip(self.vectors, self.phases, strict=True):
            wave = np.sin(points @ vector + phase + warp)
            warp = 1.5 * wave
            total += wave
        return total / np.float32(np.sqrt(len(self.phases)))
