# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of the token: counted by label and by id, made once, described, and turned into handles exactly once.

A search that does not match exactly one key is a refusal with both counts: a token may hold two keys under one label
without a word, and after a lost login it shows none.
"""

from __future__ import annotations

from collections.abc import Mapping

from .base import Refusal, is_transient, pkcs11
from .binding import Key, Session
from .ckr import ckr
from .session import HsmSession

_KEY_BYTES = 32  # AES-256
_READ_AS = {
    "TOKEN": "token",
    "PRIVATE": "private",
    "SENSITIVE": "sensitive",
    "ALWAYS_SENSITIVE": "always_sensitive",
    "EXTRACTABLE": "extractable",
    "NEVER_EXTRACTABLE": "never_extractable",
    "LOCAL": "local",
    "ENCRYPT": "encrypt",
    "DECRYPT": "decrypt",
    "WRAP": "wrap",
    "UNWRAP": "unwrap",
    "SIGN": "sign",
    "DERIVE": "derive",
    "MODIFIABLE": "modifiable",
}
# What a KEK must not lack. None (the token does not tell) is let pass: the round trip of the canary decides.
_REQUIRED = {"token": True, "private": True, "sensitive": True, "extractable": False, "encrypt": True, "decrypt": True}


def count(hsm: HsmSession, label: str, key_id: bytes) -> tuple[int, int]:
    """Return (secret keys with this label, secret keys with this id)."""
    return len(_with_label(hsm, label)), len(_with_id(hsm, key_id))


def generate(hsm: HsmSession, label: str, key_id: bytes) -> dict[str, object]:
    """Make the AES-256 key inside the token and return its description.

    Raises pkcs11.key_exists, pkcs11.key_generation_refused, and what `find_one` raises for the fresh key.
    """
    # INVARIANT: counted before, and by both names: one token silently replaces a key when its id is made again.
    found = count(hsm, label, key_id)
    if found != (0, 0):
        raise Refusal("pkcs11.key_exists", f"{_wanted(label, key_id)} is not free: {_counts(*found)}, expected 0 and 0")
    try:
        _generate(hsm.session, label=label, key_id=key_id, store=True)
    except Exception as error:
        if is_transient(error):
            raise
        raise Refusal(
            "pkcs11.key_generation_refused", f"the token refuses to make {_wanted(label, key_id)} ({ckr(error)})"
        ) from None
    described = describe_one(hsm, label, key_id)
    wrong = [f"{name}={described[name]}" for name, value in _REQUIRED.items() if described[name] is (not value)]
    if wrong:
        raise Refusal(
            "pkcs11.key_generation_refused",
            f"the token made {_wanted(label, key_id)} with other attributes than asked: {', '.join(wrong)}",
        )
    return described


def destroy(hsm: HsmSession, label: str, key_id: bytes, check_value: str | None) -> None:
    """Destroy the one key that has both names and shows this check value, where one is given.

    Raises what `find_one` raises, wrong_key.
    """
    described = describe_one(hsm, label, key_id)
    if check_value is not None and described["check_value"] != check_value:
        raise Refusal(
            "pkcs11.wrong_key",
            f"{_wanted(label, key_id)} shows check value {described['check_value']}, expected {check_value}",
        )
    find_one(hsm, label, key_id).destroy()


def generate_ephemeral(session: Session) -> Key:
    """Return an AES-256 key that dies with the session: for the probe, never for data."""
    return _generate(session, label="certautopilot-probe", key_id=b"", store=False)


def _generate(session: Session, *, label: str, key_id: bytes, store: bool) -> Key:
    attribute, flag = pkcs11.Attribute, pkcs11.MechanismFlag
    return session.generate_key(
        pkcs11.KeyType.AES,
        _KEY_BYTES * 8,
        id=key_id or None,
        label=label,
        store=store,
        capabilities=flag.ENCRYPT | flag.DECRYPT,
        mechanism=pkcs11.Mechanism.AES_KEY_GEN,
        template={attribute.PRIVATE: True, attribute.SENSITIVE: True, attribute.EXTRACTABLE: False},
    )


def find_one(hsm: HsmSession, label: str, key_id: bytes) -> Key:
    """Return the one key that has both names. Raises pkcs11.key_not_found, key_ambiguous, wrong_key, with counts."""
    labelled = _with_label(hsm, label)
    identified = _with_id(hsm, key_id) if key_id else labelled
    counts = (len(labelled), len(identified))
    facts = {"label": label, "id": key_id.hex(), "by_label": counts[0], "by_id": counts[1]}
    wanted = _wanted(label, key_id)
    if counts == (0, 0):
        raise Refusal("pkcs11.key_not_found", f"the token does not hold {wanted}: {_counts(*counts)}", **facts)
    if max(counts) > 1:
        raise Refusal("pkcs11.key_ambiguous", f"{wanted} must exist once: {_counts(*counts)}", **facts)
    if 0 in counts or labelled[0].handle != identified[0].handle:
        # SAFE BECAUSE the right label over another id is how a second token, or a second installation, looks.
        raise Refusal(
            "pkcs11.wrong_key", f"wrong key: label and id do not name one, wanted {wanted}: {_counts(*counts)}", **facts
        )
    return labelled[0]


def describe_one(hsm: HsmSession, label: str, key_id: bytes) -> dict[str, object]:
    """Return `describe` of `find_one`."""
    return describe(find_one(hsm, label, key_id))


def describe(key: Key) -> dict[str, object]:
    """Return label, id (hex), bits, check_value (hex or None) and the flags; None for what the token does not tell."""
    described: dict[str, object] = {ours: _boolean(_read(key, name)) for name, ours in _READ_AS.items()}
    label, key_id, length = _read(key, "LABEL"), _read(key, "ID"), _read(key, "VALUE_LEN")
    described["label"] = label if isinstance(label, str) else None
    described["id"] = key_id.hex() if isinstance(key_id, bytes) else None
    described["bits"] = length * 8 if isinstance(length, int) else None
    described["key_type"] = str(getattr(_read(key, "KEY_TYPE"), "name", "")) or None
    described["check_value"] = check_value(key)
    return described


def check_value(key: Key) -> str | None:
    """Return CKA_CHECK_VALUE as 6 hex characters, None where the token has none or an empty one.

    WHY it is not computed where it is missing: the whole block AES(0) is GHASH's secret key, it stays in the HSM.
    """
    value = _read(key, "CHECK_VALUE")
    return value[:3].hex() if isinstance(value, bytes) and len(value) >= 3 else None


def _read(key: Key, name: str) -> object:
    """Return an attribute, or None: tokens answer with CKR codes, the binding with ValueError and others."""
    try:
        return key[getattr(pkcs11.Attribute, name)]
    except Exception as error:
        if is_transient(error):
            raise
        return None


def _boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _with_label(hsm: HsmSession, label: str) -> list[Key]:
    return _search(hsm, {pkcs11.Attribute.LABEL: label})


def _with_id(hsm: HsmSession, key_id: bytes) -> list[Key]:
    return _search(hsm, {pkcs11.Attribute.ID: key_id}) if key_id else []


def _search(hsm: HsmSession, names: Mapping[object, object]) -> list[Key]:
    if not hsm.logged_in():
        hsm.reopen()  # WHY: without login private keys are invisible, and "none" would be a lie
    template = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY, **names}
    return list(hsm.session.get_objects(template))


def _wanted(label: str, key_id: bytes) -> str:
    return f'key "{label}"' + (f" with id {key_id.hex()}" if key_id else "")


def _counts(by_label: int, by_id: int) -> str:
    return f"{by_label} by label, {by_id} by id"
