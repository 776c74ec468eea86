"""What the controls of the Studio hold when nobody has touched them, by their names."""

from sapiens_mlx.ui import controls

START = {controls.name(task, control): control.readme for task, table in controls.CONTROLS.items() for control in table}
VALUES = START | {
    "style": "readme",
    "foreground": "auto",
    "people": "find",
    "detector": "rtmdet",
    "background": "none",
    "background_colour": "#00b140",
    "boxes": [],
    "box_threshold": 0.3,
    "nms_threshold": 0.3,
    "flip": True,
}
