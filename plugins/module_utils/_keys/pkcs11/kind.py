# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind of `Pkcs11Provider`: what `registry` knows about it before a library is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ..._domain.access import Wanted
from ..._domain.errors import OpsError
from ..._domain.pkcs11_settings import (
    LIBRARY_VARIABLES,
    MODULE_PATH,
    PIN,
    RUN_AS,
    START_TIMEOUT,
    TIMEOUT,
    TOKEN_LABEL,
    TOKEN_SERIAL,
    Pkcs11Settings,
    pkcs11_settings,
)
from ..._domain.secret import Secret
from ..._domain.settings import Setting, Settings
from ..._domain.values import JsonObject
from ..provider import FirstLogin
from . import library_variables
from .examination import Asked, Examination
from .failures import MINIMUM_BINDING, failure
from .file_token import used_paths
from .jobs import PoolOptions
from .provider import Pkcs11Provider
from .token_setup import TokenSetup


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """The user PIN of a token, about to be tried. Keeps `kind.Login`."""

    settings: Pkcs11Settings

    @property
    def place(self) -> str:
        return self.settings.token

    @property
    def secret(self) -> Secret[str]:
        return self.settings.pin or Secret("")

    def refused_before(self, *, refusal: str, at: str, host: str, certain: bool) -> OpsError:
        said = "refused this user PIN" if certain else "did not answer a login with CKR_OK, which may have counted,"
        return failure(
            self.settings,
            "pkcs11.pin_refused_before",
            f'token "{self.settings.token_label}" {said} at {at} on {host} (refusal {refusal}); no login was tried',
            refusal=refusal,
            refused_at=at,
            refused_on=host,
        )


class Pkcs11Kind:
    """The kind of `Pkcs11Provider`. Keeps `kind.ProviderKind`."""

    NAME = Pkcs11Provider.name
    DEVICE = True
    INSTALLED_BY = "pkcs11-init"
    OPTIONS: tuple[Setting, ...] = (
        MODULE_PATH, TOKEN_LABEL, TOKEN_SERIAL, PIN, RUN_AS, TIMEOUT, START_TIMEOUT, LIBRARY_VARIABLES,
    )  # fmt: skip
    NEEDS: Mapping[str, tuple[str, str]] = {"pkcs11": ("python-pkcs11", MINIMUM_BINDING)}

    def from_settings(self, settings: Settings, *, workers: int = 1) -> Pkcs11Provider:
        """Return the provider of the configured token, not opened. Raises OpsError settings.*."""
        return Pkcs11Provider(pkcs11_settings(settings), replace(self._times(settings), workers=workers))

    @staticmethod
    def _times(settings: Settings) -> PoolOptions:
        usual = PoolOptions()
        return replace(
            usual,
            batch_timeout_s=settings.seconds(TIMEOUT, usual.batch_timeout_s),
            start_timeout_s=settings.seconds(START_TIMEOUT, usual.start_timeout_s),
        )

    def examine(self, settings: Settings, asked: Asked, first_login: FirstLogin | None) -> JsonObject:
        """Return what library and token can do. Raises OpsError settings.*, dependency.missing, pkcs11.run_as."""
        return Examination(pkcs11_settings(_pin_or_none(settings)), self._times(settings), asked).run(first_login)

    def token_setup(self, settings: Settings, so_pin: Callable[[], Secret[str]]) -> TokenSetup:
        """Return what has the configured token made where there is none. Raises OpsError settings.*."""
        return TokenSetup(pkcs11_settings(_pin_or_none(settings)), self._times(settings), so_pin)

    def library_variables(self, settings: Settings) -> tuple[str, ...]:
        """Return those of the families that are known, and those that an operator named."""
        return library_variables.PREFIXES + library_variables.named(settings.values.get(LIBRARY_VARIABLES.name, ""))

    def used_paths(self, settings: Settings) -> tuple[Wanted, ...]:
        """Return the library, and the files of a token that is files. Raises OpsError settings.*."""
        return used_paths(pkcs11_settings(settings))

    def first_login(self, settings: Settings) -> TokenLogin:
        """Return the login that opening will try. Raises OpsError settings.*."""
        return TokenLogin(pkcs11_settings(settings))


def _pin_or_none(settings: Settings) -> Settings:
    """Return the settings with an empty PIN where none is set, for what can do without one."""
    return replace(settings, hidden={**settings.hidden, PIN.name: settings.hidden.get(PIN.name, Secret(""))})
