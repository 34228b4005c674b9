# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One question to a health URL, and never longer than it may take, whatever the other side does.

No proxy of the environment is used, and a redirect is followed on the same host only: what answers must be the service.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

from .._domain.errors import OpsError
from .._domain.health_answer import READY, REDIRECTS, Address, Head, address, followed, head
from .._domain.journal_lines import shown

_Found: TypeAlias = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[object, ...]]
LONGEST_S = 5.0  # of one question
_LONGEST_HEAD = 16384  # bytes
_MOST_REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """said: the status, or what happened instead."""

    ready: bool
    said: str


class Health:
    """A URL and whom to believe. ca_file: "" for the system's. Raises OpsError service.options before any question."""

    def __init__(self, url: str, *, ca_file: str, validate: bool) -> None:
        if address(url) is None:
            # WHY not as it is where it holds an @: that is how a password comes into it.
            found = "with a user or password" if "@" in url else repr(shown(url))
            raise _options(f"health_url is {found}, expected http(s)://HOST[:PORT]/PATH without user or password")
        self.url = url
        try:
            self._context = ssl.create_default_context(cafile=ca_file or None)
        except (OSError, ssl.SSLError) as cause:
            raise _options(f"health_ca_file {ca_file} holds no certificate that can be read ({cause})") from None
        if not validate:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE

    def ask(self, within_s: float) -> Answer:
        """Ask once. within_s: how long it may take altogether; at most LONGEST_S are used."""
        allowed = min(within_s, LONGEST_S)
        end = time.monotonic() + allowed
        url = self.url
        try:
            for _redirect in range(_MOST_REDIRECTS + 1):
                answer = self._head(url, end)
                if answer.status not in REDIRECTS:
                    return _answer(answer)
                target = followed(url, answer.location)
                if not target:
                    return Answer(
                        ready=False, said=f"{answer.status}, a redirect to {shown(answer.location, 100)}, not followed"
                    )
                url = target
        except TimeoutError:
            return Answer(ready=False, said=f"nothing within {allowed:.1f} s")
        except ssl.SSLCertVerificationError as cause:
            return Answer(ready=False, said=f"a certificate that is not trusted ({cause.verify_message})")
        except ssl.SSLError as cause:
            return Answer(ready=False, said=f"no TLS ({cause.reason or 'handshake failed'})")
        except (OSError, ValueError) as cause:
            return Answer(ready=False, said=f"nothing ({getattr(cause, 'strerror', None) or type(cause).__name__})")
        return Answer(ready=False, said=f"more than {_MOST_REDIRECTS} redirects")

    def _head(self, url: str, end: float) -> Head:
        place = address(url)
        if place is None:
            raise ValueError(url)
        with closing(_connected(place, end)) as plain:
            if place.scheme == "http":
                return _asked(plain, place, end)
            plain.settimeout(_left(end))
            with closing(self._context.wrap_socket(plain, server_hostname=place.host)) as secure:
                return _asked(secure, place, end)


def _answer(answer: Head) -> Answer:
    if answer.status is None:
        return Answer(ready=False, said="something that is no answer of HTTP")
    return Answer(ready=answer.status == READY, said=str(answer.status))


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _connected(place: Address, end: float) -> socket.socket:
    """Return a connection to the first address that takes one. Each gets its share of the time."""
    failure: OSError = TimeoutError()
    addresses = _addresses(place, end)
    for number, (family, kind, protocol, _name, where) in enumerate(addresses):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(_left(end) / (len(addresses) - number))
            connection.connect(where)
        except OSError as cause:
            connection.close()
            failure = cause
        else:
            return connection
    raise failure


def _addresses(place: Address, end: float) -> Sequence[_Found]:
    """Return where the host is. WHY a thread: a name server that does not answer cannot be waited for by the clock."""
    found: list[Sequence[_Found]] = []
    failed: list[Exception] = []

    def look() -> None:
        try:
            found.append(socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as cause:
            failed.append(cause)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(_left(end))
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError
    return found[0]


def _asked(connection: socket.socket, place: Address, end: float) -> Head:
    """Return the answer's head. Time is looked at before every read, so that a slow answer costs no more than none."""
    lines = (
        f"GET {place.target} HTTP/1.1",
        f"Host: {place.named}",
        "User-Agent: certautopilot.ops",
        "Connection: close",
    )
    connection.settimeout(_left(end))
    connection.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii"))
    received = b""
    while b"\r\n\r\n" not in received and b"\n\n" not in received and len(received) < _LONGEST_HEAD:
        connection.settimeout(_left(end))
        more = connection.recv(4096)
        if not more:
            break
        received += more
    return head(received)


def _options(found: str) -> OpsError:
    return OpsError(found, code="service.options", hint="correct it; nothing was done")
