# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificates an operator asked for: by name, id, serial number, expiry, issuer and status.

A source may not tell all of it before the certificate itself is read: what cannot be told yet is fetched, and asked
again. Serial numbers are hexadecimal, instants are UTC where they name no zone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .certificate_source import Facts, Listed
from .errors import OpsError
from .library_refusals import REFUSED

try:
    from cryptography.x509 import Certificate
    from cryptography.x509.oid import NameOID
except ImportError:  # reported by name in _module/dependencies.py before anything runs
    pass

_DAYS = re.compile(r"([+-]?\d{1,5})d")


@dataclass(frozen=True, slots=True)
class Filter:
    """names, ids, serials, issuers, statuses: any of them; () for all. after <= not_after < before."""

    names: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    serials: frozenset[str] = frozenset()
    issuers: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()
    after: datetime | None = None
    before: datetime | None = None

    def may_choose(self, listed: Listed) -> bool:
        """Return whether a certificate is chosen as far as its source tells; what it does not tell may be."""
        named = not self.names or bool(self.names & listed.aliases)
        return named and (not self.ids or listed.id in self.ids) and self._facts(listed.facts, unknown=True)

    def chooses(self, facts: Facts) -> bool:
        """Return whether a certificate is chosen by what it says itself; what nobody tells is not."""
        return self._facts(facts, unknown=False)

    def _facts(self, facts: Facts, *, unknown: bool) -> bool:
        return (
            (not self.serials or (bool(self.serials & facts.serials) if facts.serials else unknown))
            and (not self.issuers or bool(self.issuers & facts.issuers) or (unknown and not facts.tells_issuer))
            and (not self.statuses or (facts.status.lower() in self.statuses if facts.status else unknown))
            and (self.after is None or (facts.not_after >= self.after if facts.not_after else unknown))
            and (self.before is None or (facts.not_after < self.before if facts.not_after else unknown))
        )


def filter_of(
    *, names: Iterable[str], ids: Iterable[str], serials: Iterable[str], issuers: Iterable[str],
    statuses: Iterable[str], after: str | None, before: str | None, now: datetime,
) -> Filter:  # fmt: skip
    """Return the filter of a module's options. Raises OpsError export.filter."""
    return Filter(
        names=frozenset(names),
        ids=frozenset(ids),
        serials=frozenset(_serial_given(text) for text in serials),
        issuers=frozenset(text.casefold() for text in issuers),
        statuses=frozenset(text.lower() for text in statuses),
        after=_instant_given("expires_after", after, now),
        before=_instant_given("expires_before", before, now),
    )


def facts_of(certificate: Certificate, told: Facts) -> Facts:
    """Return what a certificate says of itself, and its status and issuer as its source tells them."""
    return Facts(
        serials=frozenset({format(certificate.serial_number, "x")}),
        not_after=certificate.not_valid_after_utc,
        issuers=told.issuers | issuers_of(certificate),
        status=told.status,
    )


def issuers_of(certificate: Certificate) -> frozenset[str]:
    """Return how an operator may call an issuer: its name in RFC 4514, its common name, its organisation."""
    try:
        issuer = certificate.issuer
        parts = [*issuer.get_attributes_for_oid(NameOID.COMMON_NAME)]
        parts += issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        texts = [issuer.rfc4514_string(), *(str(part.value) for part in parts)]
    except REFUSED:
        return frozenset()
    return frozenset(text.casefold() for text in texts)


def issuer_name(certificate: Certificate) -> str:
    """Return the issuer in RFC 4514, "" where it cannot be read."""
    try:
        return certificate.issuer.rfc4514_string()
    except REFUSED:
        return ""


def serial_of(text: object) -> str:
    """Return a serial number in hex as we write it, "" where it is none: `0A:1b` is `a1b`."""
    cleaned = re.sub(r"[:\s]", "", str(text)).lower().removeprefix("0x")
    return cleaned.lstrip("0") or "0" if re.fullmatch(r"[0-9a-f]+", cleaned) else ""


def serials_told(value: object) -> frozenset[str]:
    """Return what a source may mean by a serial number: hex, or decimal, which it does not tell."""
    text = serial_of(value)
    return frozenset({text, format(int(text), "x")} if text.isdigit() else {text} - {""})


def instant_of(value: object) -> datetime | None:
    """Return an instant that a record or answer tells, None where it is none. One without zone is UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        return None  # at either end of the calendar, where another zone has no year for it


def _serial_given(text: str) -> str:
    serial = serial_of(text)
    if not serial:
        raise OpsError(
            f'serial number "{text}" is not hexadecimal',
            code="export.filter",
            hint="give it as `openssl x509 -serial` prints it; colons and upper case do not matter",
        )
    return serial


def _instant_given(option: str, text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    days = _DAYS.fullmatch(text)
    instant = now + timedelta(days=int(days[1])) if days else instant_of(text)
    if instant is None:
        raise OpsError(
            f'{option} is "{text}", expected an instant, a date or days',
            code="export.filter",
            hint="for example 2026-12-31T00:00:00Z, 2026-12-31, or 30d for in thirty days",
        )
    return instant
