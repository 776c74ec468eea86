"""Trains the demo networks: `python -m training.train trunk --minutes 60`, then `... seg --from trunk --minutes 20` for
each task, and `... detector`. It may be stopped at any time and goes on from its last saved state."""

import argparse
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, default_collate, get_worker_info

from . import figures, losses, network, network_rtmdet, scenes, validate
from .data import WHOLE, Shares, endless
from .export import read_shipped
from .ranks import Ranks
from .recipes import RECIPES, TASKS, TRUNK, Average, optimizers

MEAN_RGB, STD_RGB = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
RANDOM = "random"

FACE = range(70, 308)
HANDS_AND_FEET = tuple(n for n in range(70) if n not in figures.BODY)
SOME = 16  # of them each step: they are much alike, and the body's are harder

WARMUP_STEPS, RESUMED_WARMUP_STEPS = 100, 10
SAVE_S, LOG_STEPS = 120, 100
GRADIENT_NORM = 2.0
NOISE_VARIANCE = 0.05  # of a normalised pixel: directions of a patch with less carry noise


def build(name: str) -> nn.Module:
    """The network that goes by this name: a task's, the trunk with every task's head, or the detector."""
    if name == "detector":
        return network_rtmdet.RTMDet().to(memory_format=torch.channels_last)  # convolutions are faster so
    return network.Network(TASKS if name == TRUNK else (name,))


def normalise(pixels: Tensor, bgr: bool = False) -> Tensor:
    """(B, 3, h, w) uint8 to what the networks take; `bgr` says that channels come in that order."""
    mean, std = (torch.tensor(v[::-1] if bgr else v, device=pixels.device)[:, None, None] for v in (MEAN_RGB, STD_RGB))
    return (pixels.float() - mean) / std


# ---- state ----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def whiten_patches(embedding: network.PatchEmbed, input_hw: tuple[int, int], samples: int = 256) -> None:
    """A patch embedding to begin with: the principal components of the pictures' patches, all of the same variance.

    Random filters would show the blocks little but each patch's mean colour.
    """
    source = endless("dense", input_hw, np.random.default_rng(0), RECIPES[TRUNK].shares)
    pixels = torch.stack([torch.from_numpy(next(source)["pixels"]) for _ in range(samples)])
    patches = nn.functional.unfold(normalise(pixels), network.PATCH, stride=network.PATCH).transpose(1, 2).flatten(0, 1)
    mean = patches.mean(0)
    variance, directions = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
    count = len(embedding.projection.weight)
    filters = (directions / (variance.clamp(min=0) + NOISE_VARIANCE).sqrt()).T[-count:]
    embedding.projection.weight.copy_(filters.view_as(embedding.projection.weight))
    embedding.projection.bias.copy_(-filters @ mean)


