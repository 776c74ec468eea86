"""Several levels and sizes on one photo: what can be asked for, what is computed in which order, and what comes of
failures and of Stop."""

import json
import sys
import threading
from collections import Counter

import numpy as np
import pytest
import rule
from compared import COMPARED, PHOTO, names
from PIL import Image
from slowly import slowly

import sapiens_mlx as sm
from sapiens_mlx import compare_files, runtime
from sapiens_mlx.compare import ON_THE_CPU, compare
from sapiens_mlx.detect import People
from sapiens_mlx.errors import BoxError, CancelledError, ImageError, SapiensError, WeightsError
from sapiens_mlx.models import models
from sapiens_mlx.runtime import inference
from sapiens_mlx.variants import Variant, most_precise, parse_list
from sapiens_mlx.weights import locate

BOX = [[10, 5, 100, 85]]


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
def test_what_cannot_be_compared_is_told_only_when_it_runs(two_sizes, task, variants, options, error, says):
    with pytest.raises(error, match=says):
        compare(PHOTO, task, variants, **options)


def test_a_bad_photo_or_box_is_told_only_when_it_runs(weights_of_two_sizes):
    with pytest.raises(ImageError):
        compare("/nowhere.jpg", "seg", ["tiny:fp32", "tiny:4bit"])
    with pytest.raises(BoxError):
        compare(PHOTO, "pose", ["tiny:fp32", "tiny:4bit"], boxes_xyxy=[[5, 5, 1, 1]])


def test_the_default_reference_is_not_the_most_precise_of_those_that_fit(two_sizes, monkeypatch):
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
def test_the_reference_asked_for_is_another(two_sizes, variants, reference, expected):
    assert str(compare(PHOTO, "seg", variants, reference).reference) == expected


# ---- what is computed -----------------------------------------------------------------------------------------------


def test_the_reference_does_not_come_first_or_the_order_is_lost(weights_of_two_sizes):
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


@pytest.mark.parametrize("task", [one if one in ("pose", "pointmap") else slowly(one) for one in COMPARED])
def test_results_or_figures_differ_from_those_of_single_runs(weights_of_two_sizes, task):
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


def test_costs_are_not_those_of_the_variant(weights_of_two_sizes):
    comparison = compare(PHOTO, "seg", ["tiny:fp32", "tiny:bf16", "tiny:8bit", "tiny:4bit"], runs=2)
    costs = {entry.variant.level: entry.cost for entry in comparison}
    source = weights_of_two_sizes / "seg/sapiens2_tiny_seg.safetensors"
    assert costs["fp32"].file_bytes == source.stat().st_size
    for level in ("bf16", "8bit", "4bit"):
        kept = list((weights_of_two_sizes.parent / "cache").glob(f"seg-tiny-{level}-*/model.safetensors"))
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
def test_the_peak_of_one_variant_is_counted_as_anothers(weights_of_two_sizes):
    """Something large held before, and freed, is in nobody's peak; what the first held is not in the second's."""
    ballast = np.ones(100_000_000)
    peak_before = runtime.peak_memory_bytes()
    del ballast
    photo = np.random.default_rng(0).integers(0, 255, (1000, 1500, 3), np.uint8)
    costs = [entry.cost.peak_memory_bytes for entry in compare(photo, "normal", ["tiny:fp32", "tiny:bf16"])]
    assert max(costs) < peak_before - 300_000_000
    assert abs(costs[1] - costs[0]) < 50_000_000


def test_people_are_found_more_than_once_or_differ(weights_of_two_sizes):
    found = Counter()

    def detector(photo_rgb):
        found["calls"] += 1
        return People(np.float32([[10, 5, 100, 85], [40.123456, 10, 129, 89]]), np.float32([0.9, 0.6]))

    comparison = compare(PHOTO, "pose", ["tiny:fp32", "tiny:8bit", "tiny:4bit"], detector=detector, runs=3)
    results = [entry.result for entry in comparison]
    assert found["calls"] == 1
    for result in results:
        assert np.array_equal(result.boxes_xyxy, results[0].boxes_xyxy)
        assert np.allclose(result.box_scores, [0.9, 0.6])
    assert "--boxes=10,5,100,85 --boxes=40.123455,10,129,89" in compare_files.command_line(comparison)


def test_dense_tasks_are_compared_over_different_people(weights_of_two_sizes):
    comparison = compare(PHOTO, "normal", ["tiny:fp32", "tiny:4bit"])
    people = sm.load("seg", "tiny", "fp32")(PHOTO).foreground_mask()
    for entry in comparison:
        assert np.array_equal(entry.result.person_mask, people)
        assert entry.agreement.over == f"people ({100 * people.mean():.1f} % of the photo)"
    everywhere = compare(PHOTO, "normal", ["tiny:fp32", "tiny:4bit"], foreground="none")
    assert {entry.agreement.over for entry in everywhere} == {"the whole photo"}
    assert list(compare(PHOTO, "seg", ["tiny:fp32", "tiny:4bit"]))[1].result.person_mask is None


def test_a_mask_of_ones_own_is_left_aside(weights_of_two_sizes, tmp_path):
    mask = np.zeros(PHOTO.shape[:2], bool)
    mask[:, :40] = True
    Image.fromarray(mask).save(tmp_path / "mask.png")
    for foreground in (mask, tmp_path / "mask.png"):
        entries = list(compare(PHOTO, "albedo", ["tiny:fp32", "tiny:4bit"], foreground=foreground))
        assert all(np.array_equal(entry.result.person_mask, mask) for entry in entries)


