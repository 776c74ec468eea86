"""The picture of a pose: points, links and boxes over the photo, in sizes that follow the photo and each person."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from ..errors import SapiensError
from ..zoo import DEFAULTS
from .draw import BLACK, Colour, check_size, draw_text, ink_on, is_reference, line_width_px, text_px, text_size
from .keypoints import GROUPS, WRISTS, in_groups, keypoints
from .label_places import LabelPlaces, Rectangle
from .pose_marks import angle_marks, box_side_px, draw_angles, draw_highlight, draw_note, highlight_mark, mark_text_px

LONE_POINTS: Colour = (255, 225, 25)
LONE_BOX: Colour = (0, 229, 255)
PEOPLE: tuple[Colour, ...] = (
    (255, 225, 25),
    (0, 229, 255),
    (255, 92, 205),
    (140, 240, 60),
    (255, 145, 40),
    (165, 135, 255),
    (255, 85, 85),
    (40, 225, 165),
    (255, 180, 205),
    (90, 165, 255),
)
PARTS: dict[str, Colour] = {
    "body": (255, 225, 25),
    "feet": (255, 145, 40),
    "right_hand": (255, 92, 160),
    "left_hand": (110, 235, 90),
    "face": (110, 215, 255),
}
COLOUR_BY = ("person", "part")

# Size of a group's points as a share of the body's, and the share of the group's own extent that their radius may not
# exceed: 238 points on a face of 40 pixels must stay points.
POINT_SHARE = {"body": 1.0, "feet": 0.8, "right_hand": 0.6, "left_hand": 0.6, "face": 0.5}
POINT_LIMIT = {"right_hand": 0.035, "left_hand": 0.035, "face": 0.0085}
EYES = range(272, 308)  # iris and pupil: 36 points a few pixels apart
EYES_SHARE = 0.5
SMALLEST_RADIUS_PX = 0.55
POINT_RIM = 0.4  # of the radius
LINK_SHARE = 0.75  # width of a link by the radius of its finer end
LINK_RIM = 0.3  # of the width, on either side
FARTHEST_PX = 1e6  # OpenCV's rectangles overflow somewhere beyond


def pose_picture(
    photo_rgb: np.ndarray,
    points_xy: np.ndarray,
    scores: np.ndarray,
    boxes_xyxy: np.ndarray,
    box_scores: np.ndarray,
    *,
    style: str = "readme",
    keypoint_threshold: float = DEFAULTS.keypoint_threshold,
    point_size: float | None = None,
    line_width: float | None = None,
    colour_by: str = "person",
    links: bool = True,
    boxes: bool | None = None,
    people: Sequence[int] | None = None,
    groups: Sequence[str] | None = None,
    highlight: int | None = None,
    angles: bool = False,
    numbers: Sequence[int] | None = None,
) -> np.ndarray:
    """Points, links and boxes over a copy of the photo, (H, W, 3) uint8 RGB.

    Args:
        photo_rgb: (H, W, 3) uint8.
        points_xy: (P, 308, 2) photo pixels.
        scores: (P, 308). A point is drawn when its score is above `keypoint_threshold`, a link when both its ends are.
        boxes_xyxy: (P, 4) photo pixels.
        box_scores: (P,).
        style: "readme": points with a black rim, one colour a person (a single one: yellow, its box cyan).
            "reference": points and links in the reference's colours.
        point_size: diameter of the body's points in photo pixels, the others in proportion; None: follows the photo and
            the person's size, and never so large that a face becomes a blot.
        line_width: of links and boxes, in photo pixels; None: follows the photo and the person's size.
        colour_by: "person" or "part" (body, feet, right hand, left hand, face); in style "readme".
        boxes: None draws them in style "readme" only.
        people: indices of the people to draw; None for all. Colours stay with the person.
        groups: which groups of points are drawn, of keypoints.GROUPS; None for all. A link is drawn where both its ends
            are. The wrists belong to the body and to their hand: arms end and hands begin there.
        highlight: a keypoint by its index: of everybody drawn it is marked with its name, whatever its group and
            however low its score. A score of 0 or less is no place, and is not marked.
        angles: also the joint angles (joint_angles.py) of everybody drawn, whatever the groups.
        numbers: (P,) the number of each person, from 1, as label and for the colour: in a video people keep theirs.
            Default: in their order, and none for somebody alone.

    Raises:
        SapiensError: for an unknown style, `colour_by` or group, a threshold that is not from 0 to 1, a size that is
            not above 0, an index in `people` that is not there, or a `highlight` that is no keypoint.
    """
    rim = not is_reference(style)
    if colour_by not in COLOUR_BY:
        raise SapiensError(f"Points cannot be coloured by {colour_by!r}. Choose one of: {', '.join(COLOUR_BY)}.")
    if not 0 <= keypoint_threshold <= 1:
        raise SapiensError(f"The keypoint threshold is {keypoint_threshold}. Give a number from 0 to 1.")
    for name, size in (("point size", point_size), ("line width", line_width)):
        check_size(name, size)
    count = len(points_xy)
    chosen = range(count) if people is None else people
    for person in chosen:
        if not 0 <= person < count:
            raise SapiensError(f"There is no person {person} among the {count} in this photo. Count from 0.")
    if highlight is not None and not 0 <= highlight < len(keypoints().names):
        raise SapiensError(f"There is no keypoint {highlight}. Give an index from 0 to {len(keypoints().names) - 1}.")
    wanted = in_groups(groups)

    picture = photo_rgb.copy()
    photo_hw = picture.shape[:2]
    boxes = rim if boxes is None else boxes
    box_width = line_width_px(photo_hw) if line_width is None else max(1, round(line_width))
    alone = count == 1 and numbers is None
    own_numbers = range(1, count + 1) if numbers is None else numbers
    box_colours = [LONE_BOX] if alone else [PEOPLE[(number - 1) % len(PEOPLE)] for number in own_numbers]
    # Whoever fills more of the photo is usually nearer, and is drawn over the others.
    in_order = sorted(set(chosen), key=lambda person: box_side_px(boxes_xyxy[person]))
    if boxes:
        for person in in_order:
            _draw_box(picture, boxes_xyxy[person], box_width, box_colours[person])
    for person in in_order:
        shown = scores[person] > keypoint_threshold
        if point_size is None:
            radii = point_radii(photo_hw, points_xy[person], shown, boxes_xyxy[person])
        else:
            radii = _in_proportion(point_size / 2)
        shown = shown & wanted  # after the radii, which do not change with the groups
        colour = LONE_POINTS if alone else box_colours[person]
        point_colours, link_colours = _colours(style, colour_by, colour)
        if links:
            widths = _link_widths(radii, line_width)
            _draw_links(picture, points_xy[person], shown, widths, link_colours, rim)
        _draw_points(picture, points_xy[person], shown, radii, point_colours, rim)
    taken: list[Rectangle] = []
    if boxes:
        for person in sorted(in_order, key=lambda person: boxes_xyxy[person][1]):
            texts = _label_texts(None if alone else own_numbers[person], float(box_scores[person]))
            _draw_label(picture, boxes_xyxy[person], texts, box_colours[person], taken)
    if angles or highlight is not None:
        own = {person: LONE_POINTS if alone else box_colours[person] for person in in_order}
        body = [points_xy[person][in_groups(["body"]) & (scores[person] > keypoint_threshold)] for person in in_order]
        places = LabelPlaces(photo_hw, np.concatenate([np.empty((0, 2)), *body]), taken)
        _draw_marks(picture, points_xy, scores, boxes_xyxy, keypoint_threshold, own, highlight, angles, places)
    return picture


# ---- sizes and colours ----------------------------------------------------------------------------------------------


def point_radii(
    photo_hw: tuple[int, int], points_xy: np.ndarray, shown: np.ndarray, box_xyxy: np.ndarray
) -> np.ndarray:
    """(308,) radii in photo pixels: for the body by the photo or the person's box, whichever asks for less."""
    radii = _in_proportion(min((photo_hw[0] * photo_hw[1]) ** 0.5 / 220, box_side_px(box_xyxy) / 60))
    for group, limit in POINT_LIMIT.items():
        members = [index for index in GROUPS[group] if index not in WRISTS]
        seen = points_xy[members][shown[members]]
        if len(seen):
            # Between the sixths, so that a point or two astray do not count.
            extent = np.hypot(*(np.quantile(seen, 5 / 6, axis=0) - np.quantile(seen, 1 / 6, axis=0)))
            radii[members] = np.minimum(radii[members], limit * extent)
    radii[EYES] *= EYES_SHARE
    return np.maximum(radii, SMALLEST_RADIUS_PX)


