# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts: stored forms and back, contexts, and the choice among candidates."""

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import envelope_layout
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.envelope import Envelope
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

WRAP = bytes(range(60))


def stored(chosen, wrap=WRAP):
    return Envelope(chosen.stored_wrap(wrap), chosen.encode(wrap[:12]), chosen.encode(b"c" * 17), 1, "env")


@pytest.mark.parametrize("chosen", envelope_layout.LAYOUTS, ids=lambda known: known.name)
def test_every_layout_gives_back_the_wrap_it_stored(chosen):
    assert chosen.wrapped(stored(chosen)) == WRAP


@pytest.mark.parametrize("chosen", envelope_layout.LAYOUTS, ids=lambda known: known.name)
def test_a_layout_is_found_by_its_name(chosen):
    assert envelope_layout.by_name(chosen.name) is chosen


def test_an_unknown_layout_is_refused():
    with pytest.raises(OpsError) as refusal:
        envelope_layout.by_name("rot13/iv-none/aad-none")

    assert refusal.value.code == "layout.unknown"


def test_the_context_is_the_digest_of_record_id_and_field_path():
    expected = hashlib.sha256(b"65f0c0ffee0000000000beefencrypted_key").digest()

    assert envelope_layout.DEFAULT.payload_aad("65f0c0ffee0000000000beef", "encrypted_key") == expected
    assert envelope_layout.DEFAULT.wrap_aad("65f0c0ffee0000000000beef", "encrypted_key") == expected


def test_t2_no_context_depends_on_the_kek_version():
    for chosen in envelope_layout.LAYOUTS:
        assert chosen.payload_aad("id", "field") == envelope_layout.by_name(chosen.name).payload_aad("id", "field")
        assert chosen.wrap_aad("id", "field") in (b"", envelope_layout.context_digest("id", "field"))


@pytest.mark.parametrize("wrapped", [b"", b"x" * 59, b"x" * 61, "zz", "AAAA", "not base64!", "abc"], ids=repr)
def test_a_wrap_of_another_length_or_encoding_fits_no_layout(wrapped):
    envelope = Envelope(wrapped or b"\0", b"n" * 12, b"c" * 20, 1, "env")

    assert envelope_layout.candidates(envelope) == ()


def test_a_wrap_without_its_iv_is_read_with_the_payloads_nonce():
    envelope = Envelope(b"d" * 48, b"n" * 12, b"c" * 20, 1, "env")

    assert {found.iv for found in envelope_layout.candidates(envelope)} == {"shared"}
    assert envelope_layout.candidates(envelope)[0].wrapped(envelope) == b"n" * 12 + b"d" * 48
