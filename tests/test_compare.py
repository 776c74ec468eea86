"""Several levels and sizes on one photo: what is computed in which order, what it says, and what comes of failures."""

import csv
import io
import json
import shlex
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import rule
from PIL import Image

import sapiens_mlx as sm
from sapiens_mlx import compare_files, runtime, tasks, zoo
from sapiens_mlx.__main__ import main
from sapiens_mlx.compare import ON_THE_CPU, compare
from sapiens_mlx.compare_sheet import PICTURE_PX, Tile, draw_sheet
from sapiens_mlx.detect import People
from sapiens_mlx.errors import BoxError, CancelledError, ImageError, SapiensError, WeightsError
from sapiens_mlx.models import models
from sapiens_mlx.tasks.agreement import DifferenceMap
from sapiens_mlx.variants import Variant, most_precise, parse_list

PHOTO = np.random.default_rng(0).integers(0, 255, (90, 130, 3), np.uint8)
COMPARED = ("seg", "pose", "normal", "pointmap", "albedo", "matting")
BOX = [[10, 5, 100, 85]]


@pytest.fixture
def sizes(tiny_size, monkeypatch):
    """Beside "tiny" a size "wide" whose input lies on its side, and which counts as the larger network."""
    wide = replace(zoo.SIZES["tiny"], name="wide", input_hw=(96, 128), parameters=2_000_000)
    monkeypatch.setitem(zoo.SIZES, "wide", wide)
    for name, row in zoo.TASKS.items():
        if name != "detect":
            monkeypatch.setitem(zoo.TASKS, name, replace(row, sizes=(*row.sizes, "wide")))


@pytest.fixture
def weights(machine, sizes):
    for task in COMPARED:
        for size in ("tiny", "wide"):
            path = machine / task / f"sapiens2_{size}_{task}.safetensors"
            rule.write_checkpoint(path, rule.tiny_shapes(task))
    return machine


@pytest.fixture
def overflowing(machine, sizes):
    """Weights for seg of which one does not fit float16."""
    path = machine / "seg/sapiens2_tiny_seg.safetensors"
    tensors = rule.tensors(rule.tiny_shapes("seg"))
    tensors["decode_head.conv_seg.bias"][3] = 1e5
    path.parent.mkdir()
    rule.save_file(tensors, path)
    return path


def names(entries):
    return [str(entry.variant) for entry in entries]


# ---- what can be asked for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size", "variant"),
    [
        ("0.4b:bf16", None, Variant("0.4b", "bf16")),
        (" 1b : 4bit ", None, Variant("1b", "4bit")),
        ("4bit", "demo", Variant("demo", "4bit")),
        ("1b:4bit", "demo", Variant("1b", "4bit")),
    ],
)
def test_a_variant_is_read_wrongly(text, size, variant):
    assert Variant.parse(text, size) == variant
    assert Variant.parse(str(variant)) == variant


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bf16", "no variant"),
        ("0.4b:", "no variant"),
        (":bf16", "no variant"),
        ("", "no variant"),
        ("7b:bf16", "no size '7b'"),
        ("0.4b:3bit", "no quantization level '3bit'"),
        ("0.4b:bf16:8bit", "no quantization level"),
    ],
)
def test_a_bad_variant_passes(text, says):
    with pytest.raises(SapiensError, match=says):
        Variant.parse(text)


def test_levels_and_variants_are_not_joined_in_order():
    found = parse_list("fp32, 4bit,", "demo", "0.4b:bf16,demo:8bit")
    assert list(map(str, found)) == ["demo:fp32", "demo:4bit", "0.4b:bf16", "demo:8bit"]
    assert parse_list(None, "demo", None) == []


TEN = [f"{size}:{level}" for size in ("tiny", "wide") for level in ("fp32", "fp16", "bf16", "8bit", "4bit")]


