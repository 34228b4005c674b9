# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one guarded update that moves a document: what must stand, what changes, what does not."""

from __future__ import annotations

from ansible_collections.certautopilot.ops.plugins.module_utils._domain.catalogue import Catalogue
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.rewrap_plan import (
    Moved,
    assignment,
    expectation,
    selection,
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


def moved():
    founds = Catalogue({"dns_credentials": ("spare",)}).envelopes("dns_credentials", DOCUMENT)
    return [Moved(found, b"new " + found.path.encode()) for found in founds]


def test_the_update_expects_every_wrap_and_version_that_was_read():
    assert expectation(DOCUMENT, moved()) == {
        "kek_version": 2,
        "encrypted_api_key.wrapped_dek": b"w" * 60,
        "encrypted_api_key.kek_version": 2,
        "spare.wrapped_dek": b"s" * 60,
        "spare.kek_version": 2,
    }


def test_outer_and_inner_versions_and_all_fields_change_in_one_update_and_nothing_else_does():
    assert assignment(DOCUMENT, moved(), 3) == {
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
    assert {"old.key.kv": {"$exists": True, "$ne": 3}} in clauses
    assert {"kek_version": {"$exists": True, "$ne": 3}} in clauses


def test_envelopes_of_an_array_are_expected_and_changed_at_their_own_indexes():
    document = {"_id": 1, "old": [{"key": SOUND}, {"key": {**SOUND, "wrapped_dek": b"z" * 60, "kek_version": 1}}]}
    founds = Catalogue().envelopes("dns_credentials", document)
    moves = [Moved(found, b"new " + found.path.encode()) for found in founds]

    assert expectation(document, moves) == {
        "old.0.key.wrapped_dek": b"w" * 60,
        "old.0.key.kek_version": 2,
        "old.1.key.wrapped_dek": b"z" * 60,
        "old.1.key.kek_version": 1,
    }
    assert assignment(document, moves, 3) == {
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

    assert assignment(document, [Moved(found, "wrap", ("nonce", "ciphertext"))], 3) == {
        "encrypted_api_key.wrapped_dek": "wrap",
        "encrypted_api_key.kek_version": 3,
        "encrypted_api_key.nonce": "nonce",
        "encrypted_api_key.ciphertext": "ciphertext",
    }


def test_the_expectation_repeats_what_was_read_in_its_own_type():
    document = {"_id": 1, "kek_version": Int64(2), "encrypted_api_key": {**SOUND, "wrapped_dek": Binary(b"w" * 60, 5)}}
    (found,) = Catalogue().envelopes("dns_credentials", document)

    expected = expectation(document, [Moved(found, b"new")])

    assert expected["kek_version"].__class__ is Int64
    assert expected["encrypted_api_key.wrapped_dek"] == Binary(b"w" * 60, 5)
