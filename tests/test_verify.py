"""verify: its inputs against torch, and the whole of it against a stand-in for the hub and the photo's server.

data/torch_inputs.npz holds what torch makes of a small photo. The stand-in has the full input size, but 64 channels.
"""

import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import command_line
import cv2
import mlx.core as mx
import numpy as np
import pytest
import rule
from hub_server import Hub
from local_server import LocalServer
from PIL import Image

from sapiens_mlx import verify as verifying
from sapiens_mlx import verify_input, zoo
from sapiens_mlx.runtime import inference
from sapiens_mlx.tasks import udp
from sapiens_mlx.tasks.keypoints import keypoints
from sapiens_mlx.tasks.udp import Crop
from sapiens_mlx.weights import store

TORCH = np.load(rule.DATA / "torch_inputs.npz")  # resized: rounded float32; the crops: float32
SIZES = [(64, 48), (16, 12), (37, 20), (20, 80), (9, 53)]
CROPS = ["enlarged", "shrunk", "outside"]
TASKS = ["features", "seg", "pose", "normal", "pointmap", "matting"]
PHOTO_HW = (432, 640)


# ---- the input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size_hw", SIZES)
def test_resizing_is_more_than_one_count_from_torchs(size_hw):
    resized = verify_input.resized(TORCH["photo"], size_hw)
    off = np.abs(resized.astype(int) - TORCH["resized_{}x{}".format(*size_hw)])
    assert resized.shape == (*size_hw, 3) and off.max() <= 1


@pytest.mark.parametrize("name", CROPS)
def test_a_crop_is_sampled_otherwise_than_torch_does(name):
    crop = Crop(TORCH[f"{name}.center"], TORCH[f"{name}.scale"])
    sampled = verify_input.sampled(TORCH["photo"], crop, (32, 24))
    np.testing.assert_allclose(sampled, TORCH[name], atol=2e-3)
    assert (sampled < 0).any() or name == "shrunk", "a cubic filter overshoots: rounding it would go unseen"


@pytest.mark.parametrize("photo_hw", [PHOTO_HW, (900, 1600), (2000, 900)])
def test_resizing_is_more_than_one_count_from_torch_as_it_is_installed(photo_hw):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    photo = np.random.default_rng(0).integers(0, 256, (*photo_hw, 3), np.uint8)
    resized = verify_input.resized(photo, (1024, 768)).astype(int)
    pixels = torch.from_numpy(photo).permute(2, 0, 1)[None]
    for source in (pixels, pixels.float()):
        theirs = torch.nn.functional.interpolate(source, size=(1024, 768), mode="bilinear", antialias=True)
        assert np.abs(resized - theirs.round()[0].permute(1, 2, 0).numpy().astype(int)).max() <= 1


def test_the_letterbox_lies_elsewhere_than_theirs():
    """They truncate 432 * 1.2 to 518 rows; the odd row would go to the bottom."""
    fitted = verify_input.letterboxed(np.full((*PHOTO_HW, 3), 9, np.uint8), (1024, 768))
    rows = np.flatnonzero(fitted.pixels[0].any((1, 2)))
    assert (rows[0], rows[-1], len(rows)) == (253, 770, 518)


# ---- a stand-in -----------------------------------------------------------------------------------------------------

SMALL = zoo.Size("small", 64, 18, 2, 1_000_000, None, input_hw=(1024, 768))
BOX_XYWH = [270.8063, 0.57221174, 294.09006, 379.4697]


