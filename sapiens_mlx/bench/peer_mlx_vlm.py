"""The same network by mlx-vlm, for serve.py: python peer_mlx_vlm.py JOB

It runs as mlx-vlm is installed: on Linux with MLX's own BLAS, unless LD_PRELOAD names another.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from serve import RefusedError, pixels, serve

missing: ImportError | None = None
try:
    import mlx.core as mx
    import mlx.nn as nn
    from mlx_vlm.models.sapiens2 import Model, ModelConfig
except ImportError as problem:
    missing = problem


class MlxVlm:
    def __init__(self, job: dict[str, Any]) -> None:
        if missing is not None:
            raise RefusedError(f"mlx-vlm with Sapiens2 is needed: pip install 'mlx-vlm>=0.7.10' ({missing})")
        folder = Path(job["folder"])
        network = Model(ModelConfig.from_dict(json.loads((folder / "config.json").read_text())))
        on_cpu = mx.default_device().type == mx.DeviceType.cpu
        dtype = mx.float32 if on_cpu else getattr(mx, job["dtype"])
        loaded: Any = mx.load(str(folder / "model.safetensors"))
        weights = {name: tensor.astype(dtype) for name, tensor in loaded.items()}
        # A file may leave out RoPE's periods, which follow from the width of a head.
        weights.setdefault("backbone.rope_embed.periods", network.backbone.rope_embed.periods)
        network.load_weights(list(network.sanitize(weights).items()), strict=True)
        if job["packing"] is not None:
            nn.quantize(
                network,
                **job["packing"],
                class_predicate=lambda path, layer: isinstance(layer, nn.Linear) and ".blocks." in path,
            )
        mx.eval(network.parameters())
        self._network = network
        self._pixels = mx.array(pixels(job["input_hw"])).astype(dtype)
        self.about = {
            "name": "mlx-vlm",
            "version": version("mlx-vlm"),
            "device": "cpu" if on_cpu else "gpu",
            "compute_dtype": str(dtype).removeprefix("mlx.core."),
        }

    def run(self) -> Any:
        output = self._network(self._pixels)
        mx.eval(output)
        return output

    def arrays(self, output: Any) -> list[np.ndarray]:
        if "foregrounds" in output:
            parts = [mx.concatenate([output["foregrounds"], output["alphas"]], axis=-1)]
        else:
            parts = [part for key, part in output.items() if key != "pooler_output"]
        return [np.array(part.astype(mx.float32)) for part in parts]

    def device_peak_bytes(self) -> int | None:
        return None if mx.default_device().type == mx.DeviceType.cpu else mx.get_peak_memory()

    def machine(self) -> dict[str, float]:
        return {}


if __name__ == "__main__":
    serve(MlxVlm)
