"""Mattes: opacity and colour back at photo size, and a cut-out that gives back what it was made of."""

import numpy as np
import pytest
from PIL import Image

from sapiens_mlx.tasks import draw
from sapiens_mlx.tasks.matting import MattingResult, MattingTask

PHOTO = np.random.default_rng(0).integers(0, 256, (150, 90, 3), np.uint8)
RED = (1.0, 0.0, 0.0)


def red_disc(size_hw=(150, 90)):
    """(H, W, 4): pre-multiplied red and its opacity, soft at the edge."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]] + 0.5
    alpha = np.clip(2.5 - np.hypot(y / size_hw[0] - 0.5, x / size_hw[1] - 0.5) * 8, 0, 1)
    return np.dstack([*(alpha * part for part in RED), alpha]).astype(np.float32)


def disc_result():
    disc = red_disc()
    return MattingResult(PHOTO, disc[..., 3].copy(), disc[..., :3].copy())


def test_the_matte_comes_back_shifted_or_unbounded():
    task = MattingTask()
    fitted = task.fit(PHOTO, (64, 48))[0]
    assert fitted.pixels.shape == (1, 64, 48, 3)
    raw = red_disc((64, 48))[None] * 1.2 - 0.1
    result = task.result([task.decode(raw, fitted)], PHOTO)
    assert result.alpha.shape == (150, 90) and result.foreground.shape == (150, 90, 3)
    assert result.alpha.min() == result.foreground.min() == 0 and result.alpha.max() == result.foreground.max() == 1
    rows, columns = np.nonzero(result.foreground_mask())
    assert abs(rows.mean() - 74.5) < 0.5 and abs(columns.mean() - 44.5) < 0.5


def test_the_cut_out_keeps_its_colour_multiplied():
    rgba = disc_result().cut_out()
    opacity = rgba[..., 3]
    assert (rgba[opacity > 0][:, :3] == (255, 0, 0)).all() and (rgba[opacity == 0] == 0).all()
    assert np.abs(opacity - 255 * disc_result().alpha).max() <= 0.5


@pytest.mark.parametrize(("style", "backdrop"), [("readme", draw.checkerboard((150, 90))), ("reference", draw.GREY)])
def test_the_picture_is_not_the_cut_out_on_its_backdrop(style, backdrop):
    alpha = disc_result().alpha[..., None]
    expected = 255 * alpha * RED + (1 - alpha) * np.broadcast_to(backdrop, (150, 90, 3))
    assert np.abs(disc_result().picture(style=style) - expected).max() <= 1


def test_photo_colours_are_not_the_photos_or_bleed_the_background_in():
    result = disc_result()
    rgba = result.cut_out(photo_colours=True)
    solid, faint = result.alpha == 1, (result.alpha > 0.002) & (result.alpha < 0.02)
    assert (rgba[solid][:, :3] == PHOTO[solid]).all()
    assert np.abs(rgba[faint][:, :3].astype(int) - (255, 0, 0)).max() < 8
    assert (result.picture(photo_colours=True)[solid] == PHOTO[solid]).all()


def test_files_are_missing_or_differ_from_the_result(tmp_path):
    result = disc_result()
    paths = result.save(tmp_path, "a", side_by_side=True)
    assert [path.name for path in paths] == ["a_matting.png", "a_matting.npz", "a_matting_side_by_side.png"]
    assert (np.asarray(Image.open(paths[0])) == result.cut_out()).all()
    with np.load(paths[1]) as arrays:
        assert (arrays["alpha"] == result.alpha).all() and (arrays["foreground"] == result.foreground).all()
    assert (np.asarray(Image.open(paths[2]))[:, -90:] == result.picture()).all()
