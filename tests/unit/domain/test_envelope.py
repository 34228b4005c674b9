# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as an envelope, and what parsing refuses, by code."""

from __future__ import annotations

from collections import OrderedDict
from types import MappingProxyType

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.envelope import looks_like_envelope, parse
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from bson import Binary, Int64

SOUND = {
    "wrapped_dek": b"w" * 60,
    "nonce": b"n" * 12,
    "ciphertext": b"c" * 20,
    "kek_version": 2,
    "kv": 2,
    "provider": "env",
}


def without(*keys):
    return {key: value for key, value in SOUND.items() if key not in keys}


def test_a_sound_envelope_is_parsed_with_its_version_and_provider():
    envelope = parse(SOUND, outer_version=2)

    assert (envelope.kek_version, envelope.provider, envelope.wrapped_dek) == (2, "env", b"w" * 60)


def test_an_envelope_without_the_inner_tag_is_sound_for_foreign_databases_lack_it():
    assert parse(without("kv")).kek_version == 2


@pytest.mark.parametrize("missing", ["wrapped_dek", "nonce", "ciphertext", "kek_version", "provider"])
def test_an_envelope_with_a_missing_field_is_malformed_and_names_the_field(missing):
    with pytest.raises(OpsError) as refusal:
        parse(without(missing))

    assert refusal.value.code == "envelope.malformed"
    assert missing in refusal.value.message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("wrapped_dek", 7),
        ("wrapped_dek", b""),
        ("nonce", None),
        ("ciphertext", ["x"]),
        ("kek_version", "2"),
        ("kek_version", 0),
        ("kek_version", True),
        ("kek_version", 2.0),
        ("kv", "2"),
        ("provider", 1),
    ],
)
def test_an_envelope_with_a_field_of_the_wrong_type_is_malformed(field, value):
    with pytest.raises(OpsError) as refusal:
        parse({**SOUND, field: value})

    assert refusal.value.code == "envelope.malformed"


def test_something_else_than_a_document_where_an_envelope_belongs_is_malformed():
    with pytest.raises(OpsError) as refusal:
        parse("plaintext left here")

    assert refusal.value.code == "envelope.malformed"
    assert "plaintext left here" not in refusal.value.message


@pytest.mark.parametrize(("tags", "outer"), [({"kv": 3}, 2), ({}, 3), ({"kek_version": 3}, 3)])
def test_tags_that_disagree_are_a_version_mismatch(tags, outer):
    with pytest.raises(OpsError) as refusal:
        parse({**SOUND, **tags}, outer_version=outer)

    assert refusal.value.code == "envelope.version_mismatch"


def test_a_damaged_envelope_still_looks_like_one_so_that_discovery_finds_it():
    assert looks_like_envelope(without("wrapped_dek", "nonce", "kv"))


@pytest.mark.parametrize(
    "other", [{}, {"nonce": b"x"}, {"kek_version": 1, "kv": 1, "provider": "env"}, "text", None, []]
)
def test_other_documents_do_not_look_like_envelopes(other):
    assert not looks_like_envelope(other)


def test_sealed_bytes_do_not_show_in_the_repr():
    assert "www" not in repr(parse(SOUND))


# Each way a document can come: plain ones are read on a shorter way, which must judge as the longer one does.
KINDS = [dict, OrderedDict, MappingProxyType]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("tags", "outer", "version"),
    [
        ({"kek_version": 1, "kv": True}, 1, "envelope.malformed"),
        ({"kek_version": 1, "kv": 1}, True, "envelope.malformed"),
        ({"kek_version": True, "kv": True}, True, "envelope.malformed"),
        ({"kv": 2.0}, 2, "envelope.malformed"),
        ({}, 2.0, "envelope.malformed"),
        ({"kek_version": Int64(0), "kv": Int64(0)}, Int64(0), "envelope.malformed"),
        ({"kek_version": -1, "kv": -1}, -1, "envelope.malformed"),
        ({"kek_version": Int64(2), "kv": Int64(2)}, Int64(2), 2),
        ({"kek_version": Int64(2)}, 2, 2),
        ({"kv": Int64(2)}, Int64(2), 2),
        ({"kek_version": Int64(3)}, None, "envelope.version_mismatch"),
        ({"kv": Int64(3)}, 2, "envelope.version_mismatch"),
        ({}, Int64(3), "envelope.version_mismatch"),
        ({"kv": None}, None, 2),
    ],
)
def test_t5_tags_are_judged_by_type_and_value_whatever_carries_them(kind, tags, outer, version):
    try:
        found = parse(kind({**SOUND, **tags}), outer_version=outer).kek_version
    except OpsError as refusal:
        found = refusal.code

    assert (type(found), found) == (type(version), version)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", ["wrapped_dek", "nonce", "ciphertext"])
@pytest.mark.parametrize(
    ("stored", "read"),
    [
        (Binary(b"sealed", 0), b"sealed"),
        (Binary(b"sealed", 5), b"sealed"),
        (b"sealed", b"sealed"),
        ("c2VhbGVk", "c2VhbGVk"),
    ],
)
def test_any_binary_subtype_is_read_as_plain_bytes_and_text_stays_text(kind, field, stored, read):
    found = getattr(parse(kind({**SOUND, field: stored})), field)

    assert (type(found), found) == (type(read), read)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", ["wrapped_dek", "nonce", "ciphertext"])
@pytest.mark.parametrize("stored", [b"", "", Binary(b"", 5), [], [b"x"], bytearray(b"x"), {}, 0, None])
def test_what_is_not_sealed_bytes_is_malformed_whatever_carries_it(kind, field, stored):
    with pytest.raises(OpsError) as refusal:
        parse(kind({**SOUND, field: stored}))

    assert refusal.value.code == "envelope.malformed"
    assert field in refusal.value.message


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_mapping_counts_as_an_envelope(kind):
    assert looks_like_envelope(kind(SOUND))
    assert looks_like_envelope(kind(without("nonce", "provider", "kv")))
    assert not looks_like_envelope(kind({"wrapped_dek": b"x", "nonce": b"x"}))
