"""The same network by transformers on PyTorch, for serve.py: python peer_torch.py JOB"""

import re
from typing import Any

import numpy as np
from serve import RefusedError, pixels, serve

try:
    import torch
    import transformers
except ImportError as problem:
    torch, missing = None, problem


class Torch:
    def __init__(self, job: dict[str, Any]) -> None:
        if torch is None:
            raise RefusedError(f"PyTorch and transformers are needed: pip install torch transformers ({missing})")
        transformers.utils.logging.disable_progress_bar()
        name = job["architecture"]
        if not hasattr(transformers, name):
            raise RefusedError(f"transformers {transformers.__version__} has no {name}")
        accelerators = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        self._device = next((kind for kind, is_there in accelerators.items() if is_there), "cpu")
        dtype = "float32" if self._device == "cpu" else job["dtype"]
        network = getattr(transformers, name).from_pretrained(job["folder"], dtype=getattr(torch, dtype))
        self._network = network.to(self._device).eval()
        channels_first = torch.from_numpy(pixels(job["input_hw"])).permute(0, 3, 1, 2).contiguous()
        self._pixels = channels_first.to(self._device, network.dtype)
        version = re.sub(r"[^\d.].*", "", torch.__version__)
        self.about = {
            "name": "transformers",
            "version": f"{transformers.__version__} on torch {version}",
            "device": self._device,
            "compute_dtype": dtype,
            "threads": torch.get_num_threads(),
        }

    def run(self) -> Any:
        with torch.inference_mode():
            output = self._network(self._pixels)
        if self._device == "cuda":
            torch.cuda.synchronize()
        elif self._device == "mps":
            torch.mps.synchronize()
        return output

    def arrays(self, output: Any) -> list[np.ndarray]:
        if "foregrounds" in output:
            parts = [torch.cat([output["foregrounds"], output["alphas"]], dim=1)]
        else:
            parts = [part for key, part in output.items() if key != "pooler_output"]
        arrays = [part.float().cpu().numpy() for part in parts]
        return [array.transpose(0, 2, 3, 1) if array.ndim == 4 else array for array in arrays]

    def device_peak_bytes(self) -> int | None:
        if self._device == "cuda":
            return torch.cuda.max_memory_allocated()
        return torch.mps.driver_allocated_memory() if self._device == "mps" else None

    def machine(self) -> dict[str, float]:
        return {}


if __name__ == "__main__":
    serve(Torch)
