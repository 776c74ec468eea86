"""WiLoR's camera: weak-perspective of a crop (scale, shift), and from it one pinhole camera for the whole photo.

The camera frame has x to the right, y down and z away from the camera, in the middle of the photo. The formulas are
those of HaMeR (cam_crop_to_full), whose focal length WiLoR has too: 5000 for a crop of 256 pixels. It is that of a very
long lens, so that distances are many metres; see with_focal for another one.
"""

import numpy as np

NETWORK_FOCAL_PX, NETWORK_PX = 5000.0, 256
LEAST_SCALE = 0.01  # a hand as wide as a hundredth of its crop: anything less is no hand, and would be nowhere


def focal_px(photo_hw: tuple[int, int]) -> float:
    """Of the whole photo, in its pixels."""
    return NETWORK_FOCAL_PX / NETWORK_PX * max(photo_hw)


def centre_xy(photo_hw: tuple[int, int]) -> np.ndarray:
    """(2,) float32: where the camera looks, in pixels of the photo from the middle of the first."""
    return np.array([(photo_hw[1] - 1) / 2, (photo_hw[0] - 1) / 2], np.float32)


def translations_m(
    cameras: np.ndarray, centres_xy: np.ndarray, crops_px: np.ndarray, photo_hw: tuple[int, int], focal: float
) -> np.ndarray:
    """Where each hand's own origin lies in the camera frame, (N, 3) float32 in metres.

    Args:
        cameras: (N, 3) of the crops as the network gives them for a right hand: scale, and shift in x and y, in metres.
            A left hand's has the shift in x turned round already.
        centres_xy, crops_px: (N, 2) and (N,), the middle of each crop and its side, in photo pixels.
        focal: of the whole photo, in its pixels.
    """
    scales = np.maximum(cameras[:, 0], LEAST_SCALE)
    pixels_per_metre = crops_px * scales / 2
    shifts = cameras[:, 1:] + (centres_xy - centre_xy(photo_hw)) / pixels_per_metre[:, None]
    return np.concatenate([shifts, (focal / pixels_per_metre)[:, None]], axis=1).astype(np.float32)


def with_focal(translations: np.ndarray, focal: float, other_focal: float) -> np.ndarray:
    """The same hands (N, 3) as a camera with another focal length would have them: nearer or farther, no larger in the
    photo."""
    return translations * np.array([1, 1, other_focal / focal], np.float32)


def project(points: np.ndarray, focal: float, photo_hw: tuple[int, int]) -> np.ndarray:
    """Points (..., 3) of the camera frame, in any unit, as (..., 2) float32 pixels of the photo."""
    points = np.asarray(points, np.float64)  # far away and close together
    flat = focal * points[..., :2] / points[..., 2:]
    return (flat + centre_xy(photo_hw)).astype(np.float32)
