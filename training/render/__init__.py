"""Drawn people: `draw(seed, size_hw)` gives a picture with exact ground truth for every task, `clip` a moving one."""

from .scene import DrawnPerson, Scene, clip, draw

__all__ = ["DrawnPerson", "Scene", "clip", "draw"]
