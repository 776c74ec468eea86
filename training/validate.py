"""Quick figures of a network in training on a few held-out scenes; evaluate.py measures what ships."""

from functools import cache

import numpy as np
import torch
from torch import nn
from torch.utils.data import default_collate

from . import figures, network, scenes
from .data import dense_sample, detector_sample, pose_sample, scored_people
from .losses import grid

SCENES, SEED = 48, 99  # no evaluation is called 99


@cache
def held_out() -> tuple[scenes.Scene, ...]:
    """The scenes, drawn once and kept in the cache beside those to train on."""
    found = []
    for number in range(SCENES):
        path = scenes.CACHE / f"held-out/{number}.npz"
        if not path.exists():
            scenes.draw_scene(scenes.held_out_seed(SEED, number)).write(path)
        found.append(scenes.Scene.read(path))
    return tuple(found)


def report(name: str, module: nn.Module, device: str) -> str:
    """The figures as one line."""
    return " ".join(f"{key} {value:.3f}" for key, value in measure(name, module, device).items())


@torch.no_grad()
def measure(name: str, module: nn.Module, device: str) -> dict[str, float]:
    """By figure, for a task, the detector, or all of the trunk's tasks. Depth is as predicted: with predicted scale."""
    from .train import normalise

    module.eval()
    if name == "detector":
        return _detector(module, device, normalise)
    tasks = tuple(module.heads)
    input_hw = tuple(network.PATCH * n for n in module.backbone.grid_hw)
    found: dict[str, list] = {key: [] for key in ("angle", "depth", "shape", "albedo", "alpha", "body", "all")}
    counts = np.zeros((figures.CLASSES, figures.CLASSES), np.int64)
    for scene in held_out():
        for stretched in (False, True):
            wanted = tuple(t for t in tasks if t != "pose" and (t in ("seg", "matting")) == stretched)
            if not wanted:
                continue
            sample = dense_sample(scene, input_hw, stretched)
            pixels = normalise(torch.from_numpy(sample["pixels"])[None].to(device))
            raw = module(pixels, wanted)
            person = sample["labels"] > 0
            if "seg" in raw:
                counts += figures.confusion(sample["labels"], raw["seg"][0].argmax(0).cpu().numpy())
            if "matting" in raw:
                alpha = raw["matting"][0, 3].sigmoid().cpu().numpy()
                found["alpha"].append(np.abs(alpha - sample["matte"][3] / 255).mean())
            if not person.any():
                continue
            if "normal" in raw:
                vectors = raw["normal"][0].cpu().numpy()[:, person].T
                found["angle"].append(figures.angles_deg(sample["normals"].astype(np.float32)[:, person].T, vectors))
            if "pointmap" in raw:
                truth = sample["points"].astype(np.float32)[2][person] / sample["scale"]
                maps, scale = raw["pointmap"]
                z = maps[0, 2].cpu().numpy()[person]
                found["depth"].append(figures.relative_errors(truth, z / float(scale)))
                found["shape"].append(figures.relative_errors(truth, z / sample["scale"]))
            if "albedo" in raw:
                colours = raw["albedo"][0].clamp(0, 1).cpu().numpy()[:, person]
                found["albedo"].append(np.abs(colours - sample["albedo"][:, person] / 255).mean())
        if "pose" in tasks:
            for one in scored_people(scene, least=1):
                near = _near(scene, one, module, device, normalise)
                found["body"].append(near[list(figures.BODY)])
                found["all"].append(near)
    names = {"angle": "normal_mean_deg", "depth": "depth_absrel", "shape": "depth_absrel_true_focal"}
    names |= {"albedo": "albedo_mae", "alpha": "alpha_mae", "body": "pck_body", "all": "pck_all"}
    result = {"seg_miou": figures.mean_iou(counts), "seg_accuracy": figures.accuracy(counts)} if counts.any() else {}
    return result | {names[k]: float(np.nanmean(np.hstack(values))) for k, values in found.items() if values}


def _near(scene: scenes.Scene, person: int, module: nn.Module, device: str, normalise) -> np.ndarray:
    """PCK's hits (308,) of one person, from the plain peaks of one view."""
    sample = pose_sample(scene, person, tuple(network.PATCH * n for n in module.backbone.grid_hw))
    maps = module(normalise(torch.from_numpy(sample["pixels"])[None].to(device)), ("pose",))["pose"][0]
    height, width = maps.shape[1:]
    peak = maps.flatten(1).argmax(1).cpu().numpy()
    found = np.stack([peak % width, peak // width], axis=1)
    x1, y1, x2, y2 = scene.boxes_xyxy[person]
    # The crop's height spans the heatmap's, so the box's longer side in heatmap pixels follows from the crop's rule.
    crop_h = 1.25 * max(y2 - y1, (x2 - x1) * height / width)
    side = max(x2 - x1, y2 - y1) * (height - 1) / crop_h
    return figures.near_enough(sample["keypoints"], found, sample["visible"] > 0, np.array([0, 0, side, side]))


def _detector(module: nn.Module, device: str, normalise) -> dict[str, float]:
    hits, scores, people = [], [], 0
    for scene in held_out():
        batch = default_collate([detector_sample([scene])])
        logits, sides = module(normalise(batch["pixels"].to(device), bgr=True))
        score = torch.cat([x.flatten() for x in logits]).sigmoid()
        sides = torch.cat([x[0].flatten(1) for x in sides], dim=1).T
        points, _ = grid([x.shape[2:] for x in logits], score.device)
        best = score.topk(100).indices
        boxes = torch.cat([points - sides[:, :2], points + sides[:, 2:]], dim=1)[best].cpu().numpy()
        score = score[best].cpu().numpy()
        kept: list[int] = []
        for index in range(len(boxes)):
            if not kept or figures.ious(boxes[[index]], boxes[kept]).max() < 0.6:
                kept.append(index)
        truth = batch["boxes"][0, : batch["people"][0]].numpy()
        hits.append(figures.matches(boxes[kept], score[kept], truth))
        scores.append(np.sort(score[kept])[::-1])
        people += len(truth)
    return {"detector_ap50": figures.average_precision(np.hstack(hits), np.hstack(scores), people)}
