"""What one visitor has on the server: several photos, how much of their results is kept, and files that go in time."""

import time

import numpy as np
import pytest

from sapiens_mlx.compare import Comparison
from sapiens_mlx.errors import CancelledError, SapiensError
from sapiens_mlx.runtime import InferenceThread, Job
from sapiens_mlx.tasks.normal import NormalResult
from sapiens_mlx.ui.compare.run import Compared
from sapiens_mlx.ui.visit import Visit, arrays_of, held_bytes

RGB, RESULT, MASK = 40 * 30 * 3, 40 * 30 * 3 * 4, 40 * 30  # bytes of one photo, of its result, of where people are


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


# ---- what is counted ------------------------------------------------------------------------------------------------


def test_each_array_counts_once_whoever_has_it(visit, tmp_path):
    (photo,) = add(visit, "a.png")
    assert held_bytes([visit]) == RGB + RESULT + MASK
    photo.results["again"] = photo.results["normal"]
    other = Visit(tmp_path / "other")
    other.add(other.new_photo(photo.rgb, "a.png"))
    assert held_bytes([visit, other]) == RGB + RESULT + MASK
    visit.background = np.zeros((40, 30, 3), np.uint8)
    assert held_bytes([visit, other]) == 2 * RGB + RESULT + MASK
    coming = NormalResult(photo.rgb, np.zeros((40, 30, 3), np.float32))
    assert held_bytes([visit], list(arrays_of(coming))) == 2 * RGB + 2 * RESULT + MASK


def test_what_a_comparison_measures_by_counts(visit, machine, two_sizes):
    (photo,) = add(visit, "a.png", done=False)
    comparison = Comparison(photo.rgb, "normal", ["tiny:fp32", "tiny:8bit"])
    photo.compared = Compared(comparison, None)
    assert held_bytes([visit]) == 2 * RGB  # it has a copy
    comparison._reference_result = NormalResult(comparison.photo_rgb, np.zeros((40, 30, 3), np.float32))
    assert held_bytes([visit]) == 2 * RGB + RESULT


def test_of_a_photo_that_is_dropped_no_pose_is_kept_and_of_another_one_it_is(visit):
    first, second = add(visit, "a.png", "b.png")
    for photo in (first, second):
        photo.results["pose"] = NormalResult(photo.rgb, np.zeros((40, 30, 3), np.float32))  # of any type
    visit.posed = first.results["pose"]
    visit.forget_photo()
    assert visit.posed is first.results["pose"]
    visit.forget_photo()
    assert visit.posed is None


def test_the_result_of_a_job_is_not_kept_by_the_visit(visit):
    visit.job = job = Job()
    assert visit.job is job and visit.runs
    job._future.set_result(np.zeros(8))
    assert visit.job is job and not visit.runs
    del job
    assert visit.job is None


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

    visit.job = job = InferenceThread().submit(work)
    visit.forget_photo()
    with pytest.raises(CancelledError):
        job.result(5)


def test_an_empty_page_has_no_photo_and_no_file(visit):
    add(visit, "a.png", "b.png")
    visit.forget()
    assert (visit.photos, visit.photo, visit.folder.exists()) == ([], None, False)


def test_a_photo_that_has_gone_meanwhile_is_told(visit):
    (photo,) = add(visit, "a.png")
    assert visit.the_photo is photo
    visit.forget_photo()
    with pytest.raises(SapiensError, match="not here any more"):
        _ = visit.the_photo
