"""What the tests of comparisons share: a photo, tasks, and the order of what was computed."""

import numpy as np

PHOTO = np.random.default_rng(0).integers(0, 255, (90, 130, 3), np.uint8)
COMPARED = ("seg", "pose", "normal", "pointmap", "albedo", "matting")


def names(entries):
    return [str(entry.variant) for entry in entries]