@pytest.mark.parametrize(
    ("task", "variants", "options", "error", "says"),
    [
        ("seg", ["tiny:fp32"], {}, SapiensError, "tiny:fp32 would be compared with itself.*List 2 to 10"),
        ("seg", ["tiny:fp32"], {"reference": "fp32"}, SapiensError, "compared with itself"),
        ("seg", [], {}, SapiensError, "nothing to compare.*List 2 to 10"),
        ("seg", [], {"reference": "fp32"}, SapiensError, "nothing to compare"),
        ("seg", ["tiny:fp32", "tiny:4bit", "tiny:fp32"], {}, SapiensError, "tiny:fp32 is listed twice"),
        ("seg", [*TEN, "demo:fp32"], {}, SapiensError, "11 variants are too many"),
        ("seg", ["tiny:fp32", "tiny:3bit"], {}, SapiensError, "'3bit'.*Choose one of"),
        ("seg", ["tiny:fp32", "huge:fp32"], {}, SapiensError, "'huge'.*Choose one of"),
        ("seg", ["tiny:fp32", "tiny:4bit"], {"reference": "2bit"}, SapiensError, "'2bit'.*Choose one of"),
        ("seg", ["tiny:fp32", "0.1b:fp32"], {}, SapiensError, "does not come in size '0.1b'"),
        ("detect", ["demo:fp32", "demo:4bit"], {}, SapiensError, "detect cannot be compared.*seg, pose"),
        ("nose", ["tiny:fp32", "tiny:4bit"], {}, SapiensError, "no task 'nose'"),
        ("seg", ["tiny:fp32", "tiny:4bit"], {"weights": "/nowhere"}, WeightsError, "no file or folder"),
        ("seg", ["tiny:fp32", "tiny:4bit"], {"runs": 0}, SapiensError, "0 runs"),
        ("seg", ["tiny:fp32", "tiny:4bit"], {"foreground": "seg"}, SapiensError, "auto, none, or a picture"),
        ("seg", ["tiny:fp32", "tiny:4bit"], {"foreground": np.ones((3, 3), bool)}, SapiensError, "Make them equal"),
        ("seg", ["tiny:fp32", "tiny:4bit"], {"foreground": "/no.png"}, ImageError, "no file"),
    ],
)
def test_what_cannot_be_compared_is_told_only_when_it_runs(sizes, task, variants, options, error, says):
    with pytest.raises(error, match=says):
        compare(PHOTO, task, variants, **options)


def test_a_bad_photo_or_box_is_told_only_when_it_runs(weights):
    with pytest.raises(ImageError):
        compare("/nowhere.jpg", "seg", ["tiny:fp32", "tiny:4bit"])
    with pytest.raises(BoxError):
        compare(PHOTO, "pose", ["tiny:fp32", "tiny:4bit"], boxes_xyxy=[[5, 5, 1, 1]])


def test_the_default_reference_is_not_the_most_precise_of_those_that_fit(sizes, monkeypatch):
    def best(*texts):
        return str(most_precise([Variant.parse(text) for text in texts]))

    assert best("tiny:4bit", "tiny:bf16", "tiny:8bit") == "tiny:bf16"
    assert best("tiny:fp32", "wide:fp32", "wide:4bit") == "wide:fp32"
    assert best("tiny:fp32", "wide:4bit") == "tiny:fp32"
    assert best("tiny:mxfp8", "tiny:8bit", "tiny:4bit") == "tiny:8bit"
    monkeypatch.setattr(runtime, "memory_limit_bytes", lambda: 5_000_000_000)
    assert best("5b:fp32", "5b:bf16", "0.4b:bf16") == "0.4b:bf16"


