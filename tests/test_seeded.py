"""Seeded checkpoints have the names and shapes of the published ones, and load as those do."""

import mlx.core as mx
import pytest
import rule

from sapiens_mlx import zoo
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.runtime import inference
from sapiens_mlx.weights import seeded, store

PUBLISHED = [name for name in rule.manifests() if not name.startswith(("tiny/", "rtmdet"))]


@pytest.mark.parametrize("name", PUBLISHED)
def test_names_and_shapes_are_those_of_the_published_file(name):
    task, _, size = name.partition("-")
    expected = {name: shape for name, shape in rule.manifest(name).items() if not name.endswith("periods")}
    assert seeded.shapes(seeded.network({"pretrain": "features"}.get(task, task), size)) == expected


def test_a_seeded_file_is_loaded_as_any_other(machine, tmp_path):
    path = tmp_path / "seeded.safetensors"
    seeded.write(path, "features", "0.1b")
    model = inference.run(lambda progress: store.load("features", "0.1b", "fp32", path, progress=progress))
    name = "blocks.3.ffn.w3.weight"
    expected = seeded.tensor(name, (768, 3072))
    assert mx.array_equal(model.module.blocks[3].ffn.w3.weight, mx.array(expected))


@pytest.mark.parametrize(
    "task, size", [("detect", "rtmdet-m"), ("seg", "demo"), ("seg", "0.1b"), ("matting", "0.4b"), ("hands", "1b")]
)
def test_what_there_is_no_network_of_is_refused(task, size):
    with pytest.raises(SapiensError, match="Choose"):
        seeded.network(task, size)


def test_every_network_that_can_be_had_has_a_seeded_one():
    for row in zoo.TASKS.values():
        for size in row.sizes[1:] if row.name != "detect" else ():
            assert seeded.shapes(seeded.network(row.name, size))
