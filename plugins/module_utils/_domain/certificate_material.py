# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate of a source, read: leaf, chain, key; or the problem that keeps it from being written.

What can be told of it is told: a key that does not fit takes nothing from its certificate (X90, X91).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from .certificate_chain import BROKEN, Chain, certificates_in, chain_of, leaf_first
from .certificate_source import Fetched, Problem
from .private_keys import PrivateKey, fitting

try:
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509 import Certificate
except ImportError:  # reported by name in _module/dependencies.py before anything runs
    pass


@dataclass(frozen=True, slots=True)
class Material:
    """A certificate that was read. key: its own, compared with it already; None where there is none to write."""

    name: str
    leaf: Certificate
    chain: Chain
    key: PrivateKey | None = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of the certificate in hex."""
        return self.leaf.fingerprint(hashes.SHA256()).hex()


def read(fetched: Fetched, now: datetime) -> tuple[Material | None, tuple[Problem, ...]]:
    """Return (the material, what is wrong with it). None: there is no certificate to write."""
    if fetched.problem is not None:
        return None, (fetched.problem,)
    try:
        given = certificates_in(fetched.certificate)
    except ValueError:
        return None, (Problem("certificate.malformed", "its certificate cannot be parsed"),)
    if not given:
        return None, (_missing(fetched),)
    leaf, beside = leaf_first(given)
    problems = list[Problem]()
    try:
        chain = chain_of(leaf, [*beside, *certificates_in(fetched.chain)], now)
    except ValueError:
        chain = Chain(BROKEN)
    if chain.state == BROKEN:
        problems.append(Problem("certificate.chain_broken", "none of the certificates beside it signed it"))
    key = _key(leaf, fetched, problems)
    return Material(fetched.listed.name, leaf, chain, key), tuple(problems)


def _key(leaf: Certificate, fetched: Fetched, problems: list[Problem]) -> PrivateKey | None:
    """Return the key that fits. What is wrong with others is no problem then."""
    if not fetched.keys:
        problems += fetched.key_problems
        return None
    found = fitting(leaf, fetched.keys)
    if isinstance(found, PrivateKey):
        return found
    problems += [found, *fetched.key_problems]
    return None


def _missing(fetched: Fetched) -> Problem:
    if fetched.certificate.strip():
        return Problem("certificate.malformed", "what is kept as its certificate is neither PEM nor DER")
    status = fetched.listed.facts.status
    return Problem("certificate.pending", f"it has no certificate yet{f' (status {status})' if status else ''}")
