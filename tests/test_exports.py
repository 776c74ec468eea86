"""The files that the Studio gives away: written once a look, and all of them in one ZIP under names of their own."""

import zipfile

import numpy as np
import pytest
from page_values import VALUES
from PIL import Image

from sapiens_mlx.tasks.base import Report
from sapiens_mlx.tasks.pointmap import PointmapResult
from sapiens_mlx.tasks.seg import SegResult
from sapiens_mlx.ui.studio import exports, surfaces
from sapiens_mlx.ui.visit import Visit

HEIGHT, WIDTH = 40, 30
OF_SEG = ["seg.png", "seg_labels.png", "seg.npz", "seg_side_by_side.png"]
OF_POINTMAP = ["depth.png", "depth16.png", "pointmap.ply", "pointmap.glb", "pointmap.npz", "pointmap_side_by_side.png"]


@pytest.fixture
def visit(tmp_path):
    return Visit(tmp_path / "visit")


def add(visit, name, *tasks):
    """A photo with made-up results; the upper half of it is hair, a metre away."""
    photo = visit.add(visit.new_photo(np.full((HEIGHT, WIDTH, 3), 90, np.uint8), name))
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[: HEIGHT // 2] = 4
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    made = {
        "seg": SegResult(photo.rgb, labels, np.zeros((2, 2, 29), np.float32)),
        "pointmap": PointmapResult(photo.rgb, np.stack([x / 100, y / 100, np.ones_like(x)], -1), 1.0, 100.0, 17.1),
    }
    for task in tasks:
        made[task].report = Report(task, "demo", "fp32", "CPU", "float32", "MIT License")
        photo.results[task], photo.ran_with[task] = made[task], VALUES
    return photo


def packed(visit):
    with zipfile.ZipFile(exports.everything(visit, VALUES)) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def of(stem, *tasks):
    """The names that the tasks' files of a photo have in the ZIP, with the sheet where there are several."""
    names = {f"{stem}_{ending}" for ending in OF_SEG if "seg" in tasks}
    names |= {f"{stem}_{ending}" for ending in OF_POINTMAP if "pointmap" in tasks}
    return names | ({f"{stem}_all.png"} if len(tasks) > 1 else set())


def test_files_are_written_again_in_another_look_alone(visit):
    photo = add(visit, "a.png", "seg")
    first = exports.written(visit, photo, "seg", VALUES)
    assert sorted(path.name for path in first) == sorted(f"a_{ending}" for ending in OF_SEG)
    assert exports.written(visit, photo, "seg", VALUES | {"normal": 1, "pointmap_legend": False}) == first
    other = exports.written(visit, photo, "seg", VALUES | {"seg_opacity": 0.1})
    assert set(other).isdisjoint(first)
    assert (np.asarray(Image.open(other[0])) != np.asarray(Image.open(first[0]))).any()
    assert all(path.exists() for path in first)  # a download of them may be under way


def test_the_sheet_is_written_again_in_another_look_of_any_of_its_pictures(visit):
    photo = add(visit, "a.png", "seg", "pointmap")
    first = exports.written(visit, photo, surfaces.ALL, VALUES)
    assert exports.written(visit, photo, surfaces.ALL, VALUES | {"pose_links": False}) == first
    assert exports.written(visit, photo, surfaces.ALL, VALUES | {"seg_opacity": 0.1}) != first


def test_another_mask_is_another_look_wherever_it_lies_in_memory(visit):
    photo = add(visit, "a.png", "seg")
    photo.mask = np.zeros((HEIGHT, WIDTH), bool)
    before = surfaces.look(visit, photo, "seg", VALUES)
    assert before.is_same(surfaces.look(visit, photo, "seg", VALUES))
    photo.mask = None
    assert not before.is_same(surfaces.look(visit, photo, "seg", VALUES))
    photo.mask = np.ones((HEIGHT, WIDTH), bool)  # most likely where the other one lay
    assert not before.is_same(surfaces.look(visit, photo, "seg", VALUES))


def test_one_photo_is_packed_without_a_folder_and_with_the_sheet_of_several_tasks(visit):
    add(visit, "my photo.jpg", "seg")
    assert set(packed(visit)) == of("my_photo", "seg")
    visit.photos.clear()
    add(visit, "my photo.jpg", "seg", "pointmap")
    assert set(packed(visit)) == of("my_photo", "seg", "pointmap")
    assert exports.everything(visit, VALUES).name == "my_photo_sapiens2.zip"


def test_what_was_made_of_results_is_packed_when_it_has_been_seen(visit):
    photo = add(visit, "a.png", "seg")
    assert not any("recoloured" in name for name in packed(visit))
    photo.results["seg"].labels[:] = 4  # all hair, which can be recoloured
    exports.written(visit, photo, "recoloured", VALUES)
    assert {"a_recoloured.png", "a_recoloured_side_by_side.png"} <= set(packed(visit))


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (["a.png", "b.png"], ["a", "b"]),
        (["a.png", "a.jpg"], ["a", "a-2"]),
        (["a b.png", "a_b.png", "a?b.png"], ["a_b", "a_b-2", "a_b-3"]),
        (["a.png", "a.jpg", "a-2.png"], ["a", "a-2", "a-2-2"]),
        (["a-2.png", "a.png", "a.jpg"], ["a-2", "a", "a-3"]),
    ],
)
def test_photos_of_equal_names_have_a_folder_each(visit, names, folders):
    for name in names:
        add(visit, name, "seg")
    add(visit, "without results.png")
    found = packed(visit)
    assert len(found) == len(set(found)) == len(names) * len(OF_SEG)
    assert list(dict.fromkeys(name.split("/")[0] for name in found)) == folders
    assert exports.everything(visit, VALUES).name == "photos_sapiens2.zip"


def test_the_sheet_shows_the_photo_and_every_picture(visit):
    photo = add(visit, "a.png", "seg", "pointmap")
    (path,) = exports.written(visit, photo, surfaces.ALL, VALUES)
    several = np.asarray(Image.open(path))
    one = exports.sheet(visit, add(visit, "b.png", "seg"), VALUES)
    assert several.size > one.size
    picture = photo.results["seg"].picture()
    assert (picture != photo.rgb).any()  # else the photo's own place would do
    assert _holds(several, photo.rgb[0, 0]) and _holds(several, picture[0, 0])


def _holds(sheet, colour) -> bool:
    return bool((sheet == colour).all(-1).any())
