"""What the image processor of transformers makes of raw outputs for a photo, and what ours makes of the same ones.

Where the two differ on purpose the test says why, and holds ours to the difference.
"""

from types import SimpleNamespace

import numpy as np
import parity
import pytest
import rule

from sapiens_mlx import tasks
from sapiens_mlx.tasks.fit import Way, smooth

pytestmark = pytest.mark.parity

HEIGHT, WIDTH = parity.INPUT_HW
# Height and width: upright, across, larger and smaller than the network's input, and exactly as large.
PHOTOS = [(150, 90), (61, 200), (300, 240), (40, 33), (HEIGHT, WIDTH)]


def photo(size_hw) -> np.ndarray:
    return np.random.default_rng(size_hw[0]).integers(0, 256, (*size_hw, 3), np.uint8)


def raw(channels: int) -> np.ndarray:
    """(1, HEIGHT, WIDTH, channels) float32 noise, as a network might leave it."""
    return rule.noise(f"raw {channels}", (1, HEIGHT, WIDTH, channels))


def theirs(array: np.ndarray):
    """(1, h, w, C) as a torch tensor (1, C, h, w)."""
    torch, _ = parity.libraries()
    return torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))


def back(tensor) -> np.ndarray:
    """(C, H, W) to (H, W, C)."""
    return tensor.numpy().transpose(1, 2, 0)


def decoded(task: str, output, size_hw):
    """What ours makes of a raw output."""
    (fitted,) = tasks.get(task).fit(photo(size_hw), parity.INPUT_HW)
    return tasks.get(task).decode(output, fitted), fitted.way


@pytest.mark.parametrize("size_hw", PHOTOS)
def test_body_parts(size_hw):
    logits = raw(29)
    processor = parity.processor("seg")
    (labels,) = processor.post_process_semantic_segmentation(
        SimpleNamespace(logits=theirs(logits)), target_sizes=[size_hw]
    )
    (fitted,) = tasks.get("seg").fit(photo(size_hw), parity.INPUT_HW)
    part = tasks.get("seg").decode(logits, fitted)
    ours = tasks.get("seg").result([part], photo(size_hw)).labels
    # Bilinear weights are rounded differently, so that a pixel where two classes are all but equal may turn.
    assert (ours == labels.numpy()).mean() > 0.999


@pytest.mark.parametrize("size_hw", PHOTOS)
def test_normals(size_hw):
    normals = raw(3)
    (expected,) = parity.processor("normal").post_process_normal_estimation(
        SimpleNamespace(normals=theirs(normals)), source_sizes=[size_hw]
    )
    ours, _ = decoded("normal", normals, size_hw)
    assert np.abs(ours - back(expected["normals"])).max() < 1e-4


@pytest.mark.parametrize("size_hw", PHOTOS)
def test_points(size_hw):
    points, scale = raw(3), np.array([[0.75]], np.float32)
    torch, _ = parity.libraries()
    processor = parity.processor("pointmap")

    def expected(points):
        output = SimpleNamespace(pointmaps=theirs(points), scales=torch.from_numpy(scale))
        (found,) = processor.post_process_pointmap_estimation(output, source_sizes=[size_hw])
        return back(found["pointmap"])

    (ours, *_), way = decoded("pointmap", (points, scale), size_hw)
    cut = points[0, way.padding.top : HEIGHT - way.padding.bottom, way.padding.left : WIDTH - way.padding.right]
    if size_hw[0] > cut.shape[0] or size_hw[1] > cut.shape[1]:
        # The reference smooths the points before it enlarges them, and so does ours; theirs does not.
        assert np.abs(ours - expected(points)).max() > 0.1
        padding = ((way.padding.top, way.padding.bottom), (way.padding.left, way.padding.right), (0, 0))
        points = np.pad(smooth(np.ascontiguousarray(cut)), padding)[None]
    assert np.abs(ours - expected(points)).max() < 1e-4


@pytest.mark.parametrize("size_hw", PHOTOS)
def test_cut_outs(size_hw):
    matte = 1 / (1 + np.exp(-raw(4)))  # after the sigmoid, as both networks give it
    output = SimpleNamespace(foregrounds=theirs(matte[..., :3]), alphas=theirs(matte[..., 3:]))
    (expected,) = parity.processor("matting").post_process_image_matting(output, target_sizes=[size_hw])
    (fitted,) = tasks.get("matting").fit(photo(size_hw), parity.INPUT_HW)
    assert fitted.way == Way(size_hw)
    result = tasks.get("matting").result([tasks.get("matting").decode(matte, fitted)], photo(size_hw))
    assert np.abs(result.alpha - expected["alpha"][0].numpy()).max() < 1e-4
    assert np.abs(result.foreground - back(expected["foreground"])).max() < 1e-4


@pytest.mark.parametrize("size_hw", PHOTOS[:3])
def test_keypoints(size_hw):
    height, width = size_hw
    boxes_xywh = [[0.1 * width, 0.2 * height, 0.5 * width, 0.7 * height], [-5.0, 3.0, 0.9 * width, 0.3 * height]]
    maps = np.concatenate([heatmaps(f"person {number}") for number in range(2)])
    (people,) = parity.processor("pose").post_process_pose_estimation(
        SimpleNamespace(heatmaps=theirs(maps)), boxes=[boxes_xywh]
    )
    task = tasks.get("pose")
    boxes_xyxy = np.array([[x, y, x + w, y + h] for x, y, w, h in boxes_xywh])
    fitted = task.fit(photo(size_hw), parity.INPUT_HW, boxes_xyxy=boxes_xyxy, flip=False)
    for number, (person, one) in enumerate(zip(people, fitted, strict=True)):
        points, scores = task.decode(maps[number : number + 1], one)
        assert np.abs(scores - person["scores"].numpy()).max() < 1e-6
        assert np.abs(points - person["keypoints"].numpy()).max() < 0.05  # of a photo's pixel


def heatmaps(seed: str) -> np.ndarray:
    """(1, h/4, w/4, 308): a blob a keypoint, of any height, anywhere, at the borders too."""
    rows, columns = HEIGHT // 4, WIDTH // 4
    centres = np.abs(rule.noise(seed, (308, 3)))
    y, x = (axis[..., None] for axis in np.mgrid[:rows, :columns])
    y_centre, x_centre = centres[:, 0] % 1 * (rows - 1), centres[:, 1] % 1 * (columns - 1)
    blobs = np.exp(-((y - y_centre) ** 2 + (x - x_centre) ** 2) / 8) * (0.2 + centres[:, 2] % 1)
    return blobs[None].astype(np.float32)
