"""What the browser tests share: a page of its own process to visit, Chromium, a drawn photo, and what is done in every
tab: a photo given, a run, a file taken. The fixtures made of them are in conftest.py."""

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sapiens_mlx import zoo
from sapiens_mlx.ui.controls import TASKS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page

REPOSITORY = Path(__file__).resolve().parents[1]
# Pages are composed without a GPU, which is quick; the 3-D viewer's WebGL has one in software.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-background-networking"]
# Errors of a console, by a part of their text or address, that are no fault of the page: the 3-D viewer tries WebGPU
# first, says so where there is none, and goes on with WebGL, and it stumbles where it is left while it opens a file;
# Gradio's description of the API asks for an MCP server, and for how busy the page is, which doors.py keeps to itself.
EXPECTED_ERRORS = (
    "A fatal error occurred during WebGPU creation/initialization.",
    "reading 'postProcessManager'",
    "/gradio_api/mcp/schema",
    "/monitoring/summary",
)
RUN_MS = 120_000  # a run of a small network takes seconds; this is for a machine that is busy with other things
UPLOAD_MS = 30_000  # the first photo of a page brings OpenCV


@dataclass(frozen=True)
class Server:
    """A page being served. `files` is the folder that its temporary files are in."""

    url: str
    files: Path
    process: subprocess.Popen
    log: Path


@contextmanager
def serving(
    command: list[str], folder: Path, environment: Mapping[str, str], project: Path = REPOSITORY
) -> Iterator[Server]:
    """Runs `python *command` in `project` until it answers; told to end (SIGTERM) afterwards. Files are in `folder`.

    Its log may hold no stack trace in the end.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    files = folder / "served"
    own = {
        "GRADIO_TEMP_DIR": str(files),
        "GRADIO_SERVER_PORT": str(port),
        "SAPIENS_CHECKPOINT_ROOT": str(folder / "weights"),
        "SAPIENS_MLX_CACHE": str(folder / "cache"),
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_OFFLINE": "1",
        "no_proxy": "*",
    }
    log = folder / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=project,
            env=os.environ | own | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}/"
    try:
        _wait_for(url, process, log)
        yield Server(url, files, process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert "Traceback" not in log.read_text(), log.read_text()


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).read()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise AssertionError(f"the page does not answer:\n{log.read_text()}")


def chromium_path() -> str:
    """The browser's program; the test is skipped where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("Chromium is not installed")
    return found


@contextmanager
def browsing() -> Iterator["Browser"]:
    """Chromium, without a window; the test is skipped where playwright is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = chromium_path()
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


def ready(page: "Page") -> None:
    """Waits until the page is there, and on the real one what the browser remembers of the choices: their cost comes
    last."""
    page.locator("#run").wait_for()
    if page.locator("#about").count():
        page.locator("#about .cost").wait_for(timeout=UPLOAD_MS)


@contextmanager
def visiting(browser: "Browser", url: str, wait: "Callable[[Page], None]" = ready) -> Iterator[Callable[..., "Page"]]:
    """Opens the page as a new visitor, in a window of a width and height, and waits until it is there; at the end, no
    console may hold an error but EXPECTED_ERRORS."""
    problems, pages = [], []

    def told(problem: str) -> None:
        if not any(part in problem for part in EXPECTED_ERRORS):
            problems.append(problem)

    def heard(message: "ConsoleMessage") -> None:
        if message.type == "error":
            told(f"{message.text} {message.location.get('url', '')}")

    def open_page(width: int = 1440, height: int = 900) -> "Page":
        page = _new_visitor(browser, url)
        pages.append(page)
        page.set_viewport_size({"width": width, "height": height})
        page.on("console", heard)
        page.on("pageerror", lambda problem: told(str(problem)))
        page.goto(url)
        wait(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert problems == [], problems


def _new_visitor(browser: "Browser", url: str) -> "Page":
    """An empty page of a browser that remembers nothing of this address, and shares nothing with another visitor.

    A context that nobody is in any more is taken again, for it holds the page's scripts fetched and compiled: opening
    the page then takes 2.4 s of a processor, not 4.1.
    """
    left = [context for context in browser.contexts if not context.pages]
    context = left[0] if left else browser.new_context()
    page = context.new_page()
    if left:
        context.clear_cookies()
        context.clear_permissions()
        stored = {"origin": url, "storageTypes": "local_storage,indexeddb,service_workers,cache_storage"}
        context.new_cdp_session(page).send("Storage.clearDataForOrigin", stored)
    return page


# ---- what is done in every tab --------------------------------------------------------------------------------------
# `tab` is what the ids of a tab's parts begin with: "compare", "features", and nothing for the Studio.


def open_tab(page: "Page", name: str, tab: str) -> "Page":
    """The page, with the tab of this name open; on a phone, not all of them have room in the bar."""
    if page.get_by_role("tab", name=name).is_visible():
        page.get_by_role("tab", name=name).click()
    else:
        page.get_by_role("button", name="More tabs").click()
        page.locator(".overflow-dropdown").get_by_text(name, exact=True).click()
    page.locator(f"#{tab}-run").wait_for()
    return page


def check(choice: "Locator", checked: bool = True) -> None:
    """Checks a chip by its label, in which its box is hidden; from the middle of the window, where it lies open."""
    if choice.is_checked() == checked:
        return
    label = choice.locator("xpath=ancestor::label[1]")
    label.evaluate("label => label.scrollIntoView({block: 'center', inline: 'center'})")
    label.click()
    until(lambda: choice.is_checked() == checked)


def upload(page: "Page", photo: Path, tab: str = "") -> None:
    """Gives a tab its photo, and waits until it has it or says why not."""
    frame, status = (f"#{tab}", f"#{tab}-status") if tab else ("", "#status")
    page.locator(f"{frame} .photo input[type=file]").first.set_input_files(photo)
    page.locator(f"{frame} .empty .done, {status} .notice").first.wait_for(timeout=UPLOAD_MS)


def remove_photo(page: "Page", tab: str = "") -> None:
    """Takes the photo that is worked on out of a tab's frame."""
    page.locator(f"{f'#{tab}' if tab else '.studio'} .photo button[title='Remove Image']").first.click()


