"""Tokens from end to end: real nodes, the SDK, and a server of keys that comes and goes."""

from __future__ import annotations

import asyncio
import functools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from loadtest.kafka.ports import free_cluster_port, free_port
from tests.gateway.authorizers.signing import RSA, SECRET, jwks, token
from tests.support.node import QUICK, RunningNode
from tests.support.patience import PATIENCE_S
from whimbrel import Client, ClosedError, SubscribeError
from whimbrel.events import Connected, TokenExpiring, TokenNeeded

pytestmark = pytest.mark.slow

WHIMBREL = str(Path(sys.executable).with_name("whimbrel"))


class TokenNode(RunningNode):
    """A node of the namespace `chat` whose authorizer is `jwt` with these options."""

    def __init__(self, directory: Path, options: str, *flags: str) -> None:
        directory.mkdir(exist_ok=True)
        super().__init__(directory, "", "")
        self.config = directory / "whimbrel.toml"
        self.config.write_text(f"[[namespaces]]\nname = 'chat'\n[authorizer]\nuse = 'jwt'\n{options}\n")
        self._command = [WHIMBREL, "node", "--config", str(self.config), "--listen", f"127.0.0.1:{self.port}"]
        self._command += ["--workers", "1", "--set", f"cluster.data_dir={directory / 'data'}", *flags]
        self._command += ["--admin-listen", f"127.0.0.1:{self.admin_port}"]
        for key, value in QUICK.items():
            self._command += ["--set", f"{key}={value}"]