class State:
    """A network in training, on disk as `<name>.pt`: weights, their average, the optimizers' memory, and the step."""

    def __init__(self, name: str, start_from: str | None, device: str, file_name: str) -> None:
        self.name, self.recipe = name, RECIPES[name]
        self.path = scenes.CACHE / f"{file_name}.pt"
        self.step, self.seconds = 0, 0.0
        torch.manual_seed(0)
        self.module = build(name)
        saved = torch.load(self.path, map_location="cpu", weights_only=True) if self.path.exists() else None
        if saved is None:
            self.origin = self._start(start_from)
        else:
            self.module.load_state_dict(saved["module"])
            self.step, self.seconds = saved["step"], saved["seconds"]
            self.origin = f"{self.path}, step {self.step}"
        self.module.to(device)
        self.average = Average(self.module, self.recipe.ema)
        self.optimizers = optimizers(self.module, self.recipe)
        if saved is not None:
            self.average.module.load_state_dict(saved["average"])
            for optimizer, memory in zip(self.optimizers, saved["optimizers"], strict=True):
                optimizer.load_state_dict(memory)
        self.first_step = self.step
        self.warmup_steps = WARMUP_STEPS if saved is None else RESUMED_WARMUP_STEPS

    def _start(self, start_from: str | None) -> str:
        """Weights for a network without a state: another's average, else the shipped ones, else random."""
        if start_from == RANDOM:
            source, found = "no weights", {}
        elif start_from is not None:
            path = scenes.CACHE / f"{start_from}.pt"
            source, found = str(path), torch.load(path, map_location="cpu", weights_only=True)["average"]
        else:
            source, found = "the shipped weights", read_shipped(self.name)
        own = self.module.state_dict()
        fitting = {name: tensor for name, tensor in found.items() if name in own}
        self.module.load_state_dict(own | fitting)
        if not fitting and self.name != "detector":
            whiten_patches(self.module.backbone.patch_embed, network.CONFIG.input_hw)
            network.look_around(self.module.backbone)
        return f"{len(fitting)} of {len(own)} tensors from {source}"

    def save(self) -> None:
        state = {
            "module": self.module.state_dict(),
            "average": self.average.module.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = self.path.with_suffix(f".{os.getpid()}.partial")
        torch.save(state, partial)
        partial.replace(self.path)


# ---- the loop -------------------------------------------------------------------------------------------------------


class Samples(IterableDataset):
    """data.endless for each worker of a DataLoader, seeded differently."""

    def __init__(self, kind: str, input_hw: tuple[int, int], seed: int, shares: Shares) -> None:
        self.kind, self.input_hw, self.seed, self.shares = kind, input_hw, seed, shares

    def __iter__(self) -> Iterator[dict]:
        cv2.setNumThreads(1)
        worker = get_worker_info()
        if worker:  # a signal to all is for the trainer to answer: it saves, and then ends its workers
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
        rng = np.random.default_rng((self.seed, worker.id if worker else 0))
        return endless(self.kind, self.input_hw, rng, self.shares)


def batches(name: str, batch: int, seed: int, workers: int, overfit: int | None) -> Iterator[dict]:
    """Endless batches; with `overfit` the same few again and again."""
    kind = name if name in (TRUNK, "detector", "pose") else "dense"
    samples = Samples(kind, network.CONFIG.input_hw, seed, RECIPES[name].shares)
    if overfit:
        source = iter(samples)
        kept = [default_collate([next(source) for _ in range(batch)]) for _ in range(max(1, overfit // batch))]
        while True:
            yield from kept
    loader = DataLoader(samples, batch, num_workers=workers, prefetch_factor=4 if workers else None)
    yield from loader


def losses_of(module: nn.Module, batch: dict, task: str, keypoints: Tensor) -> dict[str, Tensor]:
    """The loss of one batch for a task, through the network in bfloat16; as the trunk is taught it."""
    device = batch["pixels"].device.type
    with torch.autocast(device, torch.bfloat16):
        features, head = module.backbone(normalise(batch["pixels"])), module.heads[task]
        if task == "pose":
            raw, truth = head(features, keypoints), of_keypoints(batch, keypoints)
        elif task in WHOLE:
            raw, truth = head(features), batch["whole"]
        else:
            raw, truth = head(network.cut(features, batch["corner"])), batch
    with torch.autocast(device, enabled=False):
        return {task: losses.LOSSES[task](raw, truth)} | sides_loss_of(module, features, batch)


def trunk_losses_of(module: nn.Module, batch: dict, keypoints: Tensor) -> dict[str, Tensor]:
    """The losses of all tasks, by task: the dense ones on a window of each view, those of WHOLE on whole dense views,
    pose on persons' crops.

    Neighbouring pixels teach much the same, and heads cost more than the backbone: a fourth of the pixels of four times
    the views teaches more. How far somebody is, though, only the whole view tells: InstanceNorm takes the level from a
    window. Of a view's keypoints those of number `keypoints` (K,) are asked for.
    """
    views, crops = batch["dense"], batch["pose"]
    both = {name: torch.cat([views[name], crops[name]]) for name in crops if name in views}
    device, count = both["pixels"].device.type, len(views["pixels"])
    with torch.autocast(device, torch.bfloat16):
        features = module.backbone(normalise(both["pixels"]))
        windows = network.cut(features, both["corner"])
        seen = {"pose": features[count:]} | dict.fromkeys(WHOLE, features[:count])
        raw = {
            task: head(seen[task], keypoints) if task == "pose" else head(seen.get(task, windows))
            for task, head in module.heads.items()
        }
    truth = {"pose": of_keypoints(crops, keypoints)} | dict.fromkeys(WHOLE, views["whole"])
    with torch.autocast(device, enabled=False):
        found = {task: losses.LOSSES[task](raw[task], truth.get(task, both)) for task in raw}
        return found | sides_loss_of(module, features, both)


def sides_loss_of(module: nn.Module, features: Tensor, batch: dict) -> dict[str, Tensor]:
    """The loss of the sides that patches show, where the network is asked for them."""
    if module.sides is None:
        return {}
    return {"sides": losses.sides_loss(module.sides(features.float()), batch["sides"])}


def of_keypoints(crops: dict, keypoints: Tensor) -> dict[str, Tensor]:
    """Pose's targets for the keypoints of number `keypoints` (K,)."""
    return {name: crops[name][:, keypoints] for name in ("keypoints", "visible", "inside")}


def some_keypoints() -> Tensor:
    """Numbers of keypoints: all of the body, and some of the hands and feet and of the face."""
    some = [torch.tensor(group)[torch.randperm(len(group))[:SOME]] for group in (HANDS_AND_FEET, FACE)]
    return torch.cat([torch.tensor(figures.BODY), *some])


def detector_losses_of(module: nn.Module, batch: dict) -> dict[str, Tensor]:
    with torch.autocast(batch["pixels"].device.type, torch.bfloat16):
        raw = module(normalise(batch["pixels"], bgr=True))
    return {"detector": losses.detector_loss(raw, batch)}


def step_of(name: str, module: nn.Module, compiled: bool) -> Callable[[dict], dict[str, Tensor]]:
    """A batch to its losses by task. Compiled, network and losses are one: their many small passes are memory-bound.

    The detector's loss has shapes that vary, so there only the network is compiled.
    """

    def fast(function: Callable) -> Callable:
        return torch.compile(function, dynamic=False) if compiled else function

    if name == "detector":
        quick = fast(module)
        return lambda batch: detector_losses_of(quick, batch)
    if name == TRUNK:
        quick = fast(lambda batch, keypoints: trunk_losses_of(module, batch, keypoints))
    else:
        quick = fast(lambda batch, keypoints: losses_of(module, batch, name, keypoints))
    device = next(module.parameters()).device
    return lambda batch: quick(batch, some_keypoints().to(device))


def moved(batch: dict, device: str) -> dict:
    return {k: moved(v, device) if isinstance(v, dict) else v.to(device) for k, v in batch.items()}


def train(arguments: argparse.Namespace) -> None:
    device = arguments.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)  # its threads would not survive the fork into the workers
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(scenes.CACHE / "compiled"))  # minutes, once a machine
    scenes.CACHE.mkdir(parents=True, exist_ok=True)
    ranks = Ranks()
    file_name = f"overfit-{arguments.name}" if arguments.overfit else arguments.name
    state = State(arguments.name, arguments.start_from, device, file_name)
    recipe = state.recipe
    log = Log(scenes.CACHE / f"{file_name}.log", silent=ranks.rank > 0)
    width = f"{ranks.count} processes of {arguments.threads} threads"
    log(f"start from {state.origin}; {len(scenes.listed())} scenes; {device}, {width}")
    run = step_of(arguments.name, state.module, arguments.compile)
    state.module.train()
    stop = Stopper()
    seed = arguments.seed + state.step + 1_000_003 * ranks.rank
    source = batches(arguments.name, recipe.batch, seed, arguments.workers, arguments.overfit)
    start = saved = validated = time.monotonic()
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for batch in source:
        elapsed = time.monotonic() - start
        share, asked = ranks.most(elapsed / (60 * arguments.minutes), float(stop.asked))
        if share >= 1 or asked:
            break
        warm = min(1.0, (state.step - state.first_step + 1) / state.warmup_steps)
        rate = arguments.rate * warm * (max(0.02, 1 - share) if arguments.cool else 1.0)
        for optimizer, lr in zip(state.optimizers, (recipe.lr, recipe.matrix_lr), strict=False):
            for group in optimizer.param_groups:
                group["lr"] = lr * rate * group.get("share", 1.0)
        found = run(moved(batch, device))
        total = sum(losses.WEIGHTS.get(task, 1.0) * loss for task, loss in found.items())
        total.backward()
        ranks.average_gradients(state.module.parameters())
        norm = float(nn.utils.clip_grad_norm_(state.module.parameters(), GRADIENT_NORM))
        if math.isfinite(norm):
            for optimizer in state.optimizers:
                optimizer.step()
        for optimizer in state.optimizers:
            optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.average.update(state.module, state.step)
        for task, value in (*((task, loss.item()) for task, loss in found.items()), ("norm", norm)):
            sums[task], counts[task] = sums.get(task, 0.0) + value, counts.get(task, 0) + 1
        now = time.monotonic()
        if state.step == state.first_step + 1:  # compiling took its time
            log(f"first step after {now - start:.0f} s")
            start = now
            continue
        state.seconds += now - start - elapsed
        if state.step % LOG_STEPS == 0:
            means = " ".join(f"{task} {value / counts[task]:.4f}" for task, value in sums.items())
            each = (now - start) / recipe.batch / ranks.count / (state.step - state.first_step - 1)
            log(f"step {state.step} hours {state.seconds / 3600:.2f} ({each:.3f} s a sample): {means}")
            sums, counts = {}, {}
        if ranks.rank > 0:
            continue
        if now - saved > SAVE_S:
            state.save()
            saved = now
        if now - validated > 60 * arguments.validate_every:
            log(f"step {state.step} held-out: {validate.report(arguments.name, state.average.module, device)}")
            validated = time.monotonic()
    if ranks.rank == 0:
        state.save()
        log(f"stop at step {state.step}; held-out: {validate.report(arguments.name, state.average.module, device)}")
    ranks.leave()


class Log:
    """Lines with the time, on standard output and at the end of a file."""

    def __init__(self, path: Path, silent: bool) -> None:
        self.path, self.silent = path, silent

    def __call__(self, line: str) -> None:
        if self.silent:
            return
        line = f"{time.strftime('%m-%d %H:%M:%S')} {line}"
        print(line, flush=True)
        with self.path.open("a") as file:
            file.write(line + "\n")


class Stopper:
    """SIGTERM and SIGINT end training after the step at hand, so that nothing is lost."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[TRUNK, "detector", *TASKS])
    parser.add_argument(
        "--from",
        dest="start_from",
        choices=[TRUNK, RANDOM],
        help="where there is no state, start from this one, or from nothing; default: from the shipped weights",
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=1.0, help="times the recipe's learning rates")
    parser.add_argument("--cool", action="store_true", help="let the learning rate fall to nothing over these minutes")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare samples")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validate-every", type=float, default=30, metavar="MINUTES")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="start at once, run slower")
    parser.add_argument("--overfit", type=int, metavar="SAMPLES", help="the same few again and again: a check")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