def run(page: "Page", tab: str = "", end: str = ".done") -> None:
    """Presses a tab's button and waits until the status of this run is one of the kind `end`."""
    button, status = (f"#{tab}-run", f"#{tab}-status") if tab else ("#run", "#status")
    page.evaluate(f"document.querySelector('{status} .status')?.classList.add('old')")
    page.locator(button).click()
    page.locator(f"{status} .status:is({end}):not(.old)").wait_for(timeout=RUN_MS)


def stop(page: "Page", tab: str = "") -> None:
    """Presses Stop and waits for what comes of it, which is nothing but that; `tab` as of run()."""
    status = f"#{tab}-status" if tab else "#status"
    said = page.evaluate_handle(
        """selector => {
            const area = document.querySelector(selector), said = [];
            new MutationObserver(() => said.push(area.innerText)).observe(
                area, {childList: true, subtree: true, characterData: true});
            return said;
        }""",
        status,
    )
    page.locator(f"#{tab}-stop" if tab else "#stop").click()
    page.locator(f"{status} .stopped", has_text="Stopped").wait_for(timeout=RUN_MS)
    page.wait_for_timeout(500)  # for what comes late
    assert page.locator(f"{status} .stopped").is_visible()
    assert not [text for text in said.json_value() if "Not run" in text]


def download(page: "Page", label: str, tab: str = "") -> Path:
    """The file that a tab's button of this label gives, under the name that it comes with."""
    frame = page.locator(f"#{tab}" if tab else "body")
    with page.expect_download() as started:
        frame.get_by_role("button", name=label).click()
    path = Path(started.value.path())
    return path.rename(path.with_name(started.value.suggested_filename))


def fetched(page: "Page", address: str) -> np.ndarray:
    """The picture at an address of the page, which must be a PNG."""
    answer = page.request.get(address)
    assert answer.headers["content-type"] == "image/png"
    return np.array(Image.open(io.BytesIO(answer.body())))


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Waits for what no locator can wait for."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come"
        time.sleep(0.1)


# ---- what is done in the Studio -------------------------------------------------------------------------------------
# By the names that tasks, sizes and surfaces have in the tables, not by what the page calls them.

SHOWN = ".outcome .picture img:visible"  # of the slider the photo, then the picture


def tick(page: "Page", *tasks: str) -> None:
    """Makes these the tasks that are ticked, and waits for what belongs to them."""
    boxes = {task: page.locator(f".studio .choices input[type=checkbox][name={task}]").first for task in TASKS}
    for task in sorted(boxes, key=lambda task: task not in tasks):  # so that one is always ticked
        if boxes[task].is_checked() != (task in tasks):
            check(boxes[task], task in tasks)
    page.wait_for_timeout(500)
    if len(tasks) == 1:
        page.locator("#about", has_text=f"{zoo.task_row(tasks[0]).title}: ").wait_for(timeout=UPLOAD_MS)


def radio(page: "Page", value: str, within: str = ".studio") -> "Locator":
    """One choice of several, by its value."""
    return page.locator(f"{within} input[type=radio][value='{value}']").first


