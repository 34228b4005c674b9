# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The oracle can say no: each fault that a migration could make is planted, and each must be found."""

from __future__ import annotations

import copy
import hashlib
import json
import types
from pathlib import Path

import pytest
from bson import Decimal128, Int64, ObjectId
from cryptography.exceptions import InvalidTag

from tests.support.oracle import Side, compare
from tests.support.sealed import envelope
from tests.support.service.keks import HexKek

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "vectors" / "envelopes.json").read_text())
OURS = [vector for vector in VECTORS if vector["layout"] == "binary/iv-first/aad-record-field"]
SOURCE_KEK, DESTINATION_KEK = b"s" * 32, b"d" * 32
RECORD = ObjectId("65f0c0ffee0000000000beef")


class Collection(list):
    def find(self):
        return iter(self)


class Database(dict):
    def list_collection_names(self):
        return list(self)

    def __missing__(self, name):
        return Collection()


def side(kek, records, *, version=1):
    made = Side.__new__(Side)
    made.config = types.SimpleNamespace(provider="env")
    made.db = Database({name: Collection(documents) for name, documents in records.items()})
    made._keks = {version: HexKek(kek)}
    return made


def records(kek, version):
    """Return three records in two collections, two of them with secrets, as one KEK version seals them."""
    seed = envelope(kek, "anna", "totp.encrypted_seed", b"seed", version=version)
    return {
        "dns_credentials": [
            {"_id": RECORD, "encrypted_api_key": envelope(kek, RECORD, "encrypted_api_key", b"key", version=version),
             "kek_version": version, "ttl": Int64(300)},
        ],
        "users": [{"_id": "anna", "totp": {"encrypted_seed": seed, "enabled": True}, "kek_version": version}],
        "zones": [{"_id": 7, "cost": Decimal128("1.10"), "aliases": ["a", None]}],
        "kek_install": [{"_id": "kek_install", "provider": str(version)}],
    }  # fmt: skip


@pytest.fixture
def source():
    return side(SOURCE_KEK, records(SOURCE_KEK, 1))


@pytest.fixture
def migrated():
    return records(DESTINATION_KEK, 3)


def verdict(source, migrated):
    return compare(source, side(DESTINATION_KEK, migrated, version=3))


def test_a_faithful_migration_holds_and_everything_was_opened(source, migrated):
    report = verdict(source, migrated)

    assert report.holds
    assert (report.records, report.equal, report.envelopes, report.opened) == (3, 3, 2, 2)


def lose(made):
    del made["users"][0]


def lose_a_collection(made):
    del made["zones"]


def add(made):
    made["zones"].append({"_id": 8})


def change_a_type(made):
    made["dns_credentials"][0]["ttl"] = 300


def change_a_clear_field(made):
    made["users"][0]["totp"]["enabled"] = False


def change_an_id(made):
    made["zones"][0]["_id"] = Int64(7)


def change_a_secret(made):
    sealed = envelope(DESTINATION_KEK, RECORD, "encrypted_api_key", b"other", version=3)
    made["dns_credentials"][0]["encrypted_api_key"] = sealed


def break_a_ciphertext(made):
    sealed = made["dns_credentials"][0]["encrypted_api_key"]
    sealed["ciphertext"] = sealed["ciphertext"][:-1] + bytes([sealed["ciphertext"][-1] ^ 1])


def seal_for_another_record(made):
    made["dns_credentials"][0]["encrypted_api_key"] = envelope(
        DESTINATION_KEK, "anna", "encrypted_api_key", b"key", version=3
    )


def leave_the_other_provider_in_the_tag(made):
    made["users"][0]["totp"]["encrypted_seed"]["provider"] = "pkcs11"


def leave_the_old_inner_version(made):
    made["users"][0]["totp"]["encrypted_seed"]["kv"] = 1


@pytest.mark.parametrize(
    ("fault", "list_name", "place"),
    [
        (lose, "lost", "users/anna"),
        (lose_a_collection, "lost", "zones/7"),
        (add, "extra", "zones/8"),
        (change_a_type, "different", f"dns_credentials/{RECORD}"),
        (change_a_clear_field, "different", "users/anna"),
        (change_an_id, "lost", "zones/7"),
        (change_a_secret, "different", f"dns_credentials/{RECORD}"),
        (break_a_ciphertext, "different", f"dns_credentials/{RECORD}"),
        (seal_for_another_record, "different", f"dns_credentials/{RECORD}"),
        (leave_the_other_provider_in_the_tag, "different", "users/anna"),
        (leave_the_old_inner_version, "different", "users/anna"),
    ],
)
def test_each_planted_fault_is_named_and_nothing_else(source, migrated, fault, list_name, place):
    fault(migrated)

    report = verdict(source, migrated)

    assert not report.holds
    assert getattr(report, list_name) == [place]


def test_a_record_whose_own_version_is_not_its_envelopes_is_named(source, migrated):
    migrated["users"][0]["kek_version"] = 1

    report = verdict(source, migrated)

    assert not report.holds
    assert report.mistagged == ["users/anna.totp.encrypted_seed"]


def test_sealed_bytes_that_were_only_copied_are_named(source):
    copied = copy.deepcopy(source.db)

    report = compare(source, side(SOURCE_KEK, copied))

    assert not report.holds
    assert len(report.reused) == 2


def test_a_data_key_that_was_only_wrapped_again_is_named(source, migrated):
    old = source.db["dns_credentials"][0]["encrypted_api_key"]
    context = hashlib.sha256(f"{RECORD}encrypted_api_key".encode()).digest()
    dek = HexKek(SOURCE_KEK).unwrap(old["wrapped_dek"], context)
    sealed = migrated["dns_credentials"][0]["encrypted_api_key"]
    sealed.update(
        nonce=old["nonce"], ciphertext=old["ciphertext"], wrapped_dek=HexKek(DESTINATION_KEK).wrap(dek, context)
    )

    assert verdict(source, migrated).reused == [f"dns_credentials/{RECORD}.encrypted_api_key"]


@pytest.mark.parametrize("vector", OURS, ids=lambda vector: vector["name"])
def test_the_oracle_opens_the_known_answers_and_refuses_them_under_another_id_or_field(vector):
    sealed = {name: bytes.fromhex(vector[name]) for name in ("wrapped_dek", "nonce", "ciphertext")}
    sealed |= {"kek_version": vector["kek_version"], "kv": vector["kek_version"], "provider": "env"}
    opener = side(bytes.fromhex(vector["kek"]), {}, version=vector["kek_version"])

    assert opener.open(vector["record_id"], vector["field"], sealed) == bytes.fromhex(vector["plaintext"])
    for record_id, field in ((vector["record_id"] + "0", vector["field"]), (vector["record_id"], "x")):
        with pytest.raises(InvalidTag):
            opener.open(record_id, field, sealed)
