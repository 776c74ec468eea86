"""A photo in, a result out: every task on tiny weights, through the public interface."""

import threading

import numpy as np
import pytest
import rule
from PIL import Image

import sapiens_mlx as sm
from sapiens_mlx import passes, runtime, zoo
from sapiens_mlx.detect import People
from sapiens_mlx.errors import BoxError, CancelledError, SapiensError, WeightsError, WeightsMissingError
from sapiens_mlx.inventory import activation_bytes
from sapiens_mlx.models import models
from sapiens_mlx.options import Options
from sapiens_mlx.passes import batches, forward
from sapiens_mlx.tasks import udp
from sapiens_mlx.tasks.base import Fitted
from sapiens_mlx.weights import store

PHOTO = np.random.default_rng(0).integers(0, 255, (90, 130, 3), np.uint8)
FILES = {
    "seg": {"_seg.png", "_seg_labels.png", "_seg.npz"},
    "pose": {"_pose.png", "_pose.json", "_pose.npz"},
    "detect": {"_detect.png", "_detect.json"},
    "normal": {"_normal.png", "_normal.npz"},
    "pointmap": {"_depth.png", "_depth16.png", "_pointmap.ply", "_pointmap.glb", "_pointmap.npz"},
    "albedo": {"_albedo.png", "_albedo.npz"},
    "matting": {"_matting.png", "_matting.npz"},
    "features": {"_features.png", "_features.npz"},
}


@pytest.fixture
def weights(machine, tiny_size):
    for task in FILES:
        if task != "detect":
            rule.write_tiny(machine, task)
    rule.write_detector(machine / zoo.RTMDET_M.local_path)
    return machine


def predictor(task, **options):
    return sm.load(task, "tiny", **options)


@pytest.mark.parametrize("task", FILES)
def test_every_task_gives_a_picture_and_its_files(weights, tmp_path, task):
    result = predictor(task)(PHOTO, flip=False, box_threshold=0.5)
    for style in ("readme", "reference"):
        picture = result.picture(PHOTO, style=style)
        assert picture.shape == PHOTO.shape
        assert picture.dtype == np.uint8
    written = result.save(tmp_path / "out", stem="photo")
    assert {path.name.removeprefix("photo") for path in written} == FILES[task]
    assert all(path.stat().st_size > 0 for path in written)
    assert sorted(written) == sorted((tmp_path / "out").iterdir())


def test_the_report_says_how_the_result_came_about(weights):
    report = predictor("seg", level="8bit")(PHOTO).report
    assert (report.task, report.size, report.level, report.licence) == ("seg", "tiny", "8bit", "Sapiens2 License")
    assert report.compute_dtype in ("float32", "bfloat16")
    assert {"load", "fit", "network", "decode"} <= set(report.seconds)
    assert report.peak_memory_bytes > 1e7


