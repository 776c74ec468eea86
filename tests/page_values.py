"""What the controls of the Studio hold when nobody has touched them, by their names."""

from sapiens_mlx import zoo
from sapiens_mlx.ui import controls
from sapiens_mlx.ui.studio import pose_panel

START = {controls.name(task, control): control.readme for task, table in controls.CONTROLS.items() for control in table}
VALUES = START | {
    "photo": None,
    "tasks": [zoo.DEFAULTS.task],
    "size": "demo",
    "level": "fp32",
    "surface": None,
    "view": "slider",
    "place": "",
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
    "hand_crop": "find",
    "hand_threshold": 0.3,
    "hand_iou": 0.5,
    "hand_vertices": True,
    "hand_norms": "package",
    "pose_groups": pose_panel.all_groups(),
    "pose_people": [],
    "pose_find": None,
    "pose_angles": False,
}
