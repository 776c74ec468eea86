"""Body parts: labels as the reference has them, at any photo size and in little memory; pictures and files of them."""

import tracemalloc

import cv2
import numpy as np
import pytest
from fixtures import COMPLETE, SMALL, Cases, photo_of
from PIL import Image

from sapiens_mlx.errors import SapiensError
from sapiens_mlx.tasks import seg

RANDOM = np.random.default_rng(0)


def noise_logits(size_hw=(32, 24), blur=0.0):
    logits = RANDOM.standard_normal((*size_hw, 29)).astype(np.float32)
    return (
        np.dstack([cv2.GaussianBlur(plane, (0, 0), blur) for plane in np.moveaxis(logits, -1, 0)]) if blur else logits
    )


def check_reference(cases, tag):
    fitted = cases.fitted("seg", tag)
    labels, _ = seg.SegTask().decode(cases.raw("seg.logits"), fitted)
    clear = cases.tensors[f"seg.margin_{tag}"] >= 1e-4
    assert labels.dtype == np.uint8 and clear.mean() > 0.99
    assert (labels == cases.tensors[f"seg.labels_{tag}"])[clear].all()


@pytest.mark.parametrize("tag", SMALL["seg"])
def test_labels_differ_from_the_reference(tag):
    check_reference(Cases(), tag)


@pytest.mark.parametrize("tag", COMPLETE["seg"])
def test_labels_differ_from_the_complete_reference(reference, tag):
    check_reference(Cases(reference / "postprocess"), tag)


@pytest.mark.parametrize("blur", [0.0, 1.5, 6.0])
@pytest.mark.parametrize("size_hw", [(97, 131), (9, 300), (300, 9), (32, 24), (8, 8)])
def test_the_short_cut_where_neighbours_agree_changes_labels(size_hw, blur):
    logits = noise_logits(blur=blur)
    resized = cv2.resize(logits, size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    two_best = np.sort(resized, -1)[..., -2:]
    clear = two_best[..., 1] - two_best[..., 0] > 1e-5
    assert (seg.labels_at(logits, size_hw) == resized.argmax(-1))[clear].all()


def test_labels_of_a_large_photo_take_the_memory_of_29_planes():
    tracemalloc.start()
    labels = seg.labels_at(noise_logits((64, 48), blur=3.0), (2000, 1500))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * labels.size  # the planes would be 116 bytes a pixel


def result_of(logits, photo):
    task = seg.SegTask()
    fitted = task.fit(photo, (64, 48))
    assert fitted[0].pixels.shape == (1, 64, 48, 3)
    return task.result([task.decode(logits[None], fitted[0])], photo)


def test_probabilities_do_not_sum_to_one_or_disagree_with_the_labels():
    result = result_of(noise_logits(blur=2.0), np.zeros((90, 70, 3), np.uint8))
    probabilities = result.probabilities()
    assert probabilities.shape == (90, 70, 29) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)
    assert (probabilities.argmax(-1) == result.labels).mean() > 0.999


def test_the_table_of_classes_is_damaged():
    table = seg.classes()
    assert len(table.names) == len(table.bright_rgb) == len(table.dome29_rgb) == 29
    assert table.names[0] == "Background" and table.title(7) == "Left lower arm"
    for left, right in table.swap_pairs:
        assert table.names[left].replace("Left", "Right") == table.names[right]
    lab = cv2.cvtColor(table.bright_rgb[None].astype(np.float32) / 255, cv2.COLOR_RGB2Lab)[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1000 * np.eye(29)
    assert apart.min() > 12  # no two parts look the same


PHOTO = np.full((400, 300, 3), 100, np.uint8)


def half_person():
    """Background above, upper clothing (23) below."""
    labels = np.zeros(PHOTO.shape[:2], np.uint8)
    labels[200:] = 23
    return seg.SegResult(PHOTO, labels, np.zeros((2, 2, 29), np.float32))


def test_the_readme_picture_tints_the_background_or_misses_the_part():
    picture = half_person().picture(legend=False)
    assert (picture[:200] == 100).all()
    assert np.abs(picture[300, 75] - (0.45 * 100 + 0.55 * seg.classes().bright_rgb[23])).max() <= 1


def test_the_reference_picture_has_other_colours_or_a_legend():
    picture = half_person().picture(style="reference")
    expected = 0.5 * 100 + 0.5 * seg.classes().dome29_rgb[half_person().labels]
    assert np.abs(picture - expected).max() <= 1


def test_the_legend_is_missing_or_covers_the_person():
    plain, with_legend = half_person().picture(legend=False), half_person().picture()
    assert (plain[:200] != with_legend[:200]).any() and (plain[200:] == with_legend[200:]).all()


def test_opacity_has_no_effect():
    assert (half_person().picture(legend=False, opacity=0.0) == PHOTO).all()
    assert (half_person().picture(legend=False, opacity=1.0)[300, 75] == seg.classes().bright_rgb[23]).all()


def test_a_part_is_counted_wrongly():
    assert half_person().shares() == {23: 0.5}
    assert (half_person().foreground_mask() == (half_person().labels > 0)).all()


def test_drawing_on_another_photo_passes():
    with pytest.raises(SapiensError, match="belongs to one of"):
        half_person().picture(PHOTO[:50])


@pytest.mark.parametrize(("style", "palette"), [("readme", "bright_rgb"), ("reference", "dome29_rgb")])
def test_files_are_missing_or_lose_labels(tmp_path, style, palette):
    result = half_person()
    paths = result.save(tmp_path / "new", "a", side_by_side=True, style=style)
    names = ["a_seg.png", "a_seg_labels.png", "a_seg.npz", "a_seg_side_by_side.png"]
    assert [path.name for path in paths] == names and all(path.is_file() for path in paths)
    with np.load(paths[2]) as arrays:
        assert (arrays["labels"] == result.labels).all() and arrays["names"][23] == "Upper_Clothing"
    labels = Image.open(paths[1])
    assert (np.asarray(labels) == result.labels).all()
    assert (np.asarray(labels.convert("RGB"))[-1, -1] == getattr(seg.classes(), palette)[23]).all()
    assert (np.asarray(Image.open(paths[0])) == result.picture(style=style)).all()


def test_fit_does_not_lead_back_to_the_photo():
    fitted = Cases().fitted("seg", "97x131")
    assert seg.SegTask().fit(photo_of(fitted), (64, 48))[0].way == fitted.way
