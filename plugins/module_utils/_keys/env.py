# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""KEKs that live in the secrets file: AES-256-GCM in this process, one cached cipher for each version.

Cached because a new cipher object for every wrap costs half of the throughput.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from hmac import compare_digest

from .._domain import env_keks
from .._domain.access import Wanted
from .._domain.errors import OpsError
from .._domain.key_names import KeyReference
from .._domain.settings import Setting, Settings
from .provider import (
    DEK_LENGTH,
    IV_LENGTH,
    WRAP_LENGTH,
    FirstLogin,
    KeyFailure,
    UnwrapRequest,
    WrapRequest,
    proof_marks,
)

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError:  # reported by name in _module/dependencies.py before anything runs
    pass

_KEK_LENGTH = 32  # bytes: AES-256


class EnvProvider:
    """The `env` provider over version -> 32 bytes. Implements `provider.Provider`."""

    name = "env"
    device = False
    retries = 0
    key_admin = None

    def __init__(self, keks: Mapping[int, bytes]) -> None:
        for version, kek in keks.items():
            if len(kek) != _KEK_LENGTH:
                raise OpsError(
                    f"KEK version {version} has {len(kek)} bytes, expected {_KEK_LENGTH}",
                    code="env.kek_malformed",
                    hint=f"put 64 hexadecimal characters into {env_keks.PREFIX}{version}",
                    version=version,
                )
        self._ciphers = {version: AESGCM(kek) for version, kek in keks.items()}
        self._check_values = {version: _check_value(kek) for version, kek in keks.items()}

    def __repr__(self) -> str:
        return f"EnvProvider(versions={self.versions()})"

    def open(self, first_login: FirstLogin | None = None) -> None:
        """Do nothing: there is no device and no login."""

    def load(self, references: Mapping[int, KeyReference]) -> None:
        """Do nothing: all keys of the secrets file are loaded."""

    def versions(self) -> tuple[int, ...]:
        """Return the KEK versions of the secrets file, ascending."""
        return tuple(sorted(self._ciphers))

    def check_value(self, version: int) -> str | None:
        """Return 6 hex characters. Raises provider.version_not_loaded."""
        self._cipher(version)
        return self._check_values[version]

    def wrap(self, version: int, requests: Sequence[WrapRequest]) -> list[bytes | KeyFailure]:
        """Return one 60-byte wrap or failure per request, each opened again. Raises provider.version_not_loaded."""
        deks, aads = [request.dek for request in requests], [request.aad for request in requests]
        return _wraps(self._cipher(version), deks, aads, [True] * len(requests))

    def unwrap(self, requests: Sequence[UnwrapRequest], *, trial: bool = False) -> list[bytes | KeyFailure]:  # noqa: ARG002  no device
        """Return one 32-byte DEK or failure per request, in order."""
        return _opened(self._ciphers, requests)

    def rewrap(
        self, to_version: int, requests: Sequence[UnwrapRequest], *, prove: Collection[int] | None = None
    ) -> list[bytes | KeyFailure]:
        """Return one new wrap of the same DEK per request, those in `prove` (None = all) opened again.

        Raises OpsError provider.version_not_loaded.
        """
        cipher, marks = self._cipher(to_version), proof_marks(len(requests), prove)
        return _wraps(cipher, _opened(self._ciphers, requests), [request.aad for request in requests], marks)

    def close(self) -> None:
        """Do nothing: there is no session. The keys stay readable so that closing twice is harmless."""

    def _cipher(self, version: int) -> AESGCM:
        cipher = self._ciphers.get(version)
        if cipher is None:
            raise version_not_loaded(self.name, version, self.versions())
        return cipher


