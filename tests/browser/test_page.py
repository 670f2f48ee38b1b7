"""The page of a running demo, in Chromium: what a visitor sees, in light, dark and on a phone.

Leaves `page-light.png`, `page-dark.png` and `page-phone.png` in artifacts/.

Not here: the page's cores (test_page_cores.py).
"""

from __future__ import annotations

import re
import time
from functools import partial
from typing import Any

import pytest

from tests.browser.visitor import Visitor

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
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def visitor(driver: Any, demo_url: str, demo_urls: list[str]) -> Visitor:
    return Visitor(driver, f"{demo_url}/", demo_urls)


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
    visitor.until(lambda: visitor.text("node-state") in ("Node: ready", "Node: filling"), "the node is well")
    visitor.nothing_is_wrong()


def test_the_node_shows_itself(visitor: Visitor) -> None:
    visitor.look(1440, 1000, scheme="light")
    visitor.until(lambda: len(visitor.run("return document.getElementById('tiles').children")) == 6, "six figures")
    clients = "return Number(document.querySelector('#tiles dd').textContent)"
    visitor.until(lambda: visitor.run(clients) >= 1, "this page is a client")
    busiest = "return document.querySelector('#busiest button')?.ariaLabel ?? ''"
    flight = re.compile(r"Watch /flights/\S+, [0-9.]+ per second")
    visitor.until(lambda: flight.fullmatch(visitor.run(busiest)) is not None, "the busiest subject is a flight")
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
    visitor.tab_to("map")
    right = "\ue014"
    visitor.until(lambda: _press_and_see(visitor, right), "an arrow key points at a flight")
    flight = visitor.run("return document.querySelector('#card .mono').textContent")
    visitor.press(enter)
    assert visitor.run("return document.getElementById('watch-subject').value") == flight
    visitor.until(lambda: f"{flight} subscribed" in visitor.text("events"), "the flight is watched")
    visitor.tab_to("cut")
    visitor.press(enter)
    visitor.until(partial(visitor.has_resumed, 3), "all three subscriptions are resumed")
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
    visitor.until(lambda: "/flights/" in visitor.text("busiest"), "the busiest subjects are known")
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


def _press_and_see(visitor: Visitor, key: str) -> bool:
    visitor.press(key)
    return bool(visitor.run("return document.getElementById('card').checkVisibility()"))


def test_the_box_says_what_it_waits_for(visitor: Visitor) -> None:
    visitor.look(1440, 1000, scheme="light")
    assert visitor.text("messages-none").startswith("Nothing is watched yet")
    visitor.type("watch-subject", "/notes/nothing-was-ever-here")
    visitor.click("watch-go")
    visitor.until(partial(visitor.says, "messages-none", "No message of /notes/nothing-was-ever-here yet."), "said")
    visitor.type("watch-subject", "/airports/*")
    visitor.click("watch-go")
    visitor.until(lambda: visitor.rows(), "messages come")
    assert not visitor.run("return document.getElementById('messages-none').checkVisibility()")
    visitor.nothing_is_wrong()


def test_a_flight_that_is_chosen_on_a_small_window_is_seen(visitor: Visitor) -> None:
    visitor.look(1000, 500, scheme="light")
    visitor.run("document.getElementById('map').focus()")
    visitor.until(lambda: _press_and_see(visitor, "\ue012"), "an arrow key points at a flight")
    visitor.press("\ue007")
    box = "return document.getElementById('watch').getBoundingClientRect().toJSON()"
    visitor.until(
        lambda: visitor.run(box)["top"] >= 0 and visitor.run(box)["bottom"] <= 500, "the box is in the window"
    )


def test_fingers_hit_what_they_are_to(visitor: Visitor) -> None:
    visitor.look(390, 844, scheme="light", is_phone=True)
    small = """return [...document.querySelectorAll("button, input, select, summary, footer a")]
        .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 44)
        .map((one) => one.outerHTML)"""
    assert visitor.run(small) == []


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
    visitor.reads_well(width)
    visitor.keep(f"page-{name}.png", width, is_phone)
    visitor.nothing_is_wrong()
