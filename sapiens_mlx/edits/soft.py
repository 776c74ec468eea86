"""The edge of a mask, softened: labels have stairs, and what is changed inside them would show each."""

import cv2
import numpy as np

EDGE_SHARE = 1 / 1600  # sigma, of the longer side: 2.5 px at 12 megapixels
LEAST_SIGMA_PX = 0.7


def soft_edge(mask: np.ndarray, sigma_px: float | None = None) -> np.ndarray:
    """(H, W) bool as coverage, (H, W) uint8 0..255, half of it at the edge.

    Args:
        sigma_px: how soft; default: by the size of the mask, of a whole photo.
    """
    sigma = sigma_px or max(LEAST_SIGMA_PX, EDGE_SHARE * max(mask.shape))
    return cv2.GaussianBlur(np.ascontiguousarray(mask).view(np.uint8) * np.uint8(255), (0, 0), sigma)
