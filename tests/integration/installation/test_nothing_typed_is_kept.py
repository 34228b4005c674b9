# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PIN that was typed in the place of a label is in no database; a note that somebody damaged costs no try."""

from __future__ import annotations

import bson
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

from tests.integration.token import PIN

TYPED = "9241-7735-pin"


def everything_in(site):
    """Return the bytes of every document of the database, names of collections among them."""
    names = site.db.list_collection_names()
    return b"".join(name.encode() + bson.encode(document) for name in names for document in site.db[name].find())


def refused(site, verb, **options):
    with pytest.raises(OpsError) as caught:
        site.call(verb, **options)
    return caught.value


@pytest.mark.parametrize("option", ["token_label", "token_serial"])
@pytest.mark.parametrize("fresh", [True, False])
def test_x36_a_pin_that_was_typed_as_a_label_is_not_stored(hsm_site, option, fresh):
    if not fresh:
        hsm_site.call("kek_pkcs11_init", version=1)
        hsm_site.call("kek_install_lock")
    hsm_site.pkcs11[option] = TYPED
    hsm_site.write()

    calls = [("kek_pkcs11_init", {"version": 1}), ("kek_verify", {}), ("kek_rotate", {"to_version": 2})]
    codes = [refused(hsm_site, verb, **options).code for verb, options in (calls[:1] if fresh else calls)]

    assert all(code.startswith("pkcs11.") for code in codes), codes
    assert TYPED.encode() not in everything_in(hsm_site)
    assert hsm_site.db.list_collection_names() != [], "something was written, so that there was a place for it"


@pytest.mark.parametrize(
    "damage",
    [
        {"$unset": {"salt": ""}},
        {"$set": {"salt": "text"}},
        {"$unset": {"refused": ""}},
        {"$set": {"refused": [{"tag": "x"}]}},
        {"$set": {"refused": "none"}},
    ],
)
def test_x32_a_note_that_somebody_damaged_is_named_and_costs_no_try(hsm_site, token, damage):
    hsm_site.call("kek_pkcs11_init", version=1)
    hsm_site.pkcs11["pin"] = "wrong-4711-wrong"
    hsm_site.write()
    assert refused(hsm_site, "kek_verify", allow_empty_fleet=True).code == "pkcs11.pin_incorrect"
    hsm_site.db.kek_pin_refusals.update_one({}, damage)

    again = refused(hsm_site, "kek_verify", allow_empty_fleet=True)

    assert (again.code, again.retryable) == ("pkcs11.note_damaged", False)
    assert "kek_pin_refusals" in again.message
    hsm_site.pkcs11["pin"] = PIN
    hsm_site.write()
    hsm_site.db.kek_pin_refusals.delete_one({})
    assert hsm_site.call("kek_verify", allow_empty_fleet=True).values["fleet_gate"]