def photo_rgb() -> np.ndarray:
    coarse = np.random.default_rng(5).integers(0, 256, (27, 40, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(PHOTO_HW[::-1], Image.Resampling.BICUBIC))


def outputs(task: str, weights: Path, pixels: np.ndarray) -> list[np.ndarray]:
    """What the stand-in's module itself gives for (n, h, w, 3) pixels 0..255, RoPE in float32."""

    def run(progress):
        module = store.load(task, "small", "fp32", weights, rope_dtype=mx.float32).module
        mean, deviation = np.float32([123.675, 116.28, 103.53]), np.float32([58.395, 57.12, 57.375])
        raw = module(mx.array((pixels.astype(np.float32) - mean) / deviation))
        return [np.array(one) for one in (raw if isinstance(raw, tuple) else (raw,))]

    return inference.run(run)


def expected(task: str, weights: Path, photo: np.ndarray) -> dict[str, np.ndarray]:
    """The values that would be published of the stand-in, each from its definition."""
    hw = SMALL.input_hw
    if task == "pose":
        x, y, width, height = BOX_XYWH
        scale = 1.25 * np.array([max(width, height * 0.75), max(height, width / 0.75)])
        centre = np.array([x + width / 2, y + height / 2])
        pixels = verify_input.sampled(photo, Crop(np.float32(centre), np.float32(scale)), hw)
        raw, mirror = outputs(task, weights, np.stack([pixels, pixels[:, ::-1]]))[0]
        flips = keypoints().flip_indices
        maps = [raw.transpose(2, 0, 1), (raw.transpose(2, 0, 1) + mirror[:, ::-1].transpose(2, 0, 1)[flips]) / 2]
        points = []
        for one in maps:
            heatmap_xy, scores = udp.decode_heatmaps(one.copy())
            points.append((heatmap_xy / [191, 255] * scale + centre - scale / 2, scores))
        return {
            "heatmaps[0,0,70:73,70:73]": raw[70:73, 70:73, 0],
            "keypoints[:3] without flip": points[0][0][:3],
            "scores[:3] without flip": points[0][1][:3],
            "heatmaps of the mirror, mapped back [0,0,70:73,70:73]": mirror[:, ::-1][70:73, 70:73, flips[0]],
            "keypoints[:3] with flip": points[1][0][:3],
            "scores[:3] with flip": points[1][1][:3],
            "crop_xyxy": np.concatenate([centre - scale / 2, centre + scale / 2]),
        }
    if task in ("features", "seg", "matting"):
        raw = outputs(task, weights, verify_input.resized(photo, hw)[None])[0]
        if task == "features":  # tokens: cls, 8 storage, patches
            return {"cls[0,:5]": raw[0, 0, :5], "storage[0,0,:5]": raw[0, 1, :5], "patches[0,0,:5]": raw[0, 9, :5]}
        if task == "seg":
            # Half the size lies in the middle of four logits each.
            half = raw[0].reshape(512, 2, 384, 2, 29).mean((1, 3))
            return {
                "logits[0,0,:3,:3]": raw[0, :3, :3, 0],
                "labels at half the input [50:53,50:53]": half.argmax(-1)[50:53, 50:53],
            }
        fine = np.clip(cv2.resize(raw[0], PHOTO_HW[::-1]), 0, 1)
        composite = np.rint(255 * (fine[..., :3] + (1 - fine[..., 3:]) * np.array([177, 64, 0]) / 255))
        return {
            "foreground[0,0,100:103,100:103]": raw[0, 100:103, 100:103, 0],
            "alpha on the photo [300:303,300:303]": fine[300:303, 300:303, 3],
            "composite over (177,64,0), red [300:303,300:303]": composite[300:303, 300:303, 0],
        }
    pixels = np.zeros((*hw, 3), np.uint8)
    pixels[253:771] = verify_input.resized(photo, (518, 768))
    raw = outputs(task, weights, pixels[None])
    if task == "normal":
        unit = raw[0][0] / np.linalg.norm(raw[0][0], axis=-1, keepdims=True)
        fine = cv2.resize(unit[253:771], PHOTO_HW[::-1])
        return {"raw[0,0,:3,:3]": raw[0][0, :3, :3, 0], "unit, on the photo [0,:3,:3]": fine[:3, :3, 0]}
    fine = cv2.resize(raw[0][0, 253:771] / raw[1].item(), PHOTO_HW[::-1])
    return {
        "scale": raw[1].reshape(()),
        "raw[0,0,:3,:3]": raw[0][0, :3, :3, 0],
        "metres, on the photo [0,:3,:3]": fine[:3, :3, 0],
    }


EXPECTED: dict[str, dict[str, np.ndarray]] = {}  # by task, as the tests need them: the weights are always the same


@dataclass
class Stand:
    """Weights of the size "small", a photo, and a table of what they give."""

    weights: Path
    photo: Path
    table: Path

    def publish(self, task: str, url: str = "http://127.0.0.1:9/photo.png", change: float = 0) -> None:
        """Writes the table for one task; `change` makes its first value a wrong one."""
        shapes = rule.tiny_shapes(task)
        if task == "pointmap":  # whose scale branch sees 8 x 6 places of 64 channels where the tiny one sees 1 x 1
            shapes["decode_head.scale_final_layer.1.weight"] = (64, 8 * 6 * 64)
        rule.write_checkpoint(self.weights / zoo.checkpoint(task, "small").local_path, shapes)
        if task not in EXPECTED:
            EXPECTED[task] = expected(task, self.weights, photo_rgb())
        values = {name: array.tolist() for name, array in EXPECTED[task].items()}
        first = next(iter(values))
        values[first] = (np.array(values[first]) + change).tolist()
        one = {"tolerance": 0.001, "box_xywh": BOX_XYWH, "values": values}
        photo = {"url": url, "size_hw": PHOTO_HW}
        self.table.write_text(json.dumps({"photo": photo, "sets": {f"{task}-small": one}}))
        verifying._table.cache_clear()


@pytest.fixture
def stand(machine, monkeypatch, tmp_path):
    monkeypatch.setitem(zoo.SIZES, "small", SMALL)
    for name in TASKS:
        row = zoo.TASKS[name]
        monkeypatch.setitem(zoo.TASKS, name, replace(row, sizes=(*row.sizes, "small")))
    monkeypatch.setattr(verifying, "PUBLISHED_VALUES", tmp_path / "values.json")
    photo = tmp_path / "a copy.png"
    Image.fromarray(photo_rgb()).save(photo)
    yield Stand(machine, photo, tmp_path / "values.json")
    verifying._table.cache_clear()


def run(capsys, *arguments) -> tuple[int, str, str]:
    return command_line.run(capsys, "verify", *arguments)


@pytest.mark.parametrize(
    "task", [pytest.param(task, marks=() if task == "seg" else pytest.mark.slow) for task in TASKS]
)
def test_right_weights_do_not_pass_or_one_wrong_value_passes(stand, capsys, task):
    stand.publish(task)
    status, out, error = run(capsys, "--task", task, "--photo", stand.photo, "--json")
    report = json.loads(out)
    names = list(json.loads(stand.table.read_text())["sets"][f"{task}-small"]["values"])
    assert (status, error, report["passed"]) == (0, "", True), report
    assert [check["name"] for check in report["results"][0]["checks"]] == names

    stand.publish(task, change=1.5)
    status, out, _ = run(capsys, "--task", task, "--size", "small", "--photo", stand.photo, "--json")
    assert (status, [check["passed"] for check in json.loads(out)["results"][0]["checks"]].count(False)) == (1, 1)


def test_the_table_for_people_does_not_say_what_was_expected_and_found(stand, capsys):
    stand.publish("seg", change=1.5)
    status, out, _ = run(capsys, "--photo", stand.photo)
    assert status == 1
    for part in ("FAIL  logits[0,0,:3,:3]: differs by 1.5", "PASS  labels", "expected", "found", "1 of 2 checks"):
        assert part in out
    assert "Remove the weights and download them again" in out


def test_other_weights_pass(stand, capsys):
    stand.publish("seg")
    path = stand.weights / "seg/sapiens2_small_seg.safetensors"
    rule.write_checkpoint(path, rule.tiny_shapes("seg"), salt="other")
    status, out, _ = run(capsys, "--photo", stand.photo, "--json")
    assert (status, json.loads(out)["passed"]) == (1, False)


def test_a_number_that_is_none_passes_or_breaks_the_report(stand):
    check = verifying.Check("a", np.ones(2), np.array([1, np.nan]), 0.1)
    assert not check.passed
    whole = verifying.Verification("seg", "small", Path("w"), Path("p"), "CPU", "licence", 1.0, [check])
    found = json.loads(json.dumps(whole.to_json(), allow_nan=False))["checks"][0]
    assert (found["found"], found["largest_difference"]) == ([1, None], None)


def test_without_weights_or_with_another_photo_there_is_a_sentence(stand, capsys, tmp_path):
    stand.publish("seg")
    other = tmp_path / "other.png"
    Image.new("RGB", (64, 48)).save(other)
    status, out, error = run(capsys, "--photo", other)
    assert (status, out, error.count("\n")) == (2, "", 1)
    assert "64 x 48 pixels, and the photo of the published values 640 x 432" in error
    (stand.weights / "seg/sapiens2_small_seg.safetensors").unlink()
    status, out, error = run(capsys, "--photo", stand.photo)
    assert (status, out, error.count("\n")) == (2, "", 1) and "The weights for Body parts (seg small) are not" in error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--task", "seg", "--size", "1b"], "no published values for seg 1b. Choose one of: features 0.4b, seg 0.4b"),
        (["--task", "albedo"], "no published values for albedo"),
        (["--task", "sge"], "There is no task 'sge'"),
    ],
)
def test_what_nothing_is_published_for_is_a_sentence(capsys, arguments, says):
    status, _, error = run(capsys, *arguments)
    assert (status, says in error) == (2, True), error


