"""Mattes: opacity and colour back at photo size, and a cut-out that gives back what it was made of."""

import numpy as np
import pytest
import rule
from PIL import Image

from sapiens_mlx.__main__ import main
from sapiens_mlx.errors import ImageError, SapiensError
from sapiens_mlx.tasks import background, draw
from sapiens_mlx.tasks.matting import MattingResult, MattingTask

PHOTO = np.random.default_rng(0).integers(0, 256, (150, 90, 3), np.uint8)
RED = (1.0, 0.0, 0.0)
RED_PIXEL = (255, 0, 0)


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


# ---- backgrounds ----------------------------------------------------------------------------------------------------


def over(alpha, behind):
    """Red over `behind`, (H, W, 3) float."""
    return 255 * alpha[..., None] * RED + (1 - alpha[..., None]) * behind


@pytest.mark.parametrize(
    ("colour", "rgb"),
    [("#00b140", (0, 177, 64)), ("navy", (0, 0, 128)), ((1, 2, 250), (1, 2, 250)), ([9, 9, 9], (9,) * 3)],
)
@pytest.mark.parametrize("style", draw.STYLES)
def test_a_colour_is_not_what_lies_behind(colour, rgb, style):
    result = disc_result()
    picture = result.picture(background=colour, style=style)
    assert np.abs(picture - over(result.alpha, np.array(rgb))).max() <= 0.51


def test_a_picture_behind_is_stretched_or_not_cut_in_its_middle(tmp_path):
    wide = np.zeros((50, 300, 3), np.uint8)
    wide[:, 135:165] = (10, 200, 30)  # 30 of 50 rows is the photo's ratio: exactly what stays
    path = tmp_path / "behind.png"
    Image.fromarray(wide).save(path)
    result = disc_result()
    expected = over(result.alpha, np.array((10, 200, 30)))
    for given in (path, str(path), path.read_bytes(), wide, Image.open(path)):
        assert np.abs(result.picture(background=given) - expected).max() <= 0.51


@pytest.mark.parametrize("size_hw", [(20, 30), (150, 90), (3000, 10), (8, 4000)])
def test_a_picture_of_any_size_covers_the_photo(size_hw):
    covering = background.covering(np.full((*size_hw, 3), 77, np.uint8), (150, 90))
    assert covering.shape == (150, 90, 3) and (covering == 77).all()


def test_the_blurred_photo_keeps_its_edges_or_takes_colour_from_people():
    photo = np.zeros((400, 300, 3), np.uint8)
    photo[:, 150:] = (0, 0, 200)
    y, x = np.mgrid[:400, :300]
    alpha = (np.hypot(y - 200, x - 75) < 50).astype(np.float32)
    photo[alpha == 1] = RED_PIXEL
    blurred = background.blurred(photo, alpha)
    assert blurred.shape == photo.shape
    assert blurred[alpha == 0][:, 0].max() <= 2, "red of the person is around it"
    assert 80 < blurred[50, 150, 2] < 120 and blurred[50, 20, 2] < 3 and blurred[50, 280, 2] > 197
    assert (background.blurred(photo, np.ones((400, 300))) != 0).any(), "people all over: their own colours must do"


def test_only_the_background_is_blurred_in_the_picture():
    solid = disc_result().alpha == 1
    assert (disc_result().picture(background="blur", photo_colours=True)[solid] == PHOTO[solid]).all()


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ("nowhere.jpg", SapiensError, "neither a colour nor a file. Give blur, a colour"),
        ("rgb(300,0,0)", SapiensError, "neither a colour nor a file"),
        ((1, 2), SapiensError, "not a colour. Give .* three numbers"),
        ((0, 0, 256), SapiensError, "not a colour"),
        ([1, 2, "x"], SapiensError, "not a colour"),
        (__file__, ImageError, "not an image"),
        (5, SapiensError, "cannot be read from a int"),
    ],
)
def test_a_background_that_is_none_is_a_sentence_and_writes_nothing(tmp_path, given, error, says):
    with pytest.raises(error, match=says):
        disc_result().save(tmp_path / "out", "a", background=given)
    assert not list((tmp_path / "out").iterdir())


def test_the_composite_is_not_among_the_files_or_is_not_the_picture(tmp_path):
    result = disc_result()
    paths = result.save(tmp_path, "a", background="#00b140")
    assert [path.name for path in paths] == ["a_matting.png", "a_matting.npz", "a_composite.png"]
    assert (np.asarray(Image.open(paths[0])) == result.cut_out()).all()
    assert (np.asarray(Image.open(paths[2])) == result.picture(background="#00b140")).all()


@pytest.mark.parametrize(("given", "files"), [("none", 2), ("blur", 3), ("#00b140", 3), ("photo.png", 3)])
def test_the_command_line_writes_no_composite(machine, tiny_size, tmp_path, monkeypatch, capsys, given, files):
    monkeypatch.chdir(tmp_path)
    rule.write_tiny(machine, "matting")
    Image.fromarray(PHOTO).save("photo.png")
    arguments = ["predict", "photo.png", "--task", "matting", "--size", "tiny", "--background", given, "--out", "out"]
    assert main(arguments) == 0
    assert len(list((tmp_path / "out").iterdir())) == files
    if given == "#00b140":
        with np.load("out/photo_matting.npz") as arrays:
            behind = (1 - arrays["alpha"][..., None]) * [0, 177, 64]
            expected = np.clip(255 * arrays["foreground"] + behind, 0, 255)
        assert np.abs(np.asarray(Image.open("out/photo_composite.png")) - expected).max() <= 0.51


def test_a_bad_background_is_told_after_the_network_has_run(machine, tiny_size, tmp_path, monkeypatch, capsys):
    """There are no weights here: whatever came later would be another error."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PHOTO).save("photo.png")
    arguments = ["predict", "photo.png", "--task", "matting", "--size", "tiny", "--background", "gren", "--out", "out"]
    assert main(arguments) == 2
    assert "The background gren is neither a colour nor a file." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
