"""What a comparison tells when it is done: JSON, CSV, a table, and a sheet of pictures."""

import csv
import io
import json

import numpy as np
import pytest
from compared import PHOTO, names
from PIL import Image

from sapiens_mlx import compare_files, tasks
from sapiens_mlx.compare import compare
from sapiens_mlx.sheet import PICTURE_PX, Tile, draw_sheet
from sapiens_mlx.tasks.agreement import DifferenceMap


@pytest.fixture
def done(weights_of_two_sizes):
    comparison = compare(PHOTO, "seg", ["tiny:4bit", "tiny:fp32", "tiny:8bit"], name="a photo.jpg")
    list(comparison)
    return comparison


def test_json_lacks_what_was_promised(done):
    found = json.loads(json.dumps(compare_files.to_json(done), allow_nan=False))
    assert (found["reference"], found["task"], found["size"]) == ("fp32", "seg", "tiny")
    assert [row["level"] for row in found["levels"]] == ["4bit", "fp32", "8bit"]
    assert [row["is_reference"] for row in found["levels"]] == [False, True, False]
    assert [figure["name"] for figure in found["figures"]] == [figure.name for figure in tasks.figures("seg")]
    for row in found["levels"]:
        assert list(row["figures"]) == [figure["name"] for figure in found["figures"]]
        assert row["size"] == "tiny" and row["error"] is None and row["compute_dtype"]
        assert {"load", "fit", "network", "decode"} <= set(row["seconds"])
        assert row["notes"]["worst_class_iou"] in map(tasks.seg.classes().title, range(29))
    assert found["reference_entry"] is None


def test_a_reference_beside_the_list_or_other_sizes_are_not_told(weights_of_two_sizes):
    comparison = compare(PHOTO, "matting", ["tiny:8bit", "wide:4bit"], "tiny:fp32")
    assert names(comparison)[0] == "tiny:fp32"
    found = compare_files.to_json(comparison)
    assert (found["reference"], found["size"]) == ("tiny:fp32", "tiny")
    assert [(row["size"], row["level"]) for row in found["levels"]] == [("tiny", "8bit"), ("wide", "4bit")]
    assert found["reference_entry"]["level"] == "fp32"
    assert found["reference_entry"]["figures"]["psnr_db"] is None
    assert found["reference_entry"]["notes"]["psnr_db"] == "equal"
    assert "--variants tiny:8bit,wide:4bit --reference tiny:fp32" in found["command"]
    assert compare_files.to_csv(comparison).count("\n") == 4
    assert "equal" in compare_files.to_text(comparison)


def test_csv_cannot_be_read_back(done):
    rows = list(csv.DictReader(io.StringIO(compare_files.to_csv(done))))
    assert [row["level"] for row in rows] == ["4bit", "fp32", "8bit"]
    assert [row["is_reference"] for row in rows] == ["no", "yes", "no"]
    for row, entry in zip(rows, done.entries, strict=True):
        for name, value in entry.agreement.values.items():
            assert float(row[name]) == value
        assert int(row["weights_bytes"]) == entry.cost.weights_bytes
        assert row["notices"] == " ".join(done.notices)


def test_the_table_has_no_row_for_a_variant_or_no_note(done):
    lines = compare_files.to_text(done).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["tiny:4bit", "tiny:fp32", "tiny:8bit"]
    assert "tiny:fp32 (reference)" in lines[2] and "100.00 %" in lines[2]
    assert lines[4] == "Compared with tiny:fp32 over the whole photo."
    assert lines[5:] == done.notices


@pytest.mark.parametrize("size_hw", [(9, 13), (90, 130), (900, 1300), (2700, 3900)])
def test_a_sheet_is_of_the_photos_size(size_hw):
    picture = np.full((*size_hw, 3), 200, np.uint8)
    bar = DifferenceMap(np.zeros(size_hw, np.float32), "degrees", 10.0).bar()
    sheet = draw_sheet("Normals", ["A sentence."], [Tile("tiny:fp32", (picture, picture), ["Mean angle 0"])] * 2, bar)
    assert sheet.shape[0] > 2 * 332 and sheet.shape[1] < 1100
    bright = (sheet == 200).all(-1)
    assert bright.sum() == 4 * PICTURE_PX * round(PICTURE_PX * size_hw[0] / size_hw[1])


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (5, 5), (6, 3), (7, 4), (10, 5)])
def test_tiles_overlap_or_leave_the_sheet(count, columns):
    pictures = [np.full((30, 20, 3), 100 + index, np.uint8) for index in range(count)]
    tiles = [Tile("tiny:fp32", (picture, picture), ["one line"] * 3) for picture in pictures]
    sheet = draw_sheet("Title", [], tiles, None)
    for index in range(count):
        rows, places = np.nonzero((sheet == 100 + index).all(-1))
        assert len(rows) >= 2 * PICTURE_PX * 320
        assert places.min() // (sheet.shape[1] // columns) == index % columns


def test_a_failed_tile_breaks_the_sheet():
    error = "tiny:fp16: the network's numbers overflow in float16. " * 5
    assert draw_sheet("Title", ["words"], [Tile("tiny:fp16", None, [error])], None).shape[1] < 600
    assert draw_sheet("Title", [], [], None).ndim == 3


def test_files_are_missing_or_hold_something_else(done, tmp_path):
    paths = compare_files.save(done, tmp_path / "out", "photo")
    pictures = [f"photo_seg_tiny_{level}{end}" for level in ("4bit", "fp32", "8bit") for end in ("", "_difference")]
    tables = [f"photo_compare_seg.{ending}" for ending in ("csv", "json", "png")]
    assert [path.name for path in paths] == [*tables, *(f"{name}.png" for name in pictures)]
    assert sorted(paths) == sorted((tmp_path / "out").iterdir())
    assert paths[0].read_text() == compare_files.to_csv(done)
    assert json.loads(paths[1].read_text()) == json.loads(json.dumps(compare_files.to_json(done)))
    assert np.array_equal(np.asarray(Image.open(paths[2])), compare_files.sheet(done))
    assert np.array_equal(np.asarray(Image.open(paths[3])), done.entries[0].picture)
    assert np.array_equal(np.asarray(Image.open(paths[4])), done.entries[0].heat_map)
