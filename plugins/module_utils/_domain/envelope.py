# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The envelope: one sealed field of one record, read strictly from whatever the database holds.

A sub-document `{wrapped_dek, nonce, ciphertext, kek_version, kv, provider}`; see product documentation "Encryption
overview" and ADR-0002. Nothing here decrypts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Union

from .errors import OpsError
from .values import BsonValue

KEYS = ("wrapped_dek", "nonce", "ciphertext", "kek_version", "kv", "provider")
REQUIRED = ("wrapped_dek", "nonce", "ciphertext", "kek_version", "provider")
SEALED = ("wrapped_dek", "nonce", "ciphertext")
_STORED_TYPES = frozenset({bytes, str})
SHAPE_THRESHOLD = 3  # keys of an envelope that make a sub-document count as one, so that a damaged one is still found


# WHY not frozen: there is one for each envelope read, and freezing doubles the time of parsing. Nobody assigns to it.
@dataclass(slots=True)
class Envelope:
    """Sealed bytes as they are stored (bytes, or text in some layouts), with their version and provider."""

    wrapped_dek: bytes | str = field(repr=False)
    nonce: bytes | str = field(repr=False)
    ciphertext: bytes | str = field(repr=False)
    kek_version: int
    provider: str


Sealed = Union[bytes, str]  # noqa: UP007 - Ansible's pylint knows no `|` outside of annotations
Parts = tuple[Sealed, Sealed, Sealed, int, str]
"""The fields of an `Envelope`, in its order."""


def looks_like_envelope(value: object) -> bool:
    """True for a mapping with at least three of an envelope's keys, one of them sealed bytes: damaged ones count."""
    return isinstance(value, Mapping) and has_envelope_keys(value)


def has_envelope_keys(value: Mapping[str, BsonValue]) -> bool:
    """As `looks_like_envelope`, for what is known to be a mapping."""
    if "wrapped_dek" in value and "nonce" in value and "ciphertext" in value:
        return True
    return sum(key in value for key in KEYS) >= SHAPE_THRESHOLD and any(key in value for key in SEALED)


def parse(value: BsonValue, outer_version: BsonValue = None) -> Envelope:
    """Return the envelope in `value`.

    outer_version: the carrier document's `kek_version`, None where the document has none. Raises OpsError
    envelope.malformed (a field is missing or of a wrong type) or envelope.version_mismatch (the tags disagree).
    """
    # WHY twice: nearly every envelope is of plain types and sound, and `_parse_any`, which names what is wrong with any
    # other, takes three times as long.
    parts = sound_parts(value, outer_version) if value.__class__ is dict else None
    return _parse_any(value, outer_version) if parts is None else Envelope(*parts)


def sound_parts(value: dict[str, BsonValue], outer_version: BsonValue) -> Parts | None:
    """Return the parts of a sound envelope of plain types; None says nothing but that `parse` has to look closer."""
    try:
        wrapped_dek, nonce, ciphertext = value["wrapped_dek"], value["nonce"], value["ciphertext"]
        version, provider, kv = value["kek_version"], value["provider"], value.get("kv")
    except KeyError:
        return None
    kind = version.__class__
    if (
        (wrapped_dek and nonce and ciphertext)
        and wrapped_dek.__class__ is nonce.__class__ is ciphertext.__class__
        and nonce.__class__ in _STORED_TYPES
        and (kind is int or (isinstance(version, int) and kind is not bool))
        and version >= 1
        # SAFE BECAUSE equal numbers of one type are the same; True and 2.0 equal whole numbers without being one.
        and (kv is None or (kv.__class__ is kind and kv == version))
        and (outer_version is None or (outer_version.__class__ is kind and outer_version == version))
        and provider.__class__ is str
    ):
        return wrapped_dek, nonce, ciphertext, version if kind is int else int(version), provider
    return None


def _parse_any(value: BsonValue, outer_version: BsonValue) -> Envelope:
    if not isinstance(value, Mapping):
        raise _malformed(f"a {type(value).__name__} where an envelope must be")
    missing = [key for key in REQUIRED if key not in value]
    if missing:
        raise _malformed(f"no {', '.join(missing)}")
    for key in SEALED:
        if not isinstance(value[key], (bytes, str)) or not value[key]:
            raise _malformed(f"{key} is a {type(value[key]).__name__}, expected non-empty bytes or text")
    version = _version(value["kek_version"], "kek_version")
    for name, tag in (("kv", value.get("kv")), ("the document's kek_version", outer_version)):
        if tag is not None and _version(tag, name) != version:
            raise OpsError(
                f"envelope says kek_version {version} but {name} says {tag}",
                code="envelope.version_mismatch",
                hint="find out which one is true (kek_info lists it), then repair the tag by hand",
            )
    if not isinstance(value["provider"], str):
        raise _malformed(f"provider is a {type(value['provider']).__name__}, expected text")
    return Envelope(
        bytes_or_text(value["wrapped_dek"]),
        bytes_or_text(value["nonce"]),
        bytes_or_text(value["ciphertext"]),
        version,
        value["provider"],
    )


def bytes_or_text(value: bytes | str) -> bytes | str:
    """Return plain bytes for any binary subtype, the text itself for text."""
    return value if isinstance(value, str) else bytes(value)


def _version(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _malformed(f"{name} is {value!r}, expected a whole number from 1")
    return int(value)


def _malformed(found: str) -> OpsError:
    return OpsError(
        f"malformed envelope: {found}",
        code="envelope.malformed",
        hint="restore this record from a backup, or remove it if nothing needs it; nothing was written",
    )
