# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server gives when a rotation asks it: every record of a survey once, and every document left to move."""

from __future__ import annotations

from collections import Counter

import bson
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import rewrap_plan
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.catalogue import Catalogue
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._installation import survey
from ansible_collections.certautopilot.ops.plugins.module_utils._store import records
from ansible_collections.certautopilot.ops.plugins.module_utils._store.connection import open_store
from bson import Int64

DOCUMENTS = 3 * records.READ_BATCH
FIELDS = ("encrypted_api_key", "old.*.key")


@pytest.fixture
def site(new_site):
    return new_site()


@pytest.fixture
def store(site):
    with open_store(Secret(site.uri), site.name) as opened:
        yield opened


def tagged(version, *, kv=None):
    tags = {"wrapped_dek": b"w", "nonce": b"n", "ciphertext": b"c", "kek_version": version, "provider": "env"}
    return tags if kv is None else {**tags, "kv": kv}


def test_a_scan_sees_every_record_once_while_others_rewrite_and_add_records(store, site):
    site.db.records.insert_many([{"_id": number * 7919 % DOCUMENTS, "text": "short"} for number in range(DOCUMENTS)])

    seen, added = Counter(), False
    for came, raws in records.scan(store, "records", ["_id"]):
        assert came == len(raws)
        seen.update(bson.decode(raw)["_id"] for raw in raws)
        if not added:
            added = True
            site.db.records.update_many({}, {"$set": {"text": "long " * 200}})
            site.db.records.insert_many([{"_id": -1 - extra} for extra in range(50)])

    assert {record_id: times for record_id, times in seen.items() if record_id >= 0} == dict.fromkeys(
        range(DOCUMENTS), 1
    )
    assert max(seen.values()) == 1


def test_a_scan_gives_the_documents_that_have_one_of_the_names_on_any_level_and_counts_all(store, site):
    held = [{"_id": 1, "nonce": b"n"}, {"_id": 3, "a": [{"b": {"ciphertext": None}}]}]
    others = [{"_id": 5, "text": "a nonce, told of"}, {"_id": 7, "ciphertext of": 1}]
    site.db.records.insert_many(
        [*held, *others, *({"_id": number, "nonces": 1} for number in range(10, 10 + DOCUMENTS))]
    )

    scanned = list(records.scan(store, "records", ["nonce", "ciphertext"]))

    assert sum(came for came, _raws in scanned) == DOCUMENTS + 4
    assert [bson.decode(raw) for _came, raws in scanned for raw in raws] == held


@pytest.mark.parametrize("size", [10, 5_000, 100_000])
def test_an_envelope_is_found_however_large_its_document_is(store, site, size):
    site.db.dns_credentials.insert_one({"encrypted_api_key": {**tagged(1), "ciphertext": b"c" * size}})

    walked, (digested, _digest) = survey.take(store, Catalogue()), survey.take_with_digest(store, Catalogue())

    assert (walked.total, digested.total) == (1, 1)


def test_a_survey_passes_over_records_that_hold_nothing_and_counts_them(store, site):
    site.db.notes.insert_many([{"text": "nothing"} for _number in range(DOCUMENTS)])
    site.db.notes.insert_one({"deep": [{"in": {"it": tagged(1)}}]})
    site.db.dns_credentials.insert_one({"encrypted_api_key": "left in the clear"})

    found = survey.take(store, Catalogue())

    assert (found.documents, dict(found.by_collection)) == (
        DOCUMENTS + 2,
        {"notes": DOCUMENTS + 1, "dns_credentials": 1},
    )
    assert len(found.outside) == 1
    assert found.outside[0].endswith(".deep.0.in.it")
    assert [anomaly["code"] for anomaly in found.anomalies] == ["envelope.malformed"]


def test_a_survey_counts_every_collection_to_the_last_batch(store, site):
    for name, count in (("dns_credentials", DOCUMENTS + 1), ("forgotten", 3)):
        site.db[name].insert_many(
            [{"encrypted_api_key": tagged(2, kv=2), "kek_version": 2} for _number in range(count)]
        )

    found = survey.take(store, Catalogue())

    assert (found.documents, found.total, dict(found.by_version)) == (DOCUMENTS + 4, DOCUMENTS + 4, {2: DOCUMENTS + 4})
    assert dict(found.by_collection) == {"dns_credentials": DOCUMENTS + 1, "forgotten": 3}
    assert len(found.outside) == 3


@pytest.mark.parametrize(
    ("document", "selected"),
    [
        ({"kek_version": 2, "encrypted_api_key": tagged(2, kv=2)}, False),
        ({"kek_version": Int64(2), "encrypted_api_key": tagged(Int64(2), kv=Int64(2))}, False),
        ({"encrypted_api_key": tagged(2)}, False),
        ({"kek_version": 2, "encrypted_api_key": None}, False),
        ({"name": "nothing sealed"}, False),
        ({"kek_version": 1, "encrypted_api_key": tagged(1, kv=1)}, True),
        ({"kek_version": 1, "encrypted_api_key": tagged(2, kv=2)}, True),
        ({"kek_version": 2, "encrypted_api_key": tagged(1, kv=2)}, True),
        ({"kek_version": 2, "encrypted_api_key": tagged(2, kv=1)}, True),
        ({"encrypted_api_key": tagged(1)}, True),
        ({"kek_version": None, "encrypted_api_key": tagged(2, kv=2)}, True),
        ({"encrypted_api_key": tagged(None)}, True),
        ({"kek_version": "2", "encrypted_api_key": tagged(2, kv=2)}, True),
        ({"kek_version": 2, "old": [{"key": tagged(2, kv=2)}, {"key": tagged(2, kv=2)}]}, False),
        ({"kek_version": 1, "old": [{"key": tagged(2, kv=2)}, {"key": tagged(1, kv=1)}]}, True),
        ({"kek_version": 2, "old": [{"key": tagged(1, kv=1)}]}, True),
        ({"old": [{"key": tagged(2, kv=2)}, {"key": tagged(1, kv=1)}]}, True),
        ({"old": [{"key": tagged(2, kv=2)}, {"name": "no key"}]}, False),
    ],
    ids=str,
)
def test_t5_the_server_selects_what_is_not_wholly_at_the_version(store, site, document, selected):
    site.db.dns_credentials.insert_one(document)

    found = list(records.stream(store, "dns_credentials", rewrap_plan.selection(FIELDS, 2)))

    assert [one["_id"] for one in found] == [document["_id"]] * selected