@pytest.mark.parametrize(
    ("variants", "reference", "expected"),
    [
        (["tiny:fp32", "wide:4bit"], "4bit", "wide:4bit"),
        (["tiny:fp32", "wide:fp32"], "fp32", "wide:fp32"),
        (["tiny:8bit", "wide:4bit"], "fp32", "wide:fp32"),
        (["tiny:8bit", "wide:4bit"], "tiny:fp32", "tiny:fp32"),
        (["tiny:8bit"], Variant("tiny", "fp32"), "tiny:fp32"),
    ],
)
def test_the_reference_asked_for_is_another(sizes, variants, reference, expected):
    assert str(compare(PHOTO, "seg", variants, reference).reference) == expected


# ---- what is computed -----------------------------------------------------------------------------------------------


def test_the_reference_does_not_come_first_or_the_order_is_lost(weights):
    asked = ["tiny:4bit", "tiny:8bit", "tiny:fp32", "tiny:bf16"]
    comparison = compare(PHOTO, "seg", asked)
    yielded, networks = [], []
    for entry in comparison:
        yielded.append(str(entry.variant))
        networks.append(len(models._estimators))
        assert entry in comparison.entries
    assert yielded == ["tiny:fp32", "tiny:4bit", "tiny:8bit", "tiny:bf16"]
    assert names(comparison.entries) == asked
    assert networks == [1] * 4  # one network in memory at a time
    assert list(comparison) == []  # all is done


@pytest.mark.parametrize("task", COMPARED)
def test_results_or_figures_differ_from_those_of_single_runs(weights, task):
    people = {"boxes_xyxy": BOX} if task == "pose" else {}
    comparison = compare(PHOTO, task, ["tiny:fp32", "tiny:4bit", "wide:fp32"], foreground="none", **people)
    entries = {str(entry.variant): entry for entry in comparison}
    assert str(comparison.reference) == "wide:fp32"
    reference = sm.load(task, "wide", "fp32")(PHOTO, **people)
    for variant in ("tiny:fp32", "tiny:4bit"):
        alone = sm.load(task, *variant.split(":"))(PHOTO, **people)
        entry = entries[variant]
        assert entry.agreement.values == pytest.approx(alone.agreement(reference).values, rel=1e-6, nan_ok=True)
        assert np.array_equal(entry.heat_map, alone.difference(reference).picture(PHOTO))
        assert np.array_equal(entry.picture, alone.picture_beside(reference))
    own = entries["wide:fp32"].agreement
    assert own.values == reference.agreement(reference).values


def test_costs_are_not_those_of_the_variant(weights):
    comparison = compare(PHOTO, "seg", ["tiny:fp32", "tiny:bf16", "tiny:8bit", "tiny:4bit"], runs=2)
    costs = {entry.variant.level: entry.cost for entry in comparison}
    source = weights / "seg/sapiens2_tiny_seg.safetensors"
    assert costs["fp32"].file_bytes == source.stat().st_size
    for level in ("bf16", "8bit", "4bit"):
        kept = list((weights.parent / "cache").glob(f"seg-tiny-{level}-*/model.safetensors"))
        assert [costs[level].file_bytes] == [path.stat().st_size for path in kept]
        assert 0 <= costs[level].file_bytes - costs[level].weights_bytes < 100_000  # the file's list of tensors
    numbers = sum(int(np.prod(shape)) for name, shape in rule.tiny_shapes("seg").items() if "periods" not in name)
    assert (costs["fp32"].weights_bytes, costs["bf16"].weights_bytes) == (4 * numbers, 2 * numbers)
    packed = sum(  # the six matrices of each block
        int(np.prod(shape))
        for name, shape in rule.tiny_shapes("seg").items()
        if ".blocks." in name and name.endswith("weight") and len(shape) == 2
    )
    assert [costs[level].quantized_share for level in ("fp32", "bf16")] == [0, 0]
    for level in ("8bit", "4bit"):
        assert costs[level].quantized_share == pytest.approx(packed / numbers)
    assert all(cost.runs == 2 and cost.network_seconds > 0 for cost in costs.values())
    assert all(1e7 < cost.peak_memory_bytes < 5e9 for cost in costs.values())


