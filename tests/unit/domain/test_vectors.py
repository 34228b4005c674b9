# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Known-answer vectors, made without our code (tests/vectors/generate.py), opened by ours in every layout."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.catalogue import Found
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.envelope import parse
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.envelope_layout import LAYOUTS, by_name
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._installation.layout_detection import detect_layout
from ansible_collections.certautopilot.ops.plugins.module_utils._installation.sealing import Failure, Plain, Sealing
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.env import EnvProvider

FOLDER = Path(__file__).resolve().parents[2] / "vectors"
VECTORS = json.loads((FOLDER / "envelopes.json").read_text())
BY_LAYOUT = {name: list(group) for name, group in groupby(VECTORS, key=lambda vector: vector["layout"])}


def item(vector):
    def stored(name):
        return bytes.fromhex(vector[name]) if vector["encoding"] == "binary" else vector[name]

    sealed = {name: stored(name) for name in ("wrapped_dek", "nonce", "ciphertext")}
    envelope = parse({**sealed, "kek_version": vector["kek_version"], "provider": "env"})
    return Found("c", vector["record_id"], tuple(vector["field"].split(".")), {}), envelope


def provider_of(vector):
    return EnvProvider({vector["kek_version"]: bytes.fromhex(vector["kek"])})


def test_there_are_vectors_for_every_layout():
    assert sorted(BY_LAYOUT) == sorted(layout.name for layout in LAYOUTS)


@pytest.mark.parametrize("name", BY_LAYOUT)
def test_every_vector_of_a_layout_opens_to_its_plaintext(name):
    vectors = BY_LAYOUT[name]
    sealing = Sealing(provider_of(vectors[0]), by_name(name))

    opened = sealing.open_all([item(vector) for vector in vectors])

    assert opened == [bytes.fromhex(vector["plaintext"]) for vector in vectors]


@pytest.mark.parametrize("name", BY_LAYOUT)
def test_a_layout_is_detected_from_its_envelopes(name):
    vectors = BY_LAYOUT[name]

    assert detect_layout(provider_of(vectors[0]), [item(vector) for vector in vectors]).name == name


@pytest.mark.parametrize("name", BY_LAYOUT)
def test_a_fresh_seal_in_a_layout_opens_in_it_and_is_detected(name):
    provider = EnvProvider({5: b"5" * 32})
    sealing = Sealing(provider, by_name(name))
    (sealed,) = sealing.seal_all(5, [Plain("id", "field", b"payload")])
    stored = {"wrapped_dek": sealed.wrapped_dek, "nonce": sealed.nonce, "ciphertext": sealed.ciphertext}
    fresh = (Found("c", "id", ("field",), {}), parse({**stored, "kek_version": 5, "provider": "env"}))

    assert sealing.open_all([fresh]) == [b"payload"]
    assert detect_layout(provider, [fresh]).name == name


@pytest.mark.parametrize("name", [name for name in BY_LAYOUT if name.endswith("record-field")])
def test_t2_another_record_or_field_does_not_open(name):
    found, envelope = item(BY_LAYOUT[name][5])
    sealing = Sealing(provider_of(BY_LAYOUT[name][5]), by_name(name))
    others = [Found("c", "another", found.steps, {}), Found("c", found.record_id, ("another",), {})]

    outcomes = sealing.open_all([(other, envelope) for other in others])

    assert [outcome.code for outcome in outcomes if isinstance(outcome, Failure)] == ["envelope.unauthentic"] * 2


def test_another_kek_detects_no_layout():
    items = [item(vector) for vector in BY_LAYOUT["binary/iv-first/aad-record-field"]]

    with pytest.raises(OpsError) as refusal:
        detect_layout(EnvProvider({1: b"other key of 32 bytes, not theirs"[:32]}), items)

    assert refusal.value.code == "layout.undetected"


def test_the_file_is_what_its_generator_makes():
    made = subprocess.run([sys.executable, FOLDER / "generate.py"], capture_output=True, text=True, check=True).stdout

    assert made == (FOLDER / "envelopes.json").read_text()
