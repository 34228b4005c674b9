# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vendor's guard messages, word for word.

Source: vendor's page "Changing KEK provider", section 05. Where a foreign lock misses the instant or the writer, the
words say "unknown" in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from .errors import OpsError
from .instants import rfc3339

MIGRATION_GUIDE = "docs/docsite/rst/guide_migration.rst"


def provider_mismatch(installed: str, since: datetime | None, configured: str) -> OpsError:
    """Return the refusal of BuildRegistry when lock and configuration disagree."""
    return OpsError(
        f'KEK provider mismatch: installed="{installed}" (since {rfc3339(since)}) but config says "{configured}". '
        "Provider is immutable after install.",
        code="lock.provider_mismatch",
        hint=f"point config.yaml at the database of this provider, or migrate: {MIGRATION_GUIDE}",
    )


def init_on_foreign_lock(provider: str, since: datetime | None, installed_by: str) -> OpsError:
    """Return the refusal of pkcs11-init on a database that is locked for another provider."""
    return OpsError(
        f'refusing to run: this database is locked for provider="{provider}" (since {rfc3339(since)} by '
        f'{installed_by}). pkcs11-init cannot run against a "{provider}"-locked installation.',
        code="lock.init_refused",
        hint=f"use a fresh database for the HSM: {MIGRATION_GUIDE}",
    )


def rotate_across_providers(installed: str, asked: str) -> OpsError:
    """Return the refusal of a rotation that would change the provider."""
    return OpsError(
        f'kek rotate cannot cross the provider boundary: this database is locked for provider="{installed}" and the '
        f'rotation asks for "{asked}". Rotation re-wraps envelopes under a new KEK version of the same provider.',
        code="rotate.crosses_provider",
        hint=f"changing the provider is a migration: playbook certautopilot.ops.migrate, {MIGRATION_GUIDE}",
    )


def unknown_provider(provider: str, known: Sequence[str]) -> OpsError:
    """Return the refusal for an install lock that names a provider this collection does not know."""
    return OpsError(
        f'the install lock names provider "{provider}", expected {one_of(known)} (from kek_install)',
        code="lock.unknown_provider",
        hint="this database belongs to another product or a newer release; nothing was touched",
    )


def one_of(names: Sequence[str]) -> str:
    """Return names for a message: `"env" or "pkcs11"`."""
    return " or ".join(f'"{name}"' for name in names)