def choose(page: "Page", *names: str) -> None:
    """Ticks those of the names that are tasks, and no others, then takes what else is named: a size, a level."""
    if tasks := [name for name in names if name in TASKS]:
        tick(page, *tasks)
    for name in names:
        if name not in TASKS:
            choice = radio(page, name)
            choice.element_handle().wait_for_element_state("stable")  # a section that is just opening moves it
            check(choice)


def surfaces(page: "Page") -> list[str]:
    """The names of what can be shown of the photo."""
    return page.locator(".surfaces input").evaluate_all("inputs => inputs.map(input => input.value)")


def show(page: "Page", surface: str, view: str = "slider") -> None:
    """Shows another surface in a view, and waits for the picture."""
    check(radio(page, surface, ".surfaces"))
    if surface in ("space", "hands_space"):
        page.locator(".outcome .space:visible").first.wait_for()
        return
    if surface == "all":
        view = "picture"
    else:
        page.locator(".outcome .look:visible").wait_for()
        if not radio(page, view, ".look").is_checked():
            check(radio(page, view, ".look"))
    name = {"photo": "photo.png", "beside": "side_by_side.png"}.get(view, f"_{surface}.png")
    frame = ".slider-wrap" if view == "slider" else ".asks"
    page.locator(f".outcome {frame} img[src$='{name}']:visible").last.wait_for()


def files_shown(page: "Page") -> dict[str, bytes]:
    """The files of the surface that is shown, by their names, as its buttons give them."""
    page.locator(".files button:visible:enabled:not(#everything)", has_text="·").first.wait_for(timeout=UPLOAD_MS)
    buttons = page.locator(".files button:visible:enabled:not(#everything)", has_text="·")
    found = {}
    for button in buttons.all():
        with page.expect_download() as started:
            button.click()
        found[started.value.suggested_filename] = Path(started.value.path()).read_bytes()
    return found


def everything(page: "Page") -> Path:
    """The ZIP of all files."""
    with page.expect_download(timeout=UPLOAD_MS) as started:
        page.locator("#everything").click()
    path = Path(started.value.path())
    return path.rename(path.with_name(started.value.suggested_filename))


def address(page: "Page", which: int = -1) -> str:
    """Where the picture that is shown lies; of the slider, 0 is the photo."""
    return page.locator(SHOWN).nth(which).evaluate("image => image.src")


def shown(page: "Page", which: int = -1) -> np.ndarray:
    """The picture that is shown as RGB; of the slider, 0 is the photo."""
    return fetched(page, address(page, which))


def changed(page: "Page", action: Callable[[], object]) -> np.ndarray:
    """The picture that comes in place of the one that is shown, after `action`."""
    before = address(page)
    action()
    until(lambda: page.locator(SHOWN).count() > 0 and address(page) != before)
    return shown(page)


def press(page: "Page", x: float, y: float) -> None:
    """Presses the picture that is shown alone, at a share of its width and height."""
    image = page.locator(".asks img:visible")
    box = image.bounding_box()
    image.click(position={"x": x * box["width"], "y": y * box["height"]})


# ---- the photo ------------------------------------------------------------------------------------------------------


def draw_person(path: Path, people: int = 1) -> Path:
    """A drawn person whom the demo's networks know, or several of them side by side, as an image file."""
    with Image.open(REPOSITORY / "examples/one_person.jpg") as image:
        person = image.convert("RGB").resize((360, 480))
    photo = Image.new("RGB", (360 * people, 480))
    for number in range(people):
        photo.paste(person, (360 * number, 0))
    photo.save(path)
    return path


def draw_photo(path: Path, size: tuple[int, int] = (480, 640), **options: object) -> Path:
    """Two figures on grass, as an image file; `options` go to Pillow."""
    width, height = size
    image = Image.new("RGB", size, (196, 214, 226))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, int(0.7 * height), width, height), fill=(150, 170, 120))
    for middle, shirt in ((0.33 * width, (200, 80, 60)), (0.68 * width, (60, 110, 190))):
        unit = width / 10
        for side in (-1, 1):
            foot = (middle + 0.6 * side * unit, 0.92 * height)
            draw.line((middle + 0.4 * side * unit, 0.55 * height, *foot), (50, 60, 90), int(0.7 * unit))
        draw.rounded_rectangle((middle - unit, 0.28 * height, middle + unit, 0.6 * height), 0.4 * unit, shirt)
        draw.ellipse((middle - 0.6 * unit, 0.1 * height, middle + 0.6 * unit, 0.26 * height), (224, 176, 140))
    image.save(path, **options)
    return path
