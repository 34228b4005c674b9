# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""X52: two tokens with one label, and a host that is pointed at the wrong one; by ansible-playbook."""

from __future__ import annotations

import pytest

from tests.integration.token import Token

from .conftest import files_of


@pytest.fixture
def other_token(token, tmp_path):
    """Another token of the same label. The first one stays in use until SOFTHSM2_CONF says otherwise."""
    folder = tmp_path / "other"
    (folder / "tokens").mkdir(parents=True)
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    made = Token(str(conf), token.label)
    made.oracle("init")
    return made


def test_x52_in_another_token_of_the_same_label_no_key_is_made_checked_or_for_real(
    play, hsm_site, token, other_token, monkeypatch
):
    hsm_site.call("kek_pkcs11_init", version=1)
    before, keys = hsm_site.documents(), token.keys()
    monkeypatch.setenv("SOFTHSM2_CONF", other_token.conf)
    options = {**files_of(hsm_site), "version": 2}
    tolerated = {"ignore_errors": True}

    done = play(
        ("kek_pkcs11_init", options, {"check_mode": True, **tolerated}),
        ("kek_pkcs11_init", options, tolerated),
        ("kek_pkcs11_init", {**options, "version": 1}, tolerated),
    )

    codes = [result["failure"]["code"] for result in done.results]
    assert codes == ["init.other_token", "init.other_token", "pkcs11.key_not_found"]
    assert "0 by label, 0 by id" in done.results[0]["msg"]
    assert "the database needs KEK version 1" in done.results[0]["msg"]
    assert other_token.keys() == []
    assert (hsm_site.documents(), token.keys()) == (before, keys)


def test_x52_a_version_that_was_made_in_another_token_stops_nothing_and_is_retired_without_its_key(
    play, hsm_site, token, other_token, monkeypatch
):
    """As release 0.3 left it: the row of version 2 is in the database, and its key in the other token."""
    hsm_site.call("kek_pkcs11_init", version=1)
    hsm_site.call("kek_pkcs11_init", version=2)
    token.oracle("destroy", label="certautopilot-kek-v2")
    options = files_of(hsm_site)
    tolerated = {"ignore_errors": True}

    found = play(
        ("kek_verify", {**options, "allow_empty_fleet": True}, {}),
        ("kek_rotate", {**options, "to_version": 2, "allow_empty_fleet": True}, tolerated),
        ("kek_pkcs11_init", {**options, "version": 2}, tolerated),
        ("kek_remove", {**options, "version": 2}, {}),
        ("kek_pkcs11_init", {**options, "version": 3}, {}),
        ("kek_rotate", {**options, "to_version": 3, "allow_empty_fleet": True}, {}),
    )

    assert found.status == 0, found.output
    assert [result.get("failure", {}).get("code") for result in found.results] == [
        None, "rotate.target_not_loaded", "pkcs11.key_not_found", None, None, None,
    ]  # fmt: skip
    assert "kek_remove" in found.results[2]["failure"]["hint"]
    assert found.results[3]["removed"]["state"] == "pre-activation"
    keys = token.keys()
    assert sorted(key["label"] for key in keys) == ["certautopilot-kek-v1", "certautopilot-kek-v3"]
    assert hsm_site.db.kek_versions.find_one({"_id": "active"})["version"] == 3
