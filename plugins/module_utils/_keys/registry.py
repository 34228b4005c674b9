# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""BuildRegistry: settings and install lock become a provider, or a refusal before anything else is touched.

Source: vendor's page "Changing KEK provider", section 05. The lock is judged first, so a PKCS#11 module is never loaded
for a database that is locked for another provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime

from .._domain.pkcs11_settings import KeyReference
from .._domain.settings import Settings
from .._domain.vendor_messages import provider_mismatch, unknown_provider
from .env import EnvProvider
from .pkcs11.pool import PoolOptions
from .pkcs11.provider import Pkcs11Provider
from .provider import Provider

KNOWN = ("env", "pkcs11")


def check_lock(settings: Settings, *, installed: str, since: datetime | None) -> None:
    """Raises OpsError lock.unknown_provider, lock.provider_mismatch. Touches nothing."""
    if installed not in KNOWN:
        raise unknown_provider(installed)
    configured = settings.require_provider()
    if configured != installed:
        raise provider_mismatch(installed, since, configured)


def build_registry(
    settings: Settings,
    references: Mapping[int, KeyReference],
    *,
    workers: int = 1,
    first_login: AbstractContextManager[None] | None = None,
) -> Provider:
    """Return the configured provider with its keys loaded; call `check_lock` before.

    references: where each KEK version's key is in the HSM. workers: processes that talk to it. first_login: entered
    around the first login, see `Pkcs11Provider.open`. All unused for env. Raises what the provider raises.
    """
    if settings.require_provider() == "env":
        return EnvProvider(settings.require_env_keks())
    provider = Pkcs11Provider(settings.require_pkcs11(), PoolOptions(workers=workers))
    try:
        provider.open(first_login)
        provider.load(references)
    except BaseException:
        provider.close()
        raise
    return provider
