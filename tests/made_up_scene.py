"""A scene for the tests of training, small and without a renderer."""

import numpy as np

from training import scenes


def made_up_scene(height: int = 120, width: int = 90) -> scenes.Scene:
    """A flat person of one class on a plane at 2 m, whose right half's normals point right."""
    labels = np.zeros((height, width), np.uint8)
    labels[20:100, 30:60] = 15  # the right hand
    normals = np.zeros((height, width, 3), np.int8)
    normals[..., 2] = 127
    normals[:, width // 2 :] = (127, 0, 0)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    keypoints = np.zeros((1, 308, 2), np.float32)
    keypoints[0] = np.random.default_rng(1).uniform((30, 20), (60, 100), (308, 2))
    return scenes.Scene(
        image_rgb=image,
        labels=labels,
        normals=normals,
        depth_m=np.full((height, width), 2, np.float16),
        albedo_rgb=image,
        alpha=255 * (labels > 0).astype(np.uint8),
        foreground_rgb=image * (labels > 0)[..., None],
        boxes_xyxy=np.array([[30, 20, 59, 99]], np.float32),
        keypoints=keypoints,
        visible=np.ones((1, 308), bool),
        focal_px=np.float32(100),
    )
