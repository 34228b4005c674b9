# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The straight line for plain documents says what the long way says, or nothing."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import envelope_layout
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.catalogue import Catalogue
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.envelope import parse
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._installation.sealing import Sealing
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.env import EnvProvider
from ansible_collections.certautopilot.ops.plugins.module_utils._rotation.plain_documents import plain_reader
from bson import Binary, Int64, ObjectId

from tests.support.sealed import credential, envelope

FIELD, COLLECTION, TO = "encrypted_api_key", "dns_credentials", 2
KEKS = {1: bytes(32), 2: bytes(range(32))}
SOUND = credential(KEKS[1], b"secret")
SEALED = SOUND[FIELD]


def sealing(layout=envelope_layout.DEFAULT):
    return Sealing(EnvProvider(KEKS), layout)


def changed(**parts):
    return {**SOUND, FIELD: {**SEALED, **parts}}


def long_way(document, catalogue):
    """Return what walk, parse and requests find: (places, requests), None where one of the envelopes cannot move."""
    founds = catalogue.envelopes(COLLECTION, document)
    try:
        items = [(found, parse(found.value, document.get("kek_version"))) for found in founds]
    except OpsError:
        return None
    items = [(found, sealed) for found, sealed in items if sealed.kek_version != TO]
    requests, refused = sealing().requests(items)
    return None if refused else [(found, request) for (found, _given), request in zip(items, requests, strict=True)]


PLAIN = {
    "as we write it": SOUND,
    "no tags beside the inner version": {
        "_id": "a", FIELD: {key: value for key, value in SEALED.items() if key != "kv"},
    },
    "tags of 64 bits": {**changed(kek_version=Int64(1), kv=Int64(1)), "kek_version": Int64(1)},
    "an id of bytes": {**SOUND, "_id": b"\x01\xff"},
    "values with nothing sealed inside": {**SOUND, "tags": ["a", {"nonce": b"n"}], "meta": {"x": [1]}, "n": None},
    "an envelope with a key of its own": changed(note={"by": ["me"]}),
    "another document equal to nothing": {**SOUND, "copy": {"wrapped_dek": b"w"}},
}  # fmt: skip
OTHERS = {
    "nothing sealed": {"_id": 1, "name": "x"},
    "null": {**SOUND, FIELD: None},
    "plain text": {**SOUND, FIELD: "left in the clear"},
    "a part is missing": {**SOUND, FIELD: {key: value for key, value in SEALED.items() if key != "nonce"}},
    "tags that disagree": changed(kv=2),
    "an outer tag that lies": {**SOUND, "kek_version": 2},
    "an outer tag that is true": {**changed(kek_version=1, kv=1), "kek_version": True},
    "already at the target": {**changed(kek_version=2, kv=2), "kek_version": 2},
    "another provider": changed(provider="pkcs11"),
    "a short wrap": changed(wrapped_dek=SEALED["wrapped_dek"][:-1]),
    "text where bytes belong": changed(wrapped_dek="c2VhbGVk"),
    "another binary subtype": changed(wrapped_dek=Binary(SEALED["wrapped_dek"], 5)),
    "a second envelope beside it": {**SOUND, "spare": SEALED},
    "the same envelope twice": {**SOUND, "spare": dict(SEALED)},
    "one deep inside": {**SOUND, "old": [{"of": {"last year": SEALED}}]},
    "one inside of it": changed(old=SEALED),
    "one deep inside of it": changed(old=[{"of": {"last year": SEALED}}]),
    "one elsewhere only": {"_id": 1, "spare": SEALED},
}


@pytest.mark.parametrize("document", PLAIN.values(), ids=PLAIN)
def test_a_plain_document_is_read_as_the_long_way_reads_it(document):
    read = plain_reader(sealing(), Catalogue(), COLLECTION, TO)(document)

    assert read is not None
    assert [read] == long_way(document, Catalogue())


@pytest.mark.parametrize("document", OTHERS.values(), ids=OTHERS)
def test_any_other_document_is_left_to_the_long_way(document):
    assert plain_reader(sealing(), Catalogue(), COLLECTION, TO)(document) is None


def test_the_request_opens_to_the_data_key():
    record_id = ObjectId()
    document = {"_id": record_id, FIELD: envelope(KEKS[1], record_id, FIELD, b"secret"), "kek_version": 1}

    _found, request = plain_reader(sealing(), Catalogue(), COLLECTION, TO)(document)

    (dek,) = EnvProvider(KEKS).unwrap([request])
    assert len(dek) == 32


@pytest.mark.parametrize(
    ("catalogue", "collection"),
    [
        (Catalogue({COLLECTION: ("spare",)}), COLLECTION),
        (Catalogue({"notes": ("old.*",)}), "notes"),
        (Catalogue(), "users"),
        (Catalogue(), "a collection that nobody listed"),
    ],
)
def test_a_collection_without_one_field_of_the_first_level_has_no_plain_documents(catalogue, collection):
    assert plain_reader(sealing(), catalogue, collection, TO)(SOUND) is None


@pytest.mark.parametrize("layout", [each for each in envelope_layout.LAYOUTS if each != envelope_layout.DEFAULT])
def test_a_database_of_another_layout_has_no_plain_documents(layout):
    assert plain_reader(sealing(layout), Catalogue(), COLLECTION, TO)(SOUND) is None
