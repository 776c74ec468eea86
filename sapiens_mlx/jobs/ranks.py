"""One process of several that mlx.launch started: which it is, of how many, and whether they share the output folder.

MLX's distributed engine is asked only where mlx.launch has set its environment: a plain run pays nothing for it. What
the processes exchange is two numbers at the start; then none waits for another's network.
"""

import contextlib
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SapiensError
from ..runtime import Progress, inference

BOARD = ".job-{:08x}"  # in the output folder


@dataclass(frozen=True)
class Ranks:
    """This process is `rank` of `count`, from 0. `board` is the folder by which they share out files, of which rank 0
    was the first to know; None where not all of them see it."""

    rank: int
    count: int
    board: Path | None = None


def launched() -> bool:
    """Whether mlx.launch started this process, and others with it."""
    if os.environ.get("MLX_RANK", "").isdigit():
        hosts = os.environ.get("MLX_HOSTFILE")  # of one process alone it is an empty file, which MLX cannot read
        return not hosts or not Path(hosts).is_file() or bool(Path(hosts).read_text().strip())
    return int(os.environ.get("OMPI_COMM_WORLD_SIZE", "1")) > 1  # mlx.launch --backend mpi


def join(out: Path) -> Ranks | None:
    """Meets the other processes; None where there are none. `out` is made.

    Raises:
        SapiensError: the others cannot be reached.
    """
    try:
        return inference.run(_join, out)
    except RuntimeError as problem:
        raise SapiensError(
            f"The other processes of mlx.launch could not be reached ({problem}). Check the hosts, and that no other "
            "mlx.launch uses their ports (--starting-port)."
        ) from problem


def _join(out: Path, progress: Progress) -> Ranks | None:
    import mlx.core as mx

    group = mx.distributed.init()
    rank, count = group.rank(), group.size()
    if count == 1:
        return None

    def total(number: int) -> int:
        sum_: Any = mx.distributed.all_sum(mx.array(number), group=group, stream=mx.cpu).item()
        return int(sum_)

    number = secrets.randbits(30) if rank == 0 else 0
    board = out / BOARD.format(number)
    seen = False
    with contextlib.suppress(OSError):  # a full disk: then nobody sees the board
        if rank == 0:
            for folder in ("todo", "taken", "alive"):
                (board / folder).mkdir(parents=True, exist_ok=True)
    board = out / BOARD.format(total(number))
    with contextlib.suppress(OSError):
        (board / "alive" / str(rank)).touch()  # known to be there before any rank can be through with everything
        seen = True
    if total(int(seen)) == count:
        return Ranks(rank, count, board)
    if rank == 0:
        shutil.rmtree(board, ignore_errors=True)
    return Ranks(rank, count)


def clear(out: Path, current: Path | None) -> None:
    """Removes the boards that killed runs have left in `out`. For rank 0, which has the manifest to itself."""
    for folder in out.glob(".job-*"):
        if folder != current:
            shutil.rmtree(folder, ignore_errors=True)