@pytest.mark.skipif(runtime.device() == "gpu" or sys.platform != "linux", reason="MLX counts the peak on a GPU")
def test_the_peak_of_one_variant_is_counted_as_anothers(weights):
    """Something large held before, and freed, is in nobody's peak; what the first held is not in the second's."""
    ballast = np.ones(100_000_000)
    peak_before = runtime.peak_memory_bytes()
    del ballast
    photo = np.random.default_rng(0).integers(0, 255, (1000, 1500, 3), np.uint8)
    costs = [entry.cost.peak_memory_bytes for entry in compare(photo, "normal", ["tiny:fp32", "tiny:bf16"])]
    assert max(costs) < peak_before - 300_000_000
    assert abs(costs[1] - costs[0]) < 50_000_000


def test_people_are_found_more_than_once_or_differ(weights):
    found = Counter()

    def detector(photo_rgb):
        found["calls"] += 1
        return People(np.float32([[10, 5, 100, 85], [40, 10, 129, 89]]), np.float32([0.9, 0.6]))

    comparison = compare(PHOTO, "pose", ["tiny:fp32", "tiny:8bit", "tiny:4bit"], detector=detector, runs=3)
    results = [entry.result for entry in comparison]
    assert found["calls"] == 1
    for result in results:
        assert np.array_equal(result.boxes_xyxy, results[0].boxes_xyxy)
        assert np.allclose(result.box_scores, [0.9, 0.6])
    assert "--boxes=10,5,100,85 --boxes=40,10,129,89" in compare_files.command_line(comparison)


def test_dense_tasks_are_compared_over_different_people(weights):
    comparison = compare(PHOTO, "normal", ["tiny:fp32", "tiny:4bit"])
    people = sm.load("seg", "tiny", "fp32")(PHOTO).foreground_mask()
    for entry in comparison:
        assert np.array_equal(entry.result.person_mask, people)
        assert entry.agreement.over == f"people ({100 * people.mean():.1f} % of the photo)"
    everywhere = compare(PHOTO, "normal", ["tiny:fp32", "tiny:4bit"], foreground="none")
    assert {entry.agreement.over for entry in everywhere} == {"the whole photo"}
    assert list(compare(PHOTO, "seg", ["tiny:fp32", "tiny:4bit"]))[1].result.person_mask is None


def test_a_mask_of_ones_own_is_left_aside(weights, tmp_path):
    mask = np.zeros(PHOTO.shape[:2], bool)
    mask[:, :40] = True
    Image.fromarray(mask).save(tmp_path / "mask.png")
    for foreground in (mask, tmp_path / "mask.png"):
        entries = list(compare(PHOTO, "albedo", ["tiny:fp32", "tiny:4bit"], foreground=foreground))
        assert all(np.array_equal(entry.result.person_mask, mask) for entry in entries)


def test_no_mask_to_be_had_is_not_said(machine, sizes):
    rule.write_tiny(machine, "normal")
    comparison = compare(PHOTO, "normal", ["tiny:fp32", "tiny:4bit"])
    assert {entry.agreement.over for entry in comparison} == {"the whole photo"}
    assert any("neither seg nor matting" in notice for notice in comparison.notices)


def test_on_the_cpu_the_float32_is_not_said(weights):
    comparison = compare(PHOTO, "seg", ["tiny:fp32", "tiny:bf16"])
    dtypes = {entry.report.compute_dtype for entry in comparison}
    assert (ON_THE_CPU in comparison.notices) == (runtime.device() == "cpu") == (dtypes == {"float32"})


# ---- what fails, and Stop -------------------------------------------------------------------------------------------


