# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""KEKs that live in the secrets file: AES-256-GCM in this process, one cached cipher for each version.

Cached because a new cipher object for every wrap costs half of the throughput.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager

from .._domain import env_keks
from .._domain.errors import OpsError
from .._domain.key_names import KeyReference
from .._domain.settings import Setting, Settings
from .provider import DEK_LENGTH, IV_LENGTH, WRAP_LENGTH, KeyFailure, UnwrapRequest, WrapRequest, proof_marks

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

    def open(self, first_login: AbstractContextManager[None] | None = None) -> None:
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
        cipher = self._cipher(version)
        return [_wrap(cipher, request.dek, request.aad, prove=True) for request in requests]

    def unwrap(self, requests: Sequence[UnwrapRequest], *, trial: bool = False) -> list[bytes | KeyFailure]:  # noqa: ARG002  no device
        """Return one 32-byte DEK or failure per request, in order."""
        return [self._unwrap(request) for request in requests]

    def rewrap(
        self, to_version: int, requests: Sequence[UnwrapRequest], *, prove: Collection[int] | None = None
    ) -> list[bytes | KeyFailure]:
        """Return one new wrap of the same DEK per request, those in `prove` (None = all) opened again.

        Raises OpsError provider.version_not_loaded.
        """
        cipher = self._cipher(to_version)
        results: list[bytes | KeyFailure] = []
        for request, marked in zip(requests, proof_marks(len(requests), prove), strict=True):
            dek = self._unwrap(request)
            results.append(dek if isinstance(dek, KeyFailure) else _wrap(cipher, dek, request.aad, prove=marked))
        return results

    def close(self) -> None:
        """Do nothing: there is no session. The keys stay readable so that closing twice is harmless."""

    def _cipher(self, version: int) -> AESGCM:
        cipher = self._ciphers.get(version)
        if cipher is None:
            raise version_not_loaded(self.name, version, self.versions())
        return cipher

    def _unwrap(self, request: UnwrapRequest) -> bytes | KeyFailure:
        cipher = self._ciphers.get(request.version)
        if cipher is None:
            return KeyFailure("unknown_version", f"version {request.version} is not in the secrets file")
        if len(request.wrapped) != WRAP_LENGTH:
            return KeyFailure("malformed", f"{len(request.wrapped)} bytes, expected {WRAP_LENGTH}")
        iv, sealed = request.wrapped[:IV_LENGTH], request.wrapped[IV_LENGTH:]
        try:
            return cipher.decrypt(iv, sealed, request.aad or None)
        except InvalidTag:
            return KeyFailure("authentication")


class EnvKind:
    """The kind of `EnvProvider`. Keeps `kind.ProviderKind`."""

    NAME = EnvProvider.name
    DEVICE = False
    INSTALLED_BY = "service"
    OPTIONS: tuple[Setting, ...] = ()  # its keys are in variables only, one for each version
    LIBRARY_VARIABLES: tuple[str, ...] = ()
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


def _wrap(cipher: AESGCM, dek: bytes, aad: bytes, *, prove: bool) -> bytes | KeyFailure:
    if len(dek) != DEK_LENGTH:
        return KeyFailure("malformed", f"DEK of {len(dek)} bytes, expected {DEK_LENGTH}")
    iv = os.urandom(IV_LENGTH)
    sealed = cipher.encrypt(iv, dek, aad or None)
    if not prove:
        return iv + sealed
    # INVARIANT: no wrap that was to be proved leaves this floor unless it opened again to the DEK it was made from.
    try:
        opened = cipher.decrypt(iv, sealed, aad or None)
    except InvalidTag:
        return KeyFailure("verification", "the fresh wrap did not open again")
    if not hmac.compare_digest(opened, dek):
        return KeyFailure("verification", "the fresh wrap opened to another DEK")
    return iv + sealed


def _check_value(kek: bytes) -> str:
    """Return the first 3 bytes of AES-ECB over a zero block, hex. Source: PKCS#11 v2.40, CKA_CHECK_VALUE."""
    encryptor = Cipher(algorithms.AES(kek), modes.ECB()).encryptor()  # noqa: S305  one block, by definition
    return (encryptor.update(bytes(16)) + encryptor.finalize())[:3].hex()