def test_no_mask_to_be_had_is_not_said(machine, two_sizes):
    rule.write_tiny(machine, "normal")
    comparison = compare(PHOTO, "normal", ["tiny:fp32", "tiny:4bit"])
    assert {entry.agreement.over for entry in comparison} == {"the whole photo"}
    assert any("neither seg nor matting" in notice for notice in comparison.notices)


def test_on_the_cpu_the_float32_is_not_said(weights_of_two_sizes):
    comparison = compare(PHOTO, "seg", ["tiny:fp32", "tiny:bf16"])
    dtypes = {entry.report.compute_dtype for entry in comparison}
    assert (ON_THE_CPU in comparison.notices) == (runtime.device() == "cpu") == (dtypes == {"float32"})


def test_what_is_downloaded_for_one_variant_keeps_others_from_the_inference_thread(machine, two_sizes, monkeypatch):
    rule.write_tiny(machine, "seg")
    find, asked, may_come = locate.find, threading.Event(), threading.Event()

    def downloaded(checkpoint, weights=None, level=None, **rest):
        path = machine / "seg" / checkpoint.filename
        if not path.exists():
            asked.set()
            assert may_come.wait(30)
            rule.write_checkpoint(path, rule.tiny_shapes("seg"))
            rest["tell"]("A notice of the download.")
        return find(checkpoint, weights, level, **rest)

    monkeypatch.setattr(locate, "find", downloaded)
    comparison = compare(PHOTO, "seg", ["tiny:fp32", "wide:fp32"], "tiny:fp32", runs=1)
    assert str(comparison.submit().result(60).variant) == "tiny:fp32"
    job = comparison.submit()
    assert asked.wait(30)
    assert inference.submit(lambda progress: "another's").result(30) == "another's"
    may_come.set()
    assert job.result(60).error is None
    assert "A notice of the download." in comparison.notices
    assert comparison.submit().result(60) is None


def test_the_result_that_all_are_measured_by_is_kept_when_all_are_done(weights_of_two_sizes):
    comparison = compare(PHOTO, "normal", ["tiny:fp32", "tiny:4bit"], foreground="none", runs=1)
    kept = []
    for entry in comparison:
        entry.result = entry.picture = entry.heat_map = None
        kept.append({id(array): array.nbytes for array in comparison.arrays()})
    assert [sum(one.values()) for one in kept] == [PHOTO.nbytes + 4 * PHOTO.size] * 2
    assert {id(array) for array in comparison.arrays()} == {id(comparison.photo_rgb)}


# ---- what fails, and Stop -------------------------------------------------------------------------------------------


def test_an_overflow_in_float16_is_not_said_or_ends_the_others(overflowing_seg):
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


def test_a_failed_default_reference_is_not_replaced(overflowing_seg):
    comparison = compare(PHOTO, "seg", ["tiny:4bit", "tiny:fp16", "tiny:bf16"])
    assert names(comparison) == ["tiny:fp16", "tiny:bf16", "tiny:4bit"]
    assert str(comparison.reference) == "tiny:bf16"
    assert any("tiny:fp16 failed, so tiny:bf16 is the reference" in notice for notice in comparison.notices)


def test_a_reference_that_was_asked_for_is_replaced_in_silence(overflowing_seg):
    comparison = compare(PHOTO, "seg", ["tiny:fp32", "tiny:bf16"], reference="fp16")
    with pytest.raises(SapiensError, match=r"nothing to compare with: tiny:fp16.*Take bf16"):
        list(comparison)
    with pytest.raises(SapiensError, match=r"nothing to compare with: tiny:fp16.*Take bf16"):
        next(iter(comparison))  # and once more, when it is tried again
    with pytest.raises(SapiensError, match=r"nothing to compare with: tiny:fp16.*Take bf16"):
        comparison.submit().result(60)


def test_missing_weights_of_one_size_end_the_others(weights_of_two_sizes):
    comparison = compare(PHOTO, "seg", ["tiny:fp32", "0.4b:4bit", "tiny:4bit"])
    errors = [entry.error for entry in comparison]
    assert [error is None for error in errors] == [True, False, True]
    assert "sapiens2_0.4b_seg.safetensors" in errors[1]


def test_when_all_fail_it_does_not_end(machine, two_sizes):
    comparison = compare(PHOTO, "seg", ["tiny:fp32", "tiny:4bit"])
    assert [entry.error is None for entry in comparison] == [False, False]
    assert compare_files.to_json(comparison)["levels"][0]["error"]
    assert compare_files.to_csv(comparison).count("\n") == 3


def test_stop_loses_what_is_done_or_cannot_go_on(weights_of_two_sizes):
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


def test_ctrl_c_while_a_module_is_imported_counts_as_a_level_that_failed(weights_of_two_sizes, monkeypatch):
    """Python 3.11 makes a RuntimeError of it where a class with a cached_property, say, is made just then."""

    class Interrupted:
        def __set_name__(self, *_):
            raise KeyboardInterrupt

    monkeypatch.setattr("sapiens_mlx.compare._forget_peak", lambda: type("Made", (), {"one": Interrupted()}))
    with pytest.raises(KeyboardInterrupt):
        list(compare(PHOTO, "seg", ["tiny:fp32", "tiny:4bit"], runs=1))
