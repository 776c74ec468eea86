"""What one visitor has on the server: several photos, how much of their results is kept, and files that go in time."""

import time

import numpy as np
import pytest

from sapiens_mlx.errors import CancelledError
from sapiens_mlx.runtime import InferenceThread
from sapiens_mlx.tasks.normal import NormalResult
from sapiens_mlx.ui import visit as visits
from sapiens_mlx.ui.visit import Visit

BYTES = 40 * 30 * 3 * 4  # of the result of one photo


@pytest.fixture
def visit(tmp_path):
    return Visit(tmp_path / "visit")


def add(visit, *names, done=True):
    """Photos with a result each; the last one is worked on."""
    photos = []
    for name in names:
        photo = visit.add(visit.new_photo(np.zeros((40, 30, 3), np.uint8), name))
        photo.shown = photo.next_folder("photo") / "photo.png"
        photo.shown.write_bytes(b"shown")
        if done:
            photo.results["normal"] = NormalResult(photo.rgb, np.zeros((40, 30, 3), np.float32))
            photo.ran_with["normal"], photo.points = {}, [(1.0, 2.0)]
            photo.mask, photo.mask_of = np.ones((40, 30), bool), ("demo", "fp32")
        photos.append(photo)
    return photos


# ---- room for results -----------------------------------------------------------------------------------------------


def test_a_photo_does_not_count_among_its_results_nor_an_array_twice(visit):
    (photo,) = add(visit, "a.png")
    assert photo.nbytes == BYTES
    photo.results["again"] = photo.results["normal"]
    assert photo.nbytes == BYTES
    photo.results["masked"] = NormalResult(photo.rgb, np.zeros((40, 30, 3), np.float32), person_mask=photo.mask)
    assert photo.nbytes == 2 * BYTES + 40 * 30


@pytest.mark.parametrize(
    ("photos_worth", "current", "kept"),
    [
        (3, 2, ["a", "b", "c"]),
        (2.5, 2, ["b", "c"]),
        (1.5, 2, ["c"]),
        (2.5, 0, ["a", "c"]),  # not of the one that is worked on
        (0.5, 1, ["b"]),
    ],
)
def test_the_first_of_other_photos_lose_their_results_until_the_rest_fits(
    visit, monkeypatch, photos_worth, current, kept
):
    photos = add(visit, "a.png", "b.png", "c.png")
    visit.current = current
    monkeypatch.setattr(visits, "MOST_RESULTS_BYTES", photos_worth * BYTES)
    visit.make_room()
    assert [photo.stem for photo in photos if photo.results] == kept
    assert [photo.stem for photo in visit.photos] == ["a", "b", "c"]  # the photos themselves stay
    for photo in photos:
        assert (photo.mask is None) == (photo.points == []) == (photo.ran_with == {}) == (photo.stem not in kept)


# ---- files ----------------------------------------------------------------------------------------------------------


def test_the_files_of_a_photo_go_with_the_next_one_that_is_dropped(visit):
    first, second, third = add(visit, "a.png", "b.png", "c.png")
    visit.forget_photo()
    assert visit.photos == [first, second]
    assert third.shown.exists()  # a browser may still be asking for it
    visit.forget_photo()
    assert not third.folder.exists()
    assert second.shown.exists()
    visit.forget_photo()
    assert visit.photo is None
    assert not second.folder.exists()
    visit.forget_photo()  # nothing is left to drop
    assert first.shown.exists()


def test_the_one_before_is_worked_on_when_a_photo_is_dropped_and_a_new_one_has_a_folder_of_its_own(visit):
    first, second, third = add(visit, "a.png", "b.png", "c.png")
    visit.current = 1
    visit.forget_photo()
    assert (visit.photo, visit.photos) == (first, [first, third])
    visit.forget_photo()
    assert visit.photo is third
    (again,) = add(visit, "a.png")
    assert len({photo.folder for photo in (first, second, third, again)}) == 4
    assert again.shown.exists()


def test_dropping_a_photo_stops_what_runs(visit):
    add(visit, "a.png")

    def work(progress):
        while True:
            progress("network", 0, 1)
            time.sleep(0.01)

    visit.job = InferenceThread().submit(work)
    visit.forget_photo()
    with pytest.raises(CancelledError):
        visit.job.result(5)


def test_an_empty_page_has_no_photo_and_no_file(visit):
    add(visit, "a.png", "b.png")
    visit.forget()
    assert (visit.photos, visit.photo, visit.folder.exists()) == ([], None, False)
