# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening and sealing envelopes in batches: provider and layout joined, failures named one by one.

The layout is found by authentication on a sample (ADR-0002) and held to afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .._domain import aead, envelope_layout
from .._domain.catalogue import Found, field_path, record_id_text
from .._domain.envelope import Envelope
from .._domain.envelope_layout import Layout
from .._domain.errors import OpsError
from .._keys.provider import KeyFailure, Provider, UnwrapRequest, WrapRequest


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one envelope could not be opened. place: collection, id and path. reason: words for an operator."""

    place: str
    code: str
    reason: str

    def as_result(self) -> dict[str, str]:
        return {"place": self.place, "code": self.code, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Sealed:
    """Stored forms of a freshly sealed field."""

    wrapped_dek: bytes | str = field(repr=False)
    nonce: bytes | str = field(repr=False)
    ciphertext: bytes | str = field(repr=False)
    kek_version: int
    provider: str


@dataclass(frozen=True, slots=True)
class Plain:
    """A payload to seal, with the context it is bound to."""

    record_id: str
    field_path: str
    plaintext: bytes = field(repr=False)


class Sealing:
    """Opens and seals under one provider and one layout."""

    def __init__(self, provider: Provider, chosen: Layout) -> None:
        self.provider = provider
        self.layout = chosen

    def unwrap_request(self, found: Found, envelope: Envelope) -> UnwrapRequest | None:
        """Return the request for an envelope's DEK, None when its stored form is not of the layout."""
        wrapped = self.layout.wrapped(envelope)
        if wrapped is None:
            return None
        aad = self.layout.wrap_aad(record_id_text(found.record_id), found.field)
        return UnwrapRequest(envelope.kek_version, wrapped, aad)

    def requests(self, items: Sequence[tuple[Found, Envelope]]) -> tuple[list[UnwrapRequest], dict[int, Failure]]:
        """Return (requests for the DEKs, place in `items` -> failure of an envelope that has none).

        An envelope of another provider or of another stored form has none; the requests of the others are in order.
        """
        layout, provider = self.layout, self.provider.name
        wrapped_of, bound = layout.wrapped, layout.aad == "record-field"
        asked: list[UnwrapRequest] = []
        refused: dict[int, Failure] = {}
        for found, envelope in items:
            wrapped = wrapped_of(envelope)
            if wrapped is None or envelope.provider != provider:
                refused[len(asked) + len(refused)] = self._refused(found, envelope)
            else:
                record_id, path = record_id_text(found.record_id), field_path(found.steps)
                aad = envelope_layout.context_digest(record_id, path) if bound else b""
                asked.append(UnwrapRequest(envelope.kek_version, wrapped, aad))
        return asked, refused

    def open_all(self, items: Sequence[tuple[Found, Envelope]]) -> list[bytes | Failure]:
        """Return one payload or failure per envelope, in order."""
        asked, refused = self.requests(items)
        deks = iter(self.provider.unwrap(asked) if asked else [])
        opened: list[bytes | Failure] = []
        for place, (found, envelope) in enumerate(items):
            if place in refused:
                opened.append(refused[place])
                continue
            dek = next(deks)
            opened.append(
                self._payload(found, envelope, dek) if isinstance(dek, bytes) else self.failure(found, envelope, dek)
            )
        return opened

    def seal_all(self, version: int, items: Sequence[Plain]) -> list[Sealed]:
        """Return every payload sealed under a fresh DEK. Raises OpsError key.unusable when one cannot be wrapped."""
        deks = [aead.fresh_dek() for _number in items]
        requests = [
            WrapRequest(dek, self.layout.wrap_aad(item.record_id, item.field_path))
            for dek, item in zip(deks, items, strict=True)
        ]
        sealed = []
        for item, dek, wrapped in zip(
            items, deks, self.provider.wrap(version, requests) if requests else [], strict=True
        ):
            if isinstance(wrapped, KeyFailure):
                raise OpsError(
                    f"KEK version {version} cannot wrap a data key ({wrapped.reason})",
                    code="key.unusable",
                    hint="check the key and the token; what was written before stays; run it again afterwards",
                )
            sealed.append(self._sealed(version, item, dek, wrapped))
        return sealed

    def failure(self, found: Found, envelope: Envelope, why: KeyFailure) -> Failure:
        """Return what an operator reads about an envelope that did not open: which fault it is (T5, T25)."""
        if why.reason == "unknown_version":
            loaded = list(self.provider.versions())
            return Failure(
                found.place, "envelope.version_not_loaded", f"KEK version {envelope.kek_version}, loaded are {loaded}"
            )
        if why.reason == "verification":
            return Failure(found.place, "envelope.wrap_unproven", f"its fresh wrap was not written: {why.detail}")
        liar = self._true_version(found, envelope)
        if liar is not None:
            return Failure(
                found.place,
                "envelope.lying_version",
                f"tagged kek_version {envelope.kek_version} but sealed under {liar}",
            )
        return Failure(
            found.place,
            "envelope.unauthentic",
            f"does not open under KEK version {envelope.kek_version}, whose canary does: altered, or another record's",
        )

    def _refused(self, found: Found, envelope: Envelope) -> Failure:
        """Return the failure of an envelope of another provider, or of another stored form."""
        if envelope.provider != self.provider.name:
            return Failure(
                found.place,
                "envelope.foreign_provider",
                f'sealed by provider "{envelope.provider}", this installation is "{self.provider.name}"',
            )
        return Failure(found.place, "envelope.malformed", f"its stored form is not of layout {self.layout.name}")

    def opens_payload(self, found: Found, envelope: Envelope, dek: bytes) -> bool:
        """Return whether this data key opens the envelope's payload."""
        return isinstance(self._payload(found, envelope, dek), bytes)

    def _payload(self, found: Found, envelope: Envelope, dek: bytes) -> bytes | Failure:
        nonce, ciphertext = self.layout.decode(envelope.nonce), self.layout.decode(envelope.ciphertext)
        aad = self.layout.payload_aad(record_id_text(found.record_id), found.field)
        payload = None if nonce is None or ciphertext is None else aead.open_sealed(dek, nonce, ciphertext, aad)
        if payload is None:
            return Failure(found.place, "envelope.unauthentic", "its data key opens but its payload was altered")
        return payload

    def _sealed(self, version: int, item: Plain, dek: bytes, wrapped: bytes) -> Sealed:
        aad = self.layout.payload_aad(item.record_id, item.field_path)
        if self.layout.iv == "shared":
            nonce, ciphertext = aead.seal(dek, item.plaintext, aad, nonce=wrapped[: envelope_layout.IV_LENGTH])
        else:
            nonce, ciphertext = aead.seal(dek, item.plaintext, aad)
        return Sealed(
            self.layout.stored_wrap(wrapped),
            self.layout.encode(nonce),
            self.layout.encode(ciphertext),
            version,
            self.provider.name,
        )

    def _true_version(self, found: Found, envelope: Envelope) -> int | None:
        request = self.unwrap_request(found, envelope)
        if request is None:
            return None
        others = [version for version in self.provider.versions() if version != envelope.kek_version]
        tries = [UnwrapRequest(version, request.wrapped, request.aad) for version in others]
        for version, outcome in zip(others, self.provider.unwrap(tries, trial=True) if tries else [], strict=True):
            if isinstance(outcome, bytes):
                return version
        return None
