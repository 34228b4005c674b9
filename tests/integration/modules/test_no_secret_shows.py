# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Canary secrets are planted everywhere a secret can be; none may show at -vvvv --diff, in any encoding."""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.integration import stock
from tests.integration.token import PIN
from tests.support.sealed import credential

from .conftest import files_of

RECORD_SECRET = "dns-token/of+the record 4711"
PEPPER = "pepper/of+the source 9933"
URI_PASSWORD = "p@ss/word+7755"
IGNORE = {"ignore_errors": True}


def encodings(secret: bytes):
    """Yield the forms a secret could leak in: raw, hex, base64 at each of its three alignments, percent-encoded."""
    yield secret.decode("latin-1")
    yield secret.hex()
    yield quote(secret, safe="")
    for skipped in range(3):
        encoded = base64.b64encode(bytes(skipped) + secret).decode()
        yield encoded[(0, 2, 3)[skipped] + (skipped > 0) * 1 : -4]


def leaks(text, secrets):
    low = text.lower()
    found = []
    for name, secret in secrets.items():
        found += [(name, form) for form in encodings(secret) if len(form) > 5 and form.lower() in low]
    return found


def test_the_search_finds_a_secret_in_every_encoding():
    secret = b"find me 1234567"
    for text in (secret.decode(), secret.hex().upper(), base64.b64encode(b"xy" + secret).decode(), quote(secret)):
        assert leaks(f"noise {text} noise", {"it": secret})


@pytest.mark.parametrize(("way", "pipelining"), [("files", True), ("options", False)])
def test_no_secret_shows_in_any_module_at_full_verbosity(play, env_site, hsm_site, tmp_path, way, pipelining):
    env_site.db.dns_credentials.insert_one(credential(env_site.keks[1], RECORD_SECRET.encode()))
    env_site.secrets["CERTAUTOPILOT_API_KEY_PEPPER"] = f'"{PEPPER}"'
    env_site.write()
    leaf = stock.authority().leaf("web")
    stock.certificate(env_site, stock.project(env_site, "Web"), "web", leaf=leaf)
    source, destination = files_of(env_site), files_of(hsm_site)
    if way == "options":
        del hsm_site.pkcs11["pin"]
        hsm_site.write()
        destination["pkcs11_pin"] = PIN
        destination["mongodb_uri"] = hsm_site.uri
    restored = {**source, "mongodb_database": f"{env_site.name}_restored", "config_file": "/dev/null"}
    restored |= {"src": str(tmp_path / "backup"), "identity_file": str(tmp_path / "identity")}
    identity = str(tmp_path / "identity")
    recipient = play(("bundle_identity", {"path": identity}, {})).results[0]["recipient"]
    bundle = {"src": str(tmp_path / "bundle"), "identity_file": identity, "trust": "bundle"}
    old, web = {f"source_{name}": value for name, value in source.items()}, {"names": ["web"]}
    dump = {"src": str(tmp_path / "backup"), "identity_file": identity}

    done = play(
        ("db_backup", {**source, "dest": str(tmp_path / "backup"), "recipients": [recipient], "encrypt": "all"}, {}),
        ("db_restore", restored, {}),
        ("data_export", {**source, "dest": str(tmp_path / "bundle"), "recipients": [recipient]}, {}),
        ("kek_pkcs11_init", {**destination, "version": 1}, {}),
        ("data_import", {**destination, **bundle}, {}),
        ("kek_info", {**destination, "digest": True}, {}),
        ("migration_accept", destination, {}),
        ("cert_recover", {**destination, **old, **dump, **web}, {}),
        ("cert_recover", {**destination, **old, "source_mongodb_uri": env_site.uri, **web}, {}),
        ("service_access", destination, {}),
        ("kek_pkcs11_init", {**source, "version": 1}, IGNORE),
        ("kek_rotate", {**source, "to_version": 9}, IGNORE),
        ("kek_info", {"mongodb_uri": f"mongodb://u:{quote(URI_PASSWORD, safe='')}@127.0.0.1:9/x"}, IGNORE),
        arguments=["-vvvv", "--diff"],
        pipelining=pipelining,
    )

    env_site.client.drop_database(restored["mongodb_database"])
    assert len(done.results) == 13, done.output[-3000:]
    assert [bool(result.get("failed")) for result in done.results] == [False] * 10 + [True] * 3
    secrets = {
        "KEK": env_site.keks[1],
        "KEK as written": env_site.keks[1].hex().encode(),
        "PIN": PIN.encode(),
        "record": RECORD_SECRET.encode(),
        "pepper": PEPPER.encode(),
        "private key": b"".join(leaf.key.splitlines()[1:-1])[20:60],
        "URI password": URI_PASSWORD.encode(),
        "identity": Path(identity).read_bytes().splitlines()[-1],
    }
    assert leaks(done.output, secrets) == []
    assert leaks(str(done.results), secrets) == []


def test_a_wrong_pin_does_not_show_in_its_refusal(play, hsm_site):
    wrong = "the-wrong-pin-8642"
    hsm_site.pkcs11["pin"] = wrong
    hsm_site.write()

    done = play(("kek_pkcs11_init", {**files_of(hsm_site), "version": 1}, IGNORE), arguments=["-vvvv", "--diff"])

    assert done.results[0]["failure"]["code"] == "pkcs11.pin_incorrect"
    assert leaks(done.output + str(done.results), {"PIN": wrong.encode()}) == []
