"""The tree that a Hugging Face Space is made of; and the page that it serves, within a Space's limits, in Chromium."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from browser import REPOSITORY, RUN_MS, download, serving, tick
from PIL import Image

sys.path.insert(0, str(REPOSITORY / "space"))
import build
import start

from sapiens_mlx import zoo

pytestmark = pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="the tree is built from a clone")
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
# The bar that Gradio puts over a page on a Space asks the hub for its name and likes, and for the bar's own letters.
OF_THE_HUB = ("huggingface.co", "fonts.googleapis.com", "fonts.gstatic.com")
MOST_BYTES = 10_000_000  # of a file: what the hub takes without large-file storage


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build.build("owner/name", tmp_path_factory.mktemp("space"))


@pytest.fixture(scope="module")
def front(tree: Path) -> dict:
    """What stands before the README, as the hub reads it."""
    _, text, _ = (tree / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(text)


def test_the_front_matter_has_what_the_hub_asks_for(front):
    assert front["title"] and len(front["short_description"]) <= 60
    assert {front["colorFrom"], front["colorTo"]} <= COLOURS
    assert (front["sdk"], front["app_file"], front["license"]) == ("gradio", "app.py", "other")
    assert front["suggested_hardware"] == "cpu-basic"
    assert all(tag == tag.lower() and " " not in tag for tag in front["tags"])
    assert re.fullmatch(r"3\.1[1-4]", front["python_version"])


def test_the_space_runs_the_gradio_that_is_pinned(tree, front):
    assert f"gradio=={front['sdk_version']}\n" in (tree / "requirements.txt").read_text()


def test_the_models_of_the_space_are_published_ones_of_the_tables(front):
    sizes = [(task, size) for task, row in zoo.TASKS.items() for size in row.sizes if size != "demo"]
    checkpoints = [zoo.checkpoint(task, size) for task, size in sizes]
    assert set(front["models"]) <= {one.repo for one in checkpoints if one.published}


def test_the_thumbnail_is_a_small_picture_in_the_tree(tree, front):
    address = "https://huggingface.co/spaces/owner/name/resolve/main/"
    assert front["thumbnail"].startswith(address)
    path = tree / front["thumbnail"].removeprefix(address)
    assert path.stat().st_size < 200_000
    assert Image.open(path).size == (1200, 630)


def test_the_tree_is_what_runs_and_no_more(tree):
    files = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    listed = ["git", "-C", str(REPOSITORY), "ls-files", "sapiens_mlx", "assets/demo", "examples"]
    code = set(subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split())
    beside = {"app.py", "README.md", "LICENSE", "NOTICE", "requirements.txt", "packages.txt", "pyproject.toml"}
    assert files == code | beside | {"thumbnail.jpg", ".gitattributes"}
    assert max(path.stat().st_size for path in tree.rglob("*")) < MOST_BYTES
    stored_apart = tuple(pattern.removeprefix("*") for pattern in build.STORED_APART)
    for path in tree.rglob("*"):
        if path.is_file() and not path.name.endswith(stored_apart):
            path.read_text()  # or it would be a binary file that the hub does not take


@pytest.mark.parametrize(("name", "word"), [("alone", "OWNER/NAME"), ("a b/c", "OWNER/NAME"), ("owner/name", "new")])
def test_what_cannot_be_built_is_told_in_a_line(tmp_path, name, word):
    (tmp_path / "there").touch()
    command = [sys.executable, str(REPOSITORY / "space/build.py"), name, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert word in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_no_tree_to_start_is_a_trace():
    done = subprocess.run([sys.executable, REPOSITORY / "space/start.py"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "start.py TREE" in done.stderr and "Traceback" not in done.stderr


# ---- the page -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def space(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """The page of the tree, in a fresh virtual environment, within a Space's limits."""
    python = start.environment(tree, tmp_path_factory.mktemp("environment"))
    command = [str(REPOSITORY / "space/start.py"), str(tree), str(python)]
    folder = tmp_path_factory.mktemp("page")
    try:
        with serving(command, folder, {}, tree) as server:
            limits = Path(f"/proc/{server.process.pid}/limits").read_text()
            assert re.search(rf"Max address space +{start.MEMORY_BYTES} ", limits)
            yield server
    except AssertionError:
        # On a Space Gradio makes an event loop that it forgets, of which Python 3.12 complains: no fault of the page.
        log = (folder / "server.log").read_text()
        if log.count("Traceback") != log.count("Exception ignored in: <function BaseEventLoop.__del__"):
            raise


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(sys.platform != "linux", reason="a Space is Linux")
def test_the_space_answers_within_its_limits(chromium, space, tree):
    from playwright.sync_api import expect

    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    hosts = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.goto(space.url)
    expect(page.locator(".choice")).to_contain_text(zoo.DEMO_NOTICE, timeout=RUN_MS)
    page.locator(".example").first.click()
    expect(page.locator("#status .done")).to_be_visible(timeout=RUN_MS)
    tick(page, "seg", "pose", "normal", "pointmap", "albedo", "matting")
    page.locator("#run").click()
    expect(page.locator("#run")).to_be_enabled(timeout=RUN_MS)
    expect(page.locator("#status .done")).to_be_visible(timeout=RUN_MS)
    assert download(page, "Everything").stat().st_size > 1_000_000
    page.close()
    assert hosts - {""} <= {urlsplit(space.url).netloc, *OF_THE_HUB}
    assert not list(tree.rglob("*.pyi"))
