# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue and the walk that finds every envelope of a document."""

from __future__ import annotations

from collections import OrderedDict
from types import MappingProxyType

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.catalogue import Catalogue, record_id_text
from bson import Binary, ObjectId, encode
from bson.raw_bson import RawBSONDocument

from .test_envelope import SOUND


def found_in(document, collection="dns_credentials", extra=None):
    catalogue = Catalogue(extra)
    return [(found.path, found.field, catalogue.knows(found)) for found in catalogue.envelopes(collection, document)]


def test_a_catalogued_envelope_is_found_and_known():
    assert found_in({"_id": 1, "encrypted_api_key": SOUND}) == [("encrypted_api_key", "encrypted_api_key", True)]


def test_t4_an_envelope_elsewhere_is_found_and_not_known():
    document = {"_id": 1, "notes": {"old": [{}, {"secret": SOUND}]}}

    assert found_in(document) == [("notes.old.1.secret", "notes.old.*.secret", False)]


def test_an_operator_can_add_a_field_inside_an_array():
    document = {"_id": 1, "old": [SOUND]}

    assert found_in(document, extra={"dns_credentials": ("old.*",)}) == [("old.0", "old.*", True)]


def test_a_nested_catalogued_path_is_found():
    document = {"_id": "u", "totp": {"enabled": True, "encrypted_seed": SOUND}}

    assert found_in(document, "users") == [("totp.encrypted_seed", "totp.encrypted_seed", True)]


@pytest.mark.parametrize(
    ("key", "inner", "path"),
    [
        ("old", SOUND, "encrypted_api_key.old"),
        ("old", [{"of": SOUND}], "encrypted_api_key.old.0.of"),
        ("nonce", SOUND, "encrypted_api_key.nonce"),
    ],
)
def test_x16_an_envelope_inside_an_envelope_is_found_after_the_one_around_it(key, inner, path):
    document = {"_id": 1, "encrypted_api_key": {**SOUND, key: inner}}

    assert [place for place, _field, _known in found_in(document)] == ["encrypted_api_key", path]


def test_x16_the_same_below_the_first_level():
    document = {"_id": 1, "deep": {"down": {**SOUND, "old": {**SOUND, "older": SOUND}}}}

    assert [path for path, _field, _known in found_in(document)] == [
        "deep.down",
        "deep.down.old",
        "deep.down.old.older",
    ]


@pytest.mark.parametrize(
    ("collection", "document"),
    [
        ("users", {"totp.encrypted_seed": SOUND}),
        ("users", {"totp": {"of.old": {"encrypted_seed": SOUND}}}),
        ("zones", {"by_zone": {"example.com": SOUND}}),
        ("zones", {"old": [{"example.com": SOUND}]}),
    ],
)
def test_x17_an_envelope_below_a_key_with_a_dot_is_in_no_catalogue(collection, document):
    listed = {"zones": ("by_zone.example.com", "old.*.example.com"), "users": ("totp.of.old.encrypted_seed",)}

    assert [known for _path, _field, known in found_in({"_id": 1, **document}, collection, listed)] == [False]


@pytest.mark.parametrize("value", ["text", 5, {"a": 1}, []])
def test_anything_at_a_catalogued_path_is_yielded_so_that_parsing_names_it(value):
    assert found_in({"_id": 1, "encrypted_api_key": value}) == [("encrypted_api_key", "encrypted_api_key", True)]


@pytest.mark.parametrize("document", [{"_id": 1}, {"_id": 1, "encrypted_api_key": None}])
def test_an_absent_or_null_field_is_no_envelope(document):
    assert found_in(document) == []


@pytest.mark.parametrize(("record_id", "text"), [("licence", "licence"), (42, "42"), (b"\x01\xff", "01ff")])
def test_record_ids_have_one_canonical_text(record_id, text):
    assert record_id_text(record_id) == text


class OwnList(list):
    """An array that is not of the plain type."""


@pytest.mark.parametrize("kind", [dict, OrderedDict, MappingProxyType])
def test_t4_an_envelope_is_found_in_any_kind_of_document_and_array(kind):
    document = kind({"_id": 1, "a": kind({"b": OwnList([0, kind({"c": kind(SOUND)})])}), "d": [[kind(SOUND)]]})

    assert [path for path, _field, _known in found_in(document)] == ["a.b.1.c", "d.0.0"]


def test_t4_an_envelope_is_found_in_a_document_that_was_not_decoded():
    raw = RawBSONDocument(encode({"_id": 1, "encrypted_api_key": SOUND, "old": [{"key": SOUND}]}))

    assert [path for path, _field, _known in found_in(raw)] == ["encrypted_api_key", "old.0.key"]


def test_values_without_anything_inside_are_passed_over():
    document = {"_id": ObjectId(), "a": "text", "b": b"bytes", "c": Binary(b"x", 5), "d": None, "e": 1.5, "f": True}

    assert found_in(document) == []


def test_a_key_with_a_dot_in_it_hides_nothing_at_the_path_it_looks_like():
    document = {"_id": 1, "totp.encrypted_seed": SOUND, "totp": {"encrypted_seed": "left in the clear"}}

    assert [found.value for found in Catalogue().envelopes("users", document)] == [SOUND, "left in the clear"]


def test_places_in_a_long_array_keep_their_own_indexes_and_share_one_field():
    founds = found_in({"_id": 1, "old": [SOUND] * 3000})

    assert [path for path, _field, _known in founds] == [f"old.{index}" for index in range(3000)]
    assert {field for _path, field, _known in founds} == {"old.*"}


def test_a_numeric_key_is_not_taken_for_an_index():
    assert found_in({"_id": 1, "old": {"0": SOUND}}) == [("old.0", "old.0", False)]
    assert found_in({"_id": 1, "old": [SOUND]}) == [("old.0", "old.*", False)]


HOLDING = [
    ("dns_credentials", {"encrypted_api_key": SOUND}),
    ("dns_credentials", {"encrypted_api_key": "left in the clear"}),
    ("dns_credentials", {"notes": {"old": [{}, {"secret": SOUND}]}}),
    ("users", {"totp": {"encrypted_seed": 5}}),
    ("users", {"totp.encrypted_seed": SOUND}),
    ("anything", {"a": {"nonce": 1, "provider": 1, "kv": 1}}),
    ("anything", {"a": {"ciphertext": 1, "kek_version": 1, "kv": 1}}),
    ("anything", {"a": [[{"wrapped_dek": 1, "kek_version": 1, "kv": 1}]]}),
]


@pytest.mark.parametrize(("collection", "document"), HOLDING)
def test_t4_whatever_holds_an_envelope_has_one_of_the_telling_names_in_its_bytes(collection, document):
    catalogue = Catalogue({"dns_credentials": ("old.*.key",)})

    assert catalogue.envelopes(collection, document)
    assert any(name.encode() + b"\0" in encode(document) for name in catalogue.telling_names(collection))


def test_x18_a_bundle_cannot_declare_a_sealed_field_away():
    catalogue = Catalogue({"dns_credentials": ("!encrypted_api_key",), "logins": ("!token", "token")})

    assert catalogue.no_envelopes == []
    assert Catalogue({name: tuple(paths) for name, paths in catalogue.as_listed().items()}).as_listed() == (
        catalogue.as_listed()
    )
