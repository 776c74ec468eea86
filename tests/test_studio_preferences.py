"""What the browser remembers of the Studio, in Chromium: choices survive a reload, and no photo is among them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from browser import choose, draw_photo, radio, ready, run, show, until, upload

from sapiens_mlx.ui.preferences import STORAGE_KEY

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHADE_KEY = "sapiens-mlx-shade"
# All that a page can keep in a browser.
KEPT = """async () => ({
    local: {...localStorage}, session: {...sessionStorage}, cookies: document.cookie,
    databases: (await indexedDB.databases()).map(one => one.name), caches: await caches.keys(),
})"""


def ticked(page: "playwright.Page") -> list[str]:
    return (
        page.locator(".studio .choices .chips")
        .first.locator("input:checked")
        .evaluate_all("inputs => inputs.map(input => input.name)")
    )


def reload(page: "playwright.Page") -> None:
    page.reload()
    ready(page)


def test_choices_survive_a_reload_and_are_the_visitors_own(visit: Callable) -> None:
    page = visit()
    before = page.evaluate(KEPT)["local"].get(STORAGE_KEY)
    choose(page, "pose", "pointmap", "0.4b", "8bit")
    until(lambda: page.evaluate(KEPT)["local"].get(STORAGE_KEY) != before)
    page.wait_for_timeout(1000)  # one is kept for each choice
    reload(page)
    expect(radio(page, "0.4b")).to_be_checked()
    expect(radio(page, "8bit")).to_be_checked()
    assert ticked(page) == ["pose", "pointmap"]
    expect(page.locator("#about")).to_contain_text("Sapiens2 License")  # what depends on them has come too
    expect(page.get_by_role("button", name="People in the photo")).to_be_visible()

    other = visit()
    assert ticked(other) == ["seg"]
    expect(radio(other, "demo")).to_be_checked()


def test_the_look_is_remembered_and_a_photo_is_not(visit: Callable, tmp_path: Path) -> None:
    page = visit()
    upload(page, draw_photo(tmp_path / "a secret name.png", (120, 160)))
    choose(page, "seg")
    run(page)
    show(page, "seg", "picture")
    choose(page, "reference")
    page.wait_for_timeout(1000)
    kept = page.evaluate(KEPT)
    assert set(kept["local"]) <= {STORAGE_KEY, SHADE_KEY}
    assert len(kept["local"][STORAGE_KEY]) < 4000  # choices, and not a picture
    assert (kept["session"], kept["cookies"], kept["databases"], kept["caches"]) == ({}, "", [], [])
    assert "secret" not in str(kept)

    page.reload()
    ready(page)
    expect(page.locator(".studio .empty:visible")).to_be_visible()
    assert page.locator(".studio .empty .done").count() == 0  # no photo has come back
    upload(page, draw_photo(tmp_path / "another.png", (120, 160)))
    choose(page, "pose")
    run(page)
    expect(page.get_by_role("checkbox", name="Links")).to_be_visible()
    expect(page.get_by_text("Colour by")).to_be_hidden()  # which means nothing in this style
    expect(radio(page, "picture", ".look")).to_be_checked()
    expect(radio(page, "reference", ".look")).to_be_checked()
    expect(page.locator(".report .cm-content").first).to_contain_text("--style reference")


def test_light_and_dark_survive_a_reload(visit: Callable) -> None:
    page = visit()
    button = page.locator(".masthead .shade")
    expect(button).to_have_attribute("aria-pressed", "false")
    light = background(page)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    until(lambda: sum(background(page)) < sum(light) - 300)
    reload(page)
    expect(button).to_have_attribute("aria-pressed", "true")
    until(lambda: sum(background(page)) < sum(light) - 300)
    button.click()
    reload(page)
    expect(button).to_have_attribute("aria-pressed", "false")
    until(lambda: background(page) == light)


def background(page: "playwright.Page") -> list[int]:
    """The page's colour as R, G, B."""
    colour = page.evaluate("getComputedStyle(document.querySelector('gradio-app')).backgroundColor")
    return [int(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