def test_an_overflow_in_float16_is_not_said_or_ends_the_others(overflowing):
    comparison = compare(PHOTO, "seg", ["tiny:fp32", "tiny:fp16", "tiny:bf16"])
    entries = {entry.variant.level: entry for entry in comparison}
    assert "overflow in float16. Take bf16" in entries["fp16"].error
    assert entries["fp16"].result is None and entries["fp16"].agreement is None
    assert entries["bf16"].error is None and entries["bf16"].agreement.values["pixel_agreement"] > 0.9
    rows = compare_files.to_json(comparison)["levels"]
    assert [row["level"] for row in rows] == ["fp32", "fp16", "bf16"]
    assert {frozenset(row) for row in rows} == {frozenset(rows[0])}
    assert set(rows[1]["figures"].values()) == {None}
    json.dumps(rows, allow_nan=False)
    assert compare_files.sheet(comparison).ndim == 3
    assert "fp16" not in compare_files.to_text(comparison)


def test_a_failed_default_reference_is_not_replaced(overflowing):
    comparison = compare(PHOTO, "seg", ["tiny:4bit", "tiny:fp16", "tiny:bf16"])
    assert names(comparison) == ["tiny:fp16", "tiny:bf16", "tiny:4bit"]
    assert str(comparison.reference) == "tiny:bf16"
    assert any("tiny:fp16 failed, so tiny:bf16 is the reference" in notice for notice in comparison.notices)


def test_a_reference_that_was_asked_for_is_replaced_in_silence(overflowing):
    comparison = compare(PHOTO, "seg", ["tiny:fp32", "tiny:bf16"], reference="fp16")
    with pytest.raises(SapiensError, match=r"nothing to compare with: tiny:fp16.*Take bf16"):
        list(comparison)
    with pytest.raises(SapiensError, match=r"nothing to compare with: tiny:fp16.*Take bf16"):
        next(iter(comparison))  # and once more, when it is tried again


def test_missing_weights_of_one_size_end_the_others(weights):
    comparison = compare(PHOTO, "seg", ["tiny:fp32", "0.4b:4bit", "tiny:4bit"])
    errors = [entry.error for entry in comparison]
    assert [error is None for error in errors] == [True, False, True]
    assert "sapiens2_0.4b_seg.safetensors" in errors[1]


def test_when_all_fail_it_does_not_end(machine, sizes):
    comparison = compare(PHOTO, "seg", ["tiny:fp32", "tiny:4bit"])
    assert [entry.error is None for entry in comparison] == [False, False]
    assert compare_files.to_json(comparison)["levels"][0]["error"]
    assert compare_files.to_csv(comparison).count("\n") == 3


def test_stop_loses_what_is_done_or_cannot_go_on(weights):
    comparison = compare(PHOTO, "seg", ["tiny:bf16", "tiny:fp32", "tiny:4bit"], runs=1)
    heard = []

    def stop(stage, done, total):
        heard.append((str(comparison.running), stage))
        if heard.count(("tiny:4bit", "network")) == 3:
            raise CancelledError

    with pytest.raises(CancelledError):
        list(comparison.run(stop))
    assert comparison.running is None
    kept = comparison.entries
    assert names(kept) == ["tiny:bf16", "tiny:fp32"]
    assert [row["level"] for row in compare_files.to_json(comparison)["levels"]] == ["bf16", "fp32"]
    assert names(comparison) == ["tiny:4bit"]
    assert comparison.entries[:2] == kept


# ---- what it tells --------------------------------------------------------------------------------------------------


@pytest.fixture
def done(weights):
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


def test_a_reference_beside_the_list_or_other_sizes_are_not_told(weights):
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


# ---- the command line -----------------------------------------------------------------------------------------------


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a photo.png"
    Image.fromarray(PHOTO).save(path)
    return path


def run(capsys, *arguments):
    status = main(["compare", *map(str, arguments)])
    out, error = capsys.readouterr()
    return status, out, error


