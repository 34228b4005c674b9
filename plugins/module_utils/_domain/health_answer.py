# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a health URL may be, what its answer's head says, and where a redirect may lead. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

READY = 200
REDIRECTS = (301, 302, 303, 307, 308)
_HEAD = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r?\n")
_LOCATION = re.compile(rb"^location:[ \t]*([^\r\n]*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """Where to ask. target: path and query. named: what the Host header says."""

    scheme: str
    host: str
    port: int
    target: str
    named: str


@dataclass(frozen=True, slots=True)
class Head:
    """status: None where it is no answer of HTTP. location: of a redirect, "" for none."""

    status: int | None
    location: str = ""


def address(url: str) -> Address | None:
    """Return where a URL leads; None for one that is not http(s), has no host, or has a user or password in it."""
    parts = _split(url)
    if parts is None or parts.scheme not in PORTS or not parts.hostname or parts.username or parts.password:
        return None
    try:
        port = parts.port or PORTS[parts.scheme]
    except ValueError:
        return None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(parts.scheme, parts.hostname, port, target, parts.netloc)


def head(received: bytes) -> Head:
    """Return what the first bytes of an answer say."""
    match = _HEAD.match(received)
    if match is None:
        return Head(None)
    location = _LOCATION.search(received.partition(b"\r\n\r\n")[0])
    return Head(int(match[1]), location[1].decode("latin-1") if location else "")


def followed(url: str, location: str) -> str:
    """Return where a redirect leads, "" where it must not be followed: to another host, or from https to http."""
    if not _PRINTABLE.fullmatch(location):
        return ""
    try:
        wanted = urljoin(url, location)
    except ValueError:
        return ""
    here, there = address(url), address(wanted)
    if here is None or there is None or there.host != here.host or (here.scheme, there.scheme) == ("https", "http"):
        return ""
    return wanted


def _split(url: str) -> SplitResult | None:
    if not _PRINTABLE.fullmatch(url):
        return None
    try:
        return urlsplit(url)
    except ValueError:
        return None
