"""The tab Help: everything that it lists is there and agrees with the tables, its links and pictures are sound, and the
search and the folds work in Chromium."""

import re
import tomllib
from collections.abc import Callable, Iterator
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import REPOSITORY, Server, chromium_path, serving, visiting
from PIL import Image

from sapiens_mlx import zoo
from sapiens_mlx.tasks.keypoints import GROUPS, keypoints
from sapiens_mlx.tasks.pose_picture import PARTS
from sapiens_mlx.tasks.seg import classes
from sapiens_mlx.ui.help import layout as help_tab
from sapiens_mlx.ui.help import sentences as help_words

if TYPE_CHECKING:
    from playwright.sync_api import Browser
from sapiens_mlx.ui.help import texts

PICTURES = (help_tab.PARTS_PICTURE, help_tab.KEYPOINTS_PICTURE)


class Outline(HTMLParser):
    """Headings, links, ids, tables and unclosed elements of a page."""

    VOID = ("input", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.headings, self.links, self.ids, self.open = [], [], [], []
        self.tables: list[dict[str, int]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = dict(attributes)
        if tag not in self.VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "a":
            self.links.append(named["href"])
        if "id" in named:
            self.ids.append(named["id"])
        if tag == "table":
            self.tables.append({"col": 0, "row": 0, "tr": 0})
        if tag == "tr":
            self.tables[-1]["tr"] += 1
        if tag == "th":
            self.tables[-1][named["scope"]] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text() -> str:
    sections = ("contents", "begin", "tasks", "parts_intro", "parts_legend", "keypoints_intro", "keypoints_list")
    sections += ("sizes", "levels", "licences", "paper", "privacy")
    return "".join(getattr(help_words, name)() for name in sections)


@pytest.fixture(scope="module")
def outline(text: str) -> Outline:
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    return outline


def test_all_classes_stand_there_with_their_colours() -> None:
    legend = help_words.parts_legend()
    assert len(help_words.parts()) == 29
    for index, (title, colour) in enumerate(help_words.parts()):
        assert title == classes().title(index)
        assert bytes.fromhex(colour[1:]) == classes().bright_rgb[index].tobytes()
        assert f'style="background:{colour}"></i><span>{index}</span>{title}</li>' in legend


def test_all_keypoints_stand_there_in_their_groups() -> None:
    folds = help_words.keypoints_list().split("<details")[1:]
    assert len(folds) == len(GROUPS)
    names = keypoints().names
    for fold, members in zip(folds, GROUPS.values(), strict=True):
        listed = re.findall(r"<li><span>(\d+)</span> ([^<]+)</li>", fold)
        assert [(int(index), name) for index, name in listed] == [(index, names[index]) for index in members]


def test_groups_have_the_colours_of_the_pictures() -> None:
    assert help_words.GROUP_COLOURS == PARTS


def test_every_task_size_level_and_licence_is_told(text: str, outline: Outline) -> None:
    for row in map(zoo.task_row, zoo.task_names()):
        assert f'<th scope="row">{row.title}</th>' in help_words.tasks()
    for size in zoo.SIZES:
        assert f'<th scope="row">{size}</th>' in help_words.sizes()
    for level in zoo.LEVELS:
        assert f'<th scope="row">{level}</th>' in help_words.levels()
    for licence in (*zoo.LICENCES.values(), *zoo.HANDS_LICENCES.values()):
        assert f">{escape(licence.name)}</a>" in help_words.licences()
        assert licence.url in outline.links or licence is zoo.DEMO_LICENCE
    assert zoo.DEMO_LICENCE.name in text and "trained on drawn figures" in text
    assert "not a medical measurement" in text


def test_links_lead_somewhere(outline: Outline) -> None:
    for link in outline.links:
        if link.startswith("#"):
            assert link[1:] in outline.ids
        else:
            assert re.fullmatch(r"https://[a-z0-9.-]+\.[a-z]+/\S+|data:text/plain;\S+", link), link
    assert sum(link.startswith("#") for link in outline.links) == len(texts.SECTIONS)


def test_headings_come_in_order_and_tables_name_their_rows_and_columns(outline: Outline) -> None:
    level = 1
    for heading in outline.headings:
        assert heading <= level + 1
        level = heading
    for table in outline.tables:
        assert table["col"] > 1 and table["row"] == table["tr"] - 1 > 1


def test_the_memory_table_marks_what_does_not_fit() -> None:
    shown = help_words.memory([("tiny", [(5 * 10**7, True)]), ("huge", [(2 * 10**10, False)])], 10**10)
    assert ">&lt; 0.1</td>" in shown and 'no">20.0 ✕</td>' in shown and "10.0 GB" in shown


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_the_pictures_are_there_and_small(path: Path) -> None:
    with Image.open(path) as picture:
        assert picture.width >= 1000 and not picture.getexif()
    assert path.stat().st_size < 100_000


def test_an_installed_package_has_all_files_of_the_tab() -> None:
    package = REPOSITORY / "sapiens_mlx"
    table = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["package-data"]
    installed = {path for pattern in table["sapiens_mlx"] for path in package.glob(pattern)}
    names = ("help/help.js", "help/help.css", "live/live.css", "live/camera_ask.js", "live/camera_open.js")
    assert {*PICTURES, *(package / "ui" / name for name in names)} <= installed
    assert all(path.is_file() for path in installed)


# ---- in a browser ---------------------------------------------------------------------------------------------------


PAGE = """
import sapiens_mlx, gradio as gr, sys
from sapiens_mlx.ui.help import layout
from sapiens_mlx.ui.theme import STYLE_SHEETS, theme
with gr.Blocks(analytics_enabled=False, fill_width=True) as page:
    layout.build()
heavy = [name for name in ("mlx.nn", "cv2", "matplotlib.pyplot", "sapiens_mlx.predictor") if name in sys.modules]
assert heavy == [], heavy
page.launch(theme=theme(), css_paths=STYLE_SHEETS, run_history=False, ssr_mode=False)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    chromium_path()
    with serving(["-c", PAGE], tmp_path_factory.mktemp("page"), {}) as server:
        yield server


@pytest.fixture
def visit(chromium: "Browser", server: Server) -> Iterator[Callable]:
    with visiting(chromium, server.url, lambda page: page.locator("#help-begin").wait_for()) as open_page:
        yield open_page


@pytest.mark.slow
@pytest.mark.browser
def test_keypoints_are_found_by_name_and_number(visit: Callable) -> None:
    page = visit()
    field, shown = page.locator(".help-names input"), page.locator(".help-group li:visible")
    assert shown.count() == 0  # folded
    field.fill("left Elbow")
    assert [item.split() for item in shown.all_inner_texts()] == [["7", "left_elbow"]]
    field.fill("41")
    assert [item.split() for item in shown.all_inner_texts()] == [["41", "right_wrist"]]
    field.fill("eyebrow")
    assert shown.count() == sum("eyebrow" in name for name in keypoints().names)
    assert page.locator(".found").inner_text() == f"{shown.count()} keypoints"
    field.fill("no such point")
    assert shown.count() == 0 and page.locator(".found").inner_text() == "0 keypoints"
    field.fill("")
    assert page.locator(".help-group:visible").count() == len(GROUPS)


@pytest.mark.browser
def test_pictures_are_shown_with_a_text_and_memory_is_told_when_unfolded(visit: Callable) -> None:
    page = visit()
    pictures = page.locator(".help-picture img")
    pictures.nth(1).wait_for()
    assert pictures.count() == 2
    for index in range(2):
        pictures.nth(index).scroll_into_view_if_needed()
        page.wait_for_function(f"document.querySelectorAll('.help-picture img')[{index}].naturalWidth > 900")
        assert len(pictures.nth(index).get_attribute("alt")) > 40
    page.get_by_role("button", name="Memory that each size and level needs").click()
    rows = page.locator("#help-memory tbody tr")
    rows.first.wait_for()
    assert rows.count() == len(zoo.SIZES) + 1  # and that of hands
    assert page.locator("#help-memory thead th").count() == 1 + len(zoo.LEVELS)
    assert texts.CITATION.splitlines()[1].strip() in page.locator("#help-citation").inner_text()


@pytest.mark.browser
def test_a_phone_has_to_scroll_sideways(visit: Callable) -> None:
    page = visit(390, 844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
