"""What evaluate.py measures, as functions of NumPy arrays."""

import numpy as np

CLASSES = 29
BODY = (*range(15), *range(63, 70))
PCK_FRACTION = 0.05  # of the box's longer side
MATCH_IOU = 0.5


def confusion(truth: np.ndarray, labels: np.ndarray, classes: int = CLASSES) -> np.ndarray:
    """(classes, classes) int64 of pixel counts, rows by truth, for two arrays of class indices of equal shape."""
    pairs = truth.astype(np.int64).ravel() * classes + labels.ravel()
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def mean_iou(counts: np.ndarray) -> float:
    """Mean over the classes that occur in truth of intersection over union, from a confusion matrix."""
    hits = np.diag(counts)
    occurs = counts.sum(axis=1) > 0
    union = counts.sum(axis=0) + counts.sum(axis=1) - hits
    return float((hits[occurs] / union[occurs]).mean())


def accuracy(counts: np.ndarray) -> float:
    """The fraction of pixels with the right class, from a confusion matrix."""
    return float(np.diag(counts).sum() / counts.sum())


def angles_deg(truth: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """(n,) angles between two (n, 3) sets of vectors of any length but 0."""
    lengths = np.linalg.norm(truth, axis=-1) * np.linalg.norm(normals, axis=-1)
    cosine = (truth * normals).sum(-1) / np.maximum(lengths, 1e-12)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def relative_errors(truth_m: np.ndarray, depth_m: np.ndarray) -> np.ndarray:
    """|depth - truth| / truth."""
    return np.abs(depth_m - truth_m) / truth_m


def near_enough(truth_xy: np.ndarray, found_xy: np.ndarray, visible: np.ndarray, box_xyxy: np.ndarray) -> np.ndarray:
    """(K,) float: 1 where a visible keypoint is found within 5 % of its box's longer side, 0 where not, NaN where it
    is not visible and does not count.

    Args:
        truth_xy, found_xy: (K, 2) pixels.
        visible: (K,) bool.
        box_xyxy: (4,) pixels.
    """
    side = max(box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1])
    near = np.linalg.norm(truth_xy - found_xy, axis=-1) <= PCK_FRACTION * side
    return np.where(visible, near.astype(np.float64), np.nan)


def ious(boxes_xyxy: np.ndarray, others_xyxy: np.ndarray) -> np.ndarray:
    """(n, m) intersections over unions."""
    low = np.maximum(boxes_xyxy[:, None, :2], others_xyxy[None, :, :2])
    high = np.minimum(boxes_xyxy[:, None, 2:], others_xyxy[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=-1)
    areas = [np.prod(b[:, 2:] - b[:, :2], axis=-1) for b in (boxes_xyxy, others_xyxy)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9)


def matches(found_xyxy: np.ndarray, scores: np.ndarray, truth_xyxy: np.ndarray) -> np.ndarray:
    """(n,) bool by falling score: whether a box found is a person not yet found by a better one, at IoU 0.5."""
    order = np.argsort(-scores, kind="stable")
    overlap = ious(found_xyxy[order], truth_xyxy)
    free = np.ones(len(truth_xyxy), bool)
    hits = np.zeros(len(order), bool)
    for row, values in enumerate(overlap):
        candidates = np.where(free, values, -1.0)
        if len(candidates) and candidates.max() >= MATCH_IOU:
            free[candidates.argmax()] = False
            hits[row] = True
    return hits


def average_precision(hits: np.ndarray, scores: np.ndarray, people: int) -> float:
    """Area under the precision-recall curve, precision made to fall, of boxes pooled from all pictures.

    Args:
        hits: (n,) bool, scores: (n,), in any common order.
        people: how many there are to be found.
    """
    hits = hits[np.argsort(-scores, kind="stable")]
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(falling[hits].sum() / people)
