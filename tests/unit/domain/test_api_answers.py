# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of the service's API, as anybody may send them."""

from __future__ import annotations

import datetime

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import api_answers as api
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.api_answers import Answer
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

NOW = datetime.datetime(2026, 11, 1, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("17", 17.0),
        ("0", 0.0),
        (None, None),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("1e9", None),
        ("٣", None),
        ("9" * 40, 999999999.0),
        ("Sun, 01 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Nov 2026 12:00:30 +99999999999", None),
    ],
)
def test_a_wait_is_read_in_both_forms_and_what_is_none_is_none(text, seconds):
    assert api.wait_of(text, NOW) == seconds


@pytest.mark.parametrize(
    "url", ["https://host", "https://host/", "https://host:8443/api/v1", "http://127.0.0.1:18181", "http://[::1]:1"]
)
def test_an_address_of_a_service(url):
    assert api.place_of(url).host


@pytest.mark.parametrize(
    "url",
    ["", "host", "http://host", "http://127.0.0.1.example", "http://localhost", "https://u:p@host", "https://host/x",
     "https://host\r\nX: y", "file:///etc/passwd", "https://host?x=1"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url):
    with pytest.raises(OpsError) as refused:
        api.place_of(url)

    assert refused.value.code == "api.address"


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{}", b'{"items": 1}', b'{"items": [1]}', b'{"items": [{}]}', b'{"items": [{"id": 7}]}',
     b'{"items": [{"id": ""}]}', b'{"items": [], "next_cursor": 7}', b"[" * 100000, b"\xff"],
)  # fmt: skip
def test_what_is_no_page_is_told(body):
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
        api.page_of(body)


def test_a_page_at_the_end_has_no_cursor():
    for body in (b'{"items": [{"id": "a"}]}', b'{"items": [{"id": "a"}], "next_cursor": null}'):
        assert (len(api.page_of(body).items), api.page_of(body).cursor) == (1, "")


def test_ids_and_tokens_of_the_service_lead_to_no_other_path():
    path, _body = api.token_request("../../admin", "a/b?c#d", "key.pem")

    assert path == "/api/v1/projects/..%2F..%2Fadmin/certificates/a%2Fb%3Fc%23d/download-tokens"
    assert api.download_path("x/../y\r\n") == "/api/v1/downloads/x%2F..%2Fy%0D%0A"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (403, b'{"error": {"code": "forbidden"}}', "export.key_forbidden"),
        (403, b"<html>", "export.key_forbidden"),
        (403, b'{"error": {"code": "approval_required"}}', "export.key_waits"),
        (409, b'{"code": "approval_pending"}', "export.key_waits"),
        (202, b"{}", "export.key_waits"),
        (404, b'{"error": "not_found"}', None),
        (500, b"", None),
    ],
)
def test_a_key_that_stays_is_told_from_other_refusals(status, body, code):
    found = api.refused_key(Answer(status, body))

    assert (found.code if found else None) == code


@pytest.mark.parametrize("code", ["cap_" + "a" * 52, "with blanks", "\x1b[31m", 7, None, ["x"]])
def test_what_a_service_says_is_shown_only_where_it_is_a_code(code):
    import json

    assert Answer(418, json.dumps({"error": {"code": code}}).encode()).said == "418"
    assert Answer(418, b'{"error": {"code": "teapot"}}').said == "418 (teapot)"