class KeyServer:
    """Serves a key set; can be away."""

    def __init__(self) -> None:
        self.port = free_port()
        self.keys = b""
        self.asked = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/keys.json"

    def start(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                self.send_response(200)
                self.end_headers()
                self.wfile.write(outer.keys)

            def log_message(self, *_: Any) -> None:
                pass

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    one = KeyServer()
    yield one
    one.stop()


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run it in a loop of its own."""

    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        asyncio.run(test(**arguments))

    return run


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


@asynchronous
async def test_keys_are_fetched_by_the_node_whenever_their_server_is_there(
    tmp_path: Path, key_server: KeyServer
) -> None:
    options = f"jwks_url = '{key_server.url}'\ndefault = {{ both = ['/chat/{{sub}}/*'] }}"
    first = token(key=RSA, alg="RS256", kid="1")
    node = TokenNode(tmp_path, options)
    with node:
        told: list[Any] = []
        async with Client(node.url, get_token=lambda: first, on_status=told.append) as client:
            await until(lambda: any("4019" in str(one) for one in told), "the keys' server is away")
            assert "no token of this issuer can be checked" in json.dumps(node.status()["problems"])
            key_server.keys = jwks(**{"1": RSA})
            key_server.start()
            await client.subscribe("/chat/alice/*", timeout_s=PATIENCE_S)
            with pytest.raises(SubscribeError, match="forbidden"):
                await client.subscribe("/chat/*", timeout_s=PATIENCE_S)
        key_server.keys = jwks(**{"2": RSA})  # rotated: the next token's key is unknown
        second = token(key=RSA, alg="RS256", kid="2")
        async with Client(node.url, get_token=lambda: second) as client:
            await client.publish("/chat/alice/x", json=1, timeout_s=PATIENCE_S)
        key_server.stop()
        async with Client(node.url, get_token=lambda: second) as client:
            await client.publish("/chat/alice/x", json=2, timeout_s=PATIENCE_S)
        async with Client(node.url, token=first) as client:  # its key is gone, and the server is away
            with pytest.raises(ClosedError) as closed:
                await client.subscribe("/chat/alice/*", timeout_s=PATIENCE_S)
            assert closed.value.code == 4201


@asynchronous
async def test_a_token_is_renewed_without_a_pause_and_after_a_close_everything_is_resumed(tmp_path: Path) -> None:
    options = f"secret = '{SECRET}'\nleeway_s = 0\ndefault = {{ both = ['/chat/*'] }}"
    node = TokenNode(tmp_path, options)
    with node:
        told: list[Any] = []
        asked: list[float] = []
        is_away = False

        def get_token() -> str:
            asked.append(time.monotonic())
            if is_away:
                raise RuntimeError("the issuer is away")
            return token({"exp": time.time() + 3})

        sent, found = 0, []
        lasting = token({"sub": "bob", "exp": time.time() + 3000})
        async with (
            Client(node.url, get_token=get_token, on_status=told.append) as client,
            Client(node.url, token=lasting) as producer,
        ):
            await client.subscribe("/chat/a", lambda message: found.append(message.json()), start="now")

            async def publish_until(condition: Callable[[], bool], what: str) -> None:
                nonlocal sent
                deadline = time.monotonic() + PATIENCE_S
                while not condition():
                    assert time.monotonic() < deadline, what
                    await producer.publish("/chat/a", json=sent)
                    sent += 1
                    await asyncio.sleep(0.01)

            await publish_until(lambda: len(asked) >= 4, "it is renewed three times")
            assert [type(one) for one in told if not hasattr(one, "interest")] == [Connected] + [TokenExpiring] * 3
            is_away = True
            await publish_until(lambda: any(isinstance(one, TokenNeeded) for one in told), "it is closed")
            is_away = False
            await publish_until(lambda: sum(isinstance(one, Connected) for one in told) == 2, "it is back")
            await until(lambda: len(found) == sent, "everything has come")
        assert found == [*range(sent)]


@asynchronous
async def test_a_revocation_acts_on_all_nodes_within_a_second_and_on_those_that_start_later(tmp_path: Path) -> None:
    options = f"secret = '{SECRET}'\ndefault = {{ both = ['/chat/*'] }}"
    (tmp_path / "key").write_text("k" * 40)
    address = f"127.0.0.1:{free_cluster_port()}"
    shared = ["--voters", "a", "--cluster-key-file", str(tmp_path / "key"), "--join", address]
    first = TokenNode(tmp_path / "a", options, "--name", "a", "--cluster-listen", address, *shared)
    others = [
        TokenNode(
            tmp_path / name, options, "--name", name, "--cluster-listen", f"127.0.0.1:{free_cluster_port()}", *shared
        )
        for name in ("b", "c")
    ]
    with first, others[0], others[1]:
        first.start()
        others[0].start()
        nodes = [first, others[0]]
        old, new = token({"jti": "t1"}), token({"jti": "t2"})
        async with AsyncExitStack() as stack:
            meant = [
                await stack.enter_async_context(Client(node.url, token=old, learn_servers=False)) for node in nodes
            ]
            kept = [await stack.enter_async_context(Client(node.url, token=new, learn_servers=False)) for node in nodes]
            for client in (*meant, *kept):
                await client.subscribe("/chat/a", timeout_s=PATIENCE_S)
            began = time.monotonic()
            command = [WHIMBREL, "revoke", "--token-id", "t1", "--admin", first.admin]
            revoking = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            await until(lambda: all(client.state == "closed" for client in meant), "both are put out")
            took_s = time.monotonic() - began
            said, _ = await revoking.communicate()
            assert revoking.returncode == 0
            assert said.startswith(b"revoked; confirmed by b")
            print(f"command to last close: {took_s:.2f} s")
            assert [client.state for client in kept] == ["connected"] * 2
            others[1].start()
            await until(lambda: "4202" in refused_at(others[1], old), "a node that starts later has heard of it")
            first.stop()
            first.start()
            assert "4202" in refused_at(first, old)


def refused_at(node: RunningNode, text: str) -> str:
    """What `whimbrel publish` is told with this token."""
    command = [WHIMBREL, "publish", "/chat/a", "--json", "1", "--server", node.url, "--token", text]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stderr


def test_a_token_of_the_command_fits_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    options = f"secret_file = '{tmp_path / 'secret'}'\nissuer = 'me'\naudience = 'w'\nrequire = ['team']"
    node = TokenNode(tmp_path, options)
    with node:
        more = ["--publish", "/chat/{sub}/*", "--ttl", "60s"]
        made = subprocess.run(
            [WHIMBREL, "token", "--config", str(node.config), "--subject", "ann", "--claim", "team=7", *more],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert made.returncode == 0, made.stderr
        (tmp_path / "token").write_text(made.stdout)
        for subject, code in (("/chat/ann/x", 0), ("/chat/bob/x", 1)):
            command = [WHIMBREL, "publish", subject, "--json", "1", "--server", node.url]
            done = subprocess.run(
                [*command, "--token-file", str(tmp_path / "token")], capture_output=True, text=True, timeout=60
            )
            assert done.returncode == code, done.stderr
