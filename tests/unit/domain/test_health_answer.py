# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health URLs, heads of answers and redirects, as bytes that anybody may send."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.health_answer import address, followed, head

URL = "https://cap.example:8443/readyz"


@pytest.mark.parametrize(
    ("url", "host", "port", "target"),
    [
        ("http://127.0.0.1:18181/readyz", "127.0.0.1", 18181, "/readyz"),
        ("https://cap.example", "cap.example", 443, "/"),
        ("http://[::1]/a?b=c", "::1", 80, "/a?b=c"),
    ],
)
def test_where_a_url_leads(url, host, port, target):
    found = address(url)

    assert (found.host, found.port, found.target) == (host, port, target)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "readyz",
        "ftp://h/",
        "file:///etc/passwd",
        "http://",
        "http://u:p@h/",
        "http://u@h/",
        "http://h:0x1/",
        "http://h:99999/",
        "http://h/\r\nX: y",
        "http://h/ x",
        "http://[::1/",
    ],
)
def test_what_cannot_be_asked_is_no_address(url):
    assert address(url) is None


@pytest.mark.parametrize(
    ("received", "status", "location"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 200, ""),
        (b"HTTP/1.0 503 \r\n\r\nlocation: /body", 503, ""),
        (b"HTTP/1.1 204\r\n\r\n", 204, ""),
        (b"HTTP/1.1 302 Found\r\nX: y\r\nLOCATION:  /other \r\n\r\n", 302, "/other"),
        (b"", None, ""),
        (b"SSH-2.0-OpenSSH_9.2\r\n", None, ""),
        (b"HTTP/1.1 2000 OK\r\n", None, ""),
        (b"HTTP/1.1 200", None, ""),
        (b"\x16\x03\x01\x02", None, ""),
        (b"HTTP/2 200 OK\r\n", None, ""),
    ],
)
def test_the_head_of_an_answer(received, status, location):
    found = head(received)

    assert (found.status, found.location) == (status, location)


@pytest.mark.parametrize(
    ("location", "wanted"),
    [
        ("/ready", "https://cap.example:8443/ready"),
        ("https://cap.example/ready", "https://cap.example/ready"),
        ("http://cap.example/ready", ""),
        ("https://other.example/", ""),
        ("//other.example/", ""),
        ("https://u:p@cap.example/", ""),
        ("ftp://cap.example/", ""),
        ("http://[::1", ""),
        ("/a\r\nb", ""),
    ],
)
def test_a_redirect_is_followed_on_the_same_host_only_and_never_to_plain_http(location, wanted):
    assert followed(URL, location) == wanted


def test_a_redirect_from_plain_http_to_https_is_followed():
    assert followed("http://cap.example/readyz", "https://cap.example/readyz") == "https://cap.example/readyz"
