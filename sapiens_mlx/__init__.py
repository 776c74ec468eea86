"""Sapiens2 on Apple's MLX: body parts, pose, normals, depth, albedo and mattes from a photo of people.

import sapiens_mlx as sm
result = sm.load("seg", "0.4b")("photo.jpg")
"""

from . import runtime as runtime  # first: on Linux it must load BLAS before mlx.core is imported

__version__ = "0.1.0"
__all__ = ["load"]
