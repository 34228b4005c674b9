# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one guarded update that moves a document: what must stand, what changes, what does not."""

from __future__ import annotations

from ansible_collections.certautopilot.ops.plugins.module_utils._domain.catalogue import Catalogue
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.rewrap_plan import (
    guarded_update,
    selection,
    wraps_kept,
)
from bson import Binary, Int64

from .test_envelope import SOUND

DOCUMENT = {
    "_id": 1,
    "kek_version": 2,
    "encrypted_api_key": SOUND,
    "spare": {**SOUND, "wrapped_dek": b"s" * 60},
    "n": 5,
}


def moved_in(document):
    return [
        (found, b"new " + found.path.encode(), None) for found in Catalogue().envelopes("dns_credentials", document)
    ]


def test_the_update_expects_the_record_and_every_wrap_and_version_that_was_read():
    expected, _assign = guarded_update(DOCUMENT, moved_in(DOCUMENT), 3)

    assert expected == {
        "_id": 1,
        "kek_version": 2,
        "encrypted_api_key.wrapped_dek": b"w" * 60,
        "encrypted_api_key.kek_version": 2,
        "spare.wrapped_dek": b"s" * 60,
        "spare.kek_version": 2,
    }


def test_outer_and_inner_versions_and_all_fields_change_in_one_update_and_nothing_else_does():
    _expected, assign = guarded_update(DOCUMENT, moved_in(DOCUMENT), 3)

    assert assign == {
        "kek_version": 3,
        "encrypted_api_key.wrapped_dek": b"new encrypted_api_key",
        "encrypted_api_key.kek_version": 3,
        "encrypted_api_key.kv": 3,
        "spare.wrapped_dek": b"new spare",
        "spare.kek_version": 3,
        "spare.kv": 3,
    }


def test_t5_the_selection_looks_at_inner_tags_too_so_a_lying_outer_tag_hides_nothing():
    clauses = selection(("encrypted_api_key", "old.*.key"), 3)["$or"]

    assert {"encrypted_api_key.kek_version": {"$exists": True, "$ne": 3}} in clauses
    assert {"old": {"$elemMatch": {"key.kv": {"$exists": True, "$ne": 3}}}} in clauses
    assert {"kek_version": {"$exists": True, "$ne": 3}} in clauses


def test_envelopes_of_an_array_are_expected_and_changed_at_their_own_indexes():
    document = {"_id": 1, "old": [{"key": SOUND}, {"key": {**SOUND, "wrapped_dek": b"z" * 60, "kek_version": 1}}]}

    expected, assign = guarded_update(document, moved_in(document), 3)

    assert expected == {
        "_id": 1,
        "old.0.key.wrapped_dek": b"w" * 60,
        "old.0.key.kek_version": 2,
        "old.1.key.wrapped_dek": b"z" * 60,
        "old.1.key.kek_version": 1,
    }
    assert assign == {
        "old.0.key.wrapped_dek": b"new old.0.key",
        "old.0.key.kek_version": 3,
        "old.0.key.kv": 3,
        "old.1.key.wrapped_dek": b"new old.1.key",
        "old.1.key.kek_version": 3,
        "old.1.key.kv": 3,
    }


def test_a_resealed_field_gets_its_new_payload_and_no_inner_tag_that_it_did_not_have():
    document = {"_id": 1, "encrypted_api_key": {key: value for key, value in SOUND.items() if key != "kv"}}
    (found,) = Catalogue().envelopes("dns_credentials", document)

    assert guarded_update(document, [(found, "wrap", ("nonce", "ciphertext"))], 3)[1] == {
        "encrypted_api_key.wrapped_dek": "wrap",
        "encrypted_api_key.kek_version": 3,
        "encrypted_api_key.nonce": "nonce",
        "encrypted_api_key.ciphertext": "ciphertext",
    }


def test_the_expectation_repeats_what_was_read_in_its_own_type():
    document = {"_id": 1, "kek_version": Int64(2), "encrypted_api_key": {**SOUND, "wrapped_dek": Binary(b"w" * 60, 5)}}
    (found,) = Catalogue().envelopes("dns_credentials", document)

    expected, _assign = guarded_update(document, [(found, b"new", None)], 3)

    assert expected["kek_version"].__class__ is Int64
    assert expected["encrypted_api_key.wrapped_dek"] == Binary(b"w" * 60, 5)


def test_only_the_wraps_that_are_still_there_count_as_moved():
    document = {"_id": 1, "encrypted_api_key": SOUND, "old": [{"key": SOUND}, {"key": SOUND}], "n": {"1": SOUND}}
    _expected, assign = guarded_update(document, moved_in(document), 3)
    after = {
        "encrypted_api_key": {"wrapped_dek": b"new encrypted_api_key"},
        "old": [{"key": {"wrapped_dek": b"a writer's"}}, {"key": {"wrapped_dek": b"new old.1.key"}}],
        "n": {"1": {"wrapped_dek": b"new n.1"}},
    }

    assert wraps_kept(after, assign) == 3
    assert wraps_kept({**after, "old": [after["old"][0]]}, assign) == 2
    assert wraps_kept({**after, "old": {"key": 1}, "n": None}, assign) == 1
    assert wraps_kept({}, assign) == 0
