# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain of a certificate, built from whatever lies beside it and checked signature by signature.

What the product keeps as a chain may be in another order, hold the certificate itself, its root, some that do not
belong, or two ways up (cross-signed). What is written is one way up, each certificate signed by the next; a root at its
end stays if it was there. Source: RFC 5280 section 6.1 (the path), RFC 8446 section 4.4.2 (the order).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from .library_refusals import REFUSED
from .pem_blocks import blocks, is_der

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.x509 import Certificate
except ImportError:  # reported by name in _module/dependencies.py before anything runs
    pass

COMPLETE, OPEN, NONE, SELF_SIGNED, BROKEN = "complete", "open", "none", "self-signed", "broken"
_LABELS = ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")
_LONGEST = 16  # certificates in a chain
LoadedCertificate: TypeAlias = "Certificate"
"""A certificate as the library holds it, for floors that do not import it."""

_MOST_GIVEN = 64  # certificates looked at for one chain
_MOST_TRIED = 300  # steps up: certificates that sign each other in circles have no end of ways


@dataclass(frozen=True, slots=True)
class Chain:
    """others: from the issuer up. expired: names of those that are not valid now. foreign: how many did not belong.

    state: `complete` ends in a root that is in it, `open` ends where the next one is not there (as servers send it),
    `none` has no issuer at all, `self-signed` needs none, `broken` was given issuers of which none signed this one.
    """

    state: str
    others: tuple[Certificate, ...] = ()
    expired: tuple[str, ...] = ()
    foreign: int = 0


def certificates_in(content: bytes) -> list[Certificate]:
    """Return the certificates in PEM or DER, in order. Raises ValueError where one cannot be parsed."""
    ders = [content] if is_der(content) else [block.der for block in blocks(content) if block.label in _LABELS]
    return [_parsed(der) for der in ders]


def _parsed(der: bytes) -> Certificate:
    """Return a certificate of which all can be read that is read without a question later. Raises ValueError."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        _instants = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except REFUSED as cause:
        raise ValueError(type(cause).__name__) from None
    return certificate


def leaf_first(certificates: Sequence[Certificate]) -> tuple[Certificate, list[Certificate]]:
    """Return (the one that signed none of the others, the others). certificates: at least one."""
    leaf = next((one for one in certificates if not _signed_another(one, certificates)), certificates[0])
    return leaf, [one for one in certificates if one != leaf]


def chain_of(leaf: Certificate, around: Iterable[Certificate], now: datetime) -> Chain:
    """Return the best way up from a certificate: all valid before one that is not, to a root, the longer one."""
    others = [one for one in dict.fromkeys(around) if one != leaf]
    if _is_self_signed(leaf):
        return Chain(SELF_SIGNED, foreign=len(others))
    if not others:
        return Chain(NONE)
    best = _Ways(others, now).best(leaf)
    if not best:
        return Chain(BROKEN, foreign=len(others))
    expired = tuple(name_of(one) for one in best if not is_valid(one, now))
    state = COMPLETE if _is_self_signed(best[-1]) else OPEN
    return Chain(state, tuple(best), expired, len(others) - len(best))


def pem_of(certificates: Iterable[Certificate]) -> bytes:
    """Return certificates as PEM, one after the other."""
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def is_valid(certificate: Certificate, now: datetime) -> bool:
    """Return whether an instant is in a certificate's life. now: with time zone."""
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def name_of(certificate: Certificate) -> str:
    """Return the subject as text, its serial number where that cannot be read."""
    try:
        return certificate.subject.rfc4514_string()
    except REFUSED:
        return format(certificate.serial_number, "x")


class _Ways:
    """All ways up through some certificates, tried up to a limit."""

    def __init__(self, others: Sequence[Certificate], now: datetime) -> None:
        self._others = others[:_MOST_GIVEN]
        self._now = now
        self._left = _MOST_TRIED

    def best(self, leaf: Certificate) -> list[Certificate]:
        """Return the best way, without the leaf; empty for none."""
        return max(self._ways([leaf]), key=self._worth)[1:]

    def _ways(self, way: list[Certificate]) -> list[list[Certificate]]:
        if len(way) >= _LONGEST or (len(way) > 1 and _is_self_signed(way[-1])):
            return [way]
        found = []
        for one in self._others:
            if one not in way and self._left > 0 and signed(way[-1], one):
                self._left -= 1
                found += self._ways([*way, one])
        return found or [way]

    def _worth(self, way: list[Certificate]) -> tuple[bool, bool, bool, int]:
        above = way[1:]
        valid = all(is_valid(one, self._now) for one in above)
        return bool(above), valid, bool(above) and _is_self_signed(above[-1]), len(above)


def signed(certificate: Certificate, issuer: Certificate) -> bool:
    """Return whether one certificate was signed by the other, and the other may sign. Names are compared too."""
    return _may_sign(issuer) and _verifies(certificate, issuer)


def _verifies(certificate: Certificate, issuer: Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except REFUSED:
        return False
    return True


def _may_sign(certificate: Certificate) -> bool:
    """Return whether a certificate may be an issuer. One of version 1 says nothing, as old roots do."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return certificate.version == x509.Version.v1
    except REFUSED:
        return False


def _is_self_signed(certificate: Certificate) -> bool:
    try:
        named_alike = certificate.subject == certificate.issuer
    except REFUSED:
        return False
    return named_alike and _verifies(certificate, certificate)


def _signed_another(one: Certificate, certificates: Sequence[Certificate]) -> bool:
    return any(other != one and signed(other, one) for other in certificates)