def _in_proportion(body: float) -> np.ndarray:
    """(308,) radii, those of the body's points being `body`."""
    shares = np.array([POINT_SHARE[group] for group in keypoints().groups])
    shares[list(WRISTS)] = POINT_SHARE["body"]
    return body * shares


def _link_widths(radii: np.ndarray, line_width: float | None) -> np.ndarray:
    """(65,) widths in photo pixels: in proportion to the finer of both ends; with `line_width`, the widest has that."""
    finer = radii[keypoints().links].min(axis=1)
    if line_width is None:
        return LINK_SHARE * finer
    return line_width * finer / finer.max()


def _link_group(first: int, second: int) -> str:
    """The part a link belongs to: a forearm to the body, though the wrist counts to the hand; a foot's links to it."""
    groups = keypoints().groups
    of_both = {str(groups[first]), str(groups[second])}
    if len(of_both) == 1:
        return of_both.pop()
    return "feet" if "feet" in of_both else "body"


def _colours(style: str, colour_by: str, own: Colour) -> tuple[np.ndarray, np.ndarray]:
    """Colours of the points (308, 3) and of the links (65, 3), uint8 RGB, of a person whose own colour is `own`."""
    table = keypoints()
    if style == "reference":
        return table.colours, table.link_colours
    if colour_by == "person":
        one = np.array(own, np.uint8)
        return np.tile(one, (len(table.names), 1)), np.tile(one, (len(table.links), 1))
    points = np.array([PARTS[group] for group in table.groups], np.uint8)
    return points, np.array([PARTS[_link_group(*link)] for link in table.links], np.uint8)


