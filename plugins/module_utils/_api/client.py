# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to the service's API: over TLS, by one connection, with the key in a header and nowhere else.

No redirect is followed and no proxy of the environment is used: what answers must be the service. What may be answered
later is asked again: Retry-After first, else after 1, 2, 4, … seconds. A question has its deadline over connection,
handshake and each read.
"""

from __future__ import annotations

import http.client
import ssl
import time
from datetime import UTC, datetime

from .._domain.api_answers import UNAUTHORIZED, Answer, wait_of
from .._domain.errors import OpsError
from .._domain.health_answer import Address
from .._domain.secret import Secret

TRIES = 6  # of one question
PATIENCE_S = 300.0  # of waiting for one question
LONGEST_S = 60.0  # of one try
_READ_S = 30.0  # of one read
MOST_BYTES = 64 * 1024 * 1024  # of one answer: a page of 500 certificates has 3 MiB
_PIECE = 256 * 1024
_HTTP_REDIRECTS = range(300, 400)
_wait = time.sleep  # a name of its own: tests do not wait


class ApiClient:
    """One connection, made anew where it broke. ca_file: None for the system's. Not for several threads."""

    def __init__(self, place: Address, key: Secret[str], *, ca_file: str | None) -> None:
        self._place = place
        self._key = key
        self._context = None if place.scheme == "http" else _context(ca_file)
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def ask(
        self, method: str, path: str, body: bytes | None = None, *, with_key: bool = True, tries: int = TRIES
    ) -> Answer:
        """Return the answer, also a refusal. tries: 1 for what the service does only once.

        Raises OpsError api.unauthorized, api.unreachable, api.redirect, api.malformed.
        """
        left, failure = PATIENCE_S, ""
        for attempt in range(tries):
            answer: Answer | None = None
            try:
                answer = self._asked(method, path, body, with_key=with_key)
            except ssl.SSLCertVerificationError as cause:
                raise _unreachable(self._place, f"its certificate is not trusted ({cause.verify_message})") from None
            except (OSError, http.client.HTTPException) as cause:
                self.close()
                failure = f"{getattr(cause, 'strerror', None) or type(cause).__name__}"
            if answer is not None and not answer.is_for_later:
                return answer
            wait = 2.0**attempt if answer is None or answer.wait_s is None else answer.wait_s
            if attempt + 1 == tries or wait > left:
                if answer is not None:
                    return answer
                break
            _wait(wait)
            left -= wait
        raise _unreachable(self._place, failure)

    def _asked(self, method: str, path: str, body: bytes | None, *, with_key: bool) -> Answer:
        end = time.monotonic() + LONGEST_S
        connection = self._connected()
        headers = {"Accept": "*/*", "User-Agent": "certautopilot.ops"}
        if with_key:
            headers["Authorization"] = f"Bearer {self._key.reveal()}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        content = _read(response, end)
        if response.will_close:
            self.close()
        if response.status == UNAUTHORIZED and with_key:
            raise OpsError(
                f"the service at {self._place.named} does not know this API key, or it has expired",
                code="api.unauthorized",
                hint="write a key that is good into `api_key_file`",
            )
        if response.status in _HTTP_REDIRECTS:
            raise OpsError(
                f"the service at {self._place.named} answers {response.status}, a redirect, which is not followed",
                code="api.redirect",
                hint="give the address of the service itself as `api_url`",
            )
        return Answer(response.status, content, wait_of(response.getheader("Retry-After"), datetime.now(UTC)))

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            host, port = self._place.host, self._place.port
            if self._context is None:
                self._connection = http.client.HTTPConnection(host, port, timeout=_READ_S)
            else:
                self._connection = http.client.HTTPSConnection(host, port, timeout=_READ_S, context=self._context)
        return self._connection


def _read(response: http.client.HTTPResponse, end: float) -> bytes:
    """Return the body. Raises OSError when it takes too long, OpsError api.malformed when it is too long."""
    content = bytearray()
    while piece := response.read1(_PIECE):
        content += piece
        if len(content) > MOST_BYTES:
            raise OpsError(
                f"an answer of the service has more than {MOST_BYTES} bytes",
                code="api.malformed",
                hint="is `api_url` the address of the service?",
            )
        if time.monotonic() > end:
            raise TimeoutError
    if response.length:  # WHY: read1 does not tell that the end is missing
        raise http.client.IncompleteRead(bytes(content), response.length)
    response.close()  # else the connection would wait for somebody to read its end
    return bytes(content)


def _context(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as cause:
        raise OpsError(
            f"{ca_file} holds no certificate that can be read ({type(cause).__name__})",
            code="api.ca_file",
            hint="give a file with the CA's certificates in PEM as `api_ca_file`",
        ) from None


def _unreachable(place: Address, why: str) -> OpsError:
    return OpsError(
        f"no answer from the service at {place.named}: {why}",
        code="api.unreachable",
        hint="is it running, is `api_url` right, and does `api_ca_file` hold its CA?",
        retryable=True,
    )
