"""What each task is trained to make small: raw outputs (B, C, H, W) and a batch of data.py's samples to a scalar."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .data import swapped_classes
from .network_rtmdet import STRIDES

Batch = dict[str, Tensor]

HEATMAP_SIGMA = 2.0  # heatmap pixels, as the decoder's blur expects
SOFTMAX_GAIN = 12.0  # a heatmap of height 1 as logits
TOP_IOUS = 13
# Of drawn scenes' pixels, by class; left and right have the same.
CLASS_SHARES = (
    *(0.69, 0.0089, 0.00088, 0.026, 0.031, 0.0002, 0.0067, 0.0033, 0.0013, 0.0031, 0.0007, 0.0035, 0.0014, 0.049),
    *(0.0002, 0.0067, 0.0033, 0.0013, 0.0031, 0.0007, 0.0035, 0.0014, 0.0064, 0.14),
    *(0.00024, 0.00019, 1.5e-5, 0.00012, 2.2e-5),
)
NEAREST = 0.05  # depths that errors are relative to; points have metres times the scale, which is about 1


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of `values` where `mask`, of equal or broadcast shape, is not 0; 0 where nothing is."""
    mask = mask.expand_as(values)
    return (values * mask).sum() / mask.sum().clamp(min=1)


def seg_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Cross entropy with more weight on small classes, and Dice of each class that occurs in the batch: mean IoU counts
    small parts as much as large. Left against right counts once more: few pixels have a side, so that one and the same
    for all would cost little."""
    logits, labels = logits.float(), batch["labels"].long()
    log_p = F.log_softmax(logits, dim=1)
    shares = torch.tensor(CLASS_SHARES, device=logits.device).clamp(1e-4, 0.1)
    entropy = F.nll_loss(log_p, labels, weight=shares**-0.3)
    p_truth = log_p.gather(1, labels[:, None]).exp().flatten()
    shared = torch.zeros(logits.shape[1], device=logits.device).index_add(0, labels.flatten(), p_truth)
    size = torch.zeros_like(shared).index_add(0, labels.flatten(), torch.ones_like(p_truth))
    dice = 1 - (2 * shared + 1) / (log_p.exp().sum((0, 2, 3)) + size + 1)
    partners = torch.as_tensor(swapped_classes()[: logits.shape[1]], dtype=torch.long, device=labels.device)[labels]
    ahead = (logits.gather(1, labels[:, None]) - logits.gather(1, partners[:, None]))[:, 0]
    sides = masked_mean(F.softplus(-ahead), (partners != labels).float())
    return entropy + 0.5 * masked_mean(dice, (size > 8).float()) + 0.3 * sides


def sides_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross entropy of the side of somebody that patches show: `logits` (B, 1, h, w) that it is the left one, and truth
    (B, h, w) as data.sides_of gives it, with little weight on patches of neither: theirs shall be 0.

    Asked of the backbone itself: heads alone teach it hardly more than chance.
    """
    entropy = F.binary_cross_entropy_with_logits(logits.float()[:, 0], truth, reduction="none")
    sided = truth != 0.5
    return masked_mean(entropy, sided.float()) + 0.1 * masked_mean(entropy, (~sided).float())


def normal_loss(vectors: Tensor, batch: Batch) -> Tensor:
    """1 - cosine plus the distance of unit vectors, on people."""
    mask = person(batch)[:, 0] * batch["rigid"][:, None, None]
    unit = F.normalize(vectors.float(), dim=1, eps=1e-6)
    truth = F.normalize(batch["normals"].float(), dim=1, eps=1e-6)
    cosine = (unit * truth).sum(1)
    return masked_mean(1 - cosine, mask) + 0.5 * masked_mean((unit - truth).abs().sum(1), mask)


