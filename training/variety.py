"""Pictures of scenes varied: by another camera, before a calm backdrop, with something in front."""

from dataclasses import replace

import cv2
import numpy as np

from .scenes import Scene


def photographed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(h, w, 3) uint8 as it is, half of the time, or as another camera might have taken it: light, colour, blur, noise,
    compression. Drawn scenes have a camera of their own already, and small networks have enough to learn."""
    if rng.random() < 0.5:
        return image
    x = image.astype(np.float32)
    if rng.random() < 0.8:
        x = 255 * (np.clip(x, 0, 255) / 255) ** np.float32(np.exp(rng.normal(0, 0.22)))
        x = (x - 128) * np.float32(np.exp(rng.normal(0, 0.18))) + 128 + np.float32(rng.normal(0, 14))
        x *= np.exp(rng.normal(0, 0.07, 3)).astype(np.float32)
    grey = x.mean(axis=2, keepdims=True)
    if rng.random() < 0.06:
        x = np.repeat(grey, 3, axis=2)
    elif rng.random() < 0.5:
        x = grey + (x - grey) * np.float32(rng.uniform(0.5, 1.5))
    if rng.random() < 0.25:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.6))
    elif rng.random() < 0.12:
        small = cv2.resize(x, None, fx=(f := rng.uniform(0.35, 0.8)), fy=f, interpolation=cv2.INTER_AREA)
        x = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.4:
        x = x + rng.standard_normal(x.shape, dtype=np.float32) * np.float32(rng.uniform(1, 14))
    x = np.clip(x, 0, 255).astype(np.uint8)
    if rng.random() < 0.35:
        x = cv2.imdecode(cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])[1], 1)
    return x


def calmed(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene's people before a backdrop of which only its rough colours are left: easier to tell apart."""
    alpha = scene.alpha[..., None].astype(np.float32) / 255
    size = (int(rng.integers(1, 10)),) * 2
    behind = scene.image_rgb * (1 - alpha)
    colours = cv2.resize(np.dstack([behind, 1 - alpha]), size, interpolation=cv2.INTER_AREA).reshape(*size, 4)
    mean = behind.mean((0, 1)) / max(1 - alpha.mean(), 1e-3)
    colours = (colours[..., :3] + 0.02 * mean) / (colours[..., 3:] + 0.02)
    smooth = cv2.resize(colours.astype(np.float32), scene.alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    image = scene.image_rgb * alpha + smooth * (1 - alpha)
    return replace(scene, image_rgb=np.clip(image, 0, 255).astype(np.uint8))


def occlude(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Covers parts of the image, in place, by patches or plain shapes; the (h, w) bool mask of what is covered."""
    height, width = image.shape[:2]
    covered = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(1, 4)):
        size = np.array([width, height]) * rng.uniform(0.04, 0.3, 2)
        middle = rng.uniform(0, [width, height])
        if rng.random() < 0.5:
            corners = cv2.boxPoints((tuple(middle), tuple(size), rng.uniform(0, 180)))
            cv2.fillPoly(covered, [corners.astype(np.int32)], 1)
        else:
            axes = tuple(int(v / 2) + 1 for v in size)
            cv2.ellipse(covered, tuple(int(v) for v in middle), axes, rng.uniform(0, 180), 0, 360, 1, -1)
    mask = covered.astype(bool)
    if rng.random() < 0.5:
        image[mask] = rng.integers(0, 256, 3)
    else:
        image[mask] = np.roll(image, rng.integers(16, width - 16), axis=1)[mask]
    return mask