# ---- drawing --------------------------------------------------------------------------------------------------------


def _draw_links(
    picture: np.ndarray, points_xy: np.ndarray, shown: np.ndarray, widths: np.ndarray, colours: np.ndarray, rim: bool
) -> None:
    """One person's links, in place: all black edges first, so that none cuts through another link."""
    links = keypoints().links
    drawn = [index for index, (a, b) in enumerate(links) if shown[a] and shown[b]]
    if rim:
        for index in drawn:
            start, end = points_xy[links[index]]
            draw_line(picture, start, end, widths[index] * (1 + 2 * LINK_RIM), BLACK)
    for index in drawn:
        start, end = points_xy[links[index]]
        draw_line(picture, start, end, widths[index], colours[index])


def _draw_points(
    picture: np.ndarray, points_xy: np.ndarray, shown: np.ndarray, radii: np.ndarray, colours: np.ndarray, rim: bool
) -> None:
    """One person's points, in place: the fine ones first, under the joints of the body."""
    for index in sorted(np.flatnonzero(shown), key=lambda index: radii[index]):
        draw_disc(picture, points_xy[index], radii[index], colours[index], POINT_RIM * radii[index] if rim else 0.0)


def draw_disc(picture: np.ndarray, xy: np.ndarray, radius: float, colour: np.ndarray, rim: float) -> None:
    """A disc, and a black rim of width `rim` around it, in place; exact in fractions of a pixel.

    OpenCV's small circles are square and its lines have whole widths, which shows below 4 pixels.
    """
    reach = radius + rim + 1
    x0, y0 = float(xy[0]), float(xy[1])
    left, right = max(0, int(x0 - reach)), min(picture.shape[1], int(x0 + reach) + 2)
    top, bottom = max(0, int(y0 - reach)), min(picture.shape[0], int(y0 + reach) + 2)
    if left >= right or top >= bottom:
        return
    distance = np.hypot(np.arange(left, right) - x0, (np.arange(top, bottom) - y0)[:, None])[..., None]
    inner = np.clip(radius + 0.5 - distance, 0, 1)
    outer = np.clip(radius + rim + 0.5 - distance, 0, 1)
    place = picture[top:bottom, left:right]
    place[:] = np.rint(place * (1 - outer) * (1 - inner) + colour * inner)