def test_compare_prints_one_object_and_writes_its_files(weights, photo, tmp_path, capsys):
    arguments = ("--task", "normal", "--size", "tiny", "--levels", "8bit,fp32,4bit", "--out", tmp_path / "out")
    status, out, error = run(capsys, photo, *arguments, "--json")
    found = json.loads(out)
    assert (status, error) == (0, "")
    assert (found["reference"], found["task"], found["size"]) == ("fp32", "normal", "tiny")
    assert [row["level"] for row in found["levels"]] == ["8bit", "fp32", "4bit"]
    assert sorted(found["files"]) == sorted(map(str, (tmp_path / "out").iterdir()))


def test_the_command_line_of_a_comparison_does_something_else(weights, photo, tmp_path, capsys, monkeypatch):
    comparison = compare(photo, "pose", ["tiny:fp32", "wide:4bit"], boxes_xyxy=[[-5, 5, 60, 80]], flip=False)
    list(comparison)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(compare_files.command_line(comparison, out="again"))
    assert words[:4] == ["python", "-m", "sapiens_mlx", "compare"]
    status, out, _ = run(capsys, *words[4:], "--json")
    again = json.loads(out)
    assert status == 0
    first = compare_files.to_json(comparison)
    assert again["command"].replace("again", "out") == first["command"]
    for row, other in zip(first["levels"], again["levels"], strict=True):
        assert row["figures"] == pytest.approx(other["figures"], rel=1e-6)


def test_compare_says_what_it_found_to_people(weights, photo, tmp_path, capsys):
    arguments = ("--size", "tiny", "--levels", "fp32", "--variants", "wide:4bit", "--out", tmp_path / "out")
    status, out, error = run(capsys, photo, *arguments)
    assert (status, error) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("tiny:fp32 (reference): Equal labels 100.00 %")
    assert lines[1].startswith("wide:4bit: Equal labels ")
    assert str(tmp_path / "out/a photo_compare_seg.png") in lines


def test_one_failure_of_several_is_status_1_and_all_are_2(overflowing, photo, tmp_path, capsys):
    arguments = ("--size", "tiny", "--out", tmp_path / "out")
    status, out, error = run(capsys, photo, *arguments, "--levels", "fp32,fp16", "--json")
    assert (status, error.count("\n")) == (1, 1) and "Take bf16" in error
    assert json.loads(out)["levels"][1]["error"] in error
    overflowing.unlink()
    status, out, error = run(capsys, photo, "--size", "wide", "--levels", "fp32,4bit", "--out", tmp_path / "other")
    assert (status, out, error.count("\n")) == (2, "", 1)
    assert not list((tmp_path / "other").iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "List 2 to 10"),
        (("--levels", "fp32"), "compared with itself"),
        (("--levels", "fp32,fp32"), "listed twice"),
        (("--levels", "fp32,3bit"), "'3bit'"),
        (("--variants", "fp32,4bit"), "no variant"),
        (("--levels", "fp32,4bit", "--reference", "none"), "'none'"),
        (("--levels", "fp32,4bit", "--task", "detect"), "cannot be compared"),
        (("--levels", "fp32,4bit", "--runs", "0"), "write 1 or more"),
        (("--levels", "fp32,4bit", "--foreground", "matting"), "auto, none"),
    ],
)
def test_a_bad_comparison_is_one_line_and_status_2(photo, capsys, arguments, says):
    status, out, error = run(capsys, photo, *arguments)
    assert (status, out, error.count("\n")) == (2, "", 1)
    assert says in error


def test_ctrl_c_loses_the_levels_that_are_done(machine, photo, tmp_path):
    """With the demo weights, which ship; so many runs that the second level is under way when it comes."""
    command = [sys.executable, "-m", "sapiens_mlx", "compare", str(photo), "--levels", "fp32,bf16,4bit"]
    command += ["--runs", "10", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("demo:fp32 (reference)")
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "stopped\n")
    rows = list(csv.DictReader((tmp_path / "out/a photo_compare_seg.csv").open()))
    assert [row["level"] for row in rows] == ["fp32"]
    assert (tmp_path / "out/a photo_compare_seg.png").is_file()
