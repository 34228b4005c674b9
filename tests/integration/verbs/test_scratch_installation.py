# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scratch installation: what a rehearsal made is gone afterwards, and nothing else ever is."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._installation import scratch_keys
from ansible_collections.certautopilot.ops.plugins.module_utils._store import keystore, leases, scratch_mark
from ansible_collections.certautopilot.ops.plugins.module_utils._store.connection import open_store
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import scratch_installation as verb

from tests.support.sealed import credential

REHEARSED = "98f0249bc3f440e8baeefbe00784a44a"


def scratch(site, state, **options):
    return site.call(
        "scratch_installation", state=state, **({"of": REHEARSED} if state == "present" else {}), **options
    )


def refusal(site, state, **options):
    before = site.documents()
    with pytest.raises(OpsError) as refused:
        scratch(site, state, **options)
    assert site.documents() == before
    return refused.value.code


def labels(token):
    keys = token.keys()
    return [key["label"] for key in keys]


@pytest.fixture
def rehearsed(hsm_site):
    """A scratch installation with a key in the token and records, as an import leaves it."""
    scratch(hsm_site, "present")
    hsm_site.call("kek_pkcs11_init", version=1)
    hsm_site.db.zones.insert_many([{"_id": number} for number in range(20)])
    return hsm_site


def test_a_scratch_installation_with_its_key_is_gone_and_other_keys_stay(rehearsed, token):
    token.oracle("make", label="of-somebody-else", id="beef")
    assert len(token.keys()) == 2

    planned = scratch(rehearsed, "absent", check=True)
    assert len(token.keys()) == 2
    gone = scratch(rehearsed, "absent")
    again = scratch(rehearsed, "absent")

    assert (planned.changed, gone.changed, again.changed) == (True, True, False)
    assert len(gone.values["keys_destroyed"]) == 1
    assert labels(token) == ["of-somebody-else"]
    assert rehearsed.db.list_collection_names() == []


def test_an_installation_of_a_kek_in_a_file_is_gone_too(new_site):
    site = new_site()
    site.add_kek(1)
    site.write()
    scratch(site, "present")
    site.call("kek_install_lock")

    assert scratch(site, "absent").values["keys_destroyed"] == []
    assert site.db.list_collection_names() == []


def test_a_database_without_the_note_is_never_dropped(env_site):
    assert refusal(env_site, "absent") == "scratch.not_scratch"


def test_a_database_that_holds_something_never_gets_the_note(env_site, new_site):
    site = new_site()
    site.write()
    site.db.create_collection("empty")

    assert refusal(env_site, "present") == "scratch.not_empty"
    assert refusal(site, "present") == "scratch.not_empty"


def test_a_note_of_another_rehearsal_is_not_taken_over(new_site):
    site = new_site()
    site.write()
    first = scratch(site, "present")
    again = scratch(site, "present")

    with pytest.raises(OpsError) as refused:
        site.call("scratch_installation", of="another")

    assert (first.changed, again.changed) == (True, False)
    assert refused.value.code == "scratch.taken"


@pytest.mark.parametrize("field", ["install_id", "key.id"])
def test_a_row_that_names_a_key_of_another_installation_destroys_nothing(rehearsed, token, field):
    """Somebody restored, or wrote, a keystore that is not the scratch installation's."""
    if field == "install_id":
        rehearsed.db.kek_install.update_one({}, {"$set": {field: REHEARSED}})
    else:
        rehearsed.db.kek_versions.update_one({"_id": 1}, {"$set": {field: "00" * 16 + "00000001"}})

    assert refusal(rehearsed, "absent") == "scratch.foreign_key"
    assert len(token.keys()) == 1


def test_a_key_that_is_not_in_this_token_is_not_called_destroyed(rehearsed, token):
    token.oracle("destroy", label="certautopilot-kek-v1")

    assert refusal(rehearsed, "absent") == "scratch.key_not_found"


class Killed(BaseException):
    pass


@pytest.mark.parametrize(("module", "name"), [(scratch_keys.journal, "append"), (scratch_mark, "drop_database")])
def test_a_run_that_died_before_or_after_the_key_was_destroyed_is_ended_by_the_next(
    rehearsed, token, monkeypatch, module, name
):
    real = getattr(module, name)

    def dies(*args, **kwargs):
        if name == "append":
            real(*args, **kwargs)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(module, name, dies)
        with pytest.raises(Killed):
            scratch(rehearsed, "absent")

    assert scratch(rehearsed, "absent").changed
    assert token.keys() == []
    assert rehearsed.db.list_collection_names() == []


def test_an_init_that_died_after_it_had_made_the_key_leaves_none(hsm_site, token, monkeypatch):
    def dies(*_args, **_kwargs):
        raise Killed

    scratch(hsm_site, "present")
    with monkeypatch.context() as patched:
        patched.setattr(keystore, "insert_row", dies)
        with pytest.raises(Killed):
            hsm_site.call("kek_pkcs11_init", version=1)
    assert len(token.keys()) == 1

    scratch(hsm_site, "absent")

    assert token.keys() == []
    assert hsm_site.db.list_collection_names() == []


def test_records_of_a_scratch_installation_are_bookkept_apart(rehearsed, token):
    """Its note is no record of users: an export of it, or an import into it, does not see it."""
    rehearsed.db.dns_credentials.insert_one(credential(b"k" * 32, b"x"))
    info = rehearsed.call("kek_info").values

    assert info["database"]["documents"] == 21
    scratch(rehearsed, "absent")


def test_an_import_that_goes_on_is_not_dropped_under(rehearsed, monkeypatch):
    """Its run was killed, and the module on the host goes on: it has the lease."""
    with open_store(Secret(rehearsed.uri), rehearsed.name) as store:
        lease = leases.acquire(store, verb.LEASE_NAME, lease_s=60)
        monkeypatch.setattr(leases, "acquire_within", lambda *args, **_waits: leases.acquire(*args[:2], lease_s=30))
        with pytest.raises(OpsError) as refused:
            scratch(rehearsed, "absent")
        leases.release(store, lease)

    assert refused.value.code == "lease.held"
    assert rehearsed.db.zones.count_documents({}) == 20
