# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a provider is before any of its keys is touched: its name, the settings it reads, what it needs, how it is made.

A third provider is a folder beside `pkcs11/` with an object that keeps this protocol, and one line in `registry.KINDS`.
Nothing else compares names of providers or asks for their classes; tests/unit/keys/test_registry.py holds that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from .._domain.access import Wanted
from .._domain.errors import OpsError
from .._domain.secret import Secret
from .._domain.settings import Setting, Settings
from .provider import Provider


class Login(Protocol):
    """A login that a run is about to try, for the queue of hosts and the notes of what was refused (ADR-0015)."""

    @property
    def place(self) -> str:
        """Return what is logged in to, as leases and notes name it."""

    @property
    def secret(self) -> Secret[str]:
        """Return the PIN that will be tried."""

    def refused_before(self, *, refusal: str, at: str, host: str, certain: bool) -> OpsError:
        """Return the refusal to try a PIN that was refused before. refusal: id of the note. at: RFC 3339.

        certain: False for a login whose answer nobody saw, or that says nothing about the PIN.
        """


class ProviderKind(Protocol):
    """One kind of provider. Making one of its providers touches nothing.

    NAME: as in config.yaml and in the install lock. DEVICE: its keys are made inside a device, by `KeyAdmin`; otherwise
    they are given. INSTALLED_BY: what the install lock says about who wrote it. OPTIONS: settings that only this kind
    reads, each with its option, variable and place in config.yaml. NEEDS: Python libraries, import name ->
    (project, lowest version).
    """

    NAME: str
    DEVICE: bool
    INSTALLED_BY: str
    OPTIONS: tuple[Setting, ...]
    NEEDS: Mapping[str, tuple[str, str]]

    def from_settings(self, settings: Settings, *, workers: int = 1) -> Provider:
        """Return the provider that these settings describe, not opened. Raises OpsError settings.*, env.*."""

    def library_variables(self, settings: Settings) -> tuple[str, ...]:
        """Return how the variables begin that the device's own library reads from secrets.env."""

    def used_paths(self, settings: Settings) -> tuple[Wanted, ...]:
        """Return what the device's library reads and writes on this host, as its user. Raises OpsError settings.*."""

    def first_login(self, settings: Settings) -> Login | None:
        """Return the login that opening will try, None where there is none. Raises OpsError settings.*."""