def pointmap_loss(raw: tuple[Tensor, Tensor], batch: Batch) -> Tensor:
    """Relative errors of depth, half as much of x and y, and of the scale, and of differences of depth between
    neighbours near and far.

    A point's error is relative to the smaller of the two depths: relative to the true one, too near would cost at most
    1 and too far without end, so that a network that is unsure would place everybody at arm's length.
    """
    points, scale = raw[0].float(), raw[1].float()[:, 0]
    truth, true_scale = batch["points"].float(), batch["scale"]
    z = truth[:, 2:]
    there = (z > 0).float() * batch["rigid"][:, None, None, None]
    mask = person(batch) * there
    smaller = torch.minimum(z, points[:, 2:].detach()).clamp(min=NEAREST)
    aside, ahead = ((points - truth) / smaller).split((2, 1), dim=1)
    loss = masked_mean(ahead.abs(), mask) + 0.5 * masked_mean(aside.abs(), mask)
    # What lies behind people keeps the map whole at their edges; it counts little.
    loss = loss + 0.05 * masked_mean(ahead.clamp(-1, 1).abs(), there * (1 - mask))
    depth_error = (points - truth)[:, 2:] / z.clamp(min=NEAREST)
    for step in (1, 4, 16):
        for dim in (2, 3):
            near, far = (t.narrow(dim, 0, t.shape[dim] - step) for t in (depth_error, mask))
            pair = mask.narrow(dim, step, mask.shape[dim] - step) * far
            difference = depth_error.narrow(dim, step, depth_error.shape[dim] - step) - near
            loss = loss + masked_mean(difference.abs(), pair)
    relative = (scale / true_scale - 1).abs()
    return loss + 0.5 * masked_mean(relative, batch["rigid"] * batch["as_taken"])


def of_hue(error: Tensor) -> Tensor:
    """What of errors of colours (B, 3, h, w) is not of brightness: grey would else be a safe answer to any colour."""
    return (error - error.mean(1, keepdim=True)).abs()


def albedo_loss(colours: Tensor, batch: Batch) -> Tensor:
    mask = person(batch)
    error = colours.float() - batch["albedo"].float() / 255
    edges = sum(masked_mean(error.diff(dim=d).abs(), mask.narrow(d, 1, mask.shape[d] - 1)) for d in (2, 3))
    return masked_mean(error.abs(), mask) + masked_mean(of_hue(error), mask) + 0.5 * edges


def matting_loss(logits: Tensor, batch: Batch) -> Tensor:
    """On the sigmoid: absolute errors of alpha and colour, and of alpha's differences; very little cross entropy, for
    what is quite wrong: more of it makes a network that is unsure answer with half of a person."""
    truth = batch["matte"].float() / 255
    logits = logits.float()
    error = logits.sigmoid() - truth
    alpha = error[:, 3:]
    edges = alpha.diff(dim=2).abs().mean() + alpha.diff(dim=3).abs().mean()
    entropy = F.binary_cross_entropy_with_logits(logits[:, 3:], truth[:, 3:])
    colour, people = error[:, :3], person(batch)
    colours = colour.abs().mean() + masked_mean(colour.abs(), people) + masked_mean(of_hue(colour), people)
    return alpha.abs().mean() + edges + 0.03 * entropy + colours


def pose_loss(heatmaps: Tensor, batch: Batch) -> Tensor:
    """Squared errors that mind the peaks, and cross entropy of each visible keypoint's place: it moves peaks early.

    A keypoint outside the crop has an empty map; for one that is hidden inside it nothing is asked.
    """
    heatmaps = heatmaps.float()
    height, width = heatmaps.shape[2:]
    visible, asked = batch["visible"], torch.maximum(batch["visible"], 1 - batch["inside"])
    x, y = batch["keypoints"].unbind(-1)
    across = torch.exp(-((torch.arange(width, device=x.device) - x[..., None]) ** 2) / (2 * HEATMAP_SIGMA**2))
    down = torch.exp(-((torch.arange(height, device=y.device) - y[..., None]) ** 2) / (2 * HEATMAP_SIGMA**2))
    truth = down[..., :, None] * across[..., None, :] * visible[..., None, None]
    squares = ((heatmaps - truth) ** 2 * (1 + 20 * truth)).mean((2, 3))
    place = truth.flatten(2)
    place = place / place.sum(-1, keepdim=True).clamp(min=1e-6)
    entropy = -(place * F.log_softmax(SOFTMAX_GAIN * heatmaps.flatten(2), dim=-1)).sum(-1)
    return 40 * masked_mean(squares, asked) + 0.1 * masked_mean(entropy, visible)


def person(batch: Batch) -> Tensor:
    """(B, 1, H, W) float: 1 on people."""
    return (batch["labels"] > 0).float()[:, None]


LOSSES = {
    "seg": seg_loss,
    "pose": pose_loss,
    "normal": normal_loss,
    "pointmap": pointmap_loss,
    "albedo": albedo_loss,
    "matting": matting_loss,
}
# In the trunk: about what makes their gradients on the backbone alike.
WEIGHTS = {"seg": 1.0, "pose": 1.0, "normal": 1.0, "pointmap": 1.0, "albedo": 2.0, "matting": 1.0}


