"""A page in a real Chromium: no error, no request, sorting, keyboard, pointer, light and dark.

Skipped where there is no chromium and chromedriver (Debian: chromium chromium-driver). axe-core is
run where LASTBIT_AXE names its axe.min.js (`npm pack axe-core`).
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lastbit.report import Page, page_of, render
from report.browser import CHROMIUM, DRIVER, Browser
from report.made import proved, proved_images, whole

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="there is no chromium with chromedriver"),
]
AXE = os.environ.get("LASTBIT_AXE")
NODES = "document.querySelector('#nodes-same-program')"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return whole(proved(tmp_path_factory.mktemp("made") / "net") / "certificate.json")


@pytest.fixture(scope="module")
def file(made: Page, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "net.html"
    path.write_text(render(made), "utf-8")
    return path


@pytest.fixture(scope="module", params=["light", "dark on a telephone"])
def browser(request: pytest.FixtureRequest, file: Path) -> Iterator[Browser]:
    dark = request.param != "light"
    with Browser(width=390 if dark else 1200, dark=dark) as found:
        found.open(file)
        yield found


def serious(browser: Browser) -> list[list[str]]:
    """What axe finds that is serious or worse."""
    browser.run(
        Path(AXE or "").read_text("utf-8") + ";window.axed = null; axe.run().then(r => {"
        "window.axed = [r.passes.length, r.violations.map(v => [v.id, v.impact])]})"
    )
    passed, violations = browser.wait_for("window.axed")
    assert passed > 10
    return [v for v in violations if v[1] in ("serious", "critical")]


def column(browser: Browser, number: int) -> list[str]:
    return browser.run(
        f"return [...{NODES}.tBodies[0].rows].map(r => r.cells[{number}].textContent.trim())"
    )


def click(browser: Browser, heading: str) -> str | None:
    """On a heading of the table of nodes; how it says that the table is sorted."""
    return browser.run(
        f"const head = [...{NODES}.tHead.rows[0].cells].find(c => c.textContent == '{heading}');"
        "head.querySelector('button').click(); return head.getAttribute('aria-sort')"
    )


def test_nothing_is_asked_for_and_nothing_goes_wrong(browser: Browser, file: Path) -> None:
    assert browser.requests() == [file.resolve().as_uri()]
    assert browser.console() == []
    assert browser.run("return document.title").startswith("net:")
    width = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]  # nothing but tables and the graph scrolls sideways


def test_the_policy_forbids_what_is_not_the_page(browser: Browser) -> None:
    """A check that the check can fail: a request and a script that somebody put in."""
    browser.run(
        "const i = new Image(); i.src = 'http://127.0.0.1:9/a.png'; document.body.append(i);"
        "const s = document.createElement('script'); s.textContent = 'document.title = 1';"
        "document.body.append(s);"
    )
    said = browser.console()
    assert len([line for line in said if "Content Security Policy" in line]) == 2
    assert browser.run("return document.title") != "1"
    browser.run("document.body.lastChild.remove(); document.body.lastChild.remove()")
    browser.requests()


def test_sorting(browser: Browser, made: Page) -> None:
    nodes = made.layers[0].nodes
    assert column(browser, 1) == [node.name for node in nodes]
    assert click(browser, "rounding") == "descending"
    by_rounding = sorted(nodes, key=lambda node: -node.rounding)
    assert column(browser, 1) == [node.name for node in by_rounding]
    assert click(browser, "rounding") == "ascending"
    assert click(browser, "first layer") == "descending"
    assert column(browser, 1)[0] == max(nodes, key=lambda node: node.first or 0).name
    assert click(browser, "node") == "ascending"
    assert column(browser, 1) == sorted(node.name for node in nodes)
    assert browser.run(f"return {NODES}.querySelectorAll('[aria-sort]').length") == 1
    assert click(browser, "#") == "ascending"
    assert column(browser, 1) == [node.name for node in nodes]


def test_maps_by_keyboard_and_by_pointer(browser: Browser, made: Page) -> None:
    browser.run("document.querySelector('.map').focus()")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        browser.press(key)
    said = browser.run("return document.getElementById('map-1-said').textContent")
    assert said.startswith("row 1, column 1: ")
    assert float(said.rsplit(" ", 1)[1]) == made.maps[0].values[1, 1]
    box = browser.run(
        "const m = document.querySelectorAll('.map svg')[2]; m.scrollIntoView({block: 'center'});"
        "const b = m.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]"
    )
    rows, columns = made.maps[2].values.shape
    browser.point(box[0] + box[2] * 4.5 / columns, box[1] + box[3] * 3.5 / rows)
    said = browser.wait_for("document.getElementById('map-3-said').textContent || null")
    assert said.startswith("row 3, column 4: ")
    assert float(said.rsplit(" ", 1)[1]) == made.maps[2].values[3, 4]


def test_the_graph_by_keyboard(browser: Browser, made: Page) -> None:
    browser.run("document.querySelector('.network').focus()")
    for _ in range(3):
        browser.press("ArrowRight")
    said = browser.run("return document.getElementById('network-said').textContent")
    node = made.layers[0].nodes[2]
    assert f"node {node.name}," in said and f"kind {node.op}" in said and "rounding" in said


def test_colours_follow_what_the_reader_prefers(browser: Browser, request) -> None:
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    dark = "dark" in request.node.callspec.params["browser"]
    assert ground == ("rgb(21, 24, 28)" if dark else "rgb(255, 255, 255)")


@pytest.mark.skipif(not AXE, reason="LASTBIT_AXE does not name an axe.min.js")
def test_axe_finds_nothing_serious(browser: Browser) -> None:
    assert serious(browser) == []


IMAGES = "document.querySelector('#images-table')"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page about given images."""
    folder = proved_images(tmp_path_factory.mktemp("made") / "given")
    path = folder / "given.html"
    path.write_text(render(page_of(folder / "certificate.json")), "utf-8")
    return path


@pytest.mark.parametrize("dark", [False, True])
def test_images_are_sorted_and_shown_without_a_request(shown: Path, dark: bool) -> None:
    def numbers(column: int) -> list[float]:
        return browser.run(
            f"return [...{IMAGES}.tBodies[0].rows].map(r => hex(r.cells[{column}]"
            ".querySelector('data').value))"
        )

    with Browser(width=390 if dark else 1200, dark=dark) as browser:
        browser.open(shown)
        assert browser.requests() == [shown.resolve().as_uri()] and browser.console() == []
        width = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1]
        assert numbers(4) == sorted(numbers(4), reverse=True)
        loaded = "return [...document.images].every(i => i.complete && i.naturalWidth == 6)"
        assert browser.run(loaded) and browser.run("return document.images.length") == 4
        for column, least_first in ((0, True), (3, False), (4, False)):
            browser.run(f"{IMAGES}.tHead.rows[0].cells[{column}].querySelector('button').focus()")
            enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
            browser.devtools("Input.dispatchKeyEvent", type="keyDown", **enter)
            browser.devtools("Input.dispatchKeyEvent", type="keyUp", key="Enter")
            found = numbers(column)
            assert found == sorted(found, reverse=not least_first)
        if AXE:
            assert serious(browser) == []
