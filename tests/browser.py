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

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

REPOSITORY = Path(__file__).resolve().parents[1]
# A GPU in software: the 3-D viewer's WebGL needs one, and there is none to rely on.
WEBGL = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
ARGUMENTS = ["--no-sandbox", *WEBGL, "--disable-background-networking"]
# Errors of a console that are no fault of the page. The 3-D viewer tries WebGPU first, says so where there is none, and
# goes on with WebGL.
EXPECTED_ERRORS = ("A fatal error occurred during WebGPU creation/initialization.",)
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


@contextmanager
def visiting(browser: "Browser", url: str) -> Iterator[Callable[..., "Page"]]:
    """Opens the page as a new visitor, in a window of a width and height; at the end, no console may hold an error but
    EXPECTED_ERRORS."""
    problems, contexts = [], []

    def heard(message: "ConsoleMessage") -> None:
        if message.type == "error" and not any(part in message.text for part in EXPECTED_ERRORS):
            problems.append(message.text)

    def open_page(width: int = 1440, height: int = 900) -> "Page":
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda problem: problems.append(str(problem)))
        page.goto(url)
        page.locator("#run").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == [], problems


# ---- what is done in every tab --------------------------------------------------------------------------------------
# `tab` is what the ids of a tab's parts begin with: "compare", "features", and nothing for the Studio.


def open_tab(page: "Page", name: str, tab: str) -> "Page":
    """The page, with the tab of this name open."""
    page.get_by_role("tab", name=name).click()
    page.locator(f"#{tab}-run").wait_for()
    return page


def upload(page: "Page", photo: Path, tab: str = "") -> None:
    """Gives a tab its photo, and waits until it has it or says why not."""
    frame, status = (f"#{tab}", f"#{tab}-status") if tab else ("", "#status")
    page.locator(f"{frame} .photo input[type=file]").first.set_input_files(photo)
    page.locator(f"{frame} .empty .done, {status} .notice").first.wait_for(timeout=UPLOAD_MS)


def run(page: "Page", tab: str = "", end: str = ".done") -> None:
    """Presses a tab's button and waits until the status of this run is one of the kind `end`."""
    button, status = (f"#{tab}-run", f"#{tab}-status") if tab else ("#run", "#status")
    page.evaluate(f"document.querySelector('{status} .status')?.classList.add('old')")
    page.locator(button).click()
    page.locator(f"{status} .status:is({end}):not(.old)").wait_for(timeout=RUN_MS)


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


# ---- the photo ------------------------------------------------------------------------------------------------------


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
