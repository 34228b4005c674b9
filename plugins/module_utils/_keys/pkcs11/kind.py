# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind of `Pkcs11Provider`: what `registry` knows about it before a library is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..._domain.access import Wanted
from ..._domain.errors import OpsError
from ..._domain.pkcs11_settings import (
    MODULE_PATH,
    PIN,
    RUN_AS,
    TOKEN_LABEL,
    TOKEN_SERIAL,
    Pkcs11Settings,
    pkcs11_settings,
)
from ..._domain.secret import Secret
from ..._domain.settings import Setting, Settings
from . import library_variables
from .failures import MINIMUM_BINDING, failure
from .file_token import used_paths
from .pool import PoolOptions
from .provider import Pkcs11Provider


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

    def refused_before(self, *, refusal: str, at: str, host: str) -> OpsError:
        return failure(
            self.settings,
            "pkcs11.pin_refused_before",
            f'token "{self.settings.token_label}" refused this user PIN at {at} on {host} '
            f"(refusal {refusal}); no login was tried",
            refusal=refusal,
            refused_at=at,
            refused_on=host,
        )


class Pkcs11Kind:
    """The kind of `Pkcs11Provider`. Keeps `kind.ProviderKind`."""

    NAME = Pkcs11Provider.name
    DEVICE = True
    INSTALLED_BY = "pkcs11-init"
    OPTIONS: tuple[Setting, ...] = (MODULE_PATH, TOKEN_LABEL, TOKEN_SERIAL, PIN, RUN_AS)
    LIBRARY_VARIABLES: tuple[str, ...] = library_variables.PREFIXES
    NEEDS: Mapping[str, tuple[str, str]] = {"pkcs11": ("python-pkcs11", MINIMUM_BINDING)}

    def from_settings(self, settings: Settings, *, workers: int = 1) -> Pkcs11Provider:
        """Return the provider of the configured token, not opened. Raises OpsError settings.*."""
        return Pkcs11Provider(pkcs11_settings(settings), PoolOptions(workers=workers))

    def used_paths(self, settings: Settings) -> tuple[Wanted, ...]:
        """Return the library, and the files of a token that is files. Raises OpsError settings.*."""
        return used_paths(pkcs11_settings(settings))

    def first_login(self, settings: Settings) -> TokenLogin:
        """Return the login that opening will try. Raises OpsError settings.*."""
        return TokenLogin(pkcs11_settings(settings))
