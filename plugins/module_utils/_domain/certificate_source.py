# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where certificates for an export come from: the shape that the two roads, database and API, have in common.

A source tells its projects, lists its certificates with little of each, and fetches the material of a few at a time:
10,000 certificates are never in memory at once. What goes wrong with one certificate is a `Problem` of it, and stops
none of the others (X91).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from .values import BsonValue


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something of a certificate is not in the export. code: stable. reason: words for an operator, no secret."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Project:
    """id: as text. names: what an operator may call it by: id, slug, name. is_gone: only certificates name it."""

    id: str
    names: frozenset[str]
    title: str
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What a filter looks at; empty where the source does not tell. issuers: folded.

    serials: hex, lower case; two where a source may mean either. is_whole: False where the certificate tells more names
    of its issuer.
    """

    serials: frozenset[str] = frozenset()
    not_after: datetime | None = None
    issuers: frozenset[str] = frozenset()
    status: str = ""
    is_whole: bool = True

    @property
    def tells_issuer(self) -> bool:
        """Return whether all names of the issuer are told."""
        return bool(self.issuers) and self.is_whole


@dataclass(frozen=True, slots=True)
class Listed:
    """A certificate in the list of a source. key: finds it again there. aliases: what an operator may call it by.

    mark: a text that no other certificate of its project has, the id where it is one.
    """

    key: BsonValue
    id: str
    mark: str
    project: Project
    name: str
    aliases: frozenset[str]
    facts: Facts


@dataclass(frozen=True, slots=True)
class Fetched:
    """A certificate with what the source has of it, PEM or DER as it is there; empty for nothing.

    keys: one for each key that the source gave; () for none. key_problems: why it did not give one that is there, or
    may be. against_policy: the keys were given though a policy withholds them. problem: why there is no certificate.
    """

    listed: Listed
    certificate: bytes
    chain: bytes
    keys: tuple[bytes, ...] = field(default=(), repr=False)
    key_problems: tuple[Problem, ...] = ()
    against_policy: bool = False
    problem: Problem | None = None


class CertificateSource(Protocol):
    """One road. identity: which installation this is, so that a folder is not filled from two.

    missed: what of the listing could not be read, known when it ended; what it names was not listed.
    """

    @property
    def identity(self) -> str: ...

    @property
    def missed(self) -> Sequence[Problem]: ...

    def projects(self) -> Sequence[Project]:
        """Return the projects. Raises OpsError."""

    def listing(self, projects: Sequence[Project]) -> Iterator[Listed]:
        """Yield every certificate of these projects, in an order that does not change.

        Those of projects that are gone come as well. Raises OpsError.
        """

    def fetch(self, batch: Sequence[Listed], *, with_keys: bool) -> Iterable[Fetched]:
        """Yield the material of some certificates; one that is gone meanwhile is left out. Raises OpsError."""
