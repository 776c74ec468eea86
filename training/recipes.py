"""How each network learns: batches and rates, how views vary, the optimizers, and the running mean of the weights."""

import copy
from dataclasses import dataclass, field

import torch
from torch import nn

from . import network
from .data import Shares

TASKS = tuple(network.CONFIG.heads)
TRUNK = "trunk"


@dataclass(frozen=True)
class Recipe:
    """`matrix_lr` is Muon's for the blocks' matrices, `lr` AdamW's for all else; both per step at `batch` samples."""

    batch: int
    lr: float
    matrix_lr: float = 0.0
    decay: float = 0.02
    ema: float = 0.999
    shares: Shares = field(default_factory=Shares)


# Seg and matting stretch photos to their input. How far away somebody is shows in how large: where most views are
# zoomed in, a network that is unsure answers with too near; where hardly any is, it learns them by heart.
SHARES = {"seg": Shares(stretched=0.8), "matting": Shares(stretched=0.8), "pointmap": Shares(zoomed=0.3)}
RECIPES = {
    TRUNK: Recipe(batch=2, lr=1e-3, matrix_lr=4e-3, shares=Shares(stretched=0.35)),  # scenes, of two views each
    "detector": Recipe(batch=8, lr=2e-3, decay=0.05),
    **{task: Recipe(batch=4, lr=8e-4, matrix_lr=4e-3, shares=SHARES.get(task, Shares())) for task in TASKS},
}


class Average:
    """A running mean of a module's weights and buffers: what is measured and shipped."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = copy.deepcopy(module).eval().requires_grad_(False), decay

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for mean, now in zip(self.module.state_dict().values(), module.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)


def optimizers(module: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon (github.com/KellerJordan/Muon) for the matrices of the blocks, AdamW for everything else.

    The patch embedding learns slowly: all pixels of a patch are much alike, so that small steps add up to a large one.
    """
    matrices, weights, others, patches = [], [], [], []
    for name, parameter in module.named_parameters():
        if recipe.matrix_lr and ".blocks." in name and parameter.ndim == 2:
            matrices.append(parameter)
        elif "patch_embed" in name:
            patches.append(parameter)
        else:
            (weights if parameter.ndim > 1 and "token" not in name else others).append(parameter)
    groups = [
        {"params": weights, "weight_decay": recipe.decay, "share": 1.0},
        {"params": others, "weight_decay": 0.0, "share": 1.0},
        {"params": patches, "weight_decay": 0.0, "share": 0.05},
    ]
    found: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.98))]
    if matrices:
        found.append(torch.optim.Muon(matrices, lr=recipe.matrix_lr, momentum=0.95, weight_decay=recipe.decay))
    return found
