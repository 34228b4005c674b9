# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of the service's API, and what its answers mean. The only file that knows paths and fields (ADR-0040).

Documented by the vendor: the base path, `Authorization: Bearer cap_…`, `limit` and `cursor` with `items` and
`next_cursor`, the formats, a token that is good once and for five minutes, operator or more for a download, "Allow key
export" and approvals. Not documented, so ASSUMED here: the two paths of a download and their bodies, the fields of an
item beyond its id, the form of an error, and by which status an approval is asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from urllib.parse import quote, urlencode

from .certificate_filter import instant_of, serials_told
from .certificate_source import Facts, Problem
from .errors import OpsError
from .health_answer import Address, address

BASE = "/api/v1"
PAGE = 500  # items, the most that the service gives
PUBLIC_FORMAT, KEY_FORMAT = "fullchain.pem", "key.pem"
WAITS = 202  # ASSUMED: also any refusal whose code has "approval" in it
OK, CREATED, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, GONE, TOO_MANY = 200, 201, 401, 403, 404, 410, 429
_KEY = re.compile(r"cap_[A-Za-z2-7]{52}")
_SHOWN = re.compile(r"[a-z0-9_]{1,40}")  # shorter than a key, so that no answer can make us show one


@dataclass(frozen=True, slots=True)
class Answer:
    """status, body: of HTTP. wait_s: what Retry-After asks for, None for nothing."""

    status: int
    body: bytes
    wait_s: float | None = None

    @property
    def is_for_later(self) -> bool:
        """Return whether the same question may be answered later."""
        return self.status == TOO_MANY or self.status >= 500

    @property
    def named(self) -> str:
        """Return what a refusal calls itself, "" where none is told."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return ""
        error = found.get("error", found) if isinstance(found, Mapping) else ""
        text = error.get("code", "") if isinstance(error, Mapping) else error
        return text if isinstance(text, str) and _SHOWN.fullmatch(text) else ""

    @property
    def said(self) -> str:
        """Return the status, and the code where there is one."""
        return f"{self.status}{f' ({self.named})' if self.named else ''}"


@dataclass(frozen=True, slots=True)
class Page:
    items: tuple[Mapping[str, object], ...]
    cursor: str


def place_of(url: str) -> Address:
    """Return where the service is. url: may have the base path. Raises OpsError api.address."""
    found = address(url)
    path = found.target.rstrip("/") if found is not None else ""
    if found is None or path not in ("", BASE):
        raise _address("api_url is none of https://HOST[:PORT] without user and password")
    if found.scheme != "https" and not _is_loopback(found.host):
        raise _address(f"api_url leads to {found.host} without TLS: the key would be seen on the way")
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False  # WHY not even `localhost`: what a name leads to, others may decide


def _address(found: str) -> OpsError:
    return OpsError(found, code="api.address", hint="give https://HOST; http only to 127.0.0.1 or ::1")


def require_key(text: str) -> str:
    """Return an API key. Raises OpsError api.key_invalid; what it was is not shown."""
    if not _KEY.fullmatch(text.strip()):
        raise OpsError(
            "api_key_file does not hold an API key, `cap_` and 52 characters",
            code="api.key_invalid",
            hint="make a key in the product, for these projects, and write it into the file",
        )
    return text.strip()


def projects_path(cursor: str) -> str:
    return _paged(f"{BASE}/projects", cursor)


def certificates_path(project: str, cursor: str) -> str:
    return _paged(f"{BASE}/projects/{quote(project, safe='')}/certificates", cursor)


def _paged(path: str, cursor: str) -> str:
    return f"{path}?{urlencode({'limit': PAGE, **({'cursor': cursor} if cursor else {})})}"


def token_request(project: str, certificate: str, form: str) -> tuple[str, bytes]:
    """Return (path, body) of the question for a download token. ASSUMED."""
    path = f"{BASE}/projects/{quote(project, safe='')}/certificates/{quote(certificate, safe='')}/download-tokens"
    return path, json.dumps({"format": form}).encode()


def download_path(token: str) -> str:
    """Return the path of a download. ASSUMED, and that the token is enough: the key is not sent with it."""
    return f"{BASE}/downloads/{quote(token, safe='')}"


def page_of(body: bytes) -> Page:
    """Return a page. Raises ValueError where it is none."""
    found = _object(body)
    items, cursor = found.get("items"), found.get("next_cursor") or ""
    if not isinstance(items, list) or not isinstance(cursor, str) or not all(isinstance(one, dict) for one in items):
        raise ValueError("no page")
    if not all(isinstance(one.get("id"), str) and one["id"] for one in items):
        raise ValueError("an item without id")
    return Page(tuple(items), cursor)


def token_of(body: bytes) -> str:
    """Return the token. Raises ValueError where there is none."""
    token = _object(body).get("token")
    if not isinstance(token, str) or not token:
        raise ValueError("no token")
    return token


def _object(body: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(body)
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def text_in(item: Mapping[str, object], *names: str) -> str:
    """Return the first of these fields that holds a text, "" for none."""
    return next((value for name in names if isinstance(value := item.get(name), str) and value), "")


def facts_in(item: Mapping[str, object]) -> Facts:
    """Return what a certificate in a list tells of itself. ASSUMED: the names of the record's fields."""
    issuers = {text_in(item, name).casefold() for name in ("issuer_type", "issuer_name", "issuer")}
    return Facts(
        issuers=frozenset(issuers - {""}),
        is_whole=False,
        serials=serials_told(text_in(item, "serial_number")),
        not_after=instant_of(item.get("not_after")),
        status=text_in(item, "status"),
    )


def refused_key(answer: Answer) -> Problem | None:
    """Return why a key stays in the service, None where the answer says nothing of the kind."""
    if answer.status == WAITS or "approval" in answer.named:
        return Problem("export.key_waits", "the service waits for an approval of this download of a key")
    if answer.status == FORBIDDEN:
        return Problem("export.key_forbidden", f"the service does not allow the export of the key: {answer.said}")
    return None


def refused(what: str, answer: Answer) -> Problem:
    """Return the problem of an answer that nothing can be done with."""
    code = "api.unavailable" if answer.is_for_later else "api.refused"
    return Problem(code, f"{what}: the service answers {answer.said}")


def wait_of(retry_after: str | None, now: datetime) -> float | None:
    """Return the seconds that a header asks for, None where it is none. Source: RFC 9110 section 10.2.3."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        until = parsedate_to_datetime(text)
        aware = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
        return max(0.0, (aware - now).total_seconds())
    except (ValueError, OverflowError):
        return None
