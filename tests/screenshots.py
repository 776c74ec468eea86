"""Takes the README's screenshots of the page as it ships, of drawn people, into assets/.

    python -m tests.screenshots

Needs requirements-dev.txt and Chromium. The page is served by a process of its own, on this machine, with the demo's
weights; it takes about a minute.
"""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from tests.browser import REPOSITORY, RUN_MS, browsing, serving, show, tick, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ASSETS = REPOSITORY / "assets"
MOST_BYTES = 250_000  # of one picture
TASKS = ("seg", "pose", "normal", "pointmap", "albedo")
VIEWER_MS = 6000  # what the 3-D viewer, of which nothing says that it has drawn, may take


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(["app.py"], Path(folder), {}) as server,
        browsing() as browser,
        opened(browser, server.url) as page,
    ):
        studio(page)
        compare(page)


@contextmanager
def opened(browser: "Browser", url: str) -> "Iterator[Page]":
    with visiting(browser, url) as open_page:
        page = open_page(1440, 900)
        page.emulate_media(reduced_motion="reduce")
        yield page


def studio(page: "Page") -> None:
    tick(page, *TASKS)
    example(page, "five_people", "#status")
    show(page, "seg")
    taken(page, "screenshot.png")

    show(page, "pose", "picture")
    page.get_by_label("Joint angles").check(force=True)
    page.locator(".pose-angles table").wait_for()
    page.evaluate("scrollTo(0, 0)")
    taken(page, "pose.webp")

    page.locator(".shade").click()
    show(page, "space")
    page.wait_for_timeout(VIEWER_MS)
    taken(page, "3d.webp")
    page.locator(".shade").click()


def compare(page: "Page") -> None:
    page.get_by_role("tab", name="Compare levels").click()
    example(page, "five_people", "#compare-status", "#compare ")
    page.evaluate("scrollTo(0, 0)")
    taken(page, "compare.webp")


def example(page: "Page", name: str, status: str, within: str = "") -> None:
    """Runs an example of the folder examples/ to its end."""
    title = name.replace("_", " ").capitalize()
    page.locator(f"{within}button.example:visible", has_text=title).click()
    page.locator(f"{status} .status.done").wait_for(timeout=RUN_MS)
    page.mouse.move(0, 0)


def taken(page: "Page", name: str) -> None:
    """Writes what is in the window to assets/: as PNG with as many colours as fit, or as WebP."""
    page.wait_for_timeout(1500)
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for quality in (90, 80, 65, 50):
        file = io.BytesIO()
        if name.endswith(".png"):
            image.quantize(256 * quality // 90).save(file, "PNG", optimize=True)
        else:
            image.save(file, "WEBP", quality=quality, method=6)
        if file.tell() <= MOST_BYTES:
            break
    (ASSETS / name).write_bytes(file.getvalue())
    print(f"{name}: {image.width} x {image.height}, {file.tell() / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
