"""Several processes that train one network, a CPU core each: `torchrun --nproc-per-node 2 -m training.train trunk`.

Each takes its own batch; gradients are averaged, so that weights stay equal. One process alone needs none of it.
"""

import os
from collections.abc import Iterable
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Ranks:
    """The processes that torchrun started, or the one there is. `rank` counts from 0, which alone writes files."""

    def __init__(self) -> None:
        self.rank, self.count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if self.count > 1:
            dist.init_process_group("gloo", timeout=timedelta(hours=1))  # the others wait while rank 0 validates

    def most(self, *values: float) -> list[float]:
        """The largest of each value among all processes: what ends training ends it for all after the same step."""
        if self.count == 1:
            return list(values)
        found = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return found.tolist()

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Each gradient becomes the mean over all processes."""
        if self.count == 1:
            return
        gradients: list[Tensor] = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        flat /= self.count
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def leave(self) -> None:
        if self.count > 1:
            dist.destroy_process_group()
