"""Model cards: what stands in them, and a header that the hub reads."""

import json

import pytest
from command_line import converted

from sapiens_mlx import zoo
from sapiens_mlx.shipped import demo_folder
from sapiens_mlx.weights import conversion, model_card


def front_matter(card: str) -> dict:
    """The card's header, as a hub reads it."""
    import yaml

    _, header, _ = card.split("---\n", 2)
    return yaml.safe_load(header)


def test_the_card_is_made_for_its_task_size_and_level(machine, tmp_path, capsys):
    source = demo_folder() / "sapiens2_demo_pose.safetensors"
    report = converted(capsys, source, "--level", "mxfp8", "--out", tmp_path / "pose")
    card = (tmp_path / "pose/README.md").read_text(encoding="utf-8")
    header = front_matter(card)
    assert (header["license"], header["library_name"]) == ("mit", "mlx")
    assert "base_model" not in header
    assert {"mlx", "pose", "mxfp8", "synthetic-data"} <= set(header["tags"])
    assert zoo.DEMO_NOTICE in card
    assert f"{100 * report['quantized_share']:.1f} %" in card
    assert f"{report['bytes']:,} bytes" in card
    assert "--task pose --size demo --level mxfp8 --weights pose" in card
    assert 'sm.load("pose", "demo", level="mxfp8", weights="pose")' in card
    assert "arXiv:2604.21681" in card
    assert (tmp_path / "pose/LICENSE").read_bytes() == (demo_folder() / "LICENSE").read_bytes()
    measured = card.split("## Measured\n\n")[1].split("\n\n")[0].splitlines()
    assert [line.split("|")[1].strip(" *") for line in measured[2:]] == list(zoo.LEVELS)
    assert [line for line in measured if line.startswith("| **mxfp8** |")]


def about(task: str, size: str, level: str) -> conversion.Conversion:
    source = conversion.Source(f"sapiens2_{size}_{task}.safetensors", 1_000_000, "0" * 64, f"facebook/x-{task}")
    return conversion.Conversion(task, size, level, "Sapiens2 License", source, 0.5, 500_000, "1" * 64, None, {})


@pytest.mark.parametrize("task", [row.name for row in zoo.TASKS.values() if row.name != "detect"])
def test_the_card_of_every_published_network_has_a_header_that_the_hub_reads(task):
    for size in zoo.task_row(task).sizes[1:]:
        for level in ("bf16", "4bit"):
            checkpoint = zoo.checkpoint(task, size)
            card = model_card.model_card(about(task, size, level), checkpoint, "me/mine", "LICENSE.md")
            header = front_matter(card)
            assert header["license"] == "other"
            assert header["license_name"] == "sapiens2-license"
            assert header["license_link"] == "LICENSE.md"
            assert header.get("base_model") == (checkpoint.repo if checkpoint.published else None)
            quantized = level == "4bit" and checkpoint.published
            assert header.get("base_model_relation") == ("quantized" if quantized else None)
            assert "hf download me/mine --local-dir mine" in card
            assert "surveillance" in card
            assert ("Nothing: every tensor is stored as bfloat16" in card) == (level == "bf16")


def test_measured_rows_stand_in_the_card_where_there_are_any(tmp_path, monkeypatch):
    monkeypatch.setattr(model_card, "demo_folder", lambda: tmp_path / "demo")
    rows = [
        {"task": "seg", "size": "0.4b", "level": "bf16", "agreement": 0.99951234, "bytes": 800},
        {"task": "seg", "size": "0.4b", "level": "4bit", "agreement": 0.9912, "seconds": 1.5},
        {"task": "seg", "size": "1b", "level": "4bit", "agreement": 0.5},
    ]
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/levels.json").write_text(json.dumps(rows))
    card = model_card.model_card(about("seg", "0.4b", "4bit"), zoo.checkpoint("seg", "0.4b"), "mine", "LICENSE.md")
    table = card.split("## Measured\n\n")[1].split("\n\n")[0].splitlines()
    assert table == [
        "| level | agreement | bytes | seconds |",
        "|---|---|---|---|",
        "| bf16 | 0.99951 | 800 | – |",
        "| **4bit** | **0.9912** | **–** | **1.5** |",
    ]
    card = model_card.model_card(about("pose", "0.4b", "4bit"), zoo.checkpoint("pose", "0.4b"), "mine", "LICENSE.md")
    assert "## Measured" not in card
