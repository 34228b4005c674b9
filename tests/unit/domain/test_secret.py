# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A secret shows itself by `reveal()` alone, and who calls that is a short list."""

from __future__ import annotations

import ast
import copy
import json
import logging
import pickle
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret

UTILS = Path(__file__).parents[3] / "plugins" / "module_utils"
PIN = "tricky-pin-7531"
KEY = bytes(range(200, 232))

# place -> what it needs the value for
REVEALED_IN = {
    "_api/client.py": "the API key goes into a header",
    "_domain/certificate_files.py": "a passphrase seals and opens a PKCS#12 file",
    "_domain/env_keks.py": "hex digits become bytes",
    "_domain/pin_tag.py": "the tag of a refused PIN",
    "_domain/mongodb_uri.py": "the parts of a URI",
    "_domain/settings.py": "settings that are no secret after all",
    "_keys/env.py": "the bytes of a KEK become a cipher",
    "_keys/pkcs11/process.py": "the PIN goes to the worker that logs in",
    "_keys/pkcs11/token_setup.py": "the PINs of a token that is made go to the worker",
    "_module/configuration.py": "variables that are no secrets; variables become settings",
    "_module/redaction.py": "what Ansible must mask",
    "_store/opening.py": "the URI goes to the driver",
    "_installation/carried.py": "carried values go into the encrypted bundle",
}


@dataclass(frozen=True)
class Holder:
    pin: Secret
    label: str = "kek"


WAYS = {
    "repr": repr,
    "str": str,
    "format": lambda secret: f"{secret} {secret!r} {secret!s} {secret:>40}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031  the old way is one of the ways
    "join": lambda secret: ", ".join(map(str, [secret, secret])),
    "inside": lambda secret: repr({"pin": [secret], "of": (secret,)}),
    "dataclass": lambda secret: repr(Holder(secret)),
    "asdict": lambda secret: repr(asdict(Holder(secret))),
    "copy": lambda secret: repr([copy.copy(secret), copy.deepcopy(secret)]),
    "exception": lambda secret: "".join(traceback.format_exception(ValueError("refused", secret))),
    "log": lambda secret: logging.makeLogRecord({"msg": "pin %s", "args": (secret,)}).getMessage(),
    "dir": lambda secret: repr([getattr(secret, name) for name in dir(secret) if name.startswith("__doc")]),
}


@pytest.mark.parametrize("value", [PIN, KEY], ids=["text", "bytes"])
@pytest.mark.parametrize("way", WAYS)
def test_no_way_to_a_text_form_shows_the_value(way, value):
    shown = WAYS[way](Secret(value))

    assert PIN not in shown
    assert repr(KEY)[2:20] not in shown
    assert KEY.hex() not in shown
    assert shown == WAYS[way](Secret(value[:1]))  # not its length either


@pytest.mark.parametrize("write", [pickle.dumps, json.dumps], ids=["pickle", "json"])
def test_a_secret_is_not_written_down(write):
    with pytest.raises(TypeError) as refused:
        write({"pin": Secret(PIN)})

    assert PIN not in str(refused.value)


def test_a_secret_has_no_attributes_to_print_and_no_hash_to_guess_it_by():
    assert not hasattr(Secret(PIN), "__dict__")
    with pytest.raises(TypeError):
        hash(Secret(PIN))


@pytest.mark.parametrize("value", [PIN, KEY, "", b"", "ünï\ud800"])
def test_reveal_gives_back_what_was_hidden(value):
    assert Secret(value).reveal() == value


def test_secrets_compare_with_secrets_only():
    assert Secret(PIN) == Secret(PIN)
    assert Secret(PIN) != Secret(PIN + "x")
    assert Secret("ünï") == Secret("ünï")
    assert Secret(PIN) != PIN
    assert Secret(PIN) != PIN


def test_comparing_takes_a_function_of_constant_time(monkeypatch):
    compared = []
    monkeypatch.setattr("hmac.compare_digest", lambda one, other: compared.append((one, other)) or True)

    assert Secret("a") == Secret("b")
    assert compared == [(b"a", b"b")]


@pytest.mark.parametrize(
    ("value", "blank", "ends"), [("", True, False), (" \t", True, True), (" x", False, True), ("x y", False, False)]
)
def test_questions_about_blanks_are_answered_without_showing(value, blank, ends):
    assert (Secret(value).is_blank(), Secret(value).has_blank_ends()) == (blank, ends)


def test_what_others_wrote_is_shown_without_the_secret():
    assert PIN not in Secret(PIN).masked_in(f"CKR_PIN_INCORRECT for {PIN} ({PIN})")
    assert KEY.hex() not in Secret(KEY).masked_in(f"key {KEY.hex()}")
    assert Secret("").masked_in("as it was") == "as it was"


def test_the_places_that_reveal_a_secret_are_these():
    found = {
        str(path.relative_to(UTILS))
        for path in UTILS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "reveal"
    }

    assert found == set(REVEALED_IN)


def test_nobody_reaches_around_reveal():
    offenders = [
        str(path.relative_to(UTILS))
        for path in UTILS.rglob("*.py")
        if "_Secret__" in path.read_text() and path.name != "secret.py"
    ]

    assert offenders == []