class EnvKind:
    """The kind of `EnvProvider`. Keeps `kind.ProviderKind`."""

    NAME = EnvProvider.name
    DEVICE = False
    INSTALLED_BY = "service"
    OPTIONS: tuple[Setting, ...] = ()  # its keys are in variables only, one for each version
    NEEDS: Mapping[str, tuple[str, str]] = {}

    def from_settings(self, settings: Settings, *, workers: int = 1) -> EnvProvider:  # noqa: ARG002  no device
        """Return the provider over all KEKs that are configured. Raises OpsError settings.missing for none."""
        if not settings.keks:
            raise OpsError(
                f"no {env_keks.PREFIX}N in the secrets file or the environment",
                code="settings.missing",
                hint="point `secrets_file` at the installation's secrets.env",
            )
        return EnvProvider({version: kek.reveal() for version, kek in settings.keks.items()})

    def library_variables(self, settings: Settings) -> tuple[str, ...]:  # noqa: ARG002  as the protocol has it
        """Return none: no device."""
        return ()

    def used_paths(self, settings: Settings) -> tuple[Wanted, ...]:  # noqa: ARG002  of the protocol
        """Return none: secrets.env is every provider's."""
        return ()

    def first_login(self, settings: Settings) -> None:
        """Return None: nobody logs in to a file."""


def version_not_loaded(provider: str, version: int, loaded: tuple[int, ...]) -> OpsError:
    """Return the refusal for a version that this process has no key for."""
    return OpsError(
        f"KEK version {version} is not loaded by the {provider} provider, loaded: {list(loaded)}",
        code="provider.version_not_loaded",
        hint="add the version to the keystore and to the secrets file or token, or name a version that is loaded",
        version=version,
    )


def _opened(ciphers: Mapping[int, AESGCM], requests: Sequence[UnwrapRequest]) -> list[bytes | KeyFailure]:
    deks: list[bytes | KeyFailure] = []
    for request in requests:
        cipher, wrapped = ciphers.get(request.version), request.wrapped
        if cipher is None:
            deks.append(KeyFailure("unknown_version", f"version {request.version} is not in the secrets file"))
        elif len(wrapped) != WRAP_LENGTH:
            deks.append(KeyFailure("malformed", f"{len(wrapped)} bytes, expected {WRAP_LENGTH}"))
        else:
            try:
                deks.append(cipher.decrypt(wrapped[:IV_LENGTH], wrapped[IV_LENGTH:], request.aad or None))
            except InvalidTag:
                deks.append(KeyFailure("authentication"))
    return deks


def _wraps(
    cipher: AESGCM, deks: Sequence[bytes | KeyFailure], aads: Sequence[bytes], marks: Sequence[bool]
) -> list[bytes | KeyFailure]:
    """Return a wrap for each data key, a failure as it is. marks: whether a wrap is opened again.

    WHY one loop and not a call for each: with the calls a re-wrap takes a fifth longer.
    """
    wraps: list[bytes | KeyFailure] = []
    for dek, aad, iv, marked in zip(deks, aads, _fresh_ivs(len(deks)), marks, strict=True):
        if isinstance(dek, KeyFailure):
            wraps.append(dek)
            continue
        if len(dek) != DEK_LENGTH:
            wraps.append(KeyFailure("malformed", f"DEK of {len(dek)} bytes, expected {DEK_LENGTH}"))
            continue
        sealed = cipher.encrypt(iv, dek, aad or None)
        try:
            # INVARIANT: no wrap that was to be proved leaves this floor unless it opened again to its DEK.
            if marked and not compare_digest(cipher.decrypt(iv, sealed, aad or None), dek):
                wraps.append(KeyFailure("verification", "the fresh wrap opened to another DEK"))
            else:
                wraps.append(iv + sealed)
        except InvalidTag:
            wraps.append(KeyFailure("verification", "the fresh wrap did not open again"))
    return wraps


def _fresh_ivs(count: int) -> list[bytes]:
    """Return so many IVs of the system's generator.

    WHY at once: asking it for each costs as much as an encryption. SAFE BECAUSE no byte of it is in two of them.
    """
    drawn = os.urandom(IV_LENGTH * count)
    return [drawn[place : place + IV_LENGTH] for place in range(0, len(drawn), IV_LENGTH)]


def _check_value(kek: bytes) -> str:
    """Return the first 3 bytes of AES-ECB over a zero block, hex. Source: PKCS#11 v2.40, CKA_CHECK_VALUE."""
    encryptor = Cipher(algorithms.AES(kek), modes.ECB()).encryptor()  # noqa: S305  one block, by definition
    return (encryptor.update(bytes(16)) + encryptor.finalize())[:3].hex()
