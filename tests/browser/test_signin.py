"""Signing in to the page by a token, on a node whose authorizer asks for one."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_tokens import TokenNode
from tests.gateway.authorizers.signing import SECRET, token
from tests.support.node import ADMIN_TOKEN
from tests.support.patience import PATIENCE_S

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def shows(driver: Any, content: str) -> bool:
    """Whether the browser shows this, and the page no longer."""
    return driver.current_url.startswith("blob:") and content in driver.find_element("tag name", "body").text


def test_a_token_is_asked_for_taken_and_given_back(driver: Any, tmp_path: Path) -> None:
    node = TokenNode(tmp_path, f"secret = '{SECRET}'\ndefault = {{ both = ['/chat/*'] }}")
    with node:
        driver.get(f"http://{node.admin}/")

        def one(name: str) -> Any:
            return driver.find_element("id", name)

        until(lambda: bool(one("signin").is_displayed()), "a token is asked for")
        assert one("signin-why").text == "This node asks for a token."
        one("signin-token").send_keys("not a token\n")
        until(lambda: "not taken" in one("signin-why").text, "a wrong one is told")
        one("signin-token").send_keys(token() + "\n")
        until(lambda: "connected" in one("client-state").text, "it is connected")
        assert not one("signin").is_displayed()
        one("signout").click()
        until(lambda: bool(one("signin").is_displayed()), "it is signed out")
        assert driver.execute_script("return sessionStorage.length") == 0


def test_who_may_do_little_without_a_token_can_sign_in_for_more(driver: Any, tmp_path: Path) -> None:
    options = f"secret = '{SECRET}'\nanonymous = {{ subscribe = ['/chat/open/*'] }}\ndefault = {{ both = ['/chat/*'] }}"
    with TokenNode(tmp_path, options) as node:
        driver.get(f"http://{node.admin}/")

        def one(name: str) -> Any:
            return driver.find_element("id", name)

        until(lambda: "connected" in one("client-state").text, "it is connected")
        assert not one("signin").is_displayed()
        one("watch-subject").clear()
        one("watch-subject").send_keys("/chat/closed\n")
        until(lambda: bool(one("signin").is_displayed()), "it can sign in")
        assert one("signin-why").text == "That takes a token."
        one("signin-token").send_keys(token() + "\n")
        until(
            lambda: bool(one("signout").is_displayed()) and "connected" in one("client-state").text, "it is signed in"
        )
        assert not one("signin").is_displayed()
        one("watch-subject").clear()
        one("watch-subject").send_keys("/chat/closed\n")
        until(lambda: "/chat/closed" in one("messages-none").text, "it watches")
        assert one("watch-error").text == ""


def test_the_node_shows_itself_to_those_with_its_admin_token(driver: Any, tmp_path: Path) -> None:
    options = f"secret = '{SECRET}'\nanonymous = {{ both = ['/chat/*'] }}"
    with TokenNode(tmp_path, options, "--set", f"admin.token={ADMIN_TOKEN}") as node:
        driver.get(f"http://{node.admin}/")

        def one(name: str) -> Any:
            return driver.find_element("id", name)

        until(lambda: bool(one("admin-signin").is_displayed()), "a token is asked for")
        one("metrics-link").click()
        until(lambda: driver.switch_to.active_element == one("admin-signin-token"), "also by a link")
        assert "shows itself to those with its admin token" in one("admin-signin-why").text
        until(lambda: "connected" in one("client-state").text, "as a client it is connected all the same")
        one("admin-signin-token").send_keys("not that token at all\n")
        until(lambda: "not taken" in one("admin-signin-why").text, "a wrong one is told")
        one("admin-signin-token").send_keys(ADMIN_TOKEN + "\n")
        until(
            lambda: one("signout").is_displayed() and "Node: ready" in one("node-state").text, "the node shows itself"
        )
        until(lambda: not one("admin-signin").is_displayed(), "nothing is asked for any more")
        for link, content in (("status-link", '"uptime_s":'), ("metrics-link", "# TYPE whimbrel_")):
            one(link).click()
            until(partial(shows, driver, content), "what the link leads to is shown")
            driver.back()
            until(lambda: "Node: ready" in one("node-state").text, "the page is back, and signed in")
            assert one(link).get_attribute("href") is None, "a browser that opened it would be refused"
            page = driver.current_window_handle
            for in_new_tab in ("new MouseEvent('auxclick', {button: 1})", "new MouseEvent('click', {ctrlKey: true})"):
                driver.execute_script(f"document.getElementById('{link}').dispatchEvent({in_new_tab})")
                until(lambda: len(driver.window_handles) == 2, "it is in a new tab")
                driver.switch_to.window(next(tab for tab in driver.window_handles if tab != page))
                until(partial(shows, driver, content), "what the link leads to is shown there")
                driver.close()
                driver.switch_to.window(page)
        one("signout").click()
        until(lambda: bool(one("admin-signin").is_displayed()), "it is signed out")