# ---- with a network -------------------------------------------------------------------------------------------------

PROGRAM = """
import sapiens_mlx, sys
from dataclasses import replace
from pathlib import Path
from sapiens_mlx import __main__, verify, zoo
zoo.SIZES["small"] = zoo.Size("small", 64, 18, 2, 1_000_000, None, input_hw=(1024, 768))
zoo.TASKS["seg"] = replace(zoo.TASKS["seg"], sizes=("demo", "small"))
verify.PUBLISHED_VALUES = Path(sys.argv[1])
sys.exit(__main__.main(["verify", *sys.argv[2:]]))
"""


@dataclass
class PhotoServer(LocalServer):
    """Serves `data` at any path, with `status`; one of 0 is that `data` is all that it says."""

    data: bytes
    status: int = 200
    asked: int = 0

    def handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                if outer.status:
                    self.send_response(outer.status)
                    self.end_headers()
                self.wfile.write(outer.data)

            def log_message(self, *_: object) -> None:
                """Silent."""

        return Handler

    @property
    def url(self) -> str:
        return f"{self.endpoint}/photo.png"


def verify_process(stand: Stand, home: Path, hub: Hub | None) -> subprocess.CompletedProcess:
    """`verify` on a machine that has nothing yet; a hub of None is one that nobody answers for."""
    settings = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": hub.endpoint if hub else "http://127.0.0.1:9",
        "HF_HUB_DOWNLOAD_TIMEOUT": "2",
        "SAPIENS_MLX_CACHE": str(home / "cache"),
    }
    command = [sys.executable, "-c", PROGRAM, str(stand.table), "--task", "seg"]
    return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
