"""The arguments of the command line for clips, beside those for photos, and what they choose."""

import argparse
from typing import Any

from .. import zoo
from .choices import FRAMES_PER_S, VIEWS, ClipChoices


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds a group "video" to the parser of a command that takes clips."""
    group = parser.add_argument_group("video")
    group.add_argument("--view", choices=VIEWS, help="what a video shows (overlay; side-by-side with --side-by-side)")
    group.add_argument("--clip", action="store_true", help="take a folder of pictures as the frames of one clip")
    group.add_argument("--first-frame", type=int, default=0, metavar="N", help="counted from 0 (0)")
    group.add_argument("--last-frame", type=int, metavar="N", help="this one included (the last)")
    group.add_argument("--every", type=int, default=1, metavar="N", help="take every N-th frame (1)")
    group.add_argument("--longest-side", type=int, metavar="PX", help="scale frames down to this (their own size)")
    group.add_argument(
        "--detect-every", type=int, default=1, metavar="N", help="look for people in every N-th frame taken (1)"
    )
    group.add_argument(
        "--segment", type=int, default=30, metavar="N", help="write so many frames at a time: a kill costs no more (30)"
    )
    group.add_argument(
        "--frames-per-second",
        type=float,
        default=FRAMES_PER_S,
        metavar="R",
        help=f"of a folder of frames ({FRAMES_PER_S})",
    )
    group.add_argument("--no-sound", action="store_true", help="leave the sound of the clip out")
    group.add_argument("--no-charts", action="store_true", help="no joint angles over time, of pose")


def choices_of(
    options: argparse.Namespace, background: Any = None, mesh_opacity: float = zoo.DEFAULTS.mesh_opacity
) -> ClipChoices:
    """What was chosen for clips, with `--style`, `--keypoint-threshold` and `--side-by-side` as for photos.

    Raises:
        SapiensError: for a value that cannot be.
    """
    return ClipChoices(
        view=options.view or ("side-by-side" if options.side_by_side else "overlay"),
        first_frame=options.first_frame,
        last_frame=options.last_frame,
        every=options.every,
        longest_side=options.longest_side,
        detect_every=options.detect_every,
        segment=options.segment,
        frames_per_s=options.frames_per_second,
        style=options.style,
        keypoint_threshold=options.keypoint_threshold,
        background=background,
        mesh_opacity=mesh_opacity,
        charts=not options.no_charts,
        sound=not options.no_sound,
    )
