"""Nothing is asked of another host: Chromium opens the page, runs the demo and visits every tab. What it asks for
elsewhere is written down and cut off, and every name that the server looks up is written down. Gradio is told to count
its users, which the page must overrule."""

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from browser import RUN_MS, Server, chromium_path, ready, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

OURS = {"127.0.0.1", "localhost"}
TABS = {"Studio", "Compare levels", "Features", "Video", "Live", "Weights", "Help"}
# In the server's own process, from before its first import on.
LISTENING = """import sys
def heard(event, arguments):
    if event == "socket.getaddrinfo":
        with open({!r}, "a") as file:
            print(arguments[0], file=file)
sys.addaudithook(heard)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    chromium_path()
    folder = tmp_path_factory.mktemp("page")
    (folder / "sitecustomize.py").write_text(LISTENING.format(str(folder / "names")))
    environment = {"GRADIO_ANALYTICS_ENABLED": "True", "PYTHONPATH": str(folder)}
    with serving(["app.py"], folder, environment) as server:
        yield server


@pytest.mark.slow
@pytest.mark.browser
def test_no_other_host_is_asked_for_anything(chromium: "Browser", server: Server) -> None:
    elsewhere: list[str] = []

    def judge(route: "Route") -> None:
        if urlsplit(route.request.url).hostname in OURS:
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.context.route(lambda address: urlsplit(address).scheme not in ("data", "blob"), judge)
    page.goto(server.url)
    ready(page)
    page.locator("button.example:visible").first.click()
    page.locator("#status .status.done").wait_for(timeout=RUN_MS)
    tabs = page.get_by_role("tab")
    assert set(tabs.all_inner_texts()) == TABS
    for name in (*TABS, "Studio"):
        tabs.filter(has_text=name).first.click()
        page.get_by_role("tab", name=name, selected=True).wait_for()
        page.wait_for_timeout(300)  # for what a tab fetches when it is opened
    page.evaluate("fetch('https://example.com/watched').catch(() => null)")  # which is seen, as any other would be
    assert elsewhere == ["https://example.com/watched"]
    page.close()

    names = set((server.log.parent / "names").read_text().split())
    assert names & OURS, "the server's look-ups were not heard"
    assert names - OURS - {"None", "0.0.0.0", "::"} == set()
