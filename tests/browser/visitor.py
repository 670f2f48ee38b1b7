"""A browser with the page open: what a visitor does and sees.

Not here: starting the browser and what serves the page (conftest.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.support.patience import PATIENCE_S

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


class Visitor:
    """A browser with one page open."""

    def __init__(self, driver: Any, url: str, others: Iterable[str] = ()) -> None:
        """The address of the page, and those of the other nodes."""
        self.driver = driver
        self.url = url
        self.others = set(others)

    def look(self, width: int, height: int, *, scheme: str, is_phone: bool = False) -> None:
        """Open the page anew, on such a screen, and wait for messages."""
        self.open(width, height, scheme=scheme, is_phone=is_phone)
        self.until(lambda: self.number("received") > 500, "messages come")

    def open(self, width: int, height: int, *, scheme: str, is_phone: bool = False) -> None:
        """Open the page anew, on such a screen."""
        self.size(width, height, is_phone)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get("about:blank")
        self.complaints()  # of the page before
        self.driver.get(self.url)
        while any("ERR_NETWORK_CHANGED" in complaint for complaint in self.complaints()):
            self.driver.get(self.url)  # tests beside this one have made or removed a network, and Chromium gave up

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

    def until(self, condition: Callable[[], object], claim: str, timeout_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"never came true: {claim}; {self.complaints()}"
            time.sleep(0.1)

    def complaints(self) -> list[str]:
        """What the console has said that is worse than news."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def nothing_is_wrong(self) -> None:
        assert (self.text("missed"), self.text("repeated")) == ("0", "0")
        complaints = self.complaints()
        assert complaints == [], complaints
        origins = self.run("return performance.getEntriesByType('resource').map(({name}) => new URL(name).origin)")
        assert set(origins) <= {self.url.rstrip("/")} | self.others, "nothing comes from elsewhere"

    def reads_well(self, width: int) -> None:
        """Nothing sticks out, no text is pale, every field has a name."""
        assert self.run("return document.documentElement.scrollWidth") == width, "nothing sticks out sideways"
        pale = [(ratio, text) for ratio, text in self.run(CONTRASTS) if ratio < 4.5]
        assert pale == [], "text that is hard to read"
        unnamed = (
            "return [...document.querySelectorAll('input, select')].filter((field) => field.labels.length === 0).length"
        )
        assert self.run(unnamed) == 0

    # The cluster.

    def card(self, name: str, what: str = "innerText") -> Any:
        """Of a node's card: a property, or part of its data (`dataset.state`)."""
        script = f"return document.querySelector(`.member-card[data-name='${{arguments[0]}}']`)?.{what} ?? null"
        return self.run(script, name)

    def watch(self, name: str) -> None:
        """Begin to write down what a node's card shows: some of it is over before one could look."""
        script = """
            const shown = (window.shown ??= {})[arguments[0]] = [];
            setInterval(() => {
                const card = document.querySelector(`.member-card[data-name='${arguments[0]}']`);
                if (card) shown.push(`${card.dataset.state} ${card.innerText}`);
            }, 200);
        """
        self.run(script, name)

    def has_shown(self, name: str, pattern: str) -> bool:
        """Whether a card that is being watched has shown something that matches a regular expression."""
        shown = "return window.shown[arguments[0]].some((text) => new RegExp(arguments[1]).test(text))"
        return bool(self.run(shown, name, pattern))

    def connected_to(self) -> str | None:
        """The node that the page says it is connected to, in the one place and the other."""
        found = self.run("return [...document.querySelectorAll('.member-card[data-connected=true] strong')]")
        names = [one.text for one in found]
        if len(names) != 1 or self.text("client-state") != f"This page: connected to {names[0]}":
            return None
        return str(names[0])

    def order(self, name: str, button: str) -> None:
        """Press a button of a node's card."""
        path = f"//li[@data-name='{name}']//button[starts-with(., '{button}')]"
        self.driver.find_element("xpath", path).click()
