"""The tables of what every level costs the demo weights: measured a row at a time, written into README and docs."""

import json

import numpy as np
import pytest

import sapiens_mlx as sm
from benchmarks import levels, pages
from sapiens_mlx import zoo
from training import scenes
from training.evaluate import predicted


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Pages and rows of our own; a call measures two scenes of one task."""
    monkeypatch.setattr(levels, "ROWS", tmp_path / "levels.json")
    for name in ("README", "CHOOSING"):
        monkeypatch.setattr(pages, name, tmp_path / name)
        (tmp_path / name).write_text(f"before\n\n{levels.START}\nold\n{levels.END}\n\nafter\n")

    def call(*arguments: str) -> list[dict]:
        monkeypatch.setattr("sys.argv", ["levels", "--tasks", "matting", "--scenes", "2", *arguments])
        levels.main()
        return json.loads(levels.ROWS.read_text())

    return call


@pytest.mark.slow
def test_rows_are_measured_once_and_stand_in_the_pages(written, monkeypatch, capsys):
    rows = written("--levels", "fp32,4bit")
    assert [row["level"] for row in rows] == ["fp32", "4bit"]
    exact, packed = rows
    assert 0 < exact["alpha_mae"] < 1 and exact["quantized_share"] == 0 and "fp32_mean_difference" not in exact
    assert packed["fp32_mean_difference"] > 0 and 0.5 < packed["quantized_share"] < 0.9
    assert packed["weights_bytes"] < 0.4 * exact["weights_bytes"]
    for page, value in (
        (pages.CHOOSING, f"{100 * exact['alpha_mae']:.2f}"),
        (pages.README, f"{100 * packed['fp32_mean_difference']:.3f}"),
    ):
        text = page.read_text()
        assert text.startswith("before\n\n") and text.endswith(f"{levels.END}\n\nafter\n") and "old" not in text
        assert value in text

    capsys.readouterr()
    rows = written("--levels", "fp32,4bit,bf16")  # goes on where it was
    assert [json.loads(line)["level"] for line in capsys.readouterr().out.splitlines()] == ["bf16"]
    assert [row["level"] for row in rows] == ["fp32", "bf16", "4bit"] and [rows[0], rows[2]] == [exact, packed]

    monkeypatch.setattr(levels, "digest", lambda task: "other weights")
    assert written("--levels", "4bit")[2]["weights"] == "other weights"


def test_the_pages_and_the_rows_that_ship_belong_to_the_weights_that_ship():
    rows = json.loads(levels.ROWS.read_text())
    tasks = [task for task, *_ in levels.AGAINST_FP32]
    assert [(row["task"], row["level"]) for row in rows] == [(task, level) for task in tasks for level in zoo.LEVELS]
    assert {row["scenes"] for row in rows} == {50}
    assert all(row["weights"] == levels.digest(row["task"]) for row in rows)
    assert levels.table(rows, levels.AGAINST_FP32) in pages.README.read_text()
    assert levels.table(rows, levels.TRUTH) in pages.CHOOSING.read_text()


@pytest.mark.slow
def test_levels_of_the_weights_that_ship_keep_to_what_they_reached():
    """Three of other scenes than the table's, so with some room below its figures for seg."""
    least = {"fp16": 0.9995, "bf16": 0.997, "8bit": 0.997, "6bit": 0.992, "4bit": 0.975, "mxfp8": 0.99, "nvfp4": 0.972}
    pictures = [scenes.draw_scene(scenes.held_out_seed(4, number)) for number in range(3)]
    exact = [predicted(sm.load("seg", "demo", "fp32"), picture) for picture in pictures]
    for level, limit in least.items():
        found = [predicted(sm.load("seg", "demo", level), picture) for picture in pictures]
        values = [a.agreement(b).values["pixel_agreement"] for a, b in zip(found, exact, strict=True)]
        assert np.mean(values) >= limit, (level, values)
