"""A picture as a JPEG inside an address, for what changes several times a second: no file is written."""

import base64

import numpy as np

QUALITY = 85


def address(picture_rgb: np.ndarray) -> str:
    """(H, W, 3) uint8 as a data URL."""
    import cv2  # which the page does without until its first run

    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(picture_rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}"
