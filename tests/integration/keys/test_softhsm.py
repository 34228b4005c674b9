# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove on a real SoftHSM2 that wraps hold what they should, and that keys are made and found exactly once."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.jobs import PoolOptions
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.provider import Pkcs11Provider
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.provider import (
    KeyFailure,
    UnwrapRequest,
    WrapRequest,
)
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.integration.keys.conftest import SOFTHSM, reference

AAD = bytes(range(32))


def refusal(call, *arguments, **options):
    with pytest.raises(OpsError) as refused:
        call(*arguments, **options)
    return refused.value


def test_wraps_are_opened_by_another_program(hsm, loaded):
    deks = [os.urandom(32) for _number in range(20)]

    wraps = loaded().wrap(1, [WrapRequest(dek, AAD) for dek in deks])

    found = hsm.oracle("open", label="certautopilot-kek-v1", aad=AAD.hex(), wraps=[wrap.hex() for wrap in wraps])
    assert found == [dek.hex() for dek in deks]
    assert len({wrap[:12] for wrap in wraps}) == 20


def test_wraps_of_another_program_are_opened(hsm, loaded):
    provider, dek = loaded(), os.urandom(32)

    sealed = hsm.oracle("seal", label="certautopilot-kek-v2", aad=AAD.hex(), dek=dek.hex())

    assert provider.unwrap([UnwrapRequest(2, bytes.fromhex(sealed), AAD)]) == [dek]


def test_rewrap_moves_a_batch_that_software_opens_with_the_known_key(hsm, opened):
    value, provider = os.urandom(32), opened(PoolOptions(workers=2))
    hsm.oracle("make", label="certautopilot-kek-v2", id=reference(2).key_id.hex(), value=value.hex())
    provider.generate_key(reference(1).label, reference(1).key_id)
    provider.load({1: reference(1), 2: reference(2)})
    deks = [os.urandom(32) for _number in range(1203)]
    old = provider.wrap(1, [WrapRequest(dek, dek) for dek in deks])

    new = provider.rewrap(2, [UnwrapRequest(1, wrap, dek) for wrap, dek in zip(old, deks, strict=True)])

    cipher = AESGCM(value)
    assert [cipher.decrypt(wrap[:12], wrap[12:], dek) for wrap, dek in zip(new, deks, strict=True)] == deks
    zeros = Cipher(algorithms.AES(value), modes.ECB()).encryptor().update(bytes(16))
    assert provider.check_value(2) == zeros[:3].hex()


def test_t25_each_bad_item_fails_alone_with_its_reason(loaded):
    provider, dek = loaded(), os.urandom(32)
    [good] = provider.wrap(1, [WrapRequest(dek, AAD)])
    flipped = good[:20] + bytes([good[20] ^ 1]) + good[21:]

    results = provider.rewrap(
        2,
        [
            UnwrapRequest(1, good, AAD),
            UnwrapRequest(1, flipped, AAD),
            UnwrapRequest(1, good, b"another context"),
            UnwrapRequest(2, good, AAD),
            UnwrapRequest(3, good, AAD),
            UnwrapRequest(1, good[:-1], AAD),
            UnwrapRequest(1, b"", AAD),
            UnwrapRequest(1, good, AAD),
        ],
    )

    reasons = [result.reason if isinstance(result, KeyFailure) else "fine" for result in results]
    assert reasons == ["fine", *["authentication"] * 3, "unknown_version", "malformed", "malformed", "fine"]


def test_an_empty_batch_brings_an_empty_answer(loaded):
    assert loaded().unwrap([]) == []


def test_an_empty_context_is_no_context(hsm, loaded):
    [wrap] = loaded().wrap(1, [WrapRequest(b"d" * 32, b"")])

    assert hsm.oracle("open", label="certautopilot-kek-v1", aad="", wraps=[wrap.hex()]) == [(b"d" * 32).hex()]


def test_the_probe_tells_what_was_found_by_trying_and_leaves_nothing_behind(hsm, opened):
    provider = opened()

    found = provider.probe()

    assert json.loads(json.dumps(found)) == found
    assert (found["token_label"], found["token_serial"]) == ("kek-token", hsm.serial)
    assert found["mechanisms"] == {"AES_GCM": True, "AES_KEY_GEN": True}
    assert (found["iv_mode"], found["iv_zeroed"], found["key_generation"]) == ("caller", False, True)
    assert found["rate"]["calls_per_second"] > 0
    assert hsm.oracle("keys") == []


def test_a_made_key_has_the_attributes_of_the_contract(hsm, opened):
    named = reference(1)

    described = opened().generate_key(named.label, named.key_id)

    [key] = hsm.oracle("keys")
    assert (key["label"], key["id"], key["bits"]) == (named.label, named.key_id.hex(), 256)
    told = {name: bool(key[name]) for name in ("token", "private", "sensitive", "never_extractable", "local")}
    assert all(told.values())
    assert (bool(key["encrypt"]), bool(key["decrypt"]), bool(key["wrap"]), bool(key["extractable"])) == (1, 1, 0, 0)
    assert len(described["check_value"]) == 6