def test_a_path_bytes_and_an_image_give_what_the_array_gives(weights, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(path)
    seg = predictor("seg")
    expected = seg(PHOTO).labels
    for photo in (path, str(path), path.read_bytes(), Image.open(path)):
        assert np.array_equal(seg(photo).labels, expected)


def test_own_boxes_keep_their_order_and_load_no_detector(weights):
    boxes = [[-20, 5, 60, 70], [50, 10, 128, 88], [0, 0, 129, 89]]
    result = predictor("pose")(PHOTO, boxes_xyxy=boxes)
    assert np.array_equal(result.boxes_xyxy, np.float32(boxes))
    assert result.keypoints.shape == (3, 308, 2)
    assert models._detectors == {}


def test_people_come_out_alike_whether_alone_or_together(weights):
    boxes = [[-20, 5, 60, 70], [50, 10, 128, 88], [0, 0, 129, 89]]
    pose = predictor("pose")
    together = pose(PHOTO, boxes_xyxy=boxes)
    for index, box in enumerate(boxes):
        alone = pose(PHOTO, boxes_xyxy=[box])
        assert np.allclose(alone.keypoint_scores[0], together.keypoint_scores[index], atol=1e-4)


@pytest.mark.parametrize(
    ("boxes", "says"),
    [
        ([[5, 5, 1, 1]], "reversed"),
        ([[5, 5, 5, 9]], "empty"),
        ([[200, 5, 300, 9]], "outside"),
        ([[0, 0, 9, 9], [0, 0, float("nan"), 9]], "number"),
        ([[1, 2, 3]], "4"),
    ],
)
def test_a_bad_box_is_a_sentence(weights, boxes, says):
    with pytest.raises(BoxError, match=says):
        predictor("pose")(PHOTO, boxes_xyxy=boxes)


def test_nobody_found_takes_the_whole_photo_and_says_so(weights):
    result = predictor("pose")(PHOTO, box_threshold=1.0)
    assert np.array_equal(result.boxes_xyxy, [[0, 0, 129, 89]])
    assert "Nobody was found" in result.report.notices[0]


def test_a_detector_of_ones_own_is_used(weights):
    def left_half(photo_rgb):
        return People(np.float32([[0, 0, 65, 89]]), np.float32([0.5]))

    result = predictor("pose")(PHOTO, detector=left_half)
    assert np.array_equal(result.boxes_xyxy, [[0, 0, 65, 89]])
    assert result.box_scores == [0.5]


@pytest.mark.parametrize("task", ["normal", "pointmap", "albedo"])
def test_foreground_comes_from_seg_and_touches_no_array(weights, task):
    plain = predictor(task)(PHOTO)
    cut = predictor(task)(PHOTO, foreground="auto")
    assert plain.person_mask is None
    assert np.array_equal(cut.person_mask, predictor("seg")(PHOTO).labels > 0)
    name = {"normal": "normals", "pointmap": "points"}.get(task, task)
    assert np.array_equal(getattr(plain, name), getattr(cut, name))


def test_foreground_from_a_mask_of_ones_own(weights, tmp_path):
    mask = np.zeros(PHOTO.shape[:2], bool)
    mask[:, :40] = True
    Image.fromarray(mask).save(tmp_path / "mask.png")
    for foreground in (mask, tmp_path / "mask.png"):
        assert np.array_equal(predictor("normal")(PHOTO, foreground=foreground).person_mask, mask)
    with pytest.raises(SapiensError, match=r"\(9, 9\)"):
        predictor("normal")(PHOTO, foreground=np.ones((9, 9), bool))


def test_foreground_without_weights_for_it_is_left_out_and_said(machine, tiny_size):
    rule.write_tiny(machine, "normal")
    result = predictor("normal")(PHOTO, foreground="auto")
    assert result.person_mask is None
    assert "neither seg nor matting" in result.report.notices[0]


def test_foreground_auto_with_weights_that_cannot_be_used_keeps_the_result_and_says_why(weights):
    seg = weights / "seg/sapiens2_tiny_seg.safetensors"
    seg.write_bytes(seg.read_bytes()[:-100])
    result = predictor("normal")(PHOTO, foreground="auto")
    assert result.person_mask is None
    assert "cut short" in result.report.notices[0]
    with pytest.raises(WeightsError, match="cut short"):
        predictor("normal")(PHOTO, foreground="seg")


def test_foreground_auto_never_downloads(machine, tiny_size):
    """A conversion to another level is of no use when its source is gone."""
    rule.write_tiny(machine, "normal")
    seg = rule.write_tiny(machine, "seg")
    predictor("seg", level="8bit")(PHOTO)
    seg.unlink()
    assert predictor("normal", level="fp32").mask_source() is None
    assert predictor("normal", level="8bit").mask_source().level == "8bit"


def test_a_bad_mask_is_told_before_the_network_runs(weights, tmp_path):
    heard = []
    for foreground in (np.ones((9, 9), bool), tmp_path / "nothing.png"):
        with pytest.raises(SapiensError):
            predictor("normal")(PHOTO, foreground=foreground, progress=lambda *report: heard.append(report[0]))
    assert "network" not in heard


def test_what_a_stopped_run_had_to_tell_is_told_of_another_network(weights):
    def stopping(stage, done, total):
        if stage == "network":
            store.add_notices([notice])
            raise CancelledError

    notice = "The conversion of a stopped run was not kept."
    with pytest.raises(CancelledError):
        predictor("seg")(PHOTO, progress=stopping)
    assert notice not in predictor("normal")(PHOTO).report.notices
    assert notice in predictor("seg")(PHOTO).report.notices
    assert notice not in predictor("seg")(PHOTO).report.notices


@pytest.mark.parametrize(
    ("level", "says"), [("fp16", "overflow in float16. Take bf16"), ("bf16", "Its weights may be damaged")]
)
def test_numbers_that_are_not_finite_become_pictures_without_a_word(weights, monkeypatch, level, says):
    assert not any("number" in notice for notice in predictor("normal", level=level)(PHOTO).report.notices)
    monkeypatch.setattr(passes, "forward", lambda *given: forward(*given) * np.float32("nan"))
    assert says in predictor("normal", level=level)(PHOTO).report.notices[-1]


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("name", ["box_threshold", "nms_threshold"])
def test_thresholds_outside_their_range_are_refused(name, value):
    with pytest.raises(SapiensError, match=rf"{name} is .* from 0 to 1"):
        Options(**{name: value})


def test_a_weights_file_is_taken_for_its_own_task(machine, tiny_size, tmp_path):
    detector = rule.write_detector(tmp_path / "mine.pth")
    assert len(sm.load("detect", weights=detector)(PHOTO, box_threshold=0.1).boxes_xyxy)
    seg = rule.write_checkpoint(tmp_path / "mine.ckpt", rule.tiny_shapes("seg"))
    assert predictor("seg", weights=seg)(PHOTO).labels.shape == PHOTO.shape[:2]
    with pytest.raises(WeightsError, match="no file or folder"):
        sm.load("detect", weights=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nose",), "no task 'nose'"),
        (("seg", "7b"), "size '7b'"),
        (("matting", "0.4b"), "size '0.4b'"),
        (("seg", "0.4b", "3bit"), "level '3bit'"),
    ],
)
def test_unknown_names_are_told_with_the_known_ones(arguments, says):
    with pytest.raises(SapiensError, match=f"{says}.*Choose one of"):
        sm.load(*arguments)


