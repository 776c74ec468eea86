"""What README and docs/ say is so: links lead somewhere, commands are ones, tables hold the code's numbers."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import sapiens_mlx as sm
from sapiens_mlx import inventory, runtime, zoo
from sapiens_mlx.arguments import argument_parser
from sapiens_mlx.shipped import examples_folder

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


@pytest.mark.parametrize("task", zoo.TASKS)
def test_an_array_or_a_file_is_not_in_the_table_of_formats(task, tmp_path):
    text = (PROJECT / "docs/formats.md").read_text()
    row = re.search(rf"^\| {task} \| (.+(?:\n\| \| .+)*)", text, re.M)[0]
    files = re.findall(rf"^\| {task} \| .+$", text, re.M)[-1]
    for path in sm.load(task, "demo")(examples_folder() / "one_person.jpg").save(tmp_path, stem="photo"):
        assert f"`{path.name.removeprefix('photo_')}`" in files, path.name
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                for name, array in arrays.items():
                    line = next(line for line in row.splitlines() if f"`{name}`" in line)
                    assert array.ndim == 0 or array.dtype.name in line or array.dtype.kind == "U", line
        if path.name.endswith("pose.json"):
            assert all(f"`{name}`" in text for name in json.loads(path.read_text()))
