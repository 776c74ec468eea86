"""What README and docs/ say is so: links lead somewhere, commands are ones, tables hold the code's numbers."""

import argparse
import ast
import dataclasses
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sapiens_mlx as sm
from sapiens_mlx import compare_files, inventory, runtime, tasks, zoo
from sapiens_mlx.arguments import argument_parser
from sapiens_mlx.compare import Comparison
from sapiens_mlx.options import Options
from sapiens_mlx.shipped import examples_folder
from sapiens_mlx.tasks import pose_formats
from sapiens_mlx.tasks.base import Report
from sapiens_mlx.video.report import ClipReport

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]
COMMAND = re.compile(r"(?:python -m sapiens_mlx|sapiens-mlx) ([^`\n#]+)")


def anchors(page: Path) -> set[str]:
    """The names that a page's headings go by, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_leads_nowhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def commands() -> list[str]:
    """Every whole command on the pages; "..." stands for something."""
    found = [match.strip() for page in PAGES for match in COMMAND.findall(page.read_text())]
    return sorted({one for one in found if "..." not in one and not re.search(r"[A-Z]{3,}", one)})


@pytest.mark.parametrize("command", commands())
def test_a_command_is_none(command):
    argument_parser().parse_args(shlex.split(command))


def test_the_table_of_sizes_has_other_numbers_than_the_page(monkeypatch):
    monkeypatch.setattr(runtime, "device", lambda: "cpu")
    rows = re.findall(r"^\| (demo|[\d.]+b(?:-4k)?) \|.*$", (PROJECT / "README.md").read_text(), re.M)
    assert rows == list(zoo.SIZES)
    for line in (PROJECT / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] not in zoo.SIZES or len(cells) != 8:
            continue
        for level, stated in zip(("fp32", "bf16", "8bit", "4bit"), cells[3:7], strict=True):
            needed = inventory.needed_bytes(cells[0], level) / 1e9
            assert float(stated) == pytest.approx(needed, abs=0.051), (cells[0], level)


def test_an_option_of_the_command_line_is_on_no_page():
    text = "\n".join(page.read_text() for page in PAGES)
    commands = next(one for one in argument_parser()._actions if isinstance(one, argparse._SubParsersAction)).choices
    options = {name for parser in commands.values() for one in parser._actions for name in one.option_strings}
    assert [name for name in sorted(options - {"-h", "--help"}) if not re.search(rf"{name}(?![\w-])", text)] == []


def test_an_option_of_a_call_is_not_named_to_python():
    text = (PROJECT / "docs/using.md").read_text() + (PROJECT / "docs/hands.md").read_text()
    assert [one.name for one in dataclasses.fields(Options) if not re.search(rf"`{one.name}[=`]", text)] == []


def said() -> str:
    """All text in the package's code; what an f-string puts in is left out."""
    texts = []
    for path in sorted((PROJECT / "sapiens_mlx").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                texts.append("\0".join(part.value for part in node.values if isinstance(part, ast.Constant)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def test_a_symptom_is_quoted_that_nothing_says():
    text = said()
    lines = re.findall(r"^\| ([^|]+) \|", (PROJECT / "docs/troubleshooting.md").read_text(), re.M)
    quoted = [part for line in lines for quote in re.findall(r'"([^"]+)"', line) for part in quote.split("...")]
    assert len(quoted) > 10
    assert [part for part in quoted if part.strip() not in text] == []


# ---- formats.md -----------------------------------------------------------------------------------------------------

FORMATS = (PROJECT / "docs/formats.md").read_text()


def keys(value: Any) -> Iterator[str]:
    """The names in what was read from JSON, at every depth."""
    for name, held in value.items() if isinstance(value, dict) else ():
        yield name
        yield from keys(held)
    for held in value if isinstance(value, list) else ():
        yield from keys(held)


def untold(names: Any) -> list[str]:
    return sorted({name for name in names if f"`{name}`" not in FORMATS})


@pytest.mark.parametrize("task", zoo.TASKS)
def test_an_array_or_a_file_is_not_in_the_table_of_formats(task, tmp_path):
    text = FORMATS.partition("## What a comparison writes")[0]
    row = re.search(rf"^\| {task} \| (.+(?:\n\| \| .+)*)", text, re.M)[0]
    files = re.findall(rf"^\| {task} \| .+$", text, re.M)[-1]
    for path in sm.load(task, "demo")(examples_folder() / "one_person.jpg").save(tmp_path, stem="photo"):
        assert f"`{path.name.removeprefix('photo_')}`" in files, path.name
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                for name, array in arrays.items():
                    line = next(line for line in row.splitlines() if f"`{name}`" in line)
                    assert array.ndim == 0 or array.dtype.name in line or array.dtype.kind == "U", line
        if path.suffix == ".json":
            assert untold(keys(json.loads(path.read_text()))) == []


def test_a_file_beside_the_usual_is_not_in_formats(tmp_path):
    photo = examples_folder() / "one_person.jpg"
    sm.load("matting", "demo")(photo).save(tmp_path, stem="photo", background="navy")
    result = sm.load("pose", "demo")(photo, boxes_xyxy=[[100, 100, 500, 900]])
    result.save(tmp_path, stem="photo", formats=list(pose_formats.FORMATS))
    assert untold(path.name.removeprefix("photo_") for path in tmp_path.iterdir()) == []
    for ending in ("pose.csv", "pose_angles.csv"):
        assert untold((tmp_path / f"photo_{ending}").read_text().splitlines()[0].split(",")) == []


@pytest.mark.parametrize("of", [Report, ClipReport])
def test_a_field_of_a_report_is_not_in_formats(of):
    assert untold(one.name for one in dataclasses.fields(of)) == []


def test_a_file_or_a_field_of_a_comparison_is_not_in_formats(tmp_path):
    comparison = Comparison(examples_folder() / "one_person.jpg", "seg", ["demo:fp32", "demo:4bit"], runs=1)
    list(comparison.run(lambda *progress: None))
    paths = compare_files.save(comparison, tmp_path, "photo")
    as_told = {"photo": "<stem>", "seg": "<task>", "demo": "<size>", "fp32": "<level>", "4bit": "<level>"}
    assert untold(re.sub("|".join(as_told), lambda part: as_told[part[0]], path.name) for path in paths) == []
    text = json.loads((tmp_path / "photo_compare_seg.json").read_text())
    for entry in text["levels"]:
        entry["notes"], entry["seconds"] = {}, {}  # by figure, by stage
    assert untold(keys(text)) == []
    assert untold((tmp_path / "photo_compare_seg.csv").read_text().splitlines()[0].split(",")) == []


def test_a_figure_of_a_comparison_is_not_in_formats():
    for task in zoo.task_names():
        assert untold(figure.name for figure in tasks.figures(task)) == []