@pytest.mark.parametrize("taken", ["label", "id"])
def test_t24_no_key_is_made_where_label_or_id_is_taken(hsm, opened, taken):
    named, provider = reference(1), opened()
    other = {"label": "other", "id": "ff" * 20}
    hsm.oracle("make", **{**other, taken: named.label if taken == "label" else named.key_id.hex()})

    error = refusal(provider.generate_key, named.label, named.key_id)

    assert error.code == "pkcs11.key_exists"
    assert len(hsm.oracle("keys")) == 1


@pytest.mark.parametrize("shared", ["label", "id"])
def test_t24_two_keys_under_one_label_or_id_are_refused_at_load(hsm, loaded, shared):
    named, provider = reference(1), loaded()
    twin = {"label": "twin", "id": "ee" * 20}
    hsm.oracle("make", **{**twin, shared: named.label if shared == "label" else named.key_id.hex()})

    error = refusal(provider.load, {1: named})

    assert error.code == "pkcs11.key_ambiguous"
    assert max(error.facts["pkcs11"]["by_label"], error.facts["pkcs11"]["by_id"]) == 2
    assert named.label in error.message
    assert named.key_id.hex() in error.message


def test_t23_a_replaced_key_is_the_wrong_key_with_both_check_values(hsm, loaded):
    named, provider = reference(1), loaded()
    recorded = provider.check_value(1)
    hsm.oracle("destroy", label=named.label)
    hsm.oracle("make", label=named.label, id=named.key_id.hex())

    error = refusal(loaded().load, {1: replace(named, check_value=recorded)})

    assert error.code == "pkcs11.wrong_key"
    assert "wrong key" in error.message
    assert recorded in error.message
    assert error.facts["pkcs11"]["check_value"] in error.message


def test_t23_the_right_label_over_another_id_is_the_wrong_key(hsm, opened):
    hsm.oracle("make", label=reference(1).label, id="ab" * 20)

    error = refusal(opened().load, {1: reference(1)})

    assert error.code == "pkcs11.wrong_key"
    assert (error.facts["pkcs11"]["by_label"], error.facts["pkcs11"]["by_id"]) == (1, 0)


def test_a_missing_key_is_named_with_both_counts_and_never_made(hsm, opened):
    error = refusal(opened().load, {1: reference(1)})

    assert error.code == "pkcs11.key_not_found"
    assert "0 by label, 0 by id" in error.message
    assert hsm.oracle("keys") == []


def test_a_foreign_key_without_id_is_addressed_by_its_label(hsm, opened):
    hsm.oracle("make", label="vendor-kek", id="")
    provider = opened()

    provider.load({1: replace(reference(1), label="vendor-kek", key_id=b"")})

    assert len(provider.wrap(1, [WrapRequest(b"d" * 32, AAD)])[0]) == 60


def test_a_wrong_token_label_names_the_tokens_there_are(hsm):
    error = refusal(Pkcs11Provider(hsm.settings(token_label="elsewhere")).open)

    assert error.code == "pkcs11.token_not_found"
    assert "elsewhere" in error.message
    assert hsm.serial in error.message
    assert error.facts["pkcs11"]["library"]


def test_two_tokens_with_one_label_need_the_serial(hsm, opened):
    hsm.oracle("init")

    error = refusal(Pkcs11Provider(hsm.settings()).open)
    chosen = opened(token_serial=hsm.serial).probe()

    assert error.code == "pkcs11.token_ambiguous"
    assert hsm.serial in error.message
    assert chosen["token_serial"] == hsm.serial


def test_a_missing_module_is_named(hsm):
    error = refusal(Pkcs11Provider(hsm.settings(module_path="/nowhere/libhsm.so")).open)

    assert (error.code, "/nowhere/libhsm.so" in error.message) == ("pkcs11.module_not_found", True)


def test_a_file_that_is_no_pkcs11_module_is_named(hsm, tmp_path):
    (tmp_path / "libhsm.so").write_text("not a library")

    error = refusal(Pkcs11Provider(hsm.settings(module_path=str(tmp_path / "libhsm.so"))).open)

    assert error.code == "pkcs11.module_load_failed"


@pytest.mark.parametrize("pin", [None, ""])
def test_without_a_pin_nothing_is_started(hsm, pin):
    provider = Pkcs11Provider(hsm.settings(pin=pin))

    assert refusal(provider.open).code == "pkcs11.pin_missing"
    assert provider.worker_pids == ()


def test_before_open_nothing_is_loaded_and_use_is_refused(hsm):
    provider = Pkcs11Provider(hsm.settings())

    error = refusal(provider.unwrap, [UnwrapRequest(1, b"x" * 60, AAD)])

    assert error.code == "pkcs11.not_open"
    assert Path(SOFTHSM).name not in Path("/proc/self/maps").read_text()


def test_a_version_that_is_not_loaded_is_refused(loaded):
    assert refusal(loaded().wrap, 7, [WrapRequest(b"d" * 32, AAD)]).code == "provider.version_not_loaded"


def test_closing_twice_is_harmless(loaded):
    provider = loaded()
    pids = provider.worker_pids

    provider.close()
    provider.close()

    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
