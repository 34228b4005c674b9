# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One question to a health URL over real sockets, of servers that behave and of those that do not."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._host.health import Health


@contextmanager
def server(behave):
    """Yield the port of a server that gives each connection to `behave`."""
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def work():
        while True:
            try:
                connection, _where = listening.accept()
            except OSError:
                return
            with connection:
                try:
                    behave(connection, over)
                except OSError:
                    continue

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        yield listening.getsockname()[1]
    finally:
        over.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        worker.join(5)


def says(*parts, pause=0.0):
    def behave(connection, over):
        connection.recv(4096)
        for part in parts:
            connection.sendall(part)
            over.wait(pause)

    return behave


def never(connection, over):
    over.wait(10)


def ask(port, within_s=1.0, **options):
    health = Health(f"http://127.0.0.1:{port}/readyz", **{"ca_file": "", "validate": True, **options})
    began = time.monotonic()
    answer = health.ask(within_s)
    return answer, time.monotonic() - began


def test_200_is_ready_and_the_request_is_whole():
    asked = []

    def behave(connection, over):
        asked.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with server(behave) as port:
        answer, _took = ask(port)

    assert (answer.ready, answer.said) == (True, "200")
    assert asked[0].startswith(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port)
    assert asked[0].endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([b"HTTP/1.1 503 not yet\r\n\r\n"], "503"),
        ([b"SSH-2.0-OpenSSH\r\n"], "something that is no answer of HTTP"),
        ([], "something that is no answer of HTTP"),
        ([b"HTTP/1.1 30", b"1 X\r\nLocation: http://192.0.2.1/\r\n\r\n"], "not followed"),
    ],
)
def test_anything_else_is_not_ready_and_is_told(parts, said):
    with server(says(*parts)) as port:
        answer, _took = ask(port)

    assert answer.ready is False
    assert said in answer.said


@pytest.mark.parametrize(
    "behave",
    [never, says(b"HTTP/1.1 200 OK\r\nX: ", *[b"x"] * 100, pause=0.1), says(*[b"HTTP/1.1 200 OK\r\n"], pause=10.0)],
    ids=["never answers", "drips", "stops in the middle"],
)
def test_x73_a_question_never_takes_longer_than_it_may(behave):
    with server(behave) as port:
        answer, took = ask(port, 0.6)

    assert (answer.ready, answer.said) == (False, "nothing within 0.6 s")
    assert 0.5 < took < 2


def test_x73_a_tls_handshake_that_never_ends_is_cut_off_too():
    with server(never) as port:
        began = time.monotonic()
        answer = Health(f"https://127.0.0.1:{port}/", ca_file="", validate=False).ask(0.6)

    assert answer.ready is False
    assert time.monotonic() - began < 2


def test_nothing_there_is_told_in_the_systems_words():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    assert ask(port)[0].said == "nothing (Connection refused)"


def test_redirects_on_the_same_host_are_followed_and_counted():
    with server(says(b"HTTP/1.1 302 X\r\nLocation: /again\r\n\r\n")) as port:
        answer, _took = ask(port)

    assert (answer.ready, answer.said) == (False, "more than 3 redirects")


def test_an_endless_head_is_given_up():
    with server(says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000)) as port:
        answer, took = ask(port)

    assert took < 2
    assert answer.said in ("200", "nothing (Connection reset by peer)")


@pytest.mark.parametrize("url", ["http://user:secret-word@h/", "h", "http://h/\n"])
def test_a_url_that_cannot_be_asked_is_refused_before_anything(url):
    with pytest.raises(OpsError) as refused:
        Health(url, ca_file="", validate=True)

    assert refused.value.code == "service.options"
    assert "secret-word" not in refused.value.message


def test_a_ca_file_that_holds_none_is_refused_before_anything(tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate\n")

    for path in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(OpsError) as refused:
            Health("https://h/", ca_file=str(path), validate=True)
        assert refused.value.code == "service.options"
