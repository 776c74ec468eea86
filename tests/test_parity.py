"""Live parity with the real transformers and mlx-vlm packages: a small random model of theirs, saved by them and read
by us, gives the same raw output; and so does what they and we make of it for a photo.

`pip install -r requirements-parity.txt`, then `python -m pytest -m parity`.
"""

import mlx.core as mx
import numpy as np
import parity
import pytest
import rule

from sapiens_mlx.runtime import inference
from sapiens_mlx.weights import store

pytestmark = pytest.mark.parity

TASKS = list(parity.MODELS)
# Theirs computes RoPE in float32, ours in bfloat16 unless told otherwise, as the reference does.
ROPES = {"float32": 1e-4, "bfloat16": 5e-3}


def ours(task, folder, level="fp32", rope="float32") -> list[np.ndarray]:
    def run(progress):
        model = store.load(task, "tiny", level, folder, rope_dtype=getattr(mx, rope), progress=progress)
        raw = model.module(rule.nhwc(parity.PIXELS))
        return [np.array(part.astype(mx.float32)) for part in (raw if isinstance(raw, tuple) else (raw,))]

    return inference.run(run)


def distance(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    """The largest relative L2 distance between arrays of the same shapes."""
    assert [array.shape for array in one] == [array.shape for array in other]
    return max(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in zip(one, other, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("rope", ROPES)
@pytest.mark.parametrize("task", TASKS)
def test_a_model_that_transformers_saved_gives_its_raw_output(machine, tiny_size, tmp_path, task, rope):
    folder = parity.saved(task, tmp_path / "model")
    expected = parity.outputs(task, parity.model(task))
    assert distance(ours(task, folder, rope=rope), expected) < ROPES[rope]


def test_a_model_that_transformers_saved_in_several_files(machine, tiny_size, tmp_path):
    folder = parity.saved("seg", tmp_path / "model", max_shard_size="500KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    assert distance(ours("seg", folder), parity.outputs("seg", parity.model("seg"))) < 1e-4


def test_a_model_that_transformers_saved_by_its_inner_names_is_told_how_to_be_saved(machine, tiny_size, tmp_path):
    folder = parity.saved("seg", tmp_path / "model", save_original_format=False)
    with pytest.raises(ValueError, match="save_original_format"):
        ours("seg", folder)


def test_transformers_reads_what_it_should_of_our_tests_writer(machine, tiny_size, tmp_path):
    """The files of other_programs.py, which the tests without these packages rely on, are such files."""
    import other_programs

    _, transformers = parity.libraries()
    folder = other_programs.transformers(tmp_path / "model", "seg", rule.tiny_shapes("seg"))
    (folder / "config.json").write_text(parity.model("seg").config.to_json_string())
    read = transformers.Sapiens2ForSemanticSegmentation.from_pretrained(folder).eval()
    assert distance(ours("seg", folder), parity.outputs("seg", read)) < 1e-4


# ---- mlx-vlm --------------------------------------------------------------------------------------------------------

PACKED = {"8bit": (64, 8, "affine"), "4bit": (64, 4, "affine"), "mxfp4": (32, 4, "mxfp4"), "nvfp4": (16, 4, "nvfp4")}


@pytest.fixture
def converted(tiny_size, tmp_path):
    """Converts a model of transformers by mlx-vlm's own converter; gives the folder it wrote."""
    parity.libraries()
    parity.vlm()
    return lambda task, level=None: parity.convert(
        parity.saved(task, tmp_path / "theirs"), tmp_path / "converted", PACKED.get(level)
    )


@pytest.mark.parametrize("task", TASKS)
def test_a_model_that_mlx_vlm_converted_gives_its_raw_output(machine, converted, task):
    folder = converted(task)
    expected = parity.vlm_outputs(folder)
    assert distance(ours(task, folder), expected) < 1e-4
    assert distance(ours(task, folder, rope="bfloat16"), expected) < 5e-3


@pytest.mark.slow
@pytest.mark.parametrize("level", PACKED)
@pytest.mark.parametrize("task", ["seg", "pointmap", "features"])
def test_a_model_that_mlx_vlm_packed_is_taken_as_it_is(machine, converted, task, level):
    folder = converted(task, level)
    assert distance(ours(task, folder, level), parity.vlm_outputs(folder)) < 1e-4


@pytest.mark.parametrize("level", [None, "4bit"])
def test_mlx_vlm_reads_the_files_of_our_tests_writer(machine, tiny_size, tmp_path, level):
    import other_programs

    parity.vlm()
    options = dict(zip(("group_size", "bits", "mode"), PACKED[level], strict=True)) if level else None
    config = parity.model("seg").config.to_dict() | {"architectures": [parity.MODELS["seg"][0]]}
    folder = other_programs.mlx_vlm(tmp_path / "model", "seg", rule.tiny_shapes("seg"), packed=options, **config)
    expected = parity.vlm_outputs(folder)
    # The file's periods have 16 bits, and theirs computes with them.
    assert distance(ours("seg", folder, level or "fp32"), expected) < 5e-3