# ---- the detector ---------------------------------------------------------------------------------------------------


def detector_loss(raw: tuple[list[Tensor], list[Tensor]], batch: Batch) -> Tensor:
    """Quality focal loss against each point's IoU, and GIoU of the points assigned to somebody (as RTMDet)."""
    logits = torch.cat([x.flatten(1) for x in raw[0]], dim=1)  # (B, n)
    sides = torch.cat([x.flatten(2) for x in raw[1]], dim=2).transpose(1, 2)  # (B, n, 4)
    points, strides = grid([x.shape[2:] for x in raw[0]], logits.device)
    found = torch.cat([points - sides[..., :2], points + sides[..., 2:]], dim=-1)
    class_loss, box_loss, quality_sum = logits.new_zeros(()), logits.new_zeros(()), logits.new_zeros(())
    for scores, boxes, truth, people in zip(logits, found, batch["boxes"], batch["people"], strict=True):
        target = torch.zeros_like(scores)
        if people:
            owners, quality = assign(scores.detach(), boxes.detach(), truth[:people], points, strides)
            taken = owners >= 0
            target[taken] = quality[taken]
            loss = 1 - giou(boxes[taken], truth[owners[taken]])
            box_loss = box_loss + (loss * quality[taken]).sum()
            quality_sum = quality_sum + quality.sum()
        focal = (target - scores.sigmoid()).abs().square()
        class_loss = class_loss + (focal * F.binary_cross_entropy_with_logits(scores, target, reduction="none")).sum()
    total = quality_sum.clamp(min=1)
    return class_loss / total + 2 * box_loss / total


def grid(sizes_hw: list, device: torch.device) -> tuple[Tensor, Tensor]:
    """Points (n, 2), x and y in input pixels with no half-cell offset, and their strides (n,)."""
    points, strides = [], []
    for (height, width), stride in zip(sizes_hw, STRIDES, strict=True):
        y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
        points.append(torch.stack([x, y], dim=-1).reshape(-1, 2) * stride)
        strides.append(torch.full((height * width,), stride, device=device))
    return torch.cat(points).float(), torch.cat(strides).float()


def assign(logits: Tensor, boxes: Tensor, truth: Tensor, points: Tensor, strides: Tensor) -> tuple[Tensor, Tensor]:
    """Whose each point is (n,), -1 for nobody's, and its IoU with that person (n,).

    Dynamic soft label assignment (RTMDet, section 3.3): each person takes as many points of least cost as its best
    IoUs add up to; the cost is of class, overlap, and distance from the middle.
    """
    inside = ((points[:, None] > truth[None, :, :2]) & (points[:, None] < truth[None, :, 2:])).all(-1)  # (n, P)
    overlap = iou(boxes[:, None], truth[None])  # (n, P)
    middles = (truth[:, :2] + truth[:, 2:]) / 2
    away = (points[:, None] - middles[None]).norm(dim=-1) / strides[:, None]
    target, score = overlap, logits.sigmoid()[:, None].expand_as(overlap)
    class_cost = F.binary_cross_entropy(score, target, reduction="none") * (target - score).abs().square()
    cost = class_cost - 3 * torch.log(overlap + 1e-7) + 10 ** (away - 3).clamp(max=6)
    cost = torch.where(inside, cost, torch.full_like(cost, 1e8))
    wanted = overlap.topk(TOP_IOUS, dim=0).values.sum(0).int().clamp(min=1)
    taken = torch.zeros_like(inside)
    for person_, count in enumerate(wanted.tolist()):
        taken[cost[:, person_].topk(count, largest=False).indices, person_] = True
    taken &= inside
    best = torch.where(taken, cost, torch.full_like(cost, 1e9)).min(dim=1)
    owners = torch.where(taken.any(1), best.indices, -1)
    return owners, overlap.gather(1, owners.clamp(min=0)[:, None])[:, 0] * (owners >= 0)


def iou(a: Tensor, b: Tensor) -> Tensor:
    shared = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    return shared / (area(a) + area(b) - shared).clamp(min=1e-6)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """IoU less the empty share of the smallest box around both (arXiv 1902.09630)."""
    shared = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    union = (area(a) + area(b) - shared).clamp(min=1e-6)
    around = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1).clamp(min=1e-6)
    return shared / union - (around - union) / around


def area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)