def test_missing_weights_say_where_to_put_them(machine):
    with pytest.raises(WeightsMissingError, match=r"seg/sapiens2_0\.4b_seg\.safetensors"):
        sm.load("seg", "0.4b")(PHOTO)


def test_stop_takes_effect_within_a_block(weights):
    heard = []

    def stop(stage, done, total):
        heard.append(stage)
        if stage == "network" and done == 3:
            raise CancelledError

    with pytest.raises(CancelledError):
        predictor("seg")(PHOTO, progress=stop)
    assert heard.count("network") == 4  # 0 to 3
    assert predictor("seg")(PHOTO).labels.shape == PHOTO.shape[:2]  # the thread lives on


def test_a_job_can_be_cancelled_from_outside(weights):
    job = predictor("pose").submit(PHOTO, Options(boxes_xyxy=[[0, 0, 100, 80]] * 40))
    job.cancel()
    with pytest.raises(CancelledError):
        job.result(timeout_s=20)


def test_calls_from_many_threads_give_each_its_own(weights):
    seg = predictor("seg")
    photos = [np.roll(PHOTO, shift, axis=1) for shift in range(0, 100, 25)]
    expected = [seg(photo).labels for photo in photos]
    found = [None] * len(photos)

    def run(index):
        found[index] = seg(photos[index]).labels

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(photos))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_the_last_two_networks_stay_in_memory(weights):
    for task in ("seg", "pose", "normal"):
        predictor(task)(PHOTO, boxes_xyxy=[[0, 0, 50, 50]])
    assert [key[0] for key in models._estimators] == ["pose", "normal"]
    kept = models._estimators[("normal", "tiny", predictor("normal").level, None)]
    predictor("normal")(PHOTO)
    assert models._estimators[("normal", "tiny", predictor("normal").level, None)] is kept