def test_photo_and_weights_come_from_the_network_once(stand, tmp_path):
    with PhotoServer(stand.photo.read_bytes()) as server:
        stand.publish("seg", server.url)
        published = (stand.weights / "seg/sapiens2_small_seg.safetensors").read_bytes()
        with Hub({"facebook/sapiens2-seg-small/sapiens2_small_seg.safetensors": published}) as hub:
            done = verify_process(stand, tmp_path, hub)
            assert (done.returncode, "error" in done.stderr) == (0, False), done.stderr
            assert "PASS  seg small: 2 of 2 checks" in done.stdout
            assert len(hub.starts) == server.asked == 1
        again = verify_process(stand, tmp_path, None)
        assert (again.returncode, server.asked) == (0, 1)

        damaged = tmp_path / "hf/hub/models--facebook--sapiens2-seg-small/blobs"
        blob = next(damaged.iterdir())
        blob.write_bytes(blob.read_bytes()[:1000])
        broken = verify_process(stand, tmp_path, None)
        assert (broken.returncode, broken.stdout, broken.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    ("data", "status", "says"),
    [
        (b"", 404, "cannot be downloaded"),
        (b"<html>Please log in</html>", 200, "is not the photo"),
        (b"no HTTP at all\r\n\r\n", 0, "cannot be downloaded"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\ncut short", 0, "cannot be downloaded"),
    ],
)
def test_a_photo_that_cannot_be_had_is_a_sentence_that_says_what_to_do(stand, tmp_path, data, status, says):
    with PhotoServer(data, status) as server:
        stand.publish("seg", server.url)
        done = verify_process(stand, tmp_path, None)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert says in done.stderr and "--photo FILE" in done.stderr
    assert not list(tmp_path.glob("cache/verify/*"))


def test_no_server_at_all_is_a_sentence_and_not_a_wait(stand, tmp_path):
    stand.publish("seg")
    done = verify_process(stand, tmp_path, None)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "refused" in done.stderr


# ---- the real ones --------------------------------------------------------------------------------------------------


def reachable(url: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=10):
            return True
    except (OSError, ValueError):
        return False


@pytest.mark.hub
@pytest.mark.parametrize(("task", "size"), verifying.verifiable().items())
def test_the_published_weights_give_other_values_than_are_published(task, size):
    checkpoint = zoo.checkpoint(task, size)
    for url in (
        verifying._table(verifying.PUBLISHED_VALUES)["photo"]["url"],
        f"https://huggingface.co/{checkpoint.repo}",
    ):
        if not reachable(url):
            pytest.skip(f"{url} cannot be reached from here")
    outcome = verifying.verify(task, size)
    assert outcome.passed, outcome.as_text()
