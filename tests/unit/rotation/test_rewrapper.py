# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One batch prepared and written: a document moves whole or not at all, and what is counted is what moved."""

from __future__ import annotations

import gc
import weakref

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import envelope_layout
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.catalogue import Catalogue
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.rotation import Plan
from ansible_collections.certautopilot.ops.plugins.module_utils._installation.sealing import Sealing
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.env import EnvProvider
from ansible_collections.certautopilot.ops.plugins.module_utils._rotation.batch import Resealer, Rewrapper
from ansible_collections.certautopilot.ops.plugins.module_utils._rotation.pipeline import rare_collections

from tests.support.sealed import credential, envelope, plaintext_of

KEKS = {1: bytes(32), 2: bytes(range(32))}
FIELD, COLLECTION = "encrypted_api_key", "dns_credentials"
PLAN = Plan(2, (1,), compromised=False, active=1, envelopes={}, catalogue="")


class Unwritten:
    """A store that nobody may ask."""


def rewrapper(kind=Rewrapper):
    sealing = Sealing(EnvProvider(KEKS), envelope_layout.DEFAULT)
    return kind(Unwritten(), sealing, Catalogue({COLLECTION: ("spare",)}), PLAN)


def with_spare(**parts):
    document = credential(KEKS[1], b"first")
    return {**document, "spare": {**envelope(KEKS[1], document["_id"], "spare", b"second"), **parts}}


def altered(sealed):
    return sealed[:-1] + bytes([sealed[-1] ^ 1])


@pytest.mark.parametrize("kind", [Rewrapper, Resealer])
def test_every_envelope_of_a_document_moves_in_one_update_and_holds_what_it_held(kind):
    document, spent = with_spare(), []

    prepared = rewrapper(kind).prepare(COLLECTION, [document], spend=spent.append)

    [(expected, assign)] = prepared.updates
    assert (expected["_id"], expected["kek_version"], assign["kek_version"]) == (document["_id"], 1, 2)
    for field, payload in ((FIELD, b"first"), ("spare", b"second")):
        sealed = {key: assign.get(f"{field}.{key}", value) for key, value in document[field].items()}
        assert plaintext_of(KEKS[2], document["_id"], field, sealed) == payload
    assert (prepared.envelopes, prepared.moving, prepared.tally.failures, sum(spent)) == (2, 2, [], 2)


@pytest.mark.parametrize("kind", [Rewrapper, Resealer])
@pytest.mark.parametrize(
    ("spoilt", "code"),
    [
        (lambda spare: {"wrapped_dek": altered(spare["wrapped_dek"])}, "envelope.unauthentic"),
        (lambda spare: {"kek_version": 7, "kv": 7}, "envelope.version_mismatch"),
        (lambda spare: {"nonce": None}, "envelope.malformed"),
        (lambda spare: {"wrapped_dek": spare["wrapped_dek"][:40]}, "envelope.malformed"),
        (lambda spare: {"provider": "pkcs11"}, "envelope.foreign_provider"),
    ],
)
def test_a_document_with_one_envelope_that_cannot_move_stays_whole_and_the_others_move(kind, spoilt, code):
    whole, broken = [credential(KEKS[1], b"x") for _number in range(2)], with_spare()
    broken["spare"].update(spoilt(broken["spare"]))

    prepared = rewrapper(kind).prepare(COLLECTION, [whole[0], broken, whole[1]])

    assert [expected["_id"] for expected, _assign in prepared.updates] == [one["_id"] for one in whole]
    assert prepared.moving == 2
    assert [(failure.place, failure.code) for failure in prepared.tally.failures] == [
        (f"{COLLECTION}/{broken['_id']}.spare", code)
    ]


def test_an_envelope_that_is_at_the_target_already_is_left_as_it_is():
    document = with_spare()
    document["spare"] = envelope(KEKS[2], document["_id"], "spare", b"moved", version=2)
    del document["kek_version"]

    [(expected, assign)] = rewrapper().prepare(COLLECTION, [document]).updates

    assert {key.split(".")[0] for key in (*expected, *assign)} == {"_id", FIELD}


def test_documents_are_forgotten_before_they_are_written():
    class Watched(dict):
        """A document that can be watched."""

    documents = [Watched(credential(KEKS[1], b"x"))]
    watched = weakref.ref(documents[0])

    prepared = rewrapper().prepare(COLLECTION, documents)
    documents.clear()

    assert len(prepared.updates) == 1
    assert watched() is None


def ended_by_an_error():
    with rare_collections():
        raise ValueError(gc.get_threshold()[0])


def test_the_collector_looks_as_before_after_a_stream_whatever_ends_it():
    before = gc.get_threshold()

    with pytest.raises(ValueError, match=r"^\d+$") as ended:
        ended_by_an_error()

    assert int(str(ended.value)) > before[0]
    assert gc.get_threshold() == before