def draw_line(
    picture: np.ndarray, start_xy: np.ndarray, end_xy: np.ndarray, width: float, colour: Sequence[int] | np.ndarray
) -> None:
    """A line with round ends, in place, each pixel by its exact distance; only pixels near the line are looked at."""
    start, end = np.asarray(start_xy, np.float64), np.asarray(end_xy, np.float64)
    if abs(end[1] - start[1]) > abs(end[0] - start[0]):  # walk along the longer side
        picture, start, end = picture.transpose(1, 0, 2), start[::-1], end[::-1]
    if start[0] > end[0]:
        start, end = end, start
    reach = width / 2 + 1
    along = np.arange(max(0, int(start[0] - reach)), min(picture.shape[1], int(end[0] + reach) + 2))
    run = end - start
    slope = run[1] / run[0] if run[0] else 0.0
    middle = start[1] + slope * (np.clip(along, start[0], end[0]) - start[0])
    across = np.arange(
        -int(1.5 * reach) - 1, int(1.5 * reach) + 2
    )  # at 45 degrees a line is 1.41 times as high as wide
    x = np.broadcast_to(along, (len(across), len(along)))
    y = np.rint(middle).astype(int) + across[:, None]
    inside = (y >= 0) & (y < picture.shape[0])
    x, y = x[inside], y[inside]
    nearest = np.clip(((x - start[0]) * run[0] + (y - start[1]) * run[1]) / max(run @ run, 1e-12), 0, 1)
    distance = np.hypot(x - start[0] - nearest * run[0], y - start[1] - nearest * run[1])
    cover = np.clip(width / 2 + 0.5 - distance, 0, min(1, width))[:, None]
    picture[y, x] = np.rint(picture[y, x] * (1 - cover) + np.asarray(colour, np.float64) * cover)


def _draw_marks(
    picture: np.ndarray,
    points_xy: np.ndarray,
    scores: np.ndarray,
    boxes_xyxy: np.ndarray,
    keypoint_threshold: float,
    colours: Mapping[int, Colour],
    highlight: int | None,
    angles: bool,
    places: LabelPlaces,
) -> None:
    """The joint angles and the keypoint that is looked for, in place, of the people who have a colour.

    What is looked for takes its place first, and is drawn last."""
    photo_hw = picture.shape[:2]
    font_px = {person: mark_text_px(photo_hw, boxes_xyxy[person]) for person in colours}
    if angles:
        places.taken.append(draw_note(picture))
    found = []
    if highlight is not None:
        for person, colour in colours.items():
            xy, score = points_xy[person, highlight], float(scores[person, highlight])
            found.append(highlight_mark(photo_hw, xy, highlight, score, colour, font_px[person], places))
    if angles:
        marks = [
            mark
            for person, colour in colours.items()
            for mark in angle_marks(
                photo_hw, points_xy[person], scores[person], keypoint_threshold, colour, font_px[person]
            )
        ]
        draw_angles(picture, marks, places)
    for one in found:
        if one is not None:
            draw_highlight(picture, one)


def _draw_box(picture: np.ndarray, box_xyxy: np.ndarray, width: int, colour: Colour) -> None:
    x1, y1, x2, y2 = (int(v) for v in np.clip(np.rint(box_xyxy), -FARTHEST_PX, FARTHEST_PX))
    cv2.rectangle(picture, (x1, y1), (x2, y2), colour, width)


def _label_texts(number: int | None, score: float) -> tuple[str, ...]:
    """What may stand at a person's box, the longest first. Somebody alone has no number."""
    if number is None:
        return f"person {score:.2f}", f"{score:.2f}"
    return f"person {number} {score:.2f}", f"{number}  {score:.2f}", f"{number}"


def _draw_label(
    picture: np.ndarray,
    box_xyxy: np.ndarray,
    texts: tuple[str, ...],
    colour: Colour,
    taken: list[Rectangle],
) -> None:
    """The first of `texts` that is no wider than the box, above its left corner or lower where others stand. In place.

    `taken` holds the labels drawn so far; this one is added.
    """
    px = text_px(picture.shape[:2])
    height = round(1.5 * px)
    widths = [text_size(text, px)[0] + px // 2 for text in texts]
    fits = [index for index, width in enumerate(widths) if width <= box_xyxy[2] - box_xyxy[0]]
    chosen = fits[0] if fits else -1
    left, bottom = max(0.0, box_xyxy[0]), max(height, box_xyxy[1])
    right = left + widths[chosen]
    for other_left, _, other_right, other_bottom in sorted(taken, key=lambda label: label[3]):
        if left < other_right and right > other_left and abs(bottom - other_bottom) < height:
            bottom = other_bottom + height
    taken.append((left, bottom - height, right, bottom))
    draw_text(picture, texts[chosen], (left, bottom), px, ink_on(colour), colour, anchor="lb")
