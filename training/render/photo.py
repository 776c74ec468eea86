"""From radiance to a photograph: exposure, white balance, tone curve, vignette, then blur, noise, resampling and
JPEG."""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Development:
    """How the picture is taken. All of it acts on the image only, never on the ground truth."""

    exposure: float
    balance: np.ndarray
    contrast: float
    saturation: float
    vignette: float
    background_blur: float  # sigma in parts of the picture's longer side
    blur: float  # sigma in pixels at 512
    motion: float
    noise: float
    grain: float
    shrink: float
    jpeg: int
    grey: bool

    @staticmethod
    def draw(rng: np.random.Generator) -> "Development":
        u = rng.uniform
        return Development(
            exposure=float(np.exp2(rng.normal(0.0, 0.45))),
            balance=np.exp(rng.normal(0, 0.07, 3) * (1, 0.4, 1)),
            contrast=rng.normal(1.0, 0.12),
            saturation=np.clip(rng.normal(1.0, 0.18), 0.4, 1.5),
            vignette=rng.choice([0.0, u(0, 0.6)]),
            background_blur=rng.choice([0.0, u(0.001, 0.012)], p=[0.6, 0.4]),
            blur=rng.choice([0.0, u(0.3, 1.0), u(1.0, 2.2)], p=[0.55, 0.37, 0.08]),
            motion=rng.choice([0.0, u(2, 7)], p=[0.95, 0.05]),
            noise=rng.choice([u(0.0, 0.010), u(0.010, 0.035)], p=[0.8, 0.2]),
            grain=u(0.5, 1.2),
            shrink=rng.choice([1.0, u(0.35, 0.9)], p=[0.8, 0.2]),
            jpeg=int(rng.choice([0, rng.integers(25, 96)], p=[0.25, 0.75])),
            grey=rng.random() < 0.04,
        )

    def develop(self, radiance: np.ndarray, middle: float) -> np.ndarray:
        """Display values 0..1 of linear radiance (H, W, 3), `middle` of which becomes middle grey."""
        height, width = radiance.shape[:2]
        y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)
        gain = np.float32(0.20 * self.exposure / max(middle, 1e-3)) * (
            1 - np.float32(self.vignette) * 0.45 * (x * x + y * y)
        )
        value = radiance * gain[..., None] * self.balance.astype(np.float32)
        value = np.clip(value, 0, None)
        value = value * (1 + value / 5.0) / (1 + value)  # highlights roll off
        value = np.clip(value * 1.18, 0, 1) ** np.float32(1 / 2.2)
        grey = (value @ np.full(3, 1 / 3, np.float32))[..., None]
        value = grey + (value - grey) * np.float32(0.0 if self.grey else self.saturation)
        return np.clip((value - 0.5) * np.float32(self.contrast) + 0.5, 0, 1)

    def wear(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 of display values 0..1, with a camera's and a file's faults."""
        height, width = image.shape[:2]
        unit = max(height, width) / 512
        if self.blur:
            image = cv2.GaussianBlur(image, (0, 0), self.blur * unit)
        if self.motion:
            length = max(3, int(self.motion * unit))
            kernel = np.zeros((length, length), np.float32)
            angle = rng.uniform(0, np.pi)
            reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
            a, b = (length / 2 - reach).astype(int), (length / 2 + reach).astype(int)
            cv2.line(kernel, a.tolist(), b.tolist(), 1.0, 1)
            image = cv2.filter2D(image, -1, kernel / max(kernel.sum(), 1))
        if self.noise:
            noise = rng.standard_normal(image.shape, np.float32)
            if self.grain * unit > 0.6:
                noise = cv2.GaussianBlur(noise, (0, 0), self.grain * unit * 0.5) * (1 + self.grain * unit)
            image = image + noise * np.float32(self.noise) * (0.5 + np.sqrt(np.clip(image, 0, 1)))
        result = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
        if self.shrink < 1:
            small = cv2.resize(result, None, fx=self.shrink, fy=self.shrink, interpolation=cv2.INTER_AREA)
            result = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        if self.jpeg:
            _, code = cv2.imencode(".jpg", result[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.jpeg])
            result = cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1].copy()
        return result


def blurred_behind(image: np.ndarray, mask: np.ndarray, sigma: float) -> np.ndarray:
    """What is not `mask` (H, W) float 0..1, blurred without the colours of what is."""
    share = cv2.GaussianBlur(1 - mask, (0, 0), sigma)
    return cv2.GaussianBlur(image * (1 - mask[..., None]), (0, 0), sigma) / np.maximum(share, 1e-3)[..., None]
