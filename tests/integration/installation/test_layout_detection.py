# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The remembered layout: no decryption fails on a healthy installation, and a note that is wrong is found out.

The envelopes are those of tests/vectors, made without our code; a provider that counts its failures is the witness.
"""

from __future__ import annotations

import json
import os
from base64 import b64encode
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.catalogue import Found
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.envelope import parse
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._installation.layout_detection import (
    detect_layout,
    remembered_layout,
)
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.env import EnvProvider
from ansible_collections.certautopilot.ops.plugins.module_utils._store.connection import open_store
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from tests.support.sealed import credential, envelope

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "envelopes.json").read_text())
TAGS = {"kek_version": 1, "provider": "env"}
OURS, OTHER = "binary/iv-first/aad-record-field", "base64/iv-shared/aad-none"


class Counting(EnvProvider):
    """An env provider that counts the decryptions it was asked for and those that failed."""

    asked = failed = 0

    def unwrap(self, requests, *, trial=False):
        outcomes = super().unwrap(requests, trial=trial)
        self.asked += len(outcomes)
        self.failed += sum(not isinstance(outcome, bytes) for outcome in outcomes)
        return outcomes


def sample_of(name):
    """Return (a provider with the KEK, sampled envelopes) of one layout's vectors."""
    vectors = [vector for vector in VECTORS if vector["layout"] == name]
    items = []
    for vector in vectors:
        sealed = {part: vector[part] for part in ("wrapped_dek", "nonce", "ciphertext")}
        if vector["encoding"] == "binary":
            sealed = {part: bytes.fromhex(text) for part, text in sealed.items()}
        parsed = parse({**sealed, "kek_version": vector["kek_version"], "provider": "env"})
        items.append((Found("c", vector["record_id"], tuple(vector["field"].split(".")), {}), parsed))
    return Counting({vector["kek_version"]: bytes.fromhex(vector["kek"]) for vector in vectors}), items


@pytest.fixture
def store(new_site):
    site = new_site()
    with open_store(Secret(site.uri), site.name) as opened:
        yield opened


def noted(store):
    document = store.collection("kek_layout").find_one()
    return None if document is None else document["name"]


def test_our_own_layout_is_found_without_one_failing_decryption(store):
    provider, items = sample_of(OURS)

    assert detect_layout(provider, items).name == OURS
    assert (provider.asked, provider.failed) == (len(items), 0)


def test_another_layout_is_searched_once_and_remembered_from_then_on(store):
    provider, items = sample_of(OTHER)
    first = remembered_layout(store, provider, items, warn=pytest.fail)
    searching = provider.failed
    provider.asked = provider.failed = 0

    again = remembered_layout(store, provider, items, warn=pytest.fail)

    assert (first.name, again.name, noted(store)) == (OTHER, OTHER, OTHER)
    assert searching > 0
    assert (provider.asked, provider.failed) == (len(items), 0)


@pytest.mark.parametrize("wrong", [OURS, "layout/of-a-later/release"])
def test_a_note_under_which_the_envelopes_do_not_open_is_named_and_replaced(store, wrong):
    provider, items = sample_of(OTHER)
    store.collection("kek_layout").insert_one({"_id": "layout", "name": wrong})
    warnings = []

    found = remembered_layout(store, provider, items, warn=warnings.append)

    assert (found.name, noted(store)) == (OTHER, OTHER)
    assert len(warnings) == 1
    assert wrong in warnings[0]
    assert OTHER in warnings[0]


def test_one_damaged_envelope_in_the_sample_does_not_unseat_the_note(store):
    provider, items = sample_of(OURS)
    _other, strangers = sample_of(OURS)
    found, moved = strangers[0]
    damaged = (Found("c", "another record", found.steps, {}), moved)
    store.collection("kek_layout").insert_one({"_id": "layout", "name": OURS})

    assert remembered_layout(store, provider, [damaged, *items], warn=pytest.fail).name == OURS


def test_envelopes_of_two_layouts_are_refused_and_nothing_is_noted(store):
    kek, dek, nonce = os.urandom(32), os.urandom(32), os.urandom(12)
    texts = (AESGCM(kek).encrypt(nonce, dek, None), nonce, AESGCM(dek).encrypt(nonce, b"x", None))
    stranger = dict(zip(("wrapped_dek", "nonce", "ciphertext"), (b64encode(t).decode() for t in texts), strict=True))
    provider, strangers = Counting({1: kek}), [(Found("c", 2, ("f",), {}), parse({**stranger, **TAGS}))]
    items = [(Found("c", 1, ("f",), {}), parse(envelope(kek, 1, "f", b"x")))]
    assert detect_layout(provider, items).name == OURS
    assert detect_layout(provider, strangers).name == OTHER

    with pytest.raises(OpsError) as refusal:
        remembered_layout(store, provider, [*items, *strangers], warn=pytest.fail)

    assert refusal.value.code == "layout.undetected"
    assert noted(store) is None


def test_without_envelopes_the_note_is_believed_and_none_is_made(store):
    provider, _items = sample_of(OURS)
    ours = remembered_layout(store, provider, [], warn=pytest.fail)
    unnoted = noted(store)
    store.collection("kek_layout").insert_one({"_id": "layout", "name": OTHER})

    assert (ours.name, unnoted) == (OURS, None)
    assert remembered_layout(store, provider, [], warn=pytest.fail).name == OTHER


def test_a_user_who_may_only_read_detects_anew_without_failing(store, monkeypatch):
    provider, items = sample_of(OTHER)

    def unauthorised(*_arguments, **_named):
        raise OperationFailure("not authorized", 13)

    monkeypatch.setattr(Collection, "update_one", unauthorised)

    assert remembered_layout(store, provider, items, warn=pytest.fail).name == OTHER
    assert noted(store) is None


def test_a_verb_that_only_reads_notes_nothing(store):
    provider, items = sample_of(OURS)

    remembered_layout(store, provider, items, warn=pytest.fail, note=False)

    assert noted(store) is None


def test_a_removal_notes_the_layout_that_it_opened_everything_under(env_site):
    env_site.add_kek(2)
    env_site.write()
    env_site.call("kek_rotate", to_version=2)
    env_site.db.drop_collection("kek_layout")
    env_site.db.dns_credentials.insert_one(credential(env_site.keks[2], b"x", version=2))

    env_site.call("kek_remove", version=1, grace=0)

    assert env_site.db.kek_layout.find_one()["name"] == OURS
