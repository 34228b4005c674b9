# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""BuildRegistry: settings and install lock become a provider, or a refusal before anything else is touched.

Source: vendor's page "Changing KEK provider", section 05. The lock is checked first, so a PKCS#11 module is never
loaded for a database that is locked for another provider. The only list of providers is `KINDS`.
"""

from __future__ import annotations

from datetime import datetime

from .._domain.errors import OpsError
from .._domain.settings import PROVIDER, SHARED, Setting, Settings
from .._domain.vendor_messages import one_of, provider_mismatch, unknown_provider
from .env import EnvKind
from .kind import ProviderKind
from .pkcs11.kind import Pkcs11Kind
from .provider import FirstLogin, Provider

KINDS: tuple[ProviderKind, ...] = (
    EnvKind(),
    Pkcs11Kind(),
)


def names(*, device: bool = False) -> tuple[str, ...]:
    """Return the names of all providers. device: of those alone whose keys are made inside a device."""
    return tuple(kind.NAME for kind in KINDS if kind.DEVICE or not device)


def all_settings() -> tuple[Setting, ...]:
    """Return every setting of an installation: the shared ones, and those of each kind."""
    return (*SHARED, *(setting for kind in KINDS for setting in kind.OPTIONS))


def library_variables(settings: Settings) -> tuple[str, ...]:
    """Return how the variables begin that libraries of devices read from secrets.env."""
    return tuple(beginning for kind in KINDS for beginning in kind.library_variables(settings))


def libraries() -> dict[str, tuple[str, str]]:
    """Return import name -> (project, lowest version) of every Python library that a kind needs."""
    return {module: needed for kind in KINDS for module, needed in kind.NEEDS.items()}


def needs(settings: Settings) -> tuple[str, ...]:
    """Return the import names that the configured provider needs; none where no known one is configured yet."""
    kind = _named(settings.values.get(PROVIDER.name))
    return tuple(kind.NEEDS) if kind is not None else ()


def configured(settings: Settings) -> ProviderKind:
    """Return the configured kind. Raises OpsError settings.missing, settings.unknown_provider."""
    name = settings.require(PROVIDER)
    kind = _named(name)
    if kind is None:
        raise OpsError(
            f'unknown provider "{name}", expected {one_of(names())} (from {settings.origins[PROVIDER.name]})',
            code="settings.unknown_provider",
            hint="correct encryption.provider",
        )
    return kind


def locked_kind(installed: str) -> ProviderKind:
    """Return the kind that an install lock names. Raises OpsError lock.unknown_provider."""
    kind = _named(installed)
    if kind is None:
        raise unknown_provider(installed, names())
    return kind


def check_lock(settings: Settings, *, installed: str, since: datetime | None) -> ProviderKind:
    """Return the kind that lock and settings agree on. Raises OpsError lock.unknown_provider, lock.provider_mismatch.

    Touches nothing.
    """
    locked, wanted = locked_kind(installed), configured(settings)
    if locked is not wanted:
        raise provider_mismatch(installed, since, wanted.NAME)
    return locked


def build_registry(settings: Settings, *, workers: int = 1, first_login: FirstLogin | None = None) -> Provider:
    """Return the configured provider, opened, without keys; call `check_lock` before and `Provider.load` after.

    workers: processes that talk to a device. first_login: see `Provider.open`. WHY the keys are loaded after: opening
    waits for other hosts, and what they wrote meanwhile is read first (ADR-0018). Raises what the provider raises.
    """
    provider = configured(settings).from_settings(settings, workers=workers)
    try:
        provider.open(first_login)
    except BaseException:
        provider.close()
        raise
    return provider


def device_kind() -> Pkcs11Kind:
    """Return the kind whose library and token can be examined."""
    return next(kind for kind in KINDS if isinstance(kind, Pkcs11Kind))


def _named(name: str | None) -> ProviderKind | None:
    return {kind.NAME: kind for kind in KINDS}.get(name or "")