def test_the_module_takes_and_gives_what_the_contract_says(weights):
    import mlx.core as mx

    pixels = mx.zeros((2, 128, 96, 3))
    shapes = {"seg": (2, 128, 96, 29), "pose": (2, 32, 24, 308), "normal": (2, 128, 96, 3), "matting": (2, 128, 96, 4)}
    for task, shape in shapes.items():
        assert predictor(task).module(pixels).shape == shape
    points, scale = predictor("pointmap").module(pixels)
    assert (points.shape, scale.shape) == ((2, 128, 96, 3), (2, 1))


@pytest.fixture
def inputs_at_once(monkeypatch):
    """How many inputs each network took, in order: filled while predictors run."""
    taken = []

    def watched(model, pixels, progress):
        taken.append(len(pixels))
        return forward(model, pixels, progress)

    monkeypatch.setattr(passes, "forward", watched)
    return taken


def room_for(inputs):
    """A memory limit beside which that many of pose's inputs fit, with a little to spare."""
    return models.nbytes + 2 * inputs * activation_bytes(64, (128, 96), 4) + 100


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize(("room", "most"), [(0, 1), (1, 1), (2, 2), (5, 2)])
def test_no_more_inputs_go_together_than_memory_has_room_for(weights, monkeypatch, inputs_at_once, room, most, flip):
    """`room` inputs fit; on the CPU two go together at most. A crop then goes before its mirror image."""
    if runtime.device() != "cpu":
        most = max(1, room)
    boxes = [[-20, 5, 60, 70], [50, 10, 128, 88], [0, 0, 129, 89]]
    pose = predictor("pose", level="fp32")
    expected = pose(PHOTO, boxes_xyxy=boxes, flip=flip)
    taken_before = len(inputs_at_once)
    limit = room_for(room)
    monkeypatch.setattr(runtime, "memory_limit_bytes", lambda: limit)
    found = pose(PHOTO, boxes_xyxy=boxes, flip=flip)
    taken = inputs_at_once[taken_before:]
    assert sum(taken) == len(boxes) * (2 if flip else 1)
    assert max(taken) <= most
    # A product of fewer rows rounds otherwise, and RoPE in bfloat16 makes more of it.
    np.testing.assert_allclose(found.keypoint_scores, expected.keypoint_scores, atol=2e-3)


def test_people_are_cut_out_as_their_turn_comes(weights, monkeypatch):
    """However many there are, what is held is one batch and the first of the next."""
    cut_out, cut, ahead = udp.cut_out, [], []
    pose = predictor("pose", level="fp32")
    assert pose.module  # loaded, so that its weights count in the limit

    def watched(*arguments):
        cut.append(arguments)
        return cut_out(*arguments)

    def hear(stage, done, total):
        if stage.startswith("person "):
            ahead.append(len(cut) - int(stage.split()[1]))

    monkeypatch.setattr(udp, "cut_out", watched)
    limit = room_for(2)
    monkeypatch.setattr(runtime, "memory_limit_bytes", lambda: limit)
    pose(PHOTO, boxes_xyxy=[[0, 0, 60, 80]] * 12, flip=False, progress=hear)
    assert len(cut) == 12
    assert max(ahead) <= 2


def test_a_crop_and_its_mirror_apart_count_their_blocks_on(weights, monkeypatch):
    heard = []
    monkeypatch.setattr(runtime, "memory_limit_bytes", lambda: 0)
    predictor("pose")(PHOTO, boxes_xyxy=[[0, 0, 60, 80]], progress=lambda *report: heard.append(report))
    shares = [done / total for stage, done, total in heard if stage == "network"]
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.parametrize(("most", "sizes"), [(1, [1, 1, 1]), (2, [1, 1, 1]), (4, [2, 1]), (100, [3])])
def test_batches_keep_a_crop_and_its_mirror_together(most, sizes):
    fitted = [Fitted(np.zeros((2, 4, 3, 3), np.uint8), None)] * 3
    assert [len(batch) for batch in batches(fitted, most)] == sizes
    assert list(batches([], most)) == []
