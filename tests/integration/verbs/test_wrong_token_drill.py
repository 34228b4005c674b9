# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drill of the guide to tokens: a host is pointed at another token of the same label. What each verb says (X52)."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

from tests.integration.token import Token
from tests.support import softhsm

# What is run with the wrong token, and whether the guide says that it looks for a key.
NEED_A_KEY = {
    "kek_pkcs11_init of a version that is there": ("kek_pkcs11_init", {"version": 1}),
    "kek_verify": ("kek_verify", {}),
    "kek_rotate": ("kek_rotate", {"to_version": 2}),
    "kek_remove": ("kek_remove", {"version": 1, "grace": 0}),
    "db_backup": ("db_backup", {"dest": "{folder}/backup"}),
    "kek_install_lock": ("kek_install_lock", {}),
}


@pytest.fixture
def drill(hsm_site, token, tmp_path, monkeypatch):
    """An installation with its keys in token A, and this host pointed at B; `right` and `wrong` are the serials."""
    for version in (1, 2):
        hsm_site.call("kek_pkcs11_init", version=version)
    other = Token(str(softhsm.configuration(tmp_path / "other")), token.label)
    hsm_site.right = hsm_site.call("pkcs11_info", login=False).values["token"]["serial"]
    hsm_site.wrong = other.oracle("init")
    hsm_site.other, hsm_site.before = other, hsm_site.documents()
    monkeypatch.setenv("SOFTHSM2_CONF", other.conf)
    return hsm_site


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("named", NEED_A_KEY)
def test_x52_a_verb_that_needs_a_key_says_which_one_is_missing_and_touches_nothing(drill, tmp_path, named, check):
    verb, options = NEED_A_KEY[named]
    given = {name: str(value).format(folder=tmp_path) if name == "dest" else value for name, value in options.items()}

    with pytest.raises(OpsError) as refused:
        drill.call(verb, check=check, **given)

    assert refused.value.code == "pkcs11.key_not_found"
    assert "the database needs KEK version" in refused.value.message
    assert (drill.documents(), drill.other.keys()) == (drill.before, [])


def test_x52_where_it_is_pointed_at_is_told_and_the_serial_leads_out(drill, token, monkeypatch):
    seen = drill.call("pkcs11_info", login=False).values
    info = drill.call("kek_info").values
    made = drill.call("pkcs11_token")
    drill.pkcs11["token_serial"] = drill.right
    drill.write()
    with pytest.raises(OpsError) as named:
        drill.call("kek_verify")
    with pytest.raises(OpsError) as not_made:
        drill.call("pkcs11_token")
    monkeypatch.setenv("SOFTHSM2_CONF", token.conf)  # the client's configuration is put right
    led_out = drill.call("kek_verify", allow_empty_fleet=True)

    assert seen["token"]["serial"] == drill.wrong
    assert [row["version"] for row in info["versions"]] == [1, 2]
    assert (made.changed, made.values["token"]["serial"]) == (False, drill.wrong)
    assert (named.value.code, not_made.value.code) == ("pkcs11.token_not_found", "pkcs11.token_not_found")
    assert drill.wrong in named.value.message
    assert led_out.values["fleet_gate"]["target"] == 1
    assert drill.other.keys() == []
