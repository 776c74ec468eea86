"""Every tab by axe in Chromium, light and dark: no serious finding; and what axe cannot see of keyboard and phone.

axe-core comes in the wheel of axe-playwright-python; nothing is fetched. The page is the one that ships, with the
demo's weights, so that the surfaces of the Studio are real.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from browser import RUN_MS, radio, show, surfaces, tick

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

pytestmark = pytest.mark.browser

GRAVE = ("serious", "critical")
PHONE = {"width": 390, "height": 844}
SMALLEST_PX = 24  # of what is pressed: WCAG 2.2, 2.5.8

# What axe finds in Gradio's own components: (rule, part of the selector), and why it is theirs.
KNOWN = {
    ("aria-prohibited-attr", ".wrapper"): "gr.Dataframe names the lock on a column that cannot be changed; it is a div",
}


def findings(page: "Page", shades: tuple[str, ...] = ("false", "true")) -> list[str]:
    """What axe finds that is serious or worse, in light and in dark, as "rule: place, why"."""
    found = []
    page.wait_for_function("!document.querySelector('.files button:disabled')")  # files that are being written
    switch = page.locator(".shade")
    for dark in shades:
        if switch.get_attribute("aria-pressed") != dark:
            switch.click()
        page.wait_for_timeout(400)  # colours that fade are judged where they end
        for violation in axe.Axe().run(page).response["violations"]:
            for node in violation["nodes"] if violation["impact"] in GRAVE else []:
                place = " ".join(map(str, node["target"]))
                if not any(violation["id"] == rule and part in place for rule, part in KNOWN):
                    found.append(f"{violation['id']} (dark: {dark}): {place}, {node['failureSummary']}")
    if switch.get_attribute("aria-pressed") == "true":
        switch.click()
    return found


def open_tab(page: "Page", name: str) -> None:
    page.get_by_role("tab", name=name).click()
    page.get_by_role("tab", name=name, selected=True).wait_for()
    page.wait_for_timeout(500)


def run_example(page: "Page", tab: str = "") -> None:
    """Presses the first example of a tab and waits for the end of its run."""
    frame, status = (f"#{tab} ", f"#{tab}-status") if tab else ("", "#status")
    page.locator(f"{frame}button.example:visible").first.click()
    page.locator(f"{status} .status.done").wait_for(timeout=RUN_MS)
    page.locator(".files button:visible:enabled", has_text="·").first.wait_for(timeout=RUN_MS)


@pytest.mark.slow
def test_the_studio_from_the_empty_page_to_every_kind_of_surface(visit: Callable) -> None:
    page = visit()
    assert findings(page) == []

    tick(page, "seg", "pose", "normal", "pointmap", "albedo", "matting")
    page.locator(".people button").first.click()
    run_example(page)
    for surface in surfaces(page):
        show(page, surface)
        if surface == "pose":
            page.get_by_label("Joint angles").check(force=True)
            page.locator(".pose-angles table").wait_for()
        if surface == "space":
            page.locator(".viewer canvas").wait_for()
        # Their colours differ little: in dark one is looked at, the one with most to see.
        assert findings(page, ("false", "true") if surface == "pose" else ("false",)) == [], surface

    show(page, "pointmap", "picture")
    page.locator(".asks img:visible").click()
    page.locator(".probe h3").wait_for()
    assert findings(page) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, tab",
    [
        ("Studio", ""),
        pytest.param("Compare levels", "compare", marks=pytest.mark.slow),
        pytest.param("Features", "features", marks=pytest.mark.slow),
        pytest.param("Video", "video", marks=pytest.mark.slow),
    ],
)
def test_the_tabs_that_run_empty_and_with_results(visit: Callable, name: str, tab: str) -> None:
    page = visit()
    open_tab(page, name)
    assert findings(page) == []
    run_example(page, tab)
    assert findings(page) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Video", "Live", "Weights", "Help"])
def test_the_tabs_that_show(visit: Callable, name: str) -> None:
    page = visit()
    open_tab(page, name)
    assert findings(page) == []


@pytest.mark.slow
def test_a_problem_is_told_at_once_and_reads_well(visit: Callable) -> None:
    page = visit()
    open_tab(page, "Features")
    page.locator("#features-run").click()
    page.get_by_role("alert").wait_for()
    assert findings(page) == []


@pytest.mark.slow
def test_every_group_of_choices_has_a_name(visit: Callable) -> None:
    page = visit()
    assert page.locator("html").get_attribute("lang") == "en"
    run_example(page)
    groups = page.locator("fieldset").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    assert groups and all(groups)
    for name in ("What to see", "Size", "Quantization level", "Shown", "View", "Style"):
        page.get_by_role("group", name=name, exact=True).first.wait_for(state="attached")


@pytest.mark.slow
def test_the_keyboard_goes_from_photo_to_run_and_shows_where_it_is(visit: Callable) -> None:
    page = visit()
    page.get_by_role("tab", name="Studio").focus()
    passed = []
    for _ in range(30):
        page.keyboard.press("Tab")
        passed.append(
            page.evaluate(
                """() => {
                    const here = document.activeElement;
                    const marked = here.closest("label") ?? here;
                    const name = here.id || here.closest("fieldset")?.getAttribute("aria-label");
                    return [name, [here, marked].some(one => getComputedStyle(one).outlineStyle != "none")];
                }"""
            )
        )
        if passed[-1][0] == "run":
            break
    names = [name for name, _ in passed]
    assert [name for name in names if name in ("Size", "Quantization level", "run")] == [
        "Size",
        "Quantization level",
        "run",
    ]  # each group of radios is one stop
    assert all(visible for name, visible in passed if name)

    radio(page, "demo").focus()
    page.keyboard.press("ArrowRight")
    page.locator("#about", has_text="Sapiens2 0.4b").wait_for()
    assert radio(page, "0.4b").is_checked() and not radio(page, "demo").is_checked()


@pytest.mark.slow
def test_on_a_phone_run_stays_in_sight_and_what_is_pressed_is_large_enough(visit: Callable) -> None:
    page = visit(**PHONE)
    run_example(page)
    for place in (0, 700, 100_000):
        page.evaluate(f"scrollTo(0, {place})")
        box = page.locator("#run").bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= PHONE["height"]
    small = page.locator(".chips label:visible, .files button:visible, .go button:visible, .shade").evaluate_all(
        f"all => all.filter(one => one.getBoundingClientRect().height < {SMALLEST_PX}).map(one => one.outerHTML)"
    )
    assert small == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.slow
def test_on_a_laptop_run_is_in_sight_and_the_picture_stays_where_it_is(visit: Callable) -> None:
    page = visit(1440, 900)
    tick(page, "seg", "pose", "normal", "pointmap")
    box = page.locator("#run").bounding_box()
    assert box["y"] + box["height"] <= 900

    tick(page, "seg", "normal")
    page.locator("button.example:visible").first.click()
    page.locator("#status .working").wait_for()
    page.locator(".outcome .picture:visible").first.wait_for()
    top = "all => all.filter(one => one.offsetParent).map(one => Math.round(one.getBoundingClientRect().top + scrollY))"
    tops = set()
    while not page.locator("#status .done").count():
        tops |= set(page.locator(".outcome .picture").evaluate_all(top))
        page.wait_for_timeout(100)
    for surface in ("seg", "normal", "relit"):
        show(page, surface)
        tops |= set(page.locator(".outcome .picture").evaluate_all(top))
    assert len(tops) == 1, tops
    assert radio(page, "relit", ".surfaces").is_checked()
