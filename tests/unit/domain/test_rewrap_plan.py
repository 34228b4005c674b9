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
