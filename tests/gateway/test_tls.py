"""TLS in a worker, with real handshakes: encrypted and as exact as in the clear."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import whimbrel
from gateway.link import codes
from gateway.link import events as link
from gateway.link.messages import server_frame
from tests.gateway.fake_node import Client, FakeNode
from tests.support.patience import PATIENCE_S
from tests.support.seeds import examples


def make(folder: Path, name: str, days: str = "2") -> Path:
    """A certificate that signs itself, and its key in the same file."""
    file = folder / f"{name}.pem"
    subject = ("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
    command = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    key = folder / f"{name}.key"
    subprocess.run(
        [*command, "-days", days, *subject, "-keyout", str(key), "-out", str(file)], check=True, capture_output=True
    )
    file.write_text(file.read_text() + key.read_text())
    return file


def trusting(file: Path, **options: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(file))
    for name, value in options.items():
        setattr(context, name, value)
    return context


class TlsClient(Client):
    """The same over TLS."""

    def __init__(self, url: str, context: ssl.SSLContext, preamble: bytes = b"", hello: bool = True) -> None:
        self.context = context
        self.preamble = preamble
        super().__init__(url, hello=hello)

    def connect(self, host: str, port: int) -> socket.socket:
        sock = socket.create_connection((host, port))
        sock.sendall(self.preamble)
        return self.context.wrap_socket(sock, server_hostname=host)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_messages_of_any_size_go_both_ways(version: ssl.TLSVersion, tmp_path: Path) -> None:
    file = make(tmp_path, "here")
    context = trusting(file, minimum_version=version, maximum_version=version)
    with FakeNode(certificate=str(file), outbox_bytes_max=30_000_000) as node:
        client = TlsClient(node.url, context)
        sid = node.go_live(client)
        for size in (10, 16_384, 70_000, 3_000_000):
            body = b'{"op":"msg","x":"' + b"x" * size + b'"}'
            node.say(link.Live({"t": {"0.x": (0, 6)}}, (["/t/a"], [server_frame(0x81, body)]), ([], [])))
            assert len(client.receive()["x"]) == size
        client.send({"op": "publish", "id": 9, "subject": "/t/a", "publisher": "p" * 16, "seq": 1, "text": "y" * 9000})
        assert len(node.expect(link.Publish).value or b"") == 9000
        assert sid
        client.close()
        node.counted(closed=1, tls_handshakes=1)


def test_who_does_not_read_is_closed_in_order_and_costs_no_more_than_its_outbox(tmp_path: Path) -> None:
    file = make(tmp_path, "here")
    with FakeNode(certificate=str(file)) as node:
        client = TlsClient(node.url, trusting(file))
        node.go_live(client)
        frame = server_frame(0x81, b'{"op":"msg","x":"' + b"x" * 50_000 + b'"}')
        for _ in range(400):
            node.say(link.Live({"t": {"0.x": (0, 6)}}, (["/t/a"], [frame]), ([], [])))
        node.counted(slow_consumers=1)
        assert client.closed()[0] == codes.SLOW_CONSUMER, "every record before it can be deciphered"


def test_a_session_is_resumed_by_its_ticket(tmp_path: Path) -> None:
    file = make(tmp_path, "here")
    with FakeNode(certificate=str(file)) as node:
        context = trusting(file)
        first = TlsClient(node.url, context)
        assert isinstance(first.socket, ssl.SSLSocket)
        session = first.socket.session  # the ticket has come with the welcome
        with socket.create_connection(("127.0.0.1", node.settings.port)) as raw:
            again = context.wrap_socket(raw, server_hostname="127.0.0.1", session=session)
            assert again.session_reused


def test_new_files_are_taken_and_bad_ones_are_not(tmp_path: Path) -> None:
    file, other = make(tmp_path, "here"), make(tmp_path, "other")
    used = tmp_path / "used.pem"
    used.write_bytes(file.read_bytes())

    def shown() -> str:
        der = ssl.get_server_certificate(("127.0.0.1", node.settings.port), timeout=PATIENCE_S)
        return "here" if der in file.read_text() else "other" if der in other.read_text() else "?"

    with FakeNode(certificate=str(used)) as node:
        client = TlsClient(node.url, trusting(file))
        assert shown() == "here"
        replacement = tmp_path / "new.pem"
        replacement.write_bytes(other.read_bytes())
        os.replace(replacement, used)
        until = time.monotonic() + PATIENCE_S
        while shown() != "other":
            assert time.monotonic() < until
            time.sleep(0.05)
        used.write_text("nonsense")
        node.none_of(link.Publish, 1.5)
        assert shown() == "other"
        client.send({"op": "ping", "id": 3})
        assert client.receive()["op"] == "pong", "who was there stays"


def test_a_client_certificate_is_asked_for_and_shown_to_the_authorizer(tmp_path: Path) -> None:
    file, mine = make(tmp_path, "here"), make(tmp_path, "device-7")
    with FakeNode(certificate=str(file), client_ca=str(mine), client_certificates="required") as node:
        with pytest.raises((ssl.SSLError, EOFError, ConnectionError)):
            TlsClient(node.url, trusting(file))
        context = trusting(file)
        context.load_cert_chain(mine)
        TlsClient(node.url, context).close()
        node.counted(tls_failures=1, tls_handshakes=1)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_of_the_sdk_without_a_certificate_is_told_that_it_may_need_one(
    version: ssl.TLSVersion, tmp_path: Path
) -> None:
    file, mine = make(tmp_path, "here"), make(tmp_path, "device-7")

    options = {"ssl": trusting(file, maximum_version=version)}

    async def publish(url: str) -> None:
        async with whimbrel.Client(url, connect_options=options) as client:
            await client.publish("/t/a", json=1, timeout_s=2)

    with FakeNode(certificate=str(file), client_ca=str(mine), client_certificates="required") as node:
        secure = f"wss://127.0.0.1:{node.settings.port}"
        with pytest.raises(whimbrel.PublishError, match="it may require a client certificate"):
            asyncio.run(publish(secure))


def test_the_proxy_protocol_comes_before_tls(tmp_path: Path) -> None:
    file = make(tmp_path, "here")
    proxied = {"trusted_proxies": ("127.0.0.1",), "forwarded_by": "proxy-protocol"}
    with FakeNode(certificate=str(file), **proxied) as node:
        client = TlsClient(node.url, trusting(file), b"PROXY TCP4 192.0.2.7 192.0.2.8 77 443\r\n")
        node.say(link.Select(1, address="192.0.2.7:77", rows_max=5))
        assert [row.address for row in node.expect(link.Selected).rows] == ["192.0.2.7:77"]
        with socket.create_connection(("127.0.0.1", node.settings.port)) as sock:
            sock.sendall(b"\x16\x03\x01 no preamble")
            assert sock.recv(10) == b""
        node.counted(bad_frames=1)
        client.close()


def test_a_request_without_tls_is_told_what_this_port_speaks(tmp_path: Path) -> None:
    with (
        FakeNode(certificate=str(make(tmp_path, "here"))) as node,
        socket.create_connection(("127.0.0.1", node.settings.port)) as sock,
    ):
        sock.settimeout(PATIENCE_S)
        sock.sendall(b"GET /v1/ws HTTP/1.1\r\nHost: here\r\n\r\n")
        answer = b""
        while b"https://\n" not in answer:
            more = sock.recv(1000)
            assert more, answer
            answer += more
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"this port speaks TLS" in answer


def test_old_versions_and_other_protocols_are_refused_without_a_traceback(tmp_path: Path) -> None:
    file = make(tmp_path, "here")
    with FakeNode(certificate=str(file)) as node:
        address = ("127.0.0.1", node.settings.port)

        @settings(max_examples=examples(200), deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            st.sampled_from([b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\x15\x03\x03"]), st.binary()
        )
        def garbage(head: bytes, rest: bytes) -> None:
            with socket.create_connection(address) as sock:
                try:
                    sock.sendall(head + rest)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(1000):
                        pass
                except ConnectionError:
                    pass

        garbage()

        @settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.binary(min_size=1))
        def garbage_inside(data: bytes) -> None:
            client = TlsClient(node.url, trusting(file))
            raw = client.socket.detach()
            os.write(raw, data)
            os.close(raw)

        garbage_inside()
        TlsClient(node.url, trusting(file)).close()
