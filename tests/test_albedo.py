"""Albedo: array and picture as the reference has them; the mask and the files."""

import json

import numpy as np
import pytest
import rule
from fixtures import Cases, photo_of
from PIL import Image

from sapiens_mlx.__main__ import main
from sapiens_mlx.tasks.albedo import AlbedoTask


def result_of(cases, tag="91x67"):
    task, fitted = AlbedoTask(), cases.fitted("albedo", tag)
    part = task.decode(cases.raw(f"albedo.in_{tag}"), fitted)
    return task.result([part], photo_of(fitted))


def test_albedo_differs_from_the_reference():
    cases = Cases()
    result = result_of(cases)
    np.testing.assert_allclose(result.albedo, cases.expected("albedo.out_91x67"), atol=1e-5)
    off = np.abs(result.picture().astype(int) - cases.tensors["albedo.vis_rgb_uint8_hwc_91x67"])
    assert off.max() <= 1 and (off > 0).mean() < 1e-3


@pytest.mark.parametrize(("style", "grey"), [("readme", 255), ("reference", 100)])
def test_the_background_is_of_another_grey_or_the_array_is_masked(tmp_path, style, grey):
    result = result_of(Cases())
    whole, before = result.picture(style=style), result.albedo.copy()
    result.person_mask = np.arange(67)[None].repeat(91, axis=0) < 20
    cut = result.picture(style=style)
    assert (cut[:, :20] == whole[:, :20]).all() and (cut[:, 20:] == grey).all()
    paths = result.save(tmp_path, "a", side_by_side=True, style=style)
    assert [path.name for path in paths] == ["a_albedo.png", "a_albedo.npz", "a_albedo_side_by_side.png"]
    assert (np.asarray(Image.open(paths[0])) == cut).all()
    with np.load(paths[1]) as arrays:
        assert (arrays["albedo"] == before).all() and (arrays["person_mask"] == result.person_mask).all()


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)).save(path)
    return path


@pytest.mark.parametrize("command", ["predict", "compare"])
def test_weights_that_are_not_published_are_missed_without_saying_what_to_do(machine, tmp_path, photo, capsys, command):
    arguments = [command, str(photo), "--task", "albedo", "--size", "0.4b", "--out", str(tmp_path / "out")]
    arguments += ["--levels", "fp32,4bit"] if command == "compare" else []
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "not published yet" in error and f"Put a file of your own at {machine / 'albedo'}" in error


def test_a_file_of_ones_own_is_not_taken(machine, tiny_size, tmp_path, photo, capsys):
    own = rule.write_checkpoint(tmp_path / "own.safetensors", rule.tiny_shapes("albedo"))
    arguments = [str(photo), "--task", "albedo", "--size", "tiny", "--weights", str(own), "--json"]
    assert main(["predict", *arguments, "--out", str(tmp_path / "one")]) == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) == 2
    assert main(["compare", *arguments, "--levels", "fp32,8bit", "--out", str(tmp_path / "two")]) == 0
    rows = json.loads(capsys.readouterr().out)["levels"]
    assert [row["level"] for row in rows] == ["fp32", "8bit"]
