"""Text, panels and patterns: they stay inside the picture, follow its size, and touch nothing else."""

import numpy as np
import pytest

from sapiens_mlx.errors import SapiensError
from sapiens_mlx.tasks import draw

GREY = 90
SIZES_HW = [(300, 400), (1200, 800), (3000, 4000)]
RAMP = np.linspace(0, 255, 256).astype(np.uint8)[:, None].repeat(3, axis=1)


def canvas(size_hw=(200, 300)):
    return np.full((*size_hw, 3), GREY, np.uint8)


def changed(image):
    """Bounding box of what was drawn: (left, top, right, bottom), or None."""
    rows, columns = np.nonzero((image != GREY).any(-1))
    return (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if rows.size else None


def test_lines_and_text_do_not_grow_with_the_picture():
    assert [draw.line_width_px(size) for size in SIZES_HW] == [1, 2, 9]
    assert [draw.text_px(size) for size in SIZES_HW] == [11, 22, 77]


ANCHORS = [("lt", (150, 100)), ("mm", (150, 100)), ("rb", (150, 100))]


@pytest.mark.parametrize(("anchor", "xy"), ANCHORS)
def test_a_label_is_not_where_its_anchor_says(anchor, xy):
    image = canvas()
    draw.draw_text(image, "person 0.93", xy, 20, draw.BLACK, background=(0, 255, 0), anchor=anchor)
    left, top, right, bottom = changed(image)
    width, height = right - left, bottom - top
    expected = {"l": left, "m": left + width / 2, "r": right}[anchor[0]], {"t": top, "m": top + height / 2, "b": bottom}
    assert abs(expected[0] - xy[0]) <= 1 and abs(expected[1][anchor[1]] - xy[1]) <= 1
    text_w, text_h = draw.text_size("person 0.93", 20)
    assert text_w < width <= text_w + 12 and text_h < height <= text_h + 8


@pytest.mark.parametrize("xy", [(-500, -500), (1000, 1000), (299, 0), (0, 199)])
def test_a_label_leaves_the_picture(xy):
    inside, alone = canvas(), canvas()
    draw.draw_text(inside, "left hand", xy, 20, draw.WHITE, background=(255, 0, 0))
    draw.draw_text(alone, "left hand", (100, 100), 20, draw.WHITE, background=(255, 0, 0))
    assert (inside != GREY).any(-1).sum() == (alone != GREY).any(-1).sum()


def test_a_label_wider_than_the_picture_is_an_error():
    image = canvas((12, 30))
    draw.draw_text(image, "much wider than that", (0, 0), 20, draw.WHITE, background=draw.BLACK)
    assert (image != GREY).any()


@pytest.mark.parametrize(
    ("colour", "ink"), [((255, 255, 0), draw.BLACK), ((0, 0, 160), draw.WHITE), ((0, 255, 0), draw.BLACK)]
)
def test_ink_cannot_be_read_on_its_colour(colour, ink):
    assert draw.ink_on(colour) == ink


def test_side_by_side_resamples_the_photo_or_loses_the_picture():
    photo, picture = canvas((60, 40)), canvas((60, 50)) + 9
    both = draw.side_by_side(photo, picture)
    assert (both[:, :40] == photo).all() and (both[:, -50:] == picture).all() and both.shape[1] > 90
    assert draw.side_by_side(photo, canvas((30, 25))).shape == both.shape


def test_the_checkerboard_is_not_a_checkerboard():
    board = draw.checkerboard((600, 500))[..., 0].astype(int)
    cell = np.flatnonzero(np.diff(board[0]))[0] + 1
    assert len(np.unique(board)) == 2 and board[0, 0] == 255
    assert (board[0, :cell] != board[0, cell]).all() and (board[cell, :cell] == board[0, cell]).all()


def test_blend_rounds_or_weighs_wrongly():
    assert (draw.blend(canvas(), canvas() + 100, 0.25) == GREY + 25).all()


def test_a_mask_that_is_a_view_cuts_the_wrong_place():
    mask = np.zeros((300, 200), bool)
    mask[:50] = True
    cut = draw.cut_to(canvas(), mask.T, (1, 2, 3))
    assert (cut[:, :50] == GREY).all() and (cut[:, 50:] == (1, 2, 3)).all()
    whole = canvas()
    assert draw.cut_to(whole, None, (1, 2, 3)) is whole


PARTS = [((255, 0, 0), f"part {index}", "1.2 %") for index in range(28)]


@pytest.mark.parametrize("size_hw", [*SIZES_HW[:2], (4000, 40), (8, 8), (8, 400), (15, 400)])
@pytest.mark.parametrize("count", [0, 1, 28])
def test_a_legend_hides_the_picture(size_hw, count):
    image = canvas(size_hw)
    draw.legend(image, PARTS[:count])
    box = changed(image)
    if count == 0 or min(size_hw) < 100:
        assert box is None
    else:
        assert (box[2] - box[0]) <= 0.7 * size_hw[1] and (box[3] - box[1]) <= 0.75 * size_hw[0] + 10
        assert (image == (255, 0, 0)).all(-1).sum() >= 30  # swatches


CORNERS = [(np.s_[100:, :150], "tl"), (np.s_[:, :150], "br"), (np.s_[:100], "bl"), (np.s_[100:], "tl")]


@pytest.mark.parametrize(("people", "corner"), CORNERS)
def test_a_panel_covers_people_where_it_need_not(people, corner):
    busy = np.zeros((200, 300), bool)
    busy[people] = True
    for draw_panel in (
        lambda image: draw.legend(image, PARTS[:2], busy=busy),
        lambda image: draw.colour_bar(image, RAMP, "", ("a", "b"), ("1", "2"), busy=busy),
    ):
        image = canvas((200, 300))
        draw_panel(image)
        left, top, right, bottom = changed(image)
        found = ("t" if top < 200 - bottom else "b") + ("l" if left < 300 - right else "r")
        assert found == corner


@pytest.mark.parametrize("size_hw", SIZES_HW[:2])
def test_a_colour_bar_runs_the_wrong_way(size_hw):
    image = canvas(size_hw)
    draw.colour_bar(image, RAMP, "depth", ("near", "far"), ("0.5 m", "1.5 m", "2.5 m"))
    left, top, right, bottom = changed(image)
    bar = image[round(top + 0.5 * (bottom - top)), left:right, 0].astype(int)
    grown = bar[(right - left) // 4 : -(right - left) // 4]
    assert grown[0] < 100 and grown[-1] > 150 and (np.diff(grown) >= 0).all()


def test_an_unknown_style_passes():
    with pytest.raises(SapiensError, match=r"'fancy'.*readme, reference"):
        draw.is_reference("fancy")


@pytest.mark.parametrize("other", [np.zeros((2, 3, 3), np.uint8), np.zeros((200, 300, 3), np.float32)])
def test_another_photo_is_drawn_on(other):
    with pytest.raises(SapiensError, match="belongs to one of"):
        draw.backdrop(other, canvas())
