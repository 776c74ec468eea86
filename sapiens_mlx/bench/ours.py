"""Our network for serve.py: python -m sapiens_mlx.bench.ours JOB"""

import time
from typing import Any

from .. import __version__, runtime

import mlx.core as mx  # isort: skip  (runtime has loaded BLAS)
import numpy as np

from ..errors import SapiensError
from ..weights import store
from .serve import RefusedError, pixels, serve

PRODUCT_ROWS = {"cpu": 2048, "gpu": 8192}
COPIED_VALUES = 2**26
TRIES = 5


class Ours:
    def __init__(self, job: dict[str, Any]) -> None:
        try:
            self._model = store.load(job["task"], job["size"], job["level"], job["weights"])
        except SapiensError as problem:
            raise RefusedError(str(problem)) from problem
        self._pixels = mx.array(pixels(self._model.input_hw))
        mx.eval(self._pixels)
        self.about = {
            "name": "sapiens_mlx",
            "version": __version__,
            "device": runtime.device_name(),
            "compute_dtype": str(self._model.compute_dtype).removeprefix("mlx.core."),
            "blas": runtime.BLAS,
            "weights_bytes": self._model.nbytes,
        }

    def run(self) -> Any:
        return self._model.run(self._pixels)

    def arrays(self, output: Any) -> list[np.ndarray]:
        parts = output if isinstance(output, tuple) else (output,)
        return [np.array(part.astype(mx.float32)) for part in parts]

    def device_peak_bytes(self) -> int | None:
        return mx.get_peak_memory() if runtime.device() == "gpu" else None

    def machine(self) -> dict[str, float]:
        """Operations a second of a large matrix product in the compute dtype, and bytes a second of adding 1 to a large
        array: the best of a few."""
        rows = PRODUCT_ROWS[runtime.device()]
        a = mx.random.normal((rows, rows)).astype(self._model.compute_dtype)
        x = mx.zeros((COPIED_VALUES,), self._model.compute_dtype)
        mx.eval(a, x)
        return {
            "matmul_operations_per_second": 2 * rows**3 / _best_seconds(lambda: a @ a),
            "bytes_per_second": 2 * x.nbytes / _best_seconds(lambda: x + 1),
        }


def _best_seconds(work: Any) -> float:
    seconds = []
    for _ in range(TRIES):
        start = time.perf_counter()
        mx.eval(work())
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    serve(Ours)
