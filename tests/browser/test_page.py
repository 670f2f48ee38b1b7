"""The page of a running demo, in Chromium: what a visitor sees, in light, dark and on a phone.

Leaves `page-light.png`, `page-dark.png` and `page-phone.png` in artifacts/.

Not here: the page's cores (test_page_cores.py).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.require import browser_path, require

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
PIXELS_OF_COLOUR = """
const canvas = document.getElementById("map");
const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
const context = copy.getContext("2d", { willReadFrequently: true });
context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(arguments[0]);
context.fillRect(0, 0, 1, 1);
const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
context.clearRect(0, 0, 1, 1);
context.drawImage(canvas, 0, 0);
const { data } = context.getImageData(0, 0, copy.width, copy.height);
let found = 0;
for (let i = 0; i < data.length; i += 4) {
  if (data[i + 3] === 255 && Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 9) found++;
}
return found;
"""
# Contrast of each text with what it stands on, as WCAG 2.2 computes it.
CONTRASTS = """
const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgb = (colour) => {
  probe.clearRect(0, 0, 1, 1);
  probe.fillStyle = colour;
  probe.fillRect(0, 0, 1, 1);
  return [...probe.getImageData(0, 0, 1, 1).data];
};
const linear = (c) => (c <= 10 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = rgb(getComputedStyle(at).backgroundColor);
    if (colour[3] === 255) return colour;
  }
  return rgb("Canvas");
};
const found = [];
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const element = walk.currentNode.parentElement;
  const text = walk.currentNode.textContent.trim();
  if (!text || !element.checkVisibility() || element.closest(":disabled, noscript")) continue;
  const [a, b] = [light(rgb(getComputedStyle(element).color)), light(ground(element))];
  found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), text.slice(0, 40)]);
}
return found;
"""

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240)]


class Visitor:
    """A browser with one page open."""

    def __init__(self, driver: Any, url: str) -> None:
        self.driver = driver
        self.url = url

    def look(self, width: int, height: int, *, scheme: str, is_phone: bool = False) -> None:
        """Open the page anew, on such a screen."""
        self.size(width, height, is_phone)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get(self.url)
        self.until(lambda: self.number("received") > 500, "messages come")

    def size(self, width: int, height: int, is_phone: bool = False) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2 if is_phone else 1, "mobile": is_phone}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def keep(self, name: str, width: int, is_phone: bool = False) -> None:
        """A picture of the whole page, in artifacts/."""
        ARTIFACTS.mkdir(exist_ok=True)
        self.size(width, self.run("return document.documentElement.scrollHeight"), is_phone)
        time.sleep(1.5)
        assert self.driver.save_screenshot(str(ARTIFACTS / name))

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def text(self, element_id: str) -> str:
        return str(self.run("return document.getElementById(arguments[0]).textContent", element_id))

    def number(self, element_id: str) -> float:
        return float(self.text(element_id).replace(",", ""))

    def click(self, element_id: str) -> None:
        self.driver.find_element("id", element_id).click()

    def type(self, element_id: str, text: str) -> None:
        field = self.driver.find_element("id", element_id)
        field.clear()
        field.send_keys(text)

    def press(self, *keys: str) -> None:
        """On the keyboard: to whatever has the focus."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def tab_to(self, element_id: str) -> None:
        """Press the tab key until the element has the focus, which must be seen."""
        for _ in range(40):
            if self.run("return document.activeElement.id") == element_id:
                seen = "return getComputedStyle(document.activeElement).outlineStyle"
                assert self.run(seen) == "solid", f"the focus on {element_id} is not seen"
                return
            self.press("\ue004")
        raise AssertionError(f"the tab key does not lead to {element_id}")

    def says(self, element_id: str, text: str) -> bool:
        return text in self.text(element_id)

    def has_resumed(self, times: int) -> bool:
        return bool(self.run("return document.querySelectorAll('#events [data-type=resumed]').length") == times)

    def has_received(self, more_than: float) -> bool:
        return self.number("received") > more_than

    def rows(self) -> list[str]:
        return list(self.run("return [...document.querySelectorAll('#messages li')].map((row) => row.textContent)"))

    def until(self, condition: Callable[[], object], claim: str, timeout_s: float = 40) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"never came true: {claim}; {self.complaints()}"
            time.sleep(0.1)

    def complaints(self) -> list[str]:
        """What the console has said that is worse than news."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def nothing_is_wrong(self) -> None:
        assert (self.text("missed"), self.text("repeated")) == ("0", "0")
        assert self.complaints() == []
        origins = self.run("return performance.getEntriesByType('resource').map(({name}) => new URL(name).origin)")
        assert set(origins) == {self.url.rstrip("/")}, "nothing comes from elsewhere"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    require("browser")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser_path() or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield started
    started.quit()


@pytest.fixture
def visitor(driver: Any, demo_url: str) -> Visitor:
    return Visitor(driver, demo_url.rstrip("/") + "/")


def test_the_map_lives_and_the_counters_move(visitor: Visitor) -> None:
    visitor.look(1440, 1000, scheme="light")
    visitor.until(lambda: visitor.run(PIXELS_OF_COLOUR, "--land") > 40_000, "there is land")
    visitor.until(lambda: visitor.run(PIXELS_OF_COLOUR, "--delay-0") > 500, "there are flights")
    for delay in ("--delay-1", "--delay-2"):
        assert visitor.run(PIXELS_OF_COLOUR, delay) > 50, f"{delay}: some are late"
    before = visitor.run("return document.getElementById('map').toDataURL()")
    received = visitor.number("received")
    visitor.until(lambda: visitor.number("received") > received + 300, "messages go on coming")
    assert visitor.run("return document.getElementById('map').toDataURL()") != before, "they move"
    visitor.until(lambda: visitor.number("received-rate") > 50, "there is a rate")
    visitor.until(lambda: "flights in the air" in visitor.text("map-summary"), "the map is summed up")
    assert visitor.text("node-state") in ("Node: ready", "Node: filling")
    visitor.nothing_is_wrong()


def test_the_node_shows_itself(visitor: Visitor) -> None:
    visitor.look(1440, 1000, scheme="light")
    visitor.until(lambda: len(visitor.run("return document.getElementById('tiles').children")) == 6, "six figures")
    clients = "return Number(document.querySelector('#tiles dd').textContent)"
    visitor.until(lambda: visitor.run(clients) >= 1, "this page is a client")
    visitor.until(lambda: "/flights/" in visitor.text("busiest"), "the busiest subjects are flights")
    partitions = visitor.run(
        "return [...document.querySelectorAll('#partitions tbody tr')].map((row) => row.innerText)"
    )
    assert len(partitions) == 15
    assert all(row.rstrip().endswith("live") for row in partitions), partitions
    assert len(visitor.run("return [...document.querySelectorAll('#workers tbody tr')]")) >= 1
    visitor.nothing_is_wrong()


def test_watching_a_pattern_a_chosen_flight_and_nonsense(visitor: Visitor) -> None:
    visitor.look(1440, 1000, scheme="light")
    visitor.type("watch-subject", "/airports/*")
    visitor.click("watch-go")
    visitor.until(lambda: len(visitor.rows()) >= 20, "the latest of each airport")
    assert all("/airports/" in row and '"iata"' in row for row in visitor.rows())
    visitor.run("document.querySelector('#busiest li:last-child button').click()")
    chosen = visitor.run("return document.getElementById('watch-subject').value")
    visitor.until(lambda: visitor.rows() and all(chosen in row for row in visitor.rows()), "only the chosen subject")
    for subject, reason in (("flights", "begins with"), ("/nothing/here", "not_mapped")):
        visitor.type("watch-subject", subject)
        visitor.click("watch-go")
        visitor.until(partial(visitor.says, "watch-error", reason), f"{subject} is refused")
    visitor.nothing_is_wrong()


def test_a_connection_that_is_cut_resumes_without_loss(visitor: Visitor) -> None:
    visitor.look(1440, 1000, scheme="light")
    for times in (1, 2, 3):
        before = visitor.number("received")
        visitor.click("cut")
        visitor.until(partial(visitor.has_resumed, 2 * times), "both subscriptions are resumed")
        visitor.until(partial(visitor.has_received, before + 500), "and go on")
    assert "everything missed follows" in visitor.text("events")
    assert visitor.run("return document.querySelectorAll('#events [data-type=gap]').length") == 0
    visitor.nothing_is_wrong()


def test_what_is_published_comes_back_as_text(visitor: Visitor) -> None:
    visitor.look(1440, 1000, scheme="light")
    visitor.type("watch-subject", "/notes/*")
    visitor.run("document.getElementById('watch-from').value = 'now'")
    visitor.click("watch-go")
    visitor.until(lambda: "/notes/* subscribed" in visitor.text("events"), "notes are watched")
    hostile = "<img src=x onerror='window.hacked = 1'>"
    visitor.type("publish-key", "<b>50%*</b>")
    visitor.type("publish-value", hostile)
    visitor.click("publish-go")
    visitor.until(lambda: "acknowledged by Kafka" in visitor.text("publish-outcome"), "Kafka has it")
    visitor.until(lambda: len(visitor.rows()) == 1, "it comes back, once")
    [row] = visitor.rows()
    assert row.endswith(f"/notes/<b>50%25%2A</b>{hostile}")
    assert visitor.run("return window.hacked ?? null") is None
    assert visitor.run("return document.querySelectorAll('#messages img, #messages b').length") == 0
    visitor.nothing_is_wrong()


def test_the_keyboard_is_enough(visitor: Visitor) -> None:
    enter, space, down, end = "\ue007", " ", "\ue015", "\ue010"
    visitor.look(1440, 1000, scheme="light")
    visitor.until(
        lambda: not visitor.run("return document.getElementById('publish-section').hidden"), "one may publish"
    )
    visitor.tab_to("cut")
    visitor.press(enter)
    visitor.until(partial(visitor.has_resumed, 2), "both subscriptions are resumed")
    visitor.tab_to("events")
    visitor.tab_to("watch-subject")
    visitor.press("\ue009a\ue000/airports/*", enter)
    visitor.until(lambda: len(visitor.rows()) >= 20, "the latest of each airport")
    assert all("/airports/" in row for row in visitor.rows())
    visitor.tab_to("watch-from")
    visitor.press(down)
    assert visitor.run("return document.activeElement.value") == "now"
    visitor.tab_to("watch-hold")
    visitor.press(space)
    assert visitor.run("return document.activeElement.ariaPressed") == "true"
    visitor.press(space)
    visitor.tab_to("messages")
    visitor.press(end)
    visitor.until(lambda: visitor.run("return document.activeElement.scrollTop > 0"), "the messages scroll")
    visitor.tab_to("publish-topic")
    visitor.tab_to("publish-key")
    visitor.tab_to("publish-value")
    visitor.press("by hand", enter)
    visitor.until(lambda: "acknowledged by Kafka" in visitor.text("publish-outcome"), "Kafka has it")
    assert visitor.run("return document.activeElement.id") == "publish-value", "the next can be written at once"
    visitor.tab_to("publish-go")
    visitor.press("\ue004", "\ue004")
    visitor.press("\ue004")
    chosen = visitor.run("return document.activeElement.closest('#busiest button')?.firstChild.textContent ?? null")
    assert chosen is not None, visitor.run("return document.activeElement.outerHTML")
    visitor.press(enter)
    visitor.until(
        lambda: visitor.run("return document.getElementById('watch-subject').value") != "/airports/*", "watched"
    )
    visitor.nothing_is_wrong()


def test_a_script_that_got_into_the_page_does_not_run(visitor: Visitor) -> None:
    visitor.look(1440, 1000, scheme="light")
    visitor.nothing_is_wrong()
    visitor.run(
        "document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.hacked = 1' }))"
    )
    assert visitor.run("return window.hacked ?? null") is None
    assert any("Content Security Policy" in complaint for complaint in visitor.complaints())


@pytest.mark.parametrize(
    ("name", "width", "height", "scheme", "is_phone"),
    [("light", 1440, 1000, "light", False), ("dark", 1440, 1000, "dark", False), ("phone", 390, 844, "light", True)],
)
def test_it_reads_well(visitor: Visitor, name: str, width: int, height: int, scheme: str, is_phone: bool) -> None:
    visitor.look(width, height, scheme=scheme, is_phone=is_phone)
    visitor.click("watch-go")
    visitor.until(lambda: len(visitor.rows()) > 10, "messages are shown")
    visitor.until(lambda: "/flights/" in visitor.text("busiest"), "the node has answered")
    time.sleep(8 if name == "light" else 3)
    assert visitor.run("return document.documentElement.scrollWidth") == width, "nothing sticks out sideways"
    pale = [(ratio, text) for ratio, text in visitor.run(CONTRASTS) if ratio < 4.5]
    assert pale == [], "text that is hard to read"
    unnamed = (
        "return [...document.querySelectorAll('input, select')].filter((field) => field.labels.length === 0).length"
    )
    assert visitor.run(unnamed) == 0
    visitor.keep(f"page-{name}.png", width, is_phone)
    visitor.nothing_is_wrong()
